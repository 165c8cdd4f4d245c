//! Objects as table rows: what `kubectl get` prints. Ages are text, because kubectl prints cells as they come.

mod age;

use jiff::Timestamp;

use self::age::human;
use crate::apiserver::json::Json;
use crate::apiserver::kind::Kind;
use crate::apiserver::negotiate::{Include, MetaVersion};
use crate::apiserver::object::{View, version_text};
use crate::image::Digest;
use crate::object::Key;
use crate::store::{Sorted, TagEntry};

/// What a table row is rendered with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) version: MetaVersion,
    pub(super) include: Include,
    /// The moment that ages are told for.
    pub(super) now: Timestamp,
}

struct Column {
    name: &'static str,
    kind: &'static str,
    format: &'static str,
    /// 0 is always printed, 1 only with `-o wide`.
    priority: u8,
    description: &'static str,
}

const IMAGE_TAG: [Column; 7] = [
    NAME,
    Column {
        name: "Image",
        kind: "string",
        format: "",
        priority: 0,
        description: "The canonical name of the image, without the tag.",
    },
    Column {
        name: "Tag",
        kind: "string",
        format: "",
        priority: 0,
        description: "The tag.",
    },
    Column {
        name: "Selected By",
        kind: "string",
        format: "",
        priority: 0,
        description: "The ImagePolicies that elect the tag at present; with their namespace where it is another one.",
    },
    Column {
        name: "First Seen",
        kind: "string",
        format: "",
        priority: 0,
        description: "The time since a scan first found the tag; unknown when the tag was there at the first scan.",
    },
    Column {
        name: "Digest",
        kind: "string",
        format: "",
        priority: 1,
        description: "The beginning of the digest that the tag named when it was last resolved.",
    },
    Column {
        name: "Version",
        kind: "string",
        format: "",
        priority: 1,
        description: "The tag as a semantic version, when it reads as one.",
    },
];

const TAG_SET: [Column; 5] = [
    NAME,
    Column {
        name: "Image",
        kind: "string",
        format: "",
        priority: 0,
        description: "The canonical name of the image.",
    },
    Column {
        name: "Tags",
        kind: "integer",
        format: "int64",
        priority: 0,
        description: "The number of tags.",
    },
    Column {
        name: "Complete",
        kind: "boolean",
        format: "",
        priority: 0,
        description: "Whether the last scan read the whole list.",
    },
    Column {
        name: "Scanned",
        kind: "string",
        format: "",
        priority: 0,
        description: "The time since the scan that found this content.",
    },
];

const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    priority: 0,
    description: "The name of the object, unique within its namespace.",
};

const NONE: &str = "<none>";
const UNKNOWN: &str = "<unknown>";

impl Table {
    /// Writes `{"kind":"Table","apiVersion":…,"metadata":` : the caller goes on with the list's metadata.
    pub(super) fn write_head(&self, json: &mut Json) {
        json.raw(r#"{"kind":"Table","apiVersion":"#)
            .string(self.version.api_version());
        json.raw(r#","metadata":"#);
    }

    /// Writes `[…]`, the columns of `kind`.
    pub(super) fn write_columns(json: &mut Json, kind: Kind) {
        let mut separator = "[";
        for column in columns(kind) {
            json.raw(separator).raw(r#"{"name":"#).string(column.name);
            json.raw(r#","type":"#).string(column.kind);
            json.raw(r#","format":"#).string(column.format);
            json.raw(r#","description":"#).string(column.description);
            json.raw(r#","priority":"#).number(column.priority).raw("}");
            separator = ",";
        }
        json.raw("]");
    }

    /// Writes the row of `view`.
    pub(super) fn write_row(&self, json: &mut Json, view: View<'_>) {
        json.raw(r#"{"cells":["#);
        view.write_name(json);
        json.raw(",").string(view.origin().image());
        match view.entry() {
            Some(entry) => self.write_tag_cells(json, &view, entry),
            None => self.write_set_cells(json, &view),
        }
        json.raw("]");
        match self.include {
            Include::Metadata => {
                json.raw(r#","object":"#);
                view.write_partial(json, self.version);
            }
            Include::Object => {
                json.raw(r#","object":"#);
                view.write(json);
            }
            Include::None => {
                json.raw(r#","object":null"#);
            }
        }
        json.raw("}");
    }

    /// Writes the row of a bookmark: empty cells and the object that carries the position.
    pub(super) fn write_bookmark_row(json: &mut Json, kind: Kind, object: &str) {
        let mut separator = r#"{"cells":["#;
        for column in columns(kind) {
            json.raw(separator).raw(match column.kind {
                "integer" => "0",
                "boolean" => "false",
                _ => "\"\"",
            });
            separator = ",";
        }
        json.raw(r#"],"object":"#).raw(object).raw("}");
    }

    fn write_tag_cells(&self, json: &mut Json, view: &View<'_>, entry: &TagEntry) {
        json.raw(",").string(entry.tag.as_str());
        json.raw(",")
            .string(&selected_by(view.origin().key(), &entry.selected_by));
        match entry.first_seen {
            Some(first_seen) => json
                .raw(",")
                .string(&human(self.now.duration_since(first_seen))),
            None => json.raw(",").string(UNKNOWN),
        };
        json.raw(",")
            .string(entry.digest.as_ref().map_or(NONE, short_digest));
        json.raw(",")
            .string(version_text(entry.tag.as_str()).as_deref().unwrap_or(NONE));
    }

    fn write_set_cells(&self, json: &mut Json, view: &View<'_>) {
        let tags = view.origin().tags();
        json.raw(",").number(tags.tag_count());
        json.raw(",").boolean(tags.is_complete());
        json.raw(",")
            .string(&human(self.now.duration_since(tags.scan_time())));
    }
}

fn columns(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::ImageTag => &IMAGE_TAG,
        Kind::TagSet => &TAG_SET,
    }
}

fn selected_by(repository: &Key, policies: &Sorted<Key>) -> String {
    if policies.is_empty() {
        return NONE.to_owned();
    }
    let names: Vec<String> = policies
        .iter()
        .map(|policy| {
            if policy.namespace == repository.namespace {
                policy.name.to_string()
            } else {
                policy.to_string()
            }
        })
        .collect();
    names.join(",")
}

/// The algorithm and the first twelve digits, as container tools shorten it.
fn short_digest(digest: &Digest) -> &str {
    const LENGTH: usize = "sha256:".len() + 12;
    digest.as_str().get(..LENGTH).unwrap_or(digest.as_str())
}
