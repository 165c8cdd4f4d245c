//! ImageTags and TagSets as JSON, written straight from the store's entries.
//!
//! What all objects of one ImageRepository share is prepared once ([`Origin`]); an object is then a [`View`] of it and
//! of one entry, and is written without anything in between.
//!
//! Objects carry no ownerReferences. The garbage collector looks only at kinds that can be deleted, so they would do
//! nothing there; but tools that draw owner trees (Argo CD) would take every tag for a part of the application that
//! owns the ImageRepository. managedFields are absent because nobody manages fields here.

pub(super) mod label;
mod version;

use std::sync::Arc;

use uuid::Uuid;

use self::version::Parts;
use crate::api::tags::API_VERSION;
use crate::apiserver::json::{Json, whole_seconds};
use crate::apiserver::kind::Kind;
use crate::apiserver::negotiate::MetaVersion;
use crate::object::Key;
use crate::store::{EntryRef, RepositoryTags, ResourceVersion, TagEntry};

/// One ImageRepository's tags with what all objects made from them share.
#[derive(Debug)]
pub struct Origin {
    tags: Arc<RepositoryTags>,
    image: String,
    created: String,
    uid_root: Uuid,
    texts: Texts,
}

/// What is the same in every object of one ImageRepository, as JSON.
#[derive(Debug)]
struct Texts {
    /// The name without quotes, escaped.
    name: String,
    /// From behind the object's name to its uid.
    namespace: String,
    /// From behind the creation's time to the end of the metadata, of an object that nobody elects.
    labels: String,
    /// The same of an elected one.
    elected_labels: String,
    /// From behind the metadata to the tag.
    image: String,
}

impl Texts {
    fn new(tags: &RepositoryTags, image: &str) -> Self {
        let key = &tags.owner().key;
        let name = text(|json| {
            json.escaped(&key.name);
        });
        Self {
            namespace: text(|json| {
                json.raw(r#"","namespace":"#)
                    .string(&key.namespace)
                    .raw(r#","uid":""#);
            }),
            labels: text(|json| label::write(json, tags, false)),
            elected_labels: text(|json| label::write(json, tags, true)),
            image: text(|json| {
                json.raw(r#","repository":""#).raw(&name);
                json.raw(r#"","image":"#).string(image).raw(r#","tag":""#);
            }),
            name,
        }
    }
}

fn text(write: impl FnOnce(&mut Json)) -> String {
    let mut json = Json::with_capacity(160);
    write(&mut json);
    // What was written is text: no byte is lost.
    String::from_utf8(json.take()).unwrap_or_default()
}

impl Origin {
    /// Prepares the objects of `tags`.
    pub fn new(tags: Arc<RepositoryTags>) -> Self {
        let owner = tags.owner();
        let image = tags.image().to_string();
        Self {
            created: whole_seconds(owner.created),
            // The API server always gives a UUID; anything else is hashed to one.
            uid_root: Uuid::parse_str(&owner.uid)
                .unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, owner.uid.as_bytes())),
            texts: Texts::new(&tags, &image),
            image,
            tags,
        }
    }

    /// The ImageRepository's key.
    pub fn key(&self) -> &Key {
        &self.tags.owner().key
    }

    /// The canonical image name.
    pub fn image(&self) -> &str {
        &self.image
    }

    pub(super) fn tags(&self) -> &Arc<RepositoryTags> {
        &self.tags
    }

    /// The ImageTag of `entry`.
    pub(super) fn tag<'a>(&'a self, entry: &'a TagEntry) -> View<'a> {
        self.entry(entry.into())
    }

    /// The ImageTag of `entry`, which is one of these tags.
    pub(super) fn entry<'a>(&'a self, entry: EntryRef<'a>) -> View<'a> {
        View {
            origin: self,
            entry: Some(entry),
            version: entry.resource_version,
        }
    }

    /// The TagSet.
    pub(super) fn set(&self) -> View<'_> {
        View {
            origin: self,
            entry: None,
            version: self.tags.resource_version(),
        }
    }
}

/// One object, ready to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    origin: &'a Origin,
    /// The tag; `None` for the TagSet.
    entry: Option<EntryRef<'a>>,
    version: ResourceVersion,
}

impl<'a> View<'a> {
    /// The same content at another resourceVersion: a deletion carries that of the change.
    pub(super) fn at(self, version: ResourceVersion) -> Self {
        Self { version, ..self }
    }

    pub(super) fn kind(&self) -> Kind {
        if self.entry.is_some() {
            Kind::ImageTag
        } else {
            Kind::TagSet
        }
    }

