//! The JSON of documents as it comes: bounded while it is read, strict in what is an object or a list, and forgiving in
//! what a field holds, so that whoever judges it can say which entry is wrong.
//!
//! A field that stands twice is refused: readers differ in which one they believe.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::MOST_DESCRIPTORS;

/// The annotation with which BuildKit says what an attestation belongs to.
const ATTESTS: &str = "vnd.docker.reference.digest";

/// A document. Null counts as absent everywhere.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    pub(super) media_type: Option<Loose>,
    pub(super) manifests: Option<List<Object<Entry>>>,
    pub(super) config: Option<Object<Entry>>,
    pub(super) layers: Option<List<Object<Entry>>>,
    /// The layers of an artifact manifest, which the image specification had for a while.
    pub(super) blobs: Option<List<Object<Entry>>>,
    /// The layers of schema 1.
    pub(super) fs_layers: Option<List<Object<FsLayer>>>,
    /// Of schema 1.
    pub(super) signatures: Option<IgnoredAny>,
    pub(super) subject: Option<Object<Entry>>,
}

/// A descriptor.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) media_type: Option<Loose>,
    pub(super) digest: Option<Loose>,
    pub(super) size: Option<Loose>,
    pub(super) platform: Option<Names>,
    pub(super) annotations: Option<Annotations>,
    pub(super) artifact_type: Option<Loose>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FsLayer {
    pub(super) blob_sum: Option<Loose>,
}

/// A platform; what is none does no harm.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) os: String,
    pub(super) architecture: String,
    pub(super) variant: String,
}

/// Of all annotations the one that counts.
#[derive(Debug, Default)]
pub(super) struct Annotations {
    pub(super) attests: Option<String>,
}

/// A value of any kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Loose {
    /// A text.
    Text(String),
    /// A whole number from 0 on.
    Whole(u64),
    /// Something else, as it may be shown.
    Other(String),
}

impl Loose {
    /// The text, if it is one.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Whole(_) | Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Loose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Other(text) => f.write_str(text),
            Self::Whole(number) => write!(f, "{number}"),
        }
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
        Ok(Loose::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Loose, E> {
        Ok(Loose::Whole(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Loose, E> {
        Ok(u64::try_from(number).map_or_else(|_| Loose::Other(number.to_string()), Loose::Whole))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Loose, E> {
        Ok(Loose::Other(format!("{number:e}")))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Loose, E> {
        Ok(Loose::Other(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Loose, E> {
        Ok(Loose::Other("null".to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Loose, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Loose::Other("a list".to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Loose, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Loose::Other("an object".to_owned()))
    }
}

/// An object and nothing else: serde takes a list for the fields in their order, too.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
    }
}

/// A list of at most [`MOST_DESCRIPTORS`]: one more ends the reading.
#[derive(Debug)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() == MOST_DESCRIPTORS {
                return Err(A::Error::custom(format_args!(
                    "a list has more than {MOST_DESCRIPTORS} entries"
                )));
            }
            list.push(item);
        }
        Ok(List(list))
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = deserializer.deserialize_any(Chosen(["os", "architecture", "variant"]))?;
        let [os, architecture, variant] = fields.map(Option::unwrap_or_default);
        Ok(Self {
            os,
            architecture,
            variant,
        })
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let [attests] = deserializer.deserialize_any(Chosen([ATTESTS]))?;
        Ok(Self { attests })
    }
}

/// The texts of some fields of an object; whatever else it is, or they are, is passed over.
struct Chosen<const N: usize>([&'static str; N]);

impl<'de, const N: usize> Visitor<'de> for Chosen<N> {
    type Value = [Option<String>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut found = [const { None }; N];
        while let Some(name) = fields.next_key::<String>()? {
            let index = self.0.iter().position(|wanted| *wanted == name);
            match index.and_then(|index| found.get_mut(index)) {
                Some(slot) => *slot = fields.next_value::<Loose>()?.text(),
                None => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok([const { None }; N])
    }

    fn visit_str<E>(self, _text: &str) -> Result<Self::Value, E> {
        Ok([const { None }; N])
    }

    fn visit_u64<E>(self, _number: u64) -> Result<Self::Value, E> {
        Ok([const { None }; N])
    }

    fn visit_i64<E>(self, _number: i64) -> Result<Self::Value, E> {
        Ok([const { None }; N])
    }

    fn visit_f64<E>(self, _number: f64) -> Result<Self::Value, E> {
        Ok([const { None }; N])
    }

    fn visit_bool<E>(self, _value: bool) -> Result<Self::Value, E> {
        Ok([const { None }; N])
    }
}
