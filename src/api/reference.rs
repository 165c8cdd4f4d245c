//! How one object points at another, or at an image, inside a spec or a status.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::Key;

/// Points at an object of the same namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LocalObjectReference {
    /// Name of the object.
    pub name: String,
}

/// Points at an object, by default of the same namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamespacedObjectReference {
    /// Name of the object.
    pub name: String,

    /// Namespace of the object; that of the referring object when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl NamespacedObjectReference {
    /// The key of the object that is meant, for a referrer in `namespace`. An empty namespace counts as absent.
    pub fn key(&self, namespace: &str) -> Key {
        let namespace = self
            .namespace
            .as_deref()
            .filter(|own| !own.is_empty())
            .unwrap_or(namespace);
        Key::new(namespace, self.name.as_str())
    }
}

/// An image, with one tag, and its digest where the policy reflects it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageRef {
    /// The image, without tag and digest.
    pub name: String,

    /// The tag.
    pub tag: String,

    /// The digest, when the policy reflects digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// `name:tag`, and `@digest` when there is one: the form in messages and events.
impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)?;
        match self.digest.as_deref() {
            Some(digest) if !digest.is_empty() => write!(f, "@{digest}"),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_without_namespace_means_the_referrer_s_own() {
        let mut reference = NamespacedObjectReference {
            name: "podinfo".to_owned(),
            namespace: None,
        };
        assert_eq!(reference.key("apps").to_string(), "apps/podinfo");
        reference.namespace = Some(String::new());
        assert_eq!(reference.key("apps").to_string(), "apps/podinfo");
        reference.namespace = Some("images".to_owned());
        assert_eq!(reference.key("apps").to_string(), "images/podinfo");
    }

    #[test]
    fn images_read_as_in_messages() {
        let mut image = ImageRef {
            name: "ghcr.io/o/r".to_owned(),
            tag: "1.0.0".to_owned(),
            digest: None,
        };
        assert_eq!(image.to_string(), "ghcr.io/o/r:1.0.0");
        image.digest = Some(String::new());
        assert_eq!(image.to_string(), "ghcr.io/o/r:1.0.0");
        image.digest = Some("sha256:ab".to_owned());
        assert_eq!(image.to_string(), "ghcr.io/o/r:1.0.0@sha256:ab");
    }
}
