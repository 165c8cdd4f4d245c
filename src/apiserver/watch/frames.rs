//! Events as text: one JSON object per line.

use std::sync::Arc;

use bytes::Bytes;

use super::shared::{Form, Said, Shared};
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

impl Rendering {
    /// What watches share their events under, where it is the same for all.
    fn form(self) -> Option<Form> {
        match self {
            Self::Objects => Some(Form::Object),
            Self::Partial(version) => Some(Form::Partial(version)),
            Self::Table(..) => None,
        }
    }

    /// Writes an event whose object stands for itself; a table's depends on what was sent before.
    fn write_event(self, json: &mut Json, word: Said, view: View<'_>) {
        begin(json, word);
        match self {
            Self::Partial(version) => view.write_partial(json, version),
            Self::Objects | Self::Table(..) => view.write(json),
        }
        json.raw("}\n");
    }
}

fn begin(json: &mut Json, word: Said) {
    json.raw(match word {
        Said::Happened | Said::Modified => r#"{"type":"MODIFIED","object":"#,
        Said::Added => r#"{"type":"ADDED","object":"#,
        Said::Deleted => r#"{"type":"DELETED","object":"#,
    });
}

/// Frames that were not sent yet.
#[derive(Debug)]
pub(super) struct Frames {
    kind: Kind,
    rendering: Rendering,
    clock: SharedClock,
    shared: Arc<Shared>,
    json: Json,
    /// The only frame so far, when it is one that watches share: then it is sent without being copied.
    single: Option<Bytes>,
    /// Columns come with the first frame only.
    has_sent_columns: bool,
}

impl Frames {
    pub(super) fn new(
        kind: Kind,
        rendering: Rendering,
        clock: SharedClock,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            kind,
            rendering,
            clock,
            shared,
            json: Json::new(),
            single: None,
            has_sent_columns: false,
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn len(&self) -> usize {
        self.json.len() + self.single.as_ref().map_or(0, Bytes::len)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.json.is_empty() && self.single.is_none()
    }

    pub(super) fn take(&mut self) -> Bytes {
        let single = self.single.take();
        single.unwrap_or_else(|| self.json.take().into())
    }

    /// Writes an event of the initial state, which nobody else has a use for.
    pub(super) fn initial(&mut self, view: View<'_>) {
        self.write(|frames| frames.event(Said::Added, view));
    }

    /// Writes the event of `version` that `said` names, if it has been written before.
    pub(super) fn repeat(&mut self, version: ResourceVersion, said: Said) -> bool {
        let form = self.rendering.form();
        let Some(text) = form.and_then(|form| self.shared.written((version, form, said))) else {
            return false;
        };
        self.append(text);
        true
    }

    /// Writes the event of `version`, `word` being ADDED, MODIFIED or DELETED, and keeps it as what `said` names.
    pub(super) fn tell(
        &mut self,
        version: ResourceVersion,
        said: Said,
        word: Said,
        view: View<'_>,
    ) {
        let Some(form) = self.rendering.form() else {
            return self.write(|frames| frames.event(word, view));
        };
        let mut json = Json::new();
        self.rendering.write_event(&mut json, word, view);
        let text = self.shared.keep((version, form, said), json.take());
        self.append(text);
    }

    /// Tells how far this stream has come.
    pub(super) fn bookmark(&mut self, position: ResourceVersion) {
        self.write(|frames| frames.mark(position, false));
    }

    /// Tells that the initial events are complete.
    pub(super) fn initial_end(&mut self, position: ResourceVersion) {
        self.write(|frames| frames.mark(position, true));
    }

    /// Tells why the stream ends.
    pub(super) fn error(&mut self, status: &Status) {
        self.write(|frames| {
            frames.json.raw(r#"{"type":"ERROR","object":"#);
            status.write(&mut frames.json, None);
            frames.json.raw("}\n");
        });
    }

    fn append(&mut self, text: Bytes) {
        self.shared.observer().sent(self.kind, text.len());
        if self.is_empty() {
            self.single = Some(text);
        } else {
            self.join();
            self.json.taken(&text);
        }
    }

    /// Lets `write` write one event of this watch alone.
    fn write(&mut self, write: impl FnOnce(&mut Self)) {
        self.join();
        let before = self.json.len();
        write(self);
        let bytes = self.json.len() - before;
        self.shared.observer().sent(self.kind, bytes);
    }

    fn join(&mut self) {
        if let Some(single) = self.single.take() {
            self.json.taken(&single);
        }
    }

    fn event(&mut self, word: Said, view: View<'_>) {
        let Rendering::Table(version, include) = self.rendering else {
            return self.rendering.write_event(&mut self.json, word, view);
        };
        begin(&mut self.json, word);
        let table = self.table(version, include);
        self.table_head(&table, view.version());
        table.write_row(&mut self.json, view);
        self.json.raw("]}}\n");
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
