//! The text of a list, made chunk by chunk.

use std::ops::ControlFlow;

use bytes::Bytes;
use futures::{StreamExt as _, stream};

use super::Rendering;
use super::page::Page;
use crate::api::tags::API_VERSION;
use crate::apiserver::json::{Indent, Json};
use crate::apiserver::kind::Kind;
use crate::apiserver::object::View;
use crate::apiserver::response::Payload;
use crate::apiserver::table::Table;
use crate::apiserver::walk::{Step, Walk};
use crate::store::ResourceVersion;

/// A chunk is sent when it has grown to this many bytes.
const CHUNK: usize = 32 * 1024;
/// The room that a chunk has: it ends with the object that fills it.
const ROOM: usize = CHUNK + 4 * 1024;
/// How many entries are looked at before other tasks get their turn.
const BUDGET: usize = 4096;

/// A list under way.
pub(super) struct Body {
    kind: Kind,
    rendering: Rendering,
    indent: Option<Indent>,
    version: ResourceVersion,
    page: Page,
    walk: Walk,
    json: Json,
    written: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Items,
    Ended,
}

impl Body {
    pub(super) fn new(
        kind: Kind,
        rendering: Rendering,
        pretty: bool,
        version: ResourceVersion,
        page: Page,
        walk: Walk,
    ) -> Self {
        let indent = pretty.then(Indent::default);
        Self {
            kind,
            rendering,
            indent,
            version,
            page,
            walk,
            json: Json::with_capacity(ROOM),
            written: 0,
            state: State::Head,
        }
    }

    /// A short list as a whole (so that its length is known), a long one as a stream.
    pub(super) async fn into_payload(mut self) -> Payload {
        let first = self.next().await.unwrap_or_default();
        if self.state == State::Ended {
            return Payload::Full(first);
        }
        let rest = stream::unfold(self, |mut body| async move {
            // Whoever reads as fast as this writes never waits: others get their turn between two chunks.
            tokio::task::yield_now().await;
            body.next().await.map(|chunk| (chunk, body))
        });
        Payload::Stream(Box::pin(stream::once(async { first }).chain(rest)))
    }

    async fn next(&mut self) -> Option<Bytes> {
        match self.state {
            State::Ended => return None,
            State::Head => {
                self.write_head();
                self.state = State::Items;
            }
            State::Items => {}
        }
        while self.json.len() < CHUNK {
            match self.write_items() {
                Step::More => tokio::task::yield_now().await,
                Step::Stopped if self.written < self.page.items => {}
                Step::Stopped | Step::Done => {
                    self.json.raw("]}");
                    self.state = State::Ended;
                    break;
                }
            }
        }
        let text = match self.state {
            State::Ended => self.json.take(),
            State::Head | State::Items => self.json.take_and_reserve(ROOM),
        };
        let Some(indent) = &mut self.indent else {
            return Some(text.into());
        };
        let mut text = indent.push(&text);
        if self.state == State::Ended {
            text.push(b'\n');
        }
        Some(text.into())
    }

    fn write_head(&mut self) {
        let json = &mut self.json;
        match &self.rendering {
            Rendering::Objects => {
                json.raw(r#"{"kind":"#).string(self.kind.list_name());
                json.raw(r#","apiVersion":"#)
                    .string(API_VERSION)
                    .raw(r#","metadata":"#);
            }
            Rendering::Partial(version) => {
                json.raw(r#"{"kind":"PartialObjectMetadataList","apiVersion":"#);
                json.string(version.api_version()).raw(r#","metadata":"#);
            }
            Rendering::Table(table) => table.write_head(json),
        }
        json.raw(r#"{"resourceVersion":""#)
            .number(self.version.0)
            .raw("\"");
        if let Some(token) = &self.page.next {
            json.raw(r#","continue":"#).string(token);
        }
        if let Some(remaining) = self.page.remaining {
            json.raw(r#","remainingItemCount":"#).number(remaining);
        }
        json.raw("}");
        if let Rendering::Table(_) = &self.rendering {
            json.raw(r#","columnDefinitions":"#);
            Table::write_columns(json, self.kind);
            json.raw(r#","rows":["#);
        } else {
            json.raw(r#","items":["#);
        }
    }

    /// Writes items until the chunk is full, the page is, or the budget is spent.
    fn write_items(&mut self) -> Step {
        let Self {
            rendering,
            page,
            walk,
            json,
            written,
            ..
        } = self;
        let mut visit = |view: View<'_>| {
            if *written > 0 {
                json.raw(",");
            }
            *written += 1;
            match rendering {
                Rendering::Objects => view.write(json),
                Rendering::Partial(version) => view.write_partial(json, *version),
                Rendering::Table(table) => table.write_row(json, view),
            }
            if *written >= page.items || json.len() >= CHUNK {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        walk.step(BUDGET, &mut visit)
    }
}
