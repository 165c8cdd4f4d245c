//! `Impersonate-*` headers: kube-apiserver consumes them and never forwards them, so whoever sends them here came by
//! another way. To ignore them would carry the request out with more rights than were asked for (AUTHN-16).

use http::HeaderMap;

/// True when the request asks to be carried out as somebody else.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str();
        matches!(
            name,
            "impersonate-user" | "impersonate-group" | "impersonate-uid"
        ) || name.starts_with("impersonate-extra-")
    })
}
