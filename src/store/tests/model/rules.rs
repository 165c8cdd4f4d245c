//! The rules of the store again, as simple as they can be said: one repository as plain maps and sets.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::super::super::{Owner, RepositoryTags};
use super::{Op, REPOSITORIES, TAGS};
use crate::image::Digest;
use crate::object::Key;

/// What the model knows of one repository.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Repository {
    pub(super) owner: Owner,
    pub(super) image: u8,
    pub(super) revision: u8,
    pub(super) complete: bool,
    pub(super) aside: BTreeSet<String>,
    pub(super) scan_time: Timestamp,
    pub(super) tags: BTreeMap<String, ModelTag>,
    pub(super) elections: BTreeMap<Key, (String, Option<Digest>)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ModelTag {
    pub(super) first_seen: Option<Timestamp>,
    /// Whether its incarnation is 0.
    pub(super) is_old: bool,
    pub(super) digest: Option<Digest>,
}

/// What is served of one object: its content as text, with neither version nor incarnation.
pub(super) type World = BTreeMap<String, String>;

pub(super) fn key(repository: usize) -> Key {
    Key::new(REPOSITORIES[repository].0, REPOSITORIES[repository].1)
}

pub(super) fn owner(repository: usize, uid: u8, label: u8) -> Owner {
    let labels = [("label".to_owned(), label.to_string())].into();
    Owner {
        key: key(repository),
        uid: format!("uid-{uid}"),
        created: Timestamp::UNIX_EPOCH,
        labels,
    }
}

pub(super) fn image(image: u8) -> String {
    format!("ghcr.io/o/i{image}")
}

pub(super) fn tag_name(tag: u16) -> String {
    format!("v{}.{tag}", tag % 3)
}

pub(super) fn digest(digest: u8) -> Digest {
    format!("sha256:{digest:064}").parse().unwrap()
}

pub(super) fn tag_content(
    owner: &Owner,
    image: &str,
    first_seen: Option<Timestamp>,
    digest: Option<&Digest>,
    by: &impl std::fmt::Debug,
) -> String {
    format!("{owner:?} {image} {first_seen:?} {digest:?} {by:?}")
}

pub(super) fn set_content(
    owner: &Owner,
    image: &str,
    revision: &str,
    complete: bool,
    time: Timestamp,
    aside: &[String],
    tags: &[String],
) -> String {
    format!("{owner:?} {image} {revision} {complete} {time} {aside:?} {tags:?}")
}

impl Repository {
    pub(super) fn serve(&self, world: &mut World) {
        for (name, tag) in &self.tags {
            let by: Vec<_> = self
                .elections
                .iter()
                .filter(|(_, (tag, _))| tag == name)
                .map(|(policy, _)| policy.clone())
                .collect();
            let content = tag_content(
                &self.owner,
                &image(self.image),
                tag.first_seen,
                tag.digest.as_ref(),
                &by,
            );
            world.insert(format!("{}:{name}", self.owner.key), content);
        }
        let aside: Vec<_> = self.aside.iter().cloned().collect();
        let tags: Vec<_> = self.tags.keys().cloned().collect();
        let content = set_content(
            &self.owner,
            &image(self.image),
            &self.revision.to_string(),
            self.complete,
            self.scan_time,
            &aside,
            &tags,
        );
        world.insert(self.owner.key.to_string(), content);
    }

    pub(super) fn served(repository: Option<&Self>) -> World {
        let mut world = World::new();
        if let Some(repository) = repository {
            repository.serve(&mut world);
        }
        world
    }

    pub(super) fn of(tags: &RepositoryTags) -> Self {
        let number = |text: &str| text.bytes().last().unwrap() - b'0';
        Self {
            owner: tags.owner().clone(),
            image: number(&tags.image().to_string()),
            revision: number(tags.revision()),
            complete: tags.is_complete(),
            aside: tags.aside().iter().map(ToString::to_string).collect(),
            scan_time: tags.scan_time(),
            tags: tags
                .entries_after(None)
                .map(|e| {
                    (
                        e.tag.to_string(),
                        ModelTag {
                            first_seen: e.first_seen,
                            is_old: e.incarnation == 0,
                            digest: e.digest,
                        },
                    )
                })
                .collect(),
            elections: tags
                .elections()
                .iter()
                .map(|e| (e.policy.clone(), (e.tag.to_string(), e.digest.clone())))
                .collect(),
        }
    }
}

