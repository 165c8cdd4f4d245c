//! The opening handshake of RFC 6455, section 4.2, from the server's side. Decides by the request's head alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Version};
use sha1_smol::Sha1;

use crate::apiserver::status::Status;

/// The one version there is.
pub(super) const VERSION: HeaderValue = HeaderValue::from_static("13");

/// What the key is hashed with (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY_BYTES: usize = 16;

/// The sub-protocols of Kubernetes' clients. For a watch none of them changes anything: events are text.
const KNOWN: [&str; 2] = ["base64.binary.k8s.io", "binary.k8s.io"];
/// What a browser would put a token behind. It is not read, and never told to anybody.
const BEARER: &str = "base64url.bearer.authorization.k8s.io.";

/// What the answer to a handshake says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) accept: HeaderValue,
    pub(super) protocol: Option<HeaderValue>,
}

/// Whether this asks for a WebSocket at all, by upstream's rule: both headers say so.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    has_token(headers, &CONNECTION, "upgrade") && has_token(headers, &UPGRADE, "websocket")
}

/// Checks a request that asks for a WebSocket.
pub(super) fn agree(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
) -> Result<Agreed, Status> {
    let bad =
        |problem: &str| Status::bad_request(format!("not a valid WebSocket handshake: {problem}"));
    if method != Method::GET {
        return Err(bad("the method must be GET"));
    }
    if version != Version::HTTP_11 {
        return Err(bad("the request must be HTTP/1.1"));
    }
    if single(headers, &SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        return Err(Status::upgrade_required(
            "the WebSocket version is not supported: Sec-WebSocket-Version must be 13",
        ));
    }
    let key = single(headers, &SEC_WEBSOCKET_KEY)
        .ok_or_else(|| bad("there must be one Sec-WebSocket-Key"))?;
    let is_key = STANDARD
        .decode(key.as_bytes())
        .is_ok_and(|bytes| bytes.len() == KEY_BYTES);
    if !is_key {
        return Err(bad("Sec-WebSocket-Key must be 16 bytes in base64"));
    }
    let protocol =
        protocol(headers).ok_or_else(|| bad("Sec-WebSocket-Protocol must be a list of tokens"))?;
    Ok(Agreed {
        accept: accept(key.as_bytes())
            .ok_or_else(|| bad("Sec-WebSocket-Key must be 16 bytes in base64"))?,
        protocol,
    })
}

/// What proves that the handshake was understood (RFC 6455, section 4.2.2).
fn accept(key: &[u8]) -> Option<HeaderValue> {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID);
    HeaderValue::try_from(STANDARD.encode(hash.digest().bytes())).ok()
}

/// The sub-protocol to answer: the offered one when it is the only one, whatever it is (as upstream does it), else the
/// first that is known. `None` when the offer does not read.
#[expect(
    clippy::option_option,
    reason = "no offer that reads, and nothing of it taken"
)]
fn protocol(headers: &HeaderMap) -> Option<Option<HeaderValue>> {
    let mut offered = Vec::new();
    for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        for token in value.to_str().ok()?.split(',').map(str::trim) {
            if token.is_empty() || !token.bytes().all(is_token) {
                return None;
            }
            offered.push(token);
        }
    }
    let is_only = offered.len() == 1;
    let taken = offered
        .into_iter()
        .filter(|offered| !offered.starts_with(BEARER))
        .find(|offered| is_only || KNOWN.contains(offered));
    Some(match taken {
        Some(taken) => Some(HeaderValue::from_str(taken).ok()?),
        None => None,
    })
}

/// A character of a token (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The value of a header that stands there once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Whether `token` is in the list that is in the header, whatever its case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.any(|value| {
        value
            .split(',')
            .any(|part| part.trim().eq_ignore_ascii_case(token))
    })
}

