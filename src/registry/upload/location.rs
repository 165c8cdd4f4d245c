//! The small print of an upload's session: its URL with the digest, how much arrived, how long chunks are.

use http::HeaderMap;
use http::header::RANGE;
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::image::Digest;

/// Chunks are no shorter, where the registry does not say.
pub(in crate::registry) const CHUNK: u64 = 5 << 20;
/// GitHub's refuses longer ones.
const GITHUB_CHUNK: u64 = 4 << 20;

/// `url` with the digest after whatever query it has; that is kept byte for byte, as it may be signed.
pub(in crate::registry) fn with_digest(url: &Url, digest: &Digest) -> Url {
    let digest: String = byte_serialize(digest.as_str().as_bytes()).collect();
    let query = match url.query() {
        Some(query) if !query.is_empty() => format!("{query}&digest={digest}"),
        Some(_) | None => format!("digest={digest}"),
    };
    let mut url = url.clone();
    url.set_query(Some(&query));
    url
}

/// How many bytes arrived, as `Range` has it (`0-1023`, with or without a unit). `0-0` is how some say "nothing". None: it
/// does not say.
pub(in crate::registry) fn arrived(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RANGE)?.to_str().ok()?.trim();
    let text = text.strip_prefix("bytes").map_or(text, |rest| {
        rest.trim_start_matches(|c: char| c == '=' || c.is_ascii_whitespace())
    });
    let (first, last) = text.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !first.trim_start_matches('0').is_empty() || first.is_empty() || !digits(last) {
        return None;
    }
    let last: u64 = last.parse().ok()?;
    if last == 0 {
        Some(0)
    } else {
        last.checked_add(1)
    }
}

/// The shortest chunk the registry takes, if it says.
pub(in crate::registry) fn least_chunk(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get("oci-chunk-min-length")?.to_str().ok()?;
    text.trim().parse().ok()
}

/// How long to make chunks at `host`.
pub(in crate::registry) fn chunk(host: &str, least: Option<u64>) -> u64 {
    let usual = if host == "ghcr.io" {
        GITHUB_CHUNK
    } else {
        CHUNK
    };
    least.unwrap_or_default().max(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_35_the_query_of_a_location_is_kept() {
        let digest = Digest::of(b"");
        let hex = digest.hex();
        for (location, expected) in [
            ("https://r.example/u/1", "https://r.example/u/1?digest="),
            ("https://r.example/u/1?", "https://r.example/u/1?digest="),
            (
                "https://r.example/u/1?_state=a%2Bb%20c+d==&x",
                "https://r.example/u/1?_state=a%2Bb%20c+d==&x&digest=",
            ),
        ] {
            let url = with_digest(&Url::parse(location).unwrap(), &digest);
            assert_eq!(url.as_str(), format!("{expected}sha256%3A{hex}"));
        }
    }

    #[test]
    fn range_of_a_session() {
        for (text, expected) in [
            ("0-1023", Some(1024)),
            ("bytes=0-1023", Some(1024)),
            ("bytes 0-1023", Some(1024)),
            ("0-0", Some(0)),
            ("0--1", None),
            ("5-10", None),
            ("-10", None),
            ("0-", None),
            ("0-x", None),
            ("", None),
            ("0-18446744073709551615", None),
            ("0-99999999999999999999999", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, text.parse().unwrap());
            assert_eq!(arrived(&headers), expected, "{text:?}");
        }
        assert_eq!(arrived(&HeaderMap::new()), None);
    }

    #[test]
    fn chunks_are_as_long_as_the_registry_wants() {
        assert_eq!(chunk("r.example", None), 5 << 20);
        assert_eq!(chunk("r.example", Some(1)), 5 << 20);
        assert_eq!(chunk("r.example", Some(16 << 20)), 16 << 20);
        assert_eq!(chunk("ghcr.io", None), 4 << 20);
    }
}
