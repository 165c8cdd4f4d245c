//! The paths: what can be asked, with which parameters, and what comes back.

mod query;

use serde_json::{Map, Value, json};

use super::Dialect;
use super::schemas::{META, OURS};
use crate::api::tags::{API_VERSION, GROUP, VERSION};
use crate::apiserver::kind::Kind;

struct Parameter {
    name: &'static str,
    kind: &'static str,
    description: &'static str,
}

const PRETTY: Parameter = Parameter {
    name: "pretty",
    kind: "string",
    description: "If 'true', the answer is indented.",
};
const VERSION_AT: Parameter = Parameter {
    name: "resourceVersion",
    kind: "string",
    description: "The state to answer from, as resourceVersionMatch says; for a watch, the position to start after.",
};

const LIST: [Parameter; 10] = [
    Parameter {
        name: "allowWatchBookmarks",
        kind: "boolean",
        description: "Whether a watch may tell its position by BOOKMARK events.",
    },
    Parameter {
        name: "continue",
        kind: "string",
        description: "The token of the page before; the other parameters must be the same as then.",
    },
    Parameter {
        name: "fieldSelector",
        kind: "string",
        description: "Leaves out what these fields do not match. Of an ImageTag: metadata.name, metadata.namespace, repository, image, tag and digest.",
    },
    Parameter {
        name: "labelSelector",
        kind: "string",
        description: "Leaves out what these labels do not match.",
    },
    Parameter {
        name: "limit",
        kind: "integer",
        description: "The most items in one answer; when there are more, the list's metadata has a token in continue.",
    },
    VERSION_AT,
    Parameter {
        name: "resourceVersionMatch",
        kind: "string",
        description: "How resourceVersion is meant: Exact or NotOlderThan.",
    },
    Parameter {
        name: "sendInitialEvents",
        kind: "boolean",
        description: "Whether a watch begins with the whole state as ADDED events.",
    },
    Parameter {
        name: "timeoutSeconds",
        kind: "integer",
        description: "How long a watch lasts.",
    },
    Parameter {
        name: "watch",
        kind: "boolean",
        description: "Whether to answer with changes as they come instead of a list.",
    },
];

/// Every path item.
pub(super) fn paths(dialect: Dialect) -> Value {
    let mut paths = Map::new();
    paths.insert(format!("/apis/{API_VERSION}/"), discovery(dialect));
    for kind in Kind::ALL {
        let (name, plural) = (kind.name(), kind.plural());
        let everywhere = format!("/apis/{API_VERSION}/{plural}");
        let in_namespace = format!("/apis/{API_VERSION}/namespaces/{{namespace}}/{plural}");
        paths.insert(
            everywhere,
            list(dialect, kind, &format!("{name}ForAllNamespaces"), &[]),
        );
        let namespace = path_parameter(dialect, "namespace", "The namespace of the objects.");
        paths.insert(
            in_namespace.clone(),
            list(dialect, kind, &format!("Namespaced{name}"), &[&namespace]),
        );
        let object = path_parameter(dialect, "name", &format!("The name of the {name}."));
        paths.insert(
            format!("{in_namespace}/{{name}}"),
            get(dialect, kind, &[&namespace, &object]),
        );
    }
    query::insert(dialect, &mut paths);
    Value::Object(paths)
}

fn discovery(dialect: Dialect) -> Value {
    let operation = json!({
        "description": "get available resources",
        "operationId": "getTagsTagscopeDevV1alpha1APIResources",
        "tags": [tag()],
    });
    json!({"get": answered(dialect, operation, &format!("{META}APIResourceList"))})
}

fn list(dialect: Dialect, kind: Kind, suffix: &str, path: &[&Value]) -> Value {
    let operation = operation(kind, "list", "list or watch", suffix);
    let schema = format!("{OURS}{}", kind.list_name());
    item(dialect, answered(dialect, operation, &schema), &LIST, path)
}

fn get(dialect: Dialect, kind: Kind, path: &[&Value]) -> Value {
    let operation = operation(kind, "get", "read", &format!("Namespaced{}", kind.name()));
    let schema = format!("{OURS}{}", kind.name());
    item(
        dialect,
        answered(dialect, operation, &schema),
        &[VERSION_AT],
        path,
    )
}

fn operation(kind: Kind, action: &str, verb: &str, suffix: &str) -> Value {
    let id_verb = if action == "get" { "read" } else { action };
    json!({
        "description": format!("{verb} {}", kind.name()),
        "operationId": format!("{id_verb}TagsTagscopeDevV1alpha1{suffix}"),
        "tags": [tag()],
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": GROUP, "version": VERSION, "kind": kind.name()},
    })
}

/// The operation with its answers.
fn answered(dialect: Dialect, operation: Value, schema: &str) -> Value {
    let mut operation = operation;
    let reference = dialect.reference(schema);
    let added = match dialect {
        Dialect::V2 => json!({
            "consumes": ["*/*"],
            "produces": ["application/json", "application/json;stream=watch"],
            "schemes": ["https"],
            "responses": {
                "200": {"description": "OK", "schema": reference},
                "401": {"description": "Unauthorized"},
            },
        }),
        Dialect::V3 => json!({
            "responses": {
                "200": {"description": "OK", "content": {"application/json": {"schema": reference}}},
                "401": {"description": "Unauthorized"},
            },
        }),
    };
    if let (Value::Object(operation), Value::Object(added)) = (&mut operation, added) {
        operation.extend(added);
    }
    operation
}

/// The path item: the operation's own parameters, and those of the path.
fn item(dialect: Dialect, operation: Value, query: &[Parameter], path: &[&Value]) -> Value {
    let mut operation = operation;
    if let Value::Object(operation) = &mut operation {
        let query = query
            .iter()
            .map(|parameter| query_parameter(dialect, parameter))
            .collect();
        operation.insert("parameters".to_owned(), Value::Array(query));
    }
    item_of(dialect, "get", &operation, path)
}

/// The path item with one operation, and the parameters that all of them would have.
fn item_of(dialect: Dialect, method: &str, operation: &Value, path: &[&Value]) -> Value {
    let shared: Vec<Value> = path
        .iter()
        .map(|parameter| (*parameter).clone())
        .chain([query_parameter(dialect, &PRETTY)])
        .collect();
    json!({method: operation, "parameters": shared})
}

fn query_parameter(dialect: Dialect, parameter: &Parameter) -> Value {
    let Parameter {
        name,
        kind,
        description,
    } = parameter;
    match dialect {
        Dialect::V2 => {
            json!({"name": name, "in": "query", "description": description, "type": kind, "uniqueItems": true})
        }
        Dialect::V3 => json!({
            "name": name,
            "in": "query",
            "description": description,
            "schema": {"type": kind, "uniqueItems": true},
        }),
    }
}

fn path_parameter(dialect: Dialect, name: &str, description: &str) -> Value {
    match dialect {
        Dialect::V2 => json!({
            "name": name, "in": "path", "required": true, "description": description, "type": "string",
            "uniqueItems": true,
        }),
        Dialect::V3 => json!({
            "name": name, "in": "path", "required": true, "description": description,
            "schema": {"type": "string", "uniqueItems": true},
        }),
    }
}

fn tag() -> &'static str {
    "tagsTagscopeDev_v1alpha1"
}
