//! The parsers of what registries say, for the fuzz targets: bytes in, and what must hold of the outcome.
//!
//! Built for tests and fuzzing only. A target that cannot fail finds nothing: each one states a property.

use http::header::{LINK, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::challenge::challenges;
use super::keychain::Keychain;
use super::link::{self, Next};
use super::page::Collected;
use crate::image::{Repository, Tag};

/// The most tags that the page may have.
const TAGS: u64 = 1000;

/// One header per line.
fn headers(name: &HeaderName, data: &[u8]) -> HeaderMap {
    let lines = data.split(|byte| *byte == b'\n').take(8);
    let values = lines.filter_map(|line| HeaderValue::from_bytes(line).ok());
    values.map(|value| (name.clone(), value)).collect()
}

/// `WWW-Authenticate`: schemes and names of parameters come out in lower case, and their number is bounded.
pub(crate) fn challenge(data: &[u8]) {
    let all = challenges(&headers(&WWW_AUTHENTICATE, data));
    assert!(all.len() <= 32, "{} challenges", all.len());
    for one in all {
        assert!(!one.scheme.is_empty() && is_lower(&one.scheme), "{one:?}");
        assert!(one.parameters.len() <= 32, "{one:?}");
        assert!(one.parameters.iter().all(|(name, _)| is_lower(name)));
    }
}

fn is_lower(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// `Link`: whatever it says, the next page is on the path that was asked.
pub(crate) fn link(data: &[u8]) {
    let Ok(asked) = Url::parse("https://registry.example:5000/v2/team/app/tags/list?n=100") else {
        return;
    };
    if let Next::Page(next) = link::next(&headers(&LINK, data), &asked) {
        assert_eq!(next.origin(), asked.origin(), "{next}");
        assert_eq!(next.path(), asked.path(), "{next}");
        assert!(next.username().is_empty() && next.password().is_none());
    }
}

/// A pull secret: errors never quote what is in it beyond the names of its entries, and a lookup always ends.
pub(crate) fn docker_config(data: &[u8]) {
    let Ok(keychain) = Keychain::from_docker_config(data) else {
        return;
    };
    for name in [
        "alpine",
        "registry.example:5000/team/app",
        "a.b.c.registry.example/team/app/deep",
    ] {
        if let Ok(image) = name.parse::<Repository>() {
            let first = keychain.lookup(&image).is_some();
            assert_eq!(first, keychain.lookup(&image).is_some());
        }
    }
}

/// A page of a tag list: what is counted adds up, and what is taken for a tag is one.
pub(crate) fn tag_list(data: &[u8]) {
    let mut collected = Collected::with_limit(TAGS);
    let Ok(page) = collected.add_page(data) else {
        return;
    };
    let tags = u64::try_from(collected.tags.len()).unwrap_or(u64::MAX);
    assert_eq!(page.added, tags);
    assert!(tags <= TAGS);
    assert_eq!(page.names, page.added + page.repeated + collected.invalid);
    for tag in &collected.tags {
        assert_eq!(tag.as_str().parse::<Tag>().as_ref(), Ok(tag));
    }
}