    pub(super) fn origin(&self) -> &'a Origin {
        self.origin
    }

    pub(super) fn entry(&self) -> Option<EntryRef<'a>> {
        self.entry
    }

    pub(super) fn version(&self) -> ResourceVersion {
        self.version
    }

    /// Writes `<name>` or `<name>:<tag>` as a JSON string.
    pub(super) fn write_name(&self, json: &mut Json) {
        json.raw("\"").raw(&self.origin.texts.name);
        if let Some(entry) = self.entry {
            // A tag has no character that JSON escapes.
            json.raw(":").raw(entry.tag);
        }
        json.raw("\"");
    }

    /// Writes the whole object.
    pub(super) fn write(&self, json: &mut Json) {
        json.raw(r#"{"kind":"#).string(self.kind().name());
        json.raw(r#","apiVersion":"#).string(API_VERSION);
        json.raw(r#","metadata":"#);
        self.write_metadata(json);
        match self.entry {
            Some(entry) => self.write_tag(json, entry),
            None => self.write_set(json),
        }
        json.raw("}");
    }

    /// Writes the object as a PartialObjectMetadata.
    pub(super) fn write_partial(&self, json: &mut Json, version: MetaVersion) {
        json.raw(r#"{"kind":"PartialObjectMetadata","apiVersion":"#)
            .string(version.api_version());
        json.raw(r#","metadata":"#);
        self.write_metadata(json);
        json.raw("}");
    }

    fn write_metadata(&self, json: &mut Json) {
        let Origin { texts, created, .. } = self.origin;
        let is_elected = self
            .entry
            .is_some_and(|entry| !entry.selected_by.is_empty());
        json.raw(r#"{"name":""#).raw(&texts.name);
        if let Some(entry) = self.entry {
            json.raw(":").raw(entry.tag);
        }
        json.raw(&texts.namespace).raw(
            self.uid()
                .hyphenated()
                .encode_lower(&mut Uuid::encode_buffer()),
        );
        json.raw(r#"","resourceVersion":""#).number(self.version.0);
        json.raw(r#"","creationTimestamp":""#);
        match self.entry.and_then(|entry| entry.first_seen) {
            Some(first_seen) => json.time(first_seen),
            None => json.raw(created),
        };
        json.raw(if is_elected {
            &texts.elected_labels
        } else {
            &texts.labels
        });
    }

    /// UUIDv5 under the ImageRepository's uid: of `tag/incarnation` (a tag that comes back is a new object), or of
    /// `tagset`, which no tag's text can equal.
    fn uid(&self) -> Uuid {
        let Some(entry) = self.entry else {
            return Uuid::new_v5(&self.origin.uid_root, b"tagset");
        };
        // A tag has 128 bytes at most, a number 20.
        let mut name = [0; 160];
        let mut digits = itoa::Buffer::new();
        let parts = [entry.tag, "/", digits.format(entry.incarnation)];
        let mut length = 0;
        for part in parts {
            let end = length + part.len();
            if let Some(room) = name.get_mut(length..end) {
                room.copy_from_slice(part.as_bytes());
            }
            length = end;
        }
        Uuid::new_v5(
            &self.origin.uid_root,
            name.get(..length).unwrap_or_default(),
        )
    }

    fn write_tag(&self, json: &mut Json, entry: EntryRef<'_>) {
        json.raw(&self.origin.texts.image).raw(entry.tag).raw("\"");
        if let Some(first_seen) = entry.first_seen {
            json.raw(r#","firstSeen":""#).time(first_seen).raw("\"");
        }
        if let Some(digest) = entry.digest {
            json.raw(r#","digest":"#).string(digest.as_str());
        }
        if let Some(version) = Parts::of(entry.tag) {
            json.raw(r#","version":"#);
            version.write(json);
        }
        let mut separator = r#","selectedBy":["#;
        for policy in entry.selected_by {
            json.raw(separator)
                .raw(r#"{"namespace":"#)
                .string(&policy.namespace);
            json.raw(r#","name":"#).string(&policy.name).raw("}");
            separator = ",";
        }
        if !entry.selected_by.is_empty() {
            json.raw("]");
        }
    }

    fn write_set(&self, json: &mut Json) {
        let tags = &self.origin.tags;
        json.raw(r#","image":"#).string(&self.origin.image);
        json.raw(r#","revision":"#).string(tags.revision());
        json.raw(r#","scanTime":""#)
            .raw(&whole_seconds(tags.scan_time()));
        json.raw(r#"","complete":"#).boolean(tags.is_complete());
        json.raw(r#","tagCount":"#).number(tags.tag_count());
        json.raw(r#","tags":["#);
        let mut separator = "\"";
        tags.for_each_descending(&mut |tag| {
            json.raw(separator).raw(tag).raw("\"");
            separator = ",\"";
        });
        json.raw("]");
    }
}

/// Writes the version column's text of a tag as a JSON string; nothing when the tag does not read as a version.
pub(super) fn write_version_text(json: &mut Json, tag: &str) -> bool {
    let parts = Parts::of(tag);
    if let Some(parts) = &parts {
        parts.write_text(json);
    }
    parts.is_some()
}
