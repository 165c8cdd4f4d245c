//! Where the next page of a list is: the `Link` header (RFC 8288), read without trust.
//!
//! Many registries lose their prefix, port or host in it. The link is followed as it is only on the very
//! path that was asked; otherwise its cursor is put onto our own URL; it is never followed elsewhere.

use http::header::LINK;
use http::{HeaderMap, HeaderValue};
use url::Url;

/// Longer headers are not looked at, and count as unreadable.
const HEADER_BYTES: usize = 16 << 10;
/// The query parameters that registries page by.
const CURSORS: [&str; 2] = ["last", "next_page"];

/// What the header says about the next page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// There is no link to one.
    End,
    /// There is a link to one, for no tags at all: how some registries say that this was the last one.
    Last,
    /// It is here: our own scheme, host, port and path.
    Page(Url),
    /// There is one, or may be one: nothing in the link can be used on our own host, or it cannot be read.
    Lost,
}

/// A header that cannot be read may well have said that there is a next page.
#[derive(Debug, PartialEq, Eq)]
struct Unreadable;

/// The page after `asked`, as `headers` tell.
pub(super) fn next(headers: &HeaderMap, asked: &Url) -> Next {
    let mut without_link = Next::End;
    for value in headers.get_all(LINK) {
        match next_target(value) {
            Ok(Some(target)) => return page(&target, asked),
            Ok(None) => {}
            Err(Unreadable) => without_link = Next::Lost,
        }
    }
    without_link
}

/// What a link to `target` leads to.
fn page(target: &str, asked: &Url) -> Next {
    if target.is_empty() {
        return Next::Lost;
    }
    let Ok(target) = asked.join(target) else {
        return Next::Lost;
    };
    if target
        .query_pairs()
        .any(|(name, value)| name == "n" && value == "0")
    {
        return Next::Last;
    }
    if target.origin() == asked.origin()
        && target.path() == asked.path()
        && target.username().is_empty()
        && target.password().is_none()
    {
        let mut page = target;
        page.set_fragment(None);
        return Next::Page(page);
    }
    rebuilt(&target, asked).map_or(Next::Lost, Next::Page)
}

/// Our own URL, with the cursor of the foreign one.
fn rebuilt(target: &Url, asked: &Url) -> Option<Url> {
    let cursors: Vec<_> = target
        .query_pairs()
        .filter(|(name, value)| CURSORS.contains(&name.as_ref()) && !value.is_empty())
        .collect();
    if cursors.is_empty() {
        return None;
    }
    let size = target
        .query_pairs()
        .chain(asked.query_pairs())
        .find(|(name, _)| name == "n");
    let mut page = asked.clone();
    page.query_pairs_mut()
        .clear()
        .extend_pairs(cursors)
        .extend_pairs(size);
    Some(page)
}

