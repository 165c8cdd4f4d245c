//! Secrets: their data, and what is made of it. No message has a value in it.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::{Place, Problems};
use crate::registry::{Error, Keychain, Pem, Proxy, TlsMaterial};
use crate::secret::SecretString;

/// A Secret's type and data.
#[derive(Clone)]
pub(super) struct Secret {
    kind: String,
    data: BTreeMap<String, Vec<u8>>,
}

/// Names the keys only.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("kind", &self.kind)
            .field("keys", &self.data.keys())
            .finish_non_exhaustive()
    }
}

/// Reads `type`, `data` and `stringData`, which goes before `data`.
pub(super) fn read(value: &Value, place: &Place, problems: &mut Problems) -> Option<Secret> {
    let before = problems.0.len();
    let mut data = BTreeMap::new();
    for (field, is_base64) in [("data", true), ("stringData", false)] {
        match value.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::Object(entries)) => {
                for (name, value) in entries {
                    let path = format!("{field}.{name}");
                    let Some(text) = value.as_str() else {
                        problems.add(place, &path, "is not a text");
                        continue;
                    };
                    if !is_base64 {
                        data.insert(name.clone(), text.as_bytes().to_vec());
                        continue;
                    }
                    let compact: String = text.split_ascii_whitespace().collect();
                    match BASE64_STANDARD.decode(compact) {
                        Ok(bytes) => drop(data.insert(name.clone(), bytes)),
                        Err(_) => problems.add(place, &path, "is not base64"),
                    }
                }
            }
            Some(_) => problems.add(place, field, "is not a map of texts"),
        }
    }
    let kind = value.get("type").and_then(Value::as_str);
    (problems.0.len() == before).then(|| Secret {
        kind: kind.unwrap_or("Opaque").to_owned(),
        data,
    })
}

impl Secret {
    fn value(&self, key: &str) -> Option<&[u8]> {
        self.data.get(key).map(Vec::as_slice)
    }

    /// The credentials of a pull secret.
    pub(super) fn keychain(&self) -> Result<Keychain, String> {
        Keychain::from_secret(&self.kind, |key| self.value(key)).map_err(|error| error.to_string())
    }

    /// `ca.crt`, and `tls.crt` with `tls.key`; one of the two at least.
    pub(super) fn tls(&self, now: Timestamp) -> Result<TlsMaterial, String> {
        let pem = |name| self.value(name).map(|text| Pem { name, text });
        let identity = match (pem("tls.crt"), pem("tls.key")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err("it has 'tls.crt', but no 'tls.key'".to_owned()),
            (None, Some(_)) => return Err("it has 'tls.key', but no 'tls.crt'".to_owned()),
        };
        let authority = pem("ca.crt");
        if authority.is_none() && identity.is_none() {
            return Err("it has neither 'ca.crt' nor 'tls.crt' with 'tls.key'".to_owned());
        }
        TlsMaterial::read(authority, identity, now).map_err(cause)
    }

    /// `address`, and `username` with `password`.
    pub(super) fn proxy(&self) -> Result<Proxy, String> {
        let text = |key: &str| match self.value(key).map(std::str::from_utf8) {
            Some(Ok(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
            Some(Err(_)) => Err(format!("its '{key}' is not UTF-8 text")),
            None => Ok(None),
        };
        let address = text("address")?.ok_or("it has no 'address'")?;
        let password = text("password")?.map(SecretString::from);
        let username = text("username")?;
        if username.is_none() && password.is_some() {
            return Err("it has 'password', but no 'username'".to_owned());
        }
        let password = password.unwrap_or_default();
        Proxy::new(address, username.map(|username| (username, &password))).map_err(cause)
    }
}

/// What is wrong, without saying once more that something could not be set up.
fn cause(error: Error) -> String {
    match error {
        Error::Setup { cause } => cause,
        other => other.to_string(),
    }
}
