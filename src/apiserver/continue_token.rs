//! The token that a page ends with: upstream's shape (base64url of a small JSON), opaque to clients.
//!
//! It holds a resourceVersion and the last name, nothing secret and nothing trusted: the path of the next request
//! decides the namespace, and every page is authorised again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::apiserver::json::Json;
use crate::store::ResourceVersion;

const FORMAT: &str = "meta.k8s.io/v1";

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The state of the first page; `None` goes on in the newest, whatever has changed since.
    pub version: Option<ResourceVersion>,
    /// The namespace of the last item; `None` in a list of one namespace.
    pub namespace: Option<String>,
    /// The name of the last item.
    pub name: String,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    v: String,
    #[serde(default)]
    rv: i64,
    #[serde(default)]
    start: String,
}

/// Why a token is not one of ours, in upstream's words.
#[derive(Debug, thiserror::Error)]
#[error("invalid continue token: {0}")]
pub struct Error(&'static str);

const GENERIC: Error = Error("continue key is not valid");

impl Token {
    /// The token's text.
    pub fn encode(&self) -> String {
        let rv = self
            .version
            .map_or(-1, |version| i64::try_from(version.0).unwrap_or(i64::MAX));
        // The NUL makes it the next key after the last item's, as upstream writes it.
        let start = match &self.namespace {
            Some(namespace) => format!("{namespace}/{}\0", self.name),
            None => format!("{}\0", self.name),
        };
        let mut json = Json::new();
        json.raw(r#"{"v":"#)
            .string(FORMAT)
            .raw(r#","rv":"#)
            .number(rv);
        json.raw(r#","start":"#).string(&start);
        json.raw("}");
        URL_SAFE_NO_PAD.encode(json.take())
    }

    /// Reads the text back, for a list of all namespaces or of one.
    pub fn decode(text: &str, all_namespaces: bool) -> Result<Self, Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| GENERIC)?;
        let wire: Wire = serde_json::from_slice(&bytes).map_err(|_| GENERIC)?;
        if wire.v != FORMAT {
            return Err(Error(
                "continue key is not valid: server does not recognize this encoded version",
            ));
        }
        let version = match wire.rv {
            0 => {
                return Err(Error(
                    "continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
                ));
            }
            rv => u64::try_from(rv).ok().map(ResourceVersion),
        };
        if wire.start.is_empty() {
            return Err(Error(
                "continue key is not valid: encoded start key empty (version meta.k8s.io/v1)",
            ));
        }
        let key = wire.start.strip_suffix('\0').ok_or(GENERIC)?;
        let (namespace, name) = if all_namespaces {
            let (namespace, name) = key.split_once('/').ok_or(GENERIC)?;
            (Some(namespace.to_owned()), name)
        } else {
            (None, key)
        };
        if name.is_empty() || name.contains('/') {
            return Err(GENERIC);
        }
        Ok(Self {
            version,
            namespace,
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wire(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    #[test]
    fn the_token_is_upstreams_small_json() {
        let token = Token {
            version: Some(ResourceVersion(123)),
            namespace: Some("ns".to_owned()),
            name: "app:3".to_owned(),
        };
        let text = URL_SAFE_NO_PAD.decode(token.encode()).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            r#"{"v":"meta.k8s.io/v1","rv":123,"start":"ns/app:3\u0000"}"#
        );
    }

    #[test]
    fn foreign_tokens_are_refused_in_the_known_words() {
        let rows = [
            (
                "garbage!".to_owned(),
                "invalid continue token: continue key is not valid",
            ),
            (
                wire("{"),
                "invalid continue token: continue key is not valid",
            ),
            (
                wire(r#"{"v":"meta.k8s.io/v1","rv":5,"start":"../a\u0000"}"#),
                "invalid continue token: continue key is not valid",
            ),
            (
                wire(r#"{"v":"v9","rv":5,"start":"a:1\u0000"}"#),
                "invalid continue token: continue key is not valid: server does not recognize this encoded version",
            ),
            (
                wire(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a:1\u0000"}"#),
                "invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version \
                 meta.k8s.io/v1)",
            ),
            (
                wire(r#"{"v":"meta.k8s.io/v1","rv":5}"#),
                "invalid continue token: continue key is not valid: encoded start key empty (version meta.k8s.io/v1)",
            ),
        ];
        for (text, message) in rows {
            assert_eq!(
                Token::decode(&text, false).unwrap_err().to_string(),
                message,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn tokens_read_back(rv in proptest::option::of(1..i64::MAX as u64), cluster: bool, name in "[a-z]{1,5}:[A-Z0-9._-]{1,5}") {
            let token = Token {
                version: rv.map(ResourceVersion),
                namespace: cluster.then(|| "some-ns".to_owned()),
                name,
            };
            prop_assert_eq!(Token::decode(&token.encode(), cluster).unwrap(), token);
        }

        #[test]
        fn no_text_breaks_the_decoder(text in any::<String>()) {
            drop(Token::decode(&text, true));
        }
    }
}
