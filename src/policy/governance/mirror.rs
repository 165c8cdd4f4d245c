//! The mirror that has to hold a tag before it is elected: its name, and what it can say of a tag.

use std::fmt;
use std::str::FromStr;

use crate::object::{Key, LONGEST_NAME, LONGEST_NAMESPACE};

/// An ImageMirror, as `[namespace/]name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    namespace: Option<Box<str>>,
    name: Box<str>,
}

impl Mirror {
    /// Which one it is, named by something in the namespace `own`.
    pub fn key(&self, own: &str) -> Key {
        Key::new(self.namespace.as_deref().unwrap_or(own), self.name.as_ref())
    }

    /// The same, named in full.
    pub(super) fn within(&mut self, own: &str) {
        self.namespace.get_or_insert_with(|| own.into());
    }
}

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, text),
        };
        let is_namespace =
            |text: &str| text.len() <= LONGEST_NAMESPACE && is_label(text) && !text.contains('.');
        let is_name = name.len() <= LONGEST_NAME && name.split('.').all(is_label);
        if is_name && namespace.is_none_or(is_namespace) {
            Ok(Self {
                namespace: namespace.map(Into::into),
                name: name.into(),
            })
        } else {
            Err("it is no ImageMirror, as name or namespace/name".to_owned())
        }
    }
}

/// A part of a DNS name.
fn is_label(text: &str) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(is_inside)
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What a mirror says of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirrored {
    /// It is at all its destinations.
    Yes,
    /// It is not, as far as is known.
    NotYet,
    /// It does not say.
    Unsaid(Gap),
}

/// Why a mirror does not say whether it has a tag: of no tag at all, but for [`Gap::Unfinished`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// There is none of that name.
    Missing,
    /// Nobody looks at mirrors here, or not yet.
    Unseen,
    /// It has not looked at this ImageRepository since the program was started, or not at the image that it names now.
    Unlooked,
    /// It has looked at some tags of this ImageRepository since, but not at this one.
    Unfinished,
    /// It is in another namespace, which nobody may refer to.
    Blocked,
    /// It does not copy this ImageRepository.
    Elsewhere,
    /// What it copies has digests of its own, and the source's are asked for.
    Rewritten,
}

impl Mirrored {
    /// Whether it has it, where it says so.
    pub fn of(has: Result<bool, Gap>) -> Self {
        match has {
            Ok(true) => Self::Yes,
            Ok(false) => Self::NotYet,
            Err(gap) => Self::Unsaid(gap),
        }
    }
}

impl Gap {
    /// Whether it closes by itself, soon after a start.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Unseen | Self::Unlooked | Self::Unfinished => true,
            Self::Missing | Self::Blocked | Self::Elsewhere | Self::Rewritten => false,
        }
    }

    /// What is wrong with `mirror`, for people.
    pub(crate) fn told(self, mirror: &str) -> String {
        match self {
            Self::Missing => format!("there is no ImageMirror {mirror}"),
            Self::Unseen => format!(
                "ImageMirror {mirror} is not known: this program does not look at mirrors, or not yet"
            ),
            Self::Unlooked => format!(
                "ImageMirror {mirror} has verified nothing of this ImageRepository since the program was started; its status says why"
            ),
            Self::Unfinished => format!(
                "ImageMirror {mirror} has not looked at all tags of this ImageRepository since the program was started; its status says how far it is"
            ),
            Self::Blocked => format!(
                "ImageMirror {mirror} is in another namespace, and cross-namespace references have been blocked"
            ),
            Self::Elsewhere => format!("ImageMirror {mirror} does not copy this ImageRepository"),
            Self::Rewritten => format!(
                "ImageMirror {mirror} leaves out platforms by rewriting images (spec.platforms.mode: Rewritten), so that its \
                 copies do not have the digests that spec.digestReflectionPolicy asks for"
            ),
        }
    }
}
