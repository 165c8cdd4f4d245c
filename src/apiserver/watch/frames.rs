//! Events as text: one JSON object per line.

use bytes::Bytes;

use crate::api::tags::API_VERSION;
use crate::apiserver::json::Json;
use crate::apiserver::kind::Kind;
use crate::apiserver::negotiate::{Include, MetaVersion};
use crate::apiserver::object::View;
use crate::apiserver::status::Status;
use crate::apiserver::table::Table;
use crate::clock::SharedClock;
use crate::store::ResourceVersion;

/// How the objects in the frames are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rendering {
    Objects,
    Partial(MetaVersion),
    Table(MetaVersion, Include),
}

/// Frames that were not sent yet.
#[derive(Debug)]
pub(super) struct Frames {
    kind: Kind,
    rendering: Rendering,
    clock: SharedClock,
    json: Json,
    /// Columns come with the first frame only.
    has_sent_columns: bool,
}

impl Frames {
    pub(super) fn new(kind: Kind, rendering: Rendering, clock: SharedClock) -> Self {
        Self {
            kind,
            rendering,
            clock,
            json: Json::new(),
            has_sent_columns: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.json.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.json.is_empty()
    }

    pub(super) fn take(&mut self) -> Bytes {
        self.json.take().into()
    }

    pub(super) fn added(&mut self, view: View<'_>) {
        self.event("ADDED", view);
    }

    pub(super) fn modified(&mut self, view: View<'_>) {
        self.event("MODIFIED", view);
    }

    pub(super) fn deleted(&mut self, view: View<'_>) {
        self.event("DELETED", view);
    }

    /// Tells how far this stream has come.
    pub(super) fn bookmark(&mut self, position: ResourceVersion) {
        self.mark(position, false);
    }

    /// Tells that the initial events are complete.
    pub(super) fn initial_end(&mut self, position: ResourceVersion) {
        self.mark(position, true);
    }

    /// Tells why the stream ends.
    pub(super) fn error(&mut self, status: &Status) {
        self.json.raw(r#"{"type":"ERROR","object":"#);
        status.write(&mut self.json, None);
        self.json.raw("}\n");
    }

    fn event(&mut self, kind: &str, view: View<'_>) {
        self.json
            .raw(r#"{"type":""#)
            .raw(kind)
            .raw(r#"","object":"#);
        match self.rendering {
            Rendering::Objects => view.write(&mut self.json),
            Rendering::Partial(version) => view.write_partial(&mut self.json, version),
            Rendering::Table(version, include) => {
                let table = self.table(version, include);
                self.table_head(&table, view.version());
                table.write_row(&mut self.json, view);
                self.json.raw("]}");
            }
        }
        self.json.raw("}\n");
    }

    fn mark(&mut self, position: ResourceVersion, is_initial_end: bool) {
        self.json.raw(r#"{"type":"BOOKMARK","object":"#);
        let (kind, api_version) = match self.rendering {
            Rendering::Objects | Rendering::Table(_, Include::Object) => {
                (self.kind.name(), API_VERSION)
            }
            Rendering::Partial(version)
            | Rendering::Table(version, Include::Metadata | Include::None) => {
                ("PartialObjectMetadata", version.api_version())
            }
        };
        let annotations = if is_initial_end {
            r#","annotations":{"k8s.io/initial-events-end":"true"}"#
        } else {
            ""
        };
        let object = format!(
            r#"{{"kind":"{kind}","apiVersion":"{api_version}","metadata":{{"resourceVersion":"{}"{annotations}}}}}"#,
            position.0
        );
        match self.rendering {
            Rendering::Objects | Rendering::Partial(_) => {
                self.json.raw(&object);
            }
            Rendering::Table(version, include) => {
                let table = self.table(version, include);
                self.table_head(&table, position);
                // The end of the initial events must be seen even by who wants no objects.
                let object = if include == Include::None && !is_initial_end {
                    "null"
                } else {
                    &object
                };
                Table::write_bookmark_row(&mut self.json, self.kind, object);
                self.json.raw("]}");
            }
        }
        self.json.raw("}\n");
    }

    fn table(&self, version: MetaVersion, include: Include) -> Table {
        Table {
            version,
            include,
            now: self.clock.now(),
        }
    }

    fn table_head(&mut self, table: &Table, version: ResourceVersion) {
        table.write_head(&mut self.json);
        self.json
            .raw(r#"{"resourceVersion":""#)
            .number(version.0)
            .raw(r#""},"columnDefinitions":"#);
        if self.has_sent_columns {
            self.json.raw("null");
        } else {
            Table::write_columns(&mut self.json, self.kind);
            self.has_sent_columns = true;
        }
        self.json.raw(r#","rows":["#);
    }
}
