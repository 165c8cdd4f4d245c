//! Who in other namespaces may refer to an ImageRepository.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::Key;

/// Opens an object to referrers in other namespaces. Without one it is open to its own namespace only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessFrom {
    /// The namespaces that may refer to the object. One match is enough.
    pub namespace_selectors: Vec<NamespaceSelector>,
}

/// Selects namespaces by their labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// Labels that the namespace must all carry. An empty or absent map selects every namespace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
}

/// Why a referrer in another namespace is not let in. The words are Flux's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// References to other namespaces are forbidden by a flag.
    Blocked,
    /// The object lets nobody in from other namespaces.
    NotShared,
    /// It lets in other namespaces than this one.
    NotForThisNamespace,
}

impl Refusal {
    /// What is told about the ImageRepository `reference` to a referrer in `namespace`.
    pub fn message(self, reference: &Key, namespace: &str) -> String {
        match self {
            Self::Blocked => format!(
                "cannot access 'ImageRepository/{reference}', cross-namespace references have been blocked"
            ),
            Self::NotShared => format!(
                "access denied: '{reference}' can't be accessed due to missing ACL labels on 'accessFrom'"
            ),
            Self::NotForThisNamespace => format!(
                "access denied: '{reference}' can't be accessed due to ACL labels mismatch on namespace '{namespace}'"
            ),
        }
    }
}

impl AccessFrom {
    /// Whether a namespace with these labels is let in.
    pub fn admits(&self, labels: &BTreeMap<String, String>) -> bool {
        self.namespace_selectors
            .iter()
            .any(|selector| selector.selects(labels))
    }
}

/// Whether `namespace` is one of `list`, which is separated by commas; `*` is every one.
pub fn lists_namespace(list: &str, namespace: &str) -> bool {
    let mut names = list.split(',').map(str::trim);
    !namespace.is_empty() && names.any(|name| name == "*" || name == namespace)
}

impl NamespaceSelector {
    /// Whether a namespace with these labels is selected: each wanted label is there, with the wanted value.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels
            .iter()
            .all(|(name, value)| labels.get(name) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Labels<'a> = &'a [(&'a str, &'a str)];

    fn labels(pairs: Labels<'_>) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn access(selectors: &[Labels<'_>]) -> AccessFrom {
        let namespace_selectors = selectors
            .iter()
            .map(|pairs| NamespaceSelector {
                match_labels: labels(pairs),
            })
            .collect();
        AccessFrom {
            namespace_selectors,
        }
    }

    #[test]
    fn a_namespace_gets_in_when_one_selector_finds_all_its_labels() {
        let rows: &[(&[Labels<'_>], Labels<'_>, bool)] = &[
            (&[], &[("team", "a")], false),
            (&[&[]], &[], true),
            (&[&[]], &[("team", "a")], true),
            (&[&[("team", "a")]], &[("team", "a"), ("env", "x")], true),
            (&[&[("team", "a")]], &[("team", "b")], false),
            (&[&[("team", "a")]], &[], false),
            (&[&[("team", "a"), ("env", "x")]], &[("team", "a")], false),
            (
                &[&[("team", "z")], &[("team", "a")]],
                &[("team", "a")],
                true,
            ),
        ];
        for (selectors, namespace, admitted) in rows {
            assert_eq!(
                access(selectors).admits(&labels(namespace)),
                *admitted,
                "{selectors:?} {namespace:?}"
            );
        }
    }

    #[test]
    fn a_list_of_namespaces_names_each_in_full() {
        for (list, namespace, expected) in [
            ("", "apps", false),
            ("apps", "apps", true),
            ("apps", "app", false),
            ("app", "apps", false),
            ("images, apps ,web", "apps", true),
            ("*", "apps", true),
            ("images,*", "apps", true),
            ("app*", "apps", false),
            (",", "", false),
        ] {
            assert_eq!(
                lists_namespace(list, namespace),
                expected,
                "{list:?} {namespace:?}"
            );
        }
    }

    #[test]
    fn a_selector_without_labels_parses_and_selects_all() {
        let access: AccessFrom = serde_json::from_str(r#"{"namespaceSelectors":[{}]}"#).unwrap();
        assert!(access.admits(&BTreeMap::new()));
    }
}