/// The target of the first link in `header` that is `rel="next"`, or has no `rel` at all.
fn next_target(header: &HeaderValue) -> Result<Option<String>, Unreadable> {
    if header.len() > HEADER_BYTES {
        return Err(Unreadable);
    }
    let mut rest = header.to_str().map_err(|_| Unreadable)?;
    // A list may be empty, and may end in a comma.
    while !rest.trim_start_matches([' ', '\t', ',']).is_empty() {
        let (_, after) = rest.split_once('<').ok_or(Unreadable)?;
        let (target, after) = after.split_once('>').ok_or(Unreadable)?;
        let (relations, after) = take_relations(after);
        let is_next = relations.is_none_or(|all| {
            all.split_whitespace()
                .any(|one| one.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Ok(Some(target.to_owned()));
        }
        rest = after;
    }
    Ok(None)
}

/// The `rel` among a link's parameters, and what follows the comma after them.
fn take_relations(text: &str) -> (Option<String>, &str) {
    let mut relations = None;
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        if rest.is_empty() || rest.starts_with(',') {
            return (relations, rest);
        }
        let end = rest.find(['=', ';', ',']).unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let Some(value) = after.strip_prefix('=') else {
            rest = after;
            continue;
        };
        let value = value.trim_start_matches([' ', '\t']);
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => value
                .split_at_checked(value.find([';', ',']).unwrap_or(value.len()))
                .unwrap_or((value, "")),
        };
        if relations.is_none() && name.trim().eq_ignore_ascii_case("rel") {
            relations = Some(value.to_owned());
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ASKED: &str = "https://r.example:5000/v2/team/app/tags/list?n=100";

    fn read(values: &[&str]) -> Next {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(LINK, HeaderValue::from_str(value).unwrap());
        }
        next(&headers, &Url::parse(ASKED).unwrap())
    }

    fn to_page(query: &str) -> Next {
        Next::Page(
            Url::parse(&format!(
                "https://r.example:5000/v2/team/app/tags/list?{query}"
            ))
            .unwrap(),
        )
    }

    #[test]
    fn links_are_followed_on_our_own_path_only() {
        for (header, expected) in [
            // As the specification has it.
            (
                "</v2/team/app/tags/list?n=100&last=b>; rel=\"next\"",
                to_page("n=100&last=b"),
            ),
            (
                "<https://r.example:5000/v2/team/app/tags/list?last=b>; rel=next",
                to_page("last=b"),
            ),
            ("<?last=b>; rel=\"next\"", to_page("last=b")),
            ("</v2/team/app/tags/list?last=b>", to_page("last=b")),
            (
                "</v2/team/app/tags/list?last=b>; title=\"a;b,c\"; REL = \"last NEXT\"",
                to_page("last=b"),
            ),
            (
                "<x>; rel=prev, </v2/team/app/tags/list?last=b>; rel=next",
                to_page("last=b"),
            ),
            (
                "</v2/team/app/tags/list?last=b#f>; rel=next",
                to_page("last=b"),
            ),
            // Another host, port, scheme, prefix: the cursor alone is taken.
            (
                "<https://evil.example/v2/team/app/tags/list?last=b&n=50>; rel=next",
                to_page("last=b&n=50"),
            ),
            (
                "<https://r.example/v2/team/app/tags/list?last=b>; rel=next",
                to_page("last=b&n=100"),
            ),
            (
                "<http://r.example:5000/v2/team/app/tags/list?last=b>; rel=next",
                to_page("last=b&n=100"),
            ),
            (
                "</v2/app/tags/list?next_page=x%3D>; rel=next",
                to_page("next_page=x%3D&n=100"),
            ),
            (
                "<https://u:p@r.example:5000/v2/team/app/tags/list?last=b>; rel=next",
                to_page("last=b&n=100"),
            ),
            // Nothing to go on.
            ("<https://evil.example/next>; rel=next", Next::Lost),
            ("<javascript:alert(1)>; rel=next", Next::Lost),
            ("<https://evil.example/?last=>; rel=next", Next::Lost),
            ("<http://[bad>; rel=next", Next::Lost),
            ("<>; rel=next", Next::Lost),
            // Not to be read.
            ("</v2/team", Next::Lost),
            ("next", Next::Lost),
            ("<x>; rel=prev, next", Next::Lost),
            // The end.
            ("</v2/team/app/tags/list?n=0&last=b>; rel=next", Next::Last),
            ("<https://r.example:5000/x?last=b>; rel=prev", Next::End),
            ("<x>; rel=prev, ", Next::End),
            ("", Next::End),
        ] {
            assert_eq!(read(&[header]), expected, "{header}");
        }
    }

    #[test]
    fn several_headers_are_one_list() {
        assert_eq!(
            read(&["<a>; rel=prev", "<?last=b>; rel=next"]),
            to_page("last=b")
        );
        assert_eq!(read(&["next", "<?last=b>; rel=next"]), to_page("last=b"));
        assert_eq!(read(&["<a>; rel=prev", "next"]), Next::Lost);
    }

    #[test]
    fn a_header_that_cannot_be_read_is_not_the_end() {
        let long = format!("<?last={}>; rel=next", "b".repeat(HEADER_BYTES));
        for bytes in [long.as_bytes(), b"<?last=\xff>; rel=next"] {
            let headers = HeaderMap::from_iter([(LINK, HeaderValue::from_bytes(bytes).unwrap())]);
            assert_eq!(next(&headers, &Url::parse(ASKED).unwrap()), Next::Lost);
        }
    }

    proptest! {
        #[test]
        fn no_header_leads_to_another_host(text in "[ -~]{0,60}", path in "[ -~&&[^>]]{0,40}") {
            for header in [text, format!("<{path}>; rel=next"), format!("<//{path}>; rel=next")] {
                if let Next::Page(url) = read(&[&header]) {
                    let asked = Url::parse(ASKED).unwrap();
                    prop_assert_eq!(url.origin(), asked.origin());
                    prop_assert_eq!(url.path(), asked.path());
                }
            }
        }
    }
}