/// Headers of a request that asks for an upgrade, for fuzzing: what is agreed proves that the key was read, and takes a
/// protocol only that was offered, and never what may be a token.
#[cfg(any(test, feature = "fuzzing"))]
pub(in crate::apiserver) fn fuzz(headers: &HeaderMap) -> Result<(), Status> {
    let Agreed { accept, protocol } = agree(&Method::GET, Version::HTTP_11, headers)?;
    assert_eq!(accept.len(), 28);
    let Some(protocol) = protocol else {
        return Ok(());
    };
    assert!(!protocol.as_bytes().starts_with(BEARER.as_bytes()));
    let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    let mut offered = offers.flat_map(|offer| offer.as_bytes().split(|byte| *byte == b','));
    assert!(offered.any(|offer| offer.trim_ascii() == protocol.as_bytes()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The key and its answer are those of RFC 6455, section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            })
    }

    fn good(more: &[(HeaderName, &str)]) -> HeaderMap {
        let basic = [
            (CONNECTION, "keep-alive, Upgrade"),
            (UPGRADE, "WebSocket"),
            (SEC_WEBSOCKET_VERSION, "13"),
            (SEC_WEBSOCKET_KEY, KEY),
        ];
        headers(&[&basic, more].concat())
    }

    #[test]
    fn a_good_handshake_is_answered_by_the_book() {
        let agreed = agree(&Method::GET, Version::HTTP_11, &good(&[])).unwrap();
        assert_eq!(
            (agreed.accept, agreed.protocol),
            (ACCEPT.parse().unwrap(), None)
        );
    }

    #[test]
    fn an_upgrade_is_asked_for_by_two_headers() {
        assert!(is_asked_for(&good(&[])));
        for other in [
            headers(&[]),
            headers(&[(UPGRADE, "websocket")]),
            headers(&[(CONNECTION, "upgrade")]),
            headers(&[(CONNECTION, "upgrade"), (UPGRADE, "h2c")]),
            headers(&[(CONNECTION, "close"), (UPGRADE, "websocket")]),
        ] {
            assert!(!is_asked_for(&other), "{other:?}");
        }
    }

    #[test]
    fn each_fault_has_its_own_words() {
        let without = |name: HeaderName| {
            let mut headers = good(&[]);
            headers.remove(name);
            headers
        };
        let with = |name: HeaderName, value: &str| {
            let mut headers = without(name.clone());
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            headers
        };
        let get = Method::GET;
        let v11 = Version::HTTP_11;
        for (method, version, headers, code, word) in [
            (&Method::HEAD, v11, good(&[]), 400, "must be GET"),
            (&get, Version::HTTP_10, good(&[]), 400, "must be HTTP/1.1"),
            (&get, v11, without(SEC_WEBSOCKET_VERSION), 426, "must be 13"),
            (
                &get,
                v11,
                with(SEC_WEBSOCKET_VERSION, "8"),
                426,
                "must be 13",
            ),
            (
                &get,
                v11,
                without(SEC_WEBSOCKET_KEY),
                400,
                "one Sec-WebSocket-Key",
            ),
            (
                &get,
                v11,
                good(&[(SEC_WEBSOCKET_KEY, KEY)]),
                400,
                "one Sec-WebSocket-Key",
            ),
            (
                &get,
                v11,
                with(SEC_WEBSOCKET_KEY, "c2hvcnQ="),
                400,
                "16 bytes",
            ),
            (
                &get,
                v11,
                with(SEC_WEBSOCKET_KEY, "no base64"),
                400,
                "16 bytes",
            ),
            (
                &get,
                v11,
                good(&[(SEC_WEBSOCKET_PROTOCOL, "a b")]),
                400,
                "list of tokens",
            ),
            (
                &get,
                v11,
                good(&[(SEC_WEBSOCKET_PROTOCOL, "a,,b")]),
                400,
                "list of tokens",
            ),
        ] {
            let status = agree(method, version, &headers).unwrap_err();
            assert_eq!(status.code, code, "{headers:?}");
            assert!(status.message.contains(word), "{}", status.message);
        }
    }

    #[test]
    fn a_sub_protocol_is_echoed_when_it_is_the_only_one_or_known() {
        let bearer = format!("{BEARER}dG9rZW4");
        let both = format!("{bearer}, base64.binary.k8s.io");
        for (offered, taken) in [
            (&["base64.binary.k8s.io"][..], Some("base64.binary.k8s.io")),
            (&["binary.k8s.io"], Some("binary.k8s.io")),
            (&["of.somebody"], Some("of.somebody")),
            (&["of.somebody, binary.k8s.io"], Some("binary.k8s.io")),
            (
                &["of.somebody", "base64.binary.k8s.io"],
                Some("base64.binary.k8s.io"),
            ),
            (&["one, another"], None),
            (&[&both], Some("base64.binary.k8s.io")),
            (&[&bearer], None),
            (&[], None),
        ] {
            let offer: Vec<_> = offered
                .iter()
                .map(|offer| (SEC_WEBSOCKET_PROTOCOL, *offer))
                .collect();
            let agreed = agree(&Method::GET, Version::HTTP_11, &good(&offer)).unwrap();
            let protocol = agreed
                .protocol
                .as_ref()
                .map(|value| value.to_str().unwrap());
            assert_eq!(protocol, taken, "{offered:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_agreed_on_or_refused(
            key in "[ -~]{0,40}",
            version in "[ -~]{0,4}|13",
            offer in "[ -~]{0,60}",
        ) {
            let sent = headers(&[(SEC_WEBSOCKET_KEY, &key), (SEC_WEBSOCKET_VERSION, &version), (SEC_WEBSOCKET_PROTOCOL, &offer)]);
            match agree(&Method::GET, Version::HTTP_11, &sent) {
                Ok(agreed) => prop_assert!(agreed.protocol.is_none_or(|taken| offer.contains(taken.to_str().unwrap()))),
                Err(status) => prop_assert!(matches!(status.code, 400 | 426)),
            }
        }
    }
}
