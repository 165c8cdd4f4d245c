//! One object by its name.

use http::{Response, StatusCode};

use crate::apiserver::json::Json;
use crate::apiserver::kind::Kind;
use crate::apiserver::negotiate::{Form, Negotiated};
use crate::apiserver::object::{Origin, View};
use crate::apiserver::query::Query;
use crate::apiserver::resources::Tags;
use crate::apiserver::response::{Payload, Refusal, rendered};
use crate::apiserver::status::Status;
use crate::apiserver::table::Table;
use crate::object::Key;
use crate::quote::quote;

/// The room for an answer: most ImageTags fit in it.
const ROOM: usize = 1024;

/// Answers a get of `name` in `namespace`.
pub(super) async fn get(
    tags: &Tags,
    kind: Kind,
    namespace: &str,
    name: &str,
    query: &Query,
    negotiated: Negotiated,
) -> Result<Response<Payload>, Refusal> {
    if let Some(version) = query.get_options()? {
        tags.wait_for(version).await?;
    }
    check_segment(name)?;
    let missing = || Status::not_found(kind, name);
    let (repository, tag) = match kind {
        Kind::TagSet => (name, None),
        Kind::ImageTag => {
            let (repository, tag) = name.split_once(':').ok_or_else(missing)?;
            (repository, Some(tag))
        }
    };
    let snapshot = tags.store().snapshot();
    let origin = Origin::new(
        snapshot
            .repository(&Key::new(namespace, repository))
            .ok_or_else(missing)?,
    );
    let entry = match tag {
        Some(tag) => Some(origin.tags().tag(tag).ok_or_else(missing)?),
        None => None,
    };
    let view = match &entry {
        Some(entry) => origin.tag(entry),
        None => origin.set(),
    };
    let mut json = Json::with_capacity(ROOM);
    match negotiated.form {
        Form::Objects => view.write(&mut json),
        Form::Partial(version) => view.write_partial(&mut json, version),
        Form::Table(version) => {
            let table = Table {
                version,
                include: query.include_object()?,
                now: tags.clock().now(),
            };
            write_table(&mut json, &table, view);
        }
    }
    Ok(rendered(StatusCode::OK, json.take(), negotiated))
}

/// What cannot be a path segment names nothing, in upstream's words.
fn check_segment(name: &str) -> Result<(), Status> {
    let why = match name {
        "." | ".." => format!("may not be '{name}'"),
        _ => match name.chars().find(|c| matches!(c, '/' | '%')) {
            Some(c) => format!("may not contain '{c}'"),
            None => return Ok(()),
        },
    };
    let name = quote(name);
    Err(Status::bad_request(format!(
        "Name parameter invalid: {name}: {why}"
    )))
}

fn write_table(json: &mut Json, table: &Table, view: View<'_>) {
    table.write_head(json);
    json.raw(r#"{"resourceVersion":""#)
        .number(view.version().0)
        .raw(r#""},"columnDefinitions":"#);
    Table::write_columns(json, view.kind());
    json.raw(r#","rows":["#);
    table.write_row(json, view);
    json.raw("]}");
}
