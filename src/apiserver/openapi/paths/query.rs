//! The paths of tagqueries: the creation, and a PATCH that is never served.
//!
//! kubectl learns whether fields are validated by looking for `fieldValidation` on the PATCH of a kind, and where there
//! is no PATCH it asks for all CustomResourceDefinitions, which most users may not list. So the documents have one.

use serde_json::{Map, Value, json};

use super::{Parameter, answered, item_of, path_parameter, query_parameter, tag};
use crate::api::tag_query::{KIND, PLURAL};
use crate::api::tags::{API_VERSION, GROUP, VERSION};
use crate::apiserver::openapi::Dialect;
use crate::apiserver::openapi::schemas::OURS;

const CREATE: [Parameter; 3] = [
    Parameter {
        name: "dryRun",
        kind: "string",
        description: "All, or absent: a query has no effect, so that both are the same.",
    },
    Parameter {
        name: "fieldManager",
        kind: "string",
        description: "The name of who asks, at most 128 printable characters. It has no effect.",
    },
    Parameter {
        name: "fieldValidation",
        kind: "string",
        description: "What becomes of unknown and repeated fields: Ignore, Warn (as when it is absent), or Strict.",
    },
];

/// What else kubectl's PATCH would take.
const FORCE: Parameter = Parameter {
    name: "force",
    kind: "boolean",
    description: "It has no effect.",
};

/// The media types that a PATCH would have.
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

pub(super) fn insert(dialect: Dialect, paths: &mut Map<String, Value>) {
    let all = format!("/apis/{API_VERSION}/namespaces/{{namespace}}/{PLURAL}");
    let namespace = path_parameter(dialect, "namespace", "The namespace of the query.");
    let name = path_parameter(dialect, "name", "The name of the TagQuery.");
    paths.insert(
        format!("{all}/{{name}}"),
        item_of(dialect, "patch", &patch(dialect), &[&namespace, &name]),
    );
    paths.insert(
        all,
        item_of(dialect, "post", &create(dialect), &[&namespace]),
    );
}

fn create(dialect: Dialect) -> Value {
    let schema = format!("{OURS}{KIND}");
    let operation = json!({
        "description": "create a TagQuery: it is answered in its status, and not stored",
        "operationId": "createTagsTagscopeDevV1alpha1NamespacedTagQuery",
        "tags": [tag()],
        "x-kubernetes-action": "post",
        "x-kubernetes-group-version-kind": identity(),
    });
    let mut operation = answered(dialect, operation, &schema);
    let parameters = CREATE
        .iter()
        .map(|parameter| query_parameter(dialect, parameter));
    let mut parameters: Vec<Value> = parameters.collect();
    let reference = dialect.reference(&schema);
    if let Value::Object(operation) = &mut operation {
        // 201 is what comes; kube-apiserver's own documents have all three.
        if let Some(Value::Object(answers)) = operation.get_mut("responses")
            && let Some(ok) = answers.get("200").cloned()
        {
            for (code, description) in [("201", "Created"), ("202", "Accepted")] {
                let mut answer = ok.clone();
                if let Value::Object(answer) = &mut answer {
                    answer.insert("description".to_owned(), json!(description));
                }
                answers.insert(code.to_owned(), answer);
            }
        }
        match dialect {
            Dialect::V2 => {
                operation.insert("produces".to_owned(), json!(["application/json"]));
                parameters.push(json!({
                    "name": "body", "in": "body", "required": true, "schema": reference,
                    "description": "The query.",
                }));
            }
            Dialect::V3 => {
                let body = json!({
                    "description": "The query.",
                    "required": true,
                    "content": {
                        "application/json": {"schema": reference.clone()},
                        "application/yaml": {"schema": reference},
                    },
                });
                operation.insert("requestBody".to_owned(), body);
            }
        }
        operation.insert("parameters".to_owned(), Value::Array(parameters));
    }
    operation
}

fn patch(dialect: Dialect) -> Value {
    let parameters = CREATE.iter().chain([&FORCE]);
    let parameters = parameters.map(|parameter| query_parameter(dialect, parameter));
    let mut parameters: Vec<Value> = parameters.collect();
    let mut operation = json!({
        "description": "not supported, always 405: a TagQuery can only be created",
        "operationId": "patchTagsTagscopeDevV1alpha1NamespacedTagQuery",
        "tags": [tag()],
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": identity(),
        "responses": {"405": {"description": "Method Not Allowed"}},
    });
    if let Value::Object(operation) = &mut operation {
        match dialect {
            Dialect::V2 => {
                operation.insert("consumes".to_owned(), json!(PATCHES));
                operation.insert("produces".to_owned(), json!(["application/json"]));
                operation.insert("schemes".to_owned(), json!(["https"]));
                parameters.push(json!({
                    "name": "body", "in": "body", "required": true, "schema": {"type": "object"},
                    "description": "It has no effect.",
                }));
            }
            Dialect::V3 => {
                let schemas = PATCHES
                    .iter()
                    .map(|kind| ((*kind).to_owned(), json!({"schema": {"type": "object"}})));
                let content: Map<String, Value> = schemas.collect();
                let body = json!({"description": "It has no effect.", "required": true, "content": content});
                operation.insert("requestBody".to_owned(), body);
            }
        }
        operation.insert("parameters".to_owned(), Value::Array(parameters));
    }
    operation
}

fn identity() -> Value {
    json!({"group": GROUP, "version": VERSION, "kind": KIND})
}
