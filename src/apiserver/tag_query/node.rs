//! A body as a tree that keeps what types would drop: unknown members, and members that are there twice.
//!
//! Nothing here knows what a query is. How many values a tree has is bounded, and how deep it is, by the parsers.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::media::Media;

/// How many values a body may have.
const MOST_VALUES: usize = 250_000;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    /// In the order of the text, repeated names and all.
    Object(Vec<(String, Self)>),
}

impl Node {
    /// What it is called in error messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Integer(_) | Self::Float(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// As JSON; of repeated names the last one stays.
    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => value.into(),
            Self::Integer(value) => value.into(),
            Self::Float(value) => value.into(),
            Self::Text(value) => value.into(),
            Self::List(items) => items.into_iter().map(Self::into_value).collect(),
            Self::Object(members) => {
                let members = members.into_iter();
                members
                    .map(|(name, node)| (name, node.into_value()))
                    .collect()
            }
        }
    }
}

/// Reads the whole of `text`; an error says what is wrong in one line.
pub(super) fn parse(text: &[u8], media: Media) -> Result<Node, String> {
    let room = Room {
        values: Cell::new(MOST_VALUES),
        bytes: Cell::new(text.len()),
    };
    let seed = Seed(&room);
    match media {
        Media::Json => {
            let mut deserializer = serde_json::Deserializer::from_slice(text);
            let node = seed.deserialize(&mut deserializer);
            let node = node.and_then(|node| deserializer.end().map(|()| node));
            node.map_err(|error| error.to_string())
        }
        Media::Yaml => {
            let options = serde_saphyr::options! {
                duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough,
                with_snippet: false,
            };
            serde_saphyr::with_deserializer_from_slice_with_options(text, options, |yaml| {
                seed.deserialize(yaml)
            })
            .map_err(|error| error.to_string().replace('\n', " "))
        }
    }
}

/// What may still be read.
struct Room {
    values: Cell<usize>,
    /// Of all texts: no more than the body has, which only YAML's aliases could exceed.
    bytes: Cell<usize>,
}

impl Room {
    fn take_value<E: serde::de::Error>(&self) -> Result<(), E> {
        let Some(left) = self.values.get().checked_sub(1) else {
            return Err(E::custom(format_args!(
                "there are more than {MOST_VALUES} values"
            )));
        };
        self.values.set(left);
        Ok(())
    }

    fn take_text<E: serde::de::Error>(&self, text: &str) -> Result<(), E> {
        let Some(left) = self.bytes.get().checked_sub(text.len()) else {
            return Err(E::custom("its aliases make more text than it has"));
        };
        self.bytes.set(left);
        Ok(())
    }
}

/// Reads one value, while there is room.
#[derive(Clone, Copy)]
struct Seed<'a>(&'a Room);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.0.take_value()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "so large a number is refused wherever one is read"
    )]
    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(i64::try_from(value).map_or(Node::Float(value as f64), Node::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Node, E> {
        self.0.take_text(value)?;
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Node, E> {
        self.0.take_text(&value)?;
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let mut object = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            self.0.take_text(&name)?;
            object.push((name, members.next_value_seed(self)?));
        }
        Ok(Node::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_yaml_read_alike_and_keep_what_is_there_twice() {
        let json = br#"{"a": [1, -2.5, "x", null, true], "a": {"b": "1.10"}}"#;
        let yaml = b"a: [1, -2.5, x, null, true]\na:\n  b: '1.10'\n";
        let node = parse(json, Media::Json).unwrap();
        assert_eq!(parse(yaml, Media::Yaml).as_ref(), Ok(&node));
        let Node::Object(members) = &node else {
            panic!("{node:?}")
        };
        assert_eq!(members.len(), 2);
        assert_eq!(members[0].1.kind(), "array");
        assert_eq!(node.into_value(), serde_json::json!({"a": {"b": "1.10"}}));
    }

    #[test]
    fn what_is_no_single_document_is_refused_in_one_line() {
        for (text, media) in [
            ("", Media::Json),
            ("{", Media::Json),
            ("{} {}", Media::Json),
            ("{} x", Media::Json),
            ("a: [", Media::Yaml),
            ("a: 1\n---\nb: 2\n", Media::Yaml),
        ] {
            let error = parse(text.as_bytes(), media).unwrap_err();
            assert!(
                !error.is_empty() && !error.contains('\n'),
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn a_flood_of_values_and_of_depth_ends_early() {
        let flood = format!("[{}0]", "0,".repeat(MOST_VALUES));
        let error = parse(flood.as_bytes(), Media::Json).unwrap_err();
        assert!(error.contains("more than 250000 values"), "{error}");
        for media in [Media::Json, Media::Yaml] {
            assert!(parse("[".repeat(100_000).as_bytes(), media).is_err());
        }
        let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
                      c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
                      e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                      g: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
        assert!(parse(laughs.as_bytes(), Media::Yaml).is_err());
        // Few values, and many times the text.
        let long = "x".repeat(10_000);
        let anchors: Vec<String> = (0..20).map(|n| format!("b{n}: &b{n} y")).collect();
        let bomb = format!(
            "a: &a {long}\n{}\nc: [{}]\n",
            anchors.join("\n"),
            "*a, ".repeat(100)
        );
        let error = parse(bomb.as_bytes(), Media::Yaml).unwrap_err();
        assert!(error.contains("more text than it has"), "{error}");
    }
}
