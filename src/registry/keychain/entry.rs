//! The JSON of a Docker configuration.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::Error;
use crate::registry::redact::shorten;
use crate::secret::Credential;

/// The key of the document with `auths` in it.
pub(super) const CONFIG_JSON: &str = ".dockerconfigjson";
/// The key of the old document, which is what `auths` holds.
pub(super) const DOCKERCFG: &str = ".dockercfg";

/// The same document as a file of its user's: it need not have `auths`.
pub(super) const CONFIG_FILE: &str = "config.json";

/// Takes padding or leaves it, as writers of these files do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: Option<BTreeMap<String, Option<Entry>>>,
}

/// What Docker and kubelet write about one registry. Whatever else is there is ignored.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    username: Option<String>,
    password: Option<String>,
    auth: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// Each entry's key as written, and its credential; none: the entry is empty (its credential is elsewhere).
pub(super) fn read(
    key: &'static str,
    json: &[u8],
) -> Result<Vec<(String, Option<Credential>)>, Error> {
    let auths = if key == DOCKERCFG {
        serde_json::from_slice::<BTreeMap<String, Option<Entry>>>(json).map(Some)
    } else {
        serde_json::from_slice::<Config>(json).map(|config| config.auths)
    };
    let auths = auths
        .map_err(|error| Error::Malformed {
            key,
            cause: describe(&error),
        })?
        .or_else(|| (key == CONFIG_FILE).then(BTreeMap::new))
        .ok_or_else(|| Error::Malformed {
            key,
            cause: "it has no `auths`".to_owned(),
        })?;
    auths
        .into_iter()
        .map(
            |(registry, entry)| match credential(entry.unwrap_or_default()) {
                Ok(credential) => Ok((registry, credential)),
                Err(cause) => Err(Error::Entry {
                    key,
                    registry: shorten(&registry, 253),
                    cause,
                }),
            },
        )
        .collect()
}

/// What and where, never the parser's words: they quote values.
pub(super) fn describe(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Eof => "the JSON ends too early",
        Category::Syntax | Category::Io => "it is not JSON",
        Category::Data => "a value is not of the type it should be",
    };
    format!("{what} at line {} column {}", error.line(), error.column())
}

fn credential(entry: Entry) -> Result<Option<Credential>, &'static str> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    if let Some(token) = given(entry.registrytoken) {
        return Ok(Some(Credential::RegistryToken(token.into())));
    }
    if let Some(token) = given(entry.identitytoken) {
        return Ok(Some(Credential::IdentityToken(token.into())));
    }
    let (username, password) = match given(entry.auth) {
        Some(auth) => decode(&auth)?,
        None => (
            entry.username.unwrap_or_default(),
            entry.password.unwrap_or_default(),
        ),
    };
    from_pair(username, password)
}

/// What a name and a password are; none: both are empty.
pub(super) fn from_pair(
    username: String,
    password: String,
) -> Result<Option<Credential>, &'static str> {
    if username.is_empty() && password.is_empty() {
        return Ok(None);
    }
    if username.contains(':') {
        return Err("the user name has a colon in it");
    }
    // What credential helpers write for an identity token.
    if username == "<token>" {
        return Ok(Some(Credential::IdentityToken(password.into())));
    }
    Ok(Some(Credential::Basic {
        username,
        password: password.into(),
    }))
}

/// `auth` is the base64 of `user:password`; only the first colon counts, and NULs at the end do not.
fn decode(auth: &str) -> Result<(String, String), &'static str> {
    let bytes = BASE64
        .decode(auth.trim())
        .map_err(|_| "`auth` is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "`auth` is not base64 of a text")?;
    let (username, password) = text
        .split_once(':')
        .ok_or("`auth` is not base64 of user:password")?;
    Ok((
        username.to_owned(),
        password.trim_end_matches('\0').to_owned(),
    ))
}
