//! `tagscope crds`: the CustomResourceDefinitions, for `kubectl apply -f -`.

use crate::api;

/// Every CustomResourceDefinition of the program as one stream of YAML documents.
pub fn crds() -> Result<String, api::crd::Error> {
    api::crds().iter().map(api::render).collect()
}