/// The rules again, as simple as they can be said.
pub(super) fn expect(op: &Op, before: Option<Repository>, now: Timestamp) -> Option<Repository> {
    match op.clone() {
        Op::Remove { .. } => None,
        Op::Owner {
            repository,
            uid,
            label,
        } => {
            let owner = owner(repository, uid, label);
            before
                .filter(|before| before.owner.uid == owner.uid)
                .map(|before| Repository { owner, ..before })
        }
        Op::Elect { policy, tag, .. } => {
            let mut after = before?;
            let policy = Key::new("p", format!("p{policy}"));
            let elected =
                tag.map(|(tag, digest)| (tag_name(tag), digest.map(super::rules::digest)));
            if elected
                .as_ref()
                .is_some_and(|(tag, _)| !after.tags.contains_key(tag))
            {
                return Some(after);
            }
            let lost = after.elections.remove(&policy);
            if let Some(elected) = &elected {
                after.elections.insert(policy, elected.clone());
            }
            if lost == elected {
                return Some(after);
            }
            for name in lost.iter().chain(&elected).map(|(tag, _)| tag) {
                let known: Vec<_> = after
                    .elections
                    .values()
                    .filter(|(tag, _)| tag == name)
                    .filter_map(|(_, d)| d.clone())
                    .collect();
                let brought = elected
                    .as_ref()
                    .filter(|(tag, _)| tag == name)
                    .and_then(|(_, digest)| digest.clone());
                let tag = after.tags.get_mut(name).unwrap();
                if brought.is_some() {
                    tag.digest = brought;
                } else if !tag
                    .digest
                    .as_ref()
                    .is_some_and(|digest| known.contains(digest))
                {
                    tag.digest = known.first().cloned();
                }
            }
            Some(after)
        }
        Op::Scan {
            repository,
            tags,
            aside,
            complete,
            first,
            uid,
            label,
            image,
            revision,
        } => {
            let owner = owner(repository, uid, label);
            let listed: BTreeSet<_> = (0..TAGS)
                .filter(|tag| tags & (1 << tag) != 0)
                .map(tag_name)
                .collect();
            let aside: BTreeSet<_> = (0..aside).map(|i| format!("sha256-{i}.sig")).collect();
            let same_object = before.filter(|before| before.owner.uid == owner.uid);
            let new_tag = |first_seen, is_old| ModelTag {
                first_seen,
                is_old,
                digest: None,
            };
            let (known, appearing) = match same_object {
                None => (
                    None,
                    if first {
                        new_tag(None, true)
                    } else {
                        new_tag(Some(now), false)
                    },
                ),
                Some(before) if before.image != image => (None, new_tag(None, false)),
                Some(before) => (Some(before), new_tag(Some(now), false)),
            };
            let Some(before) = known else {
                let tags = listed
                    .into_iter()
                    .map(|name| (name, appearing.clone()))
                    .collect();
                let elections = BTreeMap::new();
                return Some(Repository {
                    owner,
                    image,
                    revision,
                    complete,
                    aside,
                    scan_time: now,
                    tags,
                    elections,
                });
            };
            let mut after = Repository {
                owner,
                image,
                revision,
                complete,
                aside,
                ..before.clone()
            };
            if complete {
                after.tags.retain(|name, _| listed.contains(name));
            } else {
                after.aside.extend(before.aside.iter().cloned());
            }
            for name in listed {
                after.tags.entry(name).or_insert_with(|| appearing.clone());
            }
            after.elections.retain(|_, (tag, _)| {
                before.tags.contains_key(tag) && after.tags.contains_key(tag)
            });
            let is_same = before
                == Repository {
                    owner: before.owner.clone(),
                    ..after.clone()
                };
            if !is_same {
                after.scan_time = now;
            }
            Some(after)
        }
        Op::Pull { .. } | Op::Restart(_) => unreachable!(),
    }
}
