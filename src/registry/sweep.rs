//! Deletes a tag that is ours, if it still is what it was: the destination is asked right before.
//!
//! The tag alone: what else has the same digest stays. Nothing is ever deleted by the digest of an image.

use std::collections::BTreeSet;

use super::remote::{Deletion, Named, Remote, is_placeholder};
use super::{Error, Kind};
use crate::image::{Digest, Repository, Tag};
use crate::mirror::ledger::Ledger;
use crate::mirror::outcome::{Outcome, Report, TagReport};

/// What became of a tag that was to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is deleted.
    Deleted,
    /// It was not there.
    Gone,
    /// It is something else by now: somebody else's.
    Moved {
        /// What it is.
        found: Digest,
    },
    /// The registry does not delete tags, nor the manifest that is put in a tag's place for that.
    Unsupported,
    /// It may not be deleted.
    Refused {
        /// The registry's words.
        cause: String,
    },
    /// It could not be deleted now, or nobody knows whether it was.
    Failed {
        /// Why.
        cause: String,
    },
}

/// Deletes `tag`, if it is `digest`.
pub async fn sweep(remote: &Remote, tag: &Tag, digest: &Digest) -> Fate {
    attempt(remote, tag, digest)
        .await
        .unwrap_or_else(|error| match error.kind() {
            Kind::Forbidden => Fate::Refused {
                cause: error.to_string(),
            },
            _ => Fate::Failed {
                cause: error.to_string(),
            },
        })
}

async fn attempt(remote: &Remote, tag: &Tag, digest: &Digest) -> Result<Fate, Error> {
    match Box::pin(remote.delete_tag(tag, digest)).await? {
        Deletion::Unsupported => by_placeholder(remote, tag, digest).await,
        Deletion::Moved { .. } => {
            // A deletion of ours may have been broken off in the middle: then it is brought to its end.
            let found = Box::pin(remote.manifest(&Named::Tag(tag.clone()))).await?;
            match found {
                Some(found) if is_placeholder(&found) => by_placeholder(remote, tag, digest).await,
                Some(found) if found.digest == *digest => Ok(Fate::Failed {
                    cause: format!("{}:{tag} is moved by somebody else", remote.repository()),
                }),
                Some(found) => Ok(Fate::Moved {
                    found: found.digest,
                }),
                None => Ok(Fate::Gone),
            }
        }
        deletion => Ok(fate(deletion)),
    }
}

async fn by_placeholder(remote: &Remote, tag: &Tag, digest: &Digest) -> Result<Fate, Error> {
    let deletion = Box::pin(remote.delete_tag_by_placeholder(tag, digest)).await?;
    Ok(fate(deletion))
}

fn fate(deletion: Deletion) -> Fate {
    match deletion {
        Deletion::Deleted => Fate::Deleted,
        Deletion::Gone => Fate::Gone,
        Deletion::Moved { found } => Fate::Moved { found },
        Deletion::Unsupported => Fate::Unsupported,
        Deletion::Refused(error) => Fate::Refused {
            cause: error.to_string(),
        },
    }
}

/// What became of what was due at one destination repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Images that are deleted, or were not there.
    pub deleted: Vec<Tag>,
    /// What belonged to them, and went after them.
    pub companions: Vec<Tag>,
    /// What somebody else has moved: it stays, and is not ours any more.
    pub moved: Vec<Tag>,
    /// Why no more was deleted.
    pub trouble: Option<String>,
}

/// Why a deletion that was broken off is not at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unended {
    /// What the tag is now could not be read: it need be none.
    Unread {
        /// Why.
        cause: String,
    },
    /// The placeholder is there still.
    Stays {
        /// Why.
        cause: String,
    },
}

impl std::fmt::Display for Unended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unread { cause } => {
                write!(
                    f,
                    "it differs, and what it is now could not be read: {cause}"
                )
            }
            Self::Stays { cause } => write!(
                f,
                "a deletion that was broken off could not be brought to its end: {cause}"
            ),
        }
    }
}

/// A run that was killed while it deleted may have left a tag with a placeholder, and now the tag is wanted: that is no drift, and
/// what it was is ours still. Of what differs by `report` and is in the ledger, such tags are brought to their end, so that they are
/// not there or what they were, and `ended` hears of each. They are left out of the report, and so is what nobody can tell.
pub async fn end_all_broken_off(
    ledger: &Ledger,
    report: &mut Report,
    remote: impl Fn(&Repository) -> Option<Remote>,
    mut ended: impl FnMut(&TagReport, &Tag, Result<(), Unended>),
) {
    let mut told = Vec::new();
    for one in std::mem::take(&mut report.tags) {
        let owned = match (&one.outcome, &one.tag) {
            (Outcome::Drifted { found }, Some(tag)) => {
                let digest = ledger.digest(&one.to, tag);
                digest.filter(|digest| *digest != found).zip(Some(tag))
            }
            _ => None,
        };
        let Some((digest, tag)) = owned else {
            told.push(one);
            continue;
        };
        let Some(remote) = remote(&one.to) else {
            continue;
        };
        match end_broken_off(&remote, tag, digest).await {
            Ok(true) => ended(&one, tag, Ok(())),
            Err(unended) => ended(&one, tag, Err(unended)),
            Ok(false) => told.push(one),
        }
    }
    report.tags = told;
}

/// False: it is no placeholder.
async fn end_broken_off(remote: &Remote, tag: &Tag, digest: &Digest) -> Result<bool, Unended> {
    let found = Box::pin(remote.manifest(&Named::Tag(tag.clone()))).await;
    let found = found.map_err(|error| Unended::Unread {
        cause: error.to_string(),
    })?;
    if !found.is_some_and(|found| is_placeholder(&found)) {
        return Ok(false);
    }
    // Whatever the answer is: the tag is not there, or what it was.
    let ended = by_placeholder(remote, tag, digest).await.map(|_| true);
    ended.map_err(|error| Unended::Stays {
        cause: error.to_string(),
    })
}

/// Deletes `due`, and then what belongs to images that were deleted and to none of `held`, unless that is not known; the ledger is
/// told at once. At most `room` tags, which gets less, and none once `may_go_on` says so. The first failure ends it: others would fail alike.
pub async fn sweep_all(
    remote: &Remote,
    ledger: &mut Ledger,
    due: Vec<(Tag, Digest)>,
    held: Option<&BTreeSet<Digest>>,
    room: &mut usize,
    may_go_on: &(dyn Fn() -> bool + Send + Sync),
) -> Swept {
    let to = remote.repository();
    let mut swept = Swept::default();
    let mut due = due.into_iter();
    loop {
        let image = due.next();
        let is_image = image.is_some();
        let orphan = || ledger.orphans(to, held?).into_iter().next();
        let Some((tag, digest)) = image.or_else(orphan) else {
            return swept;
        };
        if *room == 0 || !may_go_on() {
            return swept;
        }
        let trouble = match sweep(remote, &tag, &digest).await {
            Fate::Deleted | Fate::Gone => {
                *room -= 1;
                ledger.deleted(to, &tag);
                if is_image {
                    swept.deleted.push(tag);
                } else {
                    swept.companions.push(tag);
                }
                continue;
            }
            Fate::Moved { .. } => {
                ledger.forget(to, &tag);
                swept.moved.push(tag);
                continue;
            }
            Fate::Unsupported => {
                "the registry deletes no tags, nor manifests by their digests; allow it there, or switch spec.prune off".to_owned()
            }
            Fate::Refused { cause } | Fate::Failed { cause } => cause,
        };
        swept.trouble = Some(format!("{to}:{tag} is not deleted: {trouble}"));
        return swept;
    }
}
