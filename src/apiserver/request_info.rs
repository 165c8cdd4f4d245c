//! What a request asks for, read off its method and path once (`k8s.io/apiserver`'s RequestInfo), and who asks.
//!
//! Authorization and the resources both work from this, so that they can never see two different requests.

use std::collections::BTreeMap;

pub(in crate::apiserver) mod decode;
pub(in crate::apiserver) mod parse;

/// Who asks, once authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// The user name, e.g. `system:anonymous`.
    pub name: String,
    /// The uid; empty when unknown.
    pub uid: String,
    /// The groups, in the order given.
    pub groups: Vec<String>,
    /// Extra attributes.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The API verb (lower case, as RBAC writes it), for resource requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words are RBAC's own")]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
    /// A method that means nothing here (OPTIONS, say): RBAC's verb is empty.
    Unknown,
}

/// A request, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestInfo {
    /// Anything that is not under `/api/<v>/…` or `/apis/<group>/<version>/…`: health, discovery, OpenAPI, version.
    /// RBAC's verb is the HTTP method in lower case.
    NonResource {
        /// The method in lower case.
        verb: String,
        /// The path as received (decoded for authorization is the caller's duty).
        path: String,
    },
    /// A resource request.
    Resource(ResourceRequest),
}

/// A resource request's attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceRequest {
    /// The API verb.
    pub verb: Verb,
    /// The API group, empty for the core group.
    pub group: String,
    /// The API version.
    pub version: String,
    /// The plural resource name.
    pub resource: String,
    /// The subresource, when there is one.
    pub subresource: Option<String>,
    /// The namespace; `None` for all namespaces.
    pub namespace: Option<String>,
    /// The object's name (percent-decoded), for single-object requests; also from `fieldSelector=metadata.name=…` on list and watch.
    pub name: Option<String>,
    /// The path as received.
    pub path: String,
}

#[cfg(test)]
mod tests;
