//! How Kubernetes objects are named here: never by a bare string.

use std::fmt;
use std::sync::Arc;

/// The longest name of an object.
pub const LONGEST_NAME: usize = 253;
/// The longest name of a namespace.
pub const LONGEST_NAMESPACE: usize = 63;

/// A namespaced object's key, ordered by namespace, then name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The namespace it lives in.
    pub namespace: Arc<str>,
    /// Its name within the namespace.
    pub name: Arc<str>,
}

impl Key {
    /// The key of `name` in `namespace`.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// `namespace/name`, as users write it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_as_users_write_them() {
        assert_eq!(
            Key::new("flux-system", "podinfo").to_string(),
            "flux-system/podinfo"
        );
    }
}
