//! The OpenAPI documents, v2 and v3, for kube-apiserver to merge and for `kubectl explain` to read.
//!
//! The schemas come from the Rust types of `api::tags`; what differs between the two dialects is in [`Dialect`]. The
//! converter to protobuf that every client of the whole cluster depends on takes only a few keywords, so that nothing
//! else may get in here: a test holds every schema to the list.

mod paths;
mod schemas;

use serde_json::{Map, Value, json};

use crate::api::tags::API_VERSION;

/// Which OpenAPI is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    V2,
    V3,
}

impl Dialect {
    /// A reference to the schema `name`.
    fn reference(self, name: &str) -> Value {
        let place = match self {
            Self::V2 => "#/definitions/",
            Self::V3 => "#/components/schemas/",
        };
        json!({"$ref": format!("{place}{name}")})
    }
}

/// The Swagger 2.0 document, at `/openapi/v2`.
pub fn v2() -> Value {
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths::paths(Dialect::V2),
        "definitions": Map::from_iter(schemas::schemas(Dialect::V2)),
    })
}

/// The OpenAPI 3.0 document of the one group version.
pub fn v3() -> Value {
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths::paths(Dialect::V3),
        "components": {"schemas": Map::from_iter(schemas::schemas(Dialect::V3))},
    })
}

/// The index at `/openapi/v3`; `hash` is that of the v3 document.
pub fn v3_index(hash: &str) -> Value {
    let url = format!("/openapi/v3/apis/{API_VERSION}?hash={hash}");
    json!({"paths": {format!("apis/{API_VERSION}"): {"serverRelativeURL": url}}})
}

/// The version of the API, not of the build: all replicas of a rolling update send the same bytes.
fn info() -> Value {
    json!({"title": "tagscope", "version": "v1alpha1"})
}

#[cfg(test)]
mod tests;
