//! ImageTags and TagSets as JSON, written straight from the store's entries.
//!
//! What all objects of one ImageRepository share is prepared once ([`Origin`]); an object is then a [`View`] of it and
//! of one entry, and is written without anything in between.
//!
//! Objects carry no ownerReferences. The garbage collector looks only at kinds that can be deleted, so they would do
//! nothing there; but tools that draw owner trees (Argo CD) would take every tag for a part of the application that
//! owns the ImageRepository. managedFields are absent because nobody manages fields here.

mod label;
mod version;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use self::version::Parts;
use crate::api::names;
use crate::api::tags::{API_VERSION, REPOSITORY_LABEL, SELECTED_LABEL};
use crate::apiserver::json::Json;
use crate::apiserver::kind::Kind;
use crate::apiserver::negotiate::MetaVersion;
use crate::image::Digest;
use crate::object::Key;
use crate::store::{RepositoryTags, ResourceVersion, TagEntry};

/// One ImageRepository's tags with what all objects made from them share.
#[derive(Debug)]
pub struct Origin {
    tags: Arc<RepositoryTags>,
    image: String,
    created: String,
    uid_root: Uuid,
    plain: Labels,
    elected: Labels,
}

#[derive(Debug)]
struct Labels {
    map: BTreeMap<String, String>,
    json: String,
}

impl Labels {
    fn new(map: BTreeMap<String, String>) -> Self {
        let mut json = Json::new();
        let mut separator = "{";
        for (key, value) in &map {
            json.raw(separator).string(key).raw(":").string(value);
            separator = ",";
        }
        json.raw("}");
        let json = String::from_utf8_lossy(&json.take()).into_owned();
        Self { map, json }
    }
}

impl Origin {
    /// Prepares the objects of `tags`.
    pub fn new(tags: Arc<RepositoryTags>) -> Self {
        let owner = tags.owner();
        let mut plain = owner.labels.clone();
        plain.remove(SELECTED_LABEL);
        plain.insert(REPOSITORY_LABEL.to_owned(), label::fit(&owner.key.name));
        let mut elected = plain.clone();
        elected.insert(
            SELECTED_LABEL.to_owned(),
            names::LABEL_SELECTED_TRUE.to_owned(),
        );
        Self {
            image: tags.image().to_string(),
            created: whole_seconds(owner.created),
            // The API server always gives a UUID; anything else is hashed to one.
            uid_root: Uuid::parse_str(&owner.uid)
                .unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, owner.uid.as_bytes())),
            plain: Labels::new(plain),
            elected: Labels::new(elected),
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

    /// The labels of an object that is, or is not, elected.
    pub fn labels(&self, elected: bool) -> &BTreeMap<String, String> {
        &self.labels_of(elected).map
    }

    pub(super) fn tags(&self) -> &Arc<RepositoryTags> {
        &self.tags
    }

    /// The ImageTag of `entry`.
    pub(super) fn tag<'a>(&'a self, entry: &'a TagEntry) -> View<'a> {
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

    fn labels_of(&self, elected: bool) -> &Labels {
        if elected { &self.elected } else { &self.plain }
    }
}

/// One object, ready to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    origin: &'a Origin,
    /// The tag; `None` for the TagSet.
    entry: Option<&'a TagEntry>,
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

    pub(super) fn entry(&self) -> Option<&'a TagEntry> {
        self.entry
    }

    pub(super) fn version(&self) -> ResourceVersion {
        self.version
    }

    /// Writes `<name>` or `<name>:<tag>` as a JSON string.
    pub(super) fn write_name(&self, json: &mut Json) {
        json.raw("\"").escaped(&self.origin.key().name);
        if let Some(entry) = self.entry {
            json.raw(":").escaped(entry.tag.as_str());
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
        let origin = self.origin;
        let elected = self
            .entry
            .is_some_and(|entry| !entry.selected_by.is_empty());
        json.raw(r#"{"name":"#);
        self.write_name(json);
        json.raw(r#","namespace":"#).string(&origin.key().namespace);
        json.raw(r#","uid":""#).raw(
            self.uid()
                .hyphenated()
                .encode_lower(&mut Uuid::encode_buffer()),
        );
        json.raw(r#"","resourceVersion":""#).number(self.version.0);
        json.raw(r#"","creationTimestamp":""#);
        match self.first_seen() {
            Some(first_seen) => json.raw(&whole_seconds(first_seen)),
            None => json.raw(&origin.created),
        };
        json.raw(r#"","labels":"#)
            .raw(&origin.labels_of(elected).json)
            .raw("}");
    }

    /// UUIDv5 under the ImageRepository's uid: of `tag/incarnation` (a tag that comes back is a new object), or of
    /// `tagset`, which no tag's text can equal.
    fn uid(&self) -> Uuid {
        match self.entry {
            Some(entry) => {
                let name = format!("{}/{}", entry.tag, entry.incarnation);
                Uuid::new_v5(&self.origin.uid_root, name.as_bytes())
            }
            None => Uuid::new_v5(&self.origin.uid_root, b"tagset"),
        }
    }

    fn first_seen(&self) -> Option<Timestamp> {
        self.entry.and_then(|entry| entry.first_seen)
    }

    fn write_tag(&self, json: &mut Json, entry: &TagEntry) {
        json.raw(r#","repository":"#)
            .string(&self.origin.key().name);
        json.raw(r#","image":"#).string(&self.origin.image);
        json.raw(r#","tag":"#).string(entry.tag.as_str());
        if let Some(first_seen) = entry.first_seen {
            json.raw(r#","firstSeen":""#)
                .raw(&whole_seconds(first_seen))
                .raw("\"");
        }
        if let Some(digest) = &entry.digest {
            json.raw(r#","digest":"#).string(Digest::as_str(digest));
        }
        if let Some(version) = Parts::of(entry.tag.as_str()) {
            json.raw(r#","version":"#);
            version.write(json);
        }
        let mut separator = r#","selectedBy":["#;
        for policy in &entry.selected_by {
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
        let mut separator = "";
        tags.for_each_descending(&mut |tag| {
            json.raw(separator).string(tag);
            separator = ",";
        });
        json.raw("]");
    }
}

/// The version column's text of a tag, when it reads as a version.
pub(super) fn version_text(tag: &str) -> Option<String> {
    Parts::of(tag).map(|parts| parts.to_string())
}

/// RFC 3339 in UTC without a fraction, as metav1.Time is written.
pub(super) fn whole_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second())
        .unwrap_or(time)
        .to_string()
}
