//! `tagscope crds`: the CustomResourceDefinitions, for `kubectl apply -f -`.

use crate::api::crd;

/// Every CustomResourceDefinition of the program as one stream of YAML documents, to be printed as it is: it
/// ends with its own line break.
pub fn crds() -> Result<String, crd::Error> {
    crd::stream()
}
