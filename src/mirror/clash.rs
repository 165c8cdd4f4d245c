//! Wishes that contradict each other: one source repository is to be in one destination repository in different ways, such
//! as with all its platforms and with some.
//!
//! Whichever came last would win, in each run another one. Beside `template::collisions`, which finds two sources in one
//! place. Whose a wish is, is the caller's to say: a destination of a document, or a mirror of a cluster.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::canonical;
use super::overwrite::Overwrite;
use super::subset::Mode;
use super::text::plain;
use crate::image::{Platform, Repository};

/// So many ways, and so many who want one of them, are shown.
const MOST_SHOWN: usize = 5;

/// In which way a source is wanted somewhere. What leads to the same is equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Terms {
    /// All where it is empty.
    platforms: BTreeSet<Platform>,
    /// None: there are no platforms to leave out.
    is_sparse: Option<bool>,
    referrers: bool,
    overwrite: Overwriting,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Overwriting {
    Never,
    Mutable(BTreeSet<String>),
    Always,
}

/// In what ways may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Aspect {
    Platforms,
    Mode,
    Referrers,
    Overwrite,
}

/// Somebody wants a source somewhere.
#[derive(Debug, Clone)]
pub struct Wish<W> {
    /// Whose it is.
    pub who: W,
    /// What is copied.
    pub source: Repository,
    /// Where to.
    pub destination: Repository,
    /// How.
    pub terms: Terms,
}

/// A source that is wanted somewhere in more than one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash<W> {
    /// What is copied.
    pub source: Repository,
    /// Where to.
    pub destination: Repository,
    /// Each way and who wants it; two at least. In the order of who wants them.
    pub ways: Vec<(Terms, BTreeSet<W>)>,
}

impl Terms {
    /// What the options come to: how platforms are left out is of no account where none is. `patterns` are those of
    /// `overwrite` as their author wrote them.
    pub fn new(
        platforms: &[Platform],
        mode: Mode,
        referrers: bool,
        (overwrite, patterns): (&Overwrite, &[String]),
    ) -> Self {
        Self {
            platforms: platforms.iter().cloned().collect(),
            is_sparse: (!platforms.is_empty()).then_some(mode == Mode::Sparse),
            referrers,
            overwrite: match overwrite {
                Overwrite::Never => Overwriting::Never,
                Overwrite::MutableTagsOnly(_) => {
                    Overwriting::Mutable(patterns.iter().cloned().collect())
                }
                Overwrite::Always => Overwriting::Always,
            },
        }
    }

    fn tell(&self, aspect: Aspect) -> String {
        match aspect {
            Aspect::Platforms if self.platforms.is_empty() => "all platforms".to_owned(),
            Aspect::Platforms => {
                let names: Vec<_> = self.platforms.iter().map(ToString::to_string).collect();
                names.join(" and ")
            }
            Aspect::Mode => match self.is_sparse {
                None => "whole".to_owned(),
                Some(false) => "rewritten".to_owned(),
                Some(true) => "sparse".to_owned(),
            },
            Aspect::Referrers if self.referrers => "with referrers".to_owned(),
            Aspect::Referrers => "without referrers".to_owned(),
            Aspect::Overwrite => match &self.overwrite {
                Overwriting::Never => "never overwritten".to_owned(),
                Overwriting::Always => "always overwritten".to_owned(),
                Overwriting::Mutable(patterns) => {
                    let mut told = "overwritten where tags are mutable".to_owned();
                    for pattern in patterns {
                        told.push(' ');
                        told.push_str(&plain(pattern));
                    }
                    told
                }
            },
        }
    }

    fn differs(&self, other: &Self, aspect: Aspect) -> bool {
        let Self {
            platforms,
            is_sparse,
            referrers,
            overwrite,
        } = self;
        match aspect {
            Aspect::Platforms => *platforms != other.platforms,
            // Between all platforms and some, that is no difference of its own.
            Aspect::Mode => {
                is_sparse.is_some() && other.is_sparse.is_some() && *is_sparse != other.is_sparse
            }
            Aspect::Referrers => *referrers != other.referrers,
            Aspect::Overwrite => *overwrite != other.overwrite,
        }
    }
}

/// Says all of it.
impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tell(Aspect::Platforms))?;
        if self.is_sparse.is_some() {
            write!(f, ", {}", self.tell(Aspect::Mode))?;
        }
        let referrers = self.tell(Aspect::Referrers);
        let overwrite = self.tell(Aspect::Overwrite);
        write!(f, ", {referrers}, {overwrite}")
    }
}

/// Where a source is wanted: both by their one name.
type Meeting<'a> = (Cow<'a, Repository>, Cow<'a, Repository>);
/// In which ways, and by whom.
type Ways<'a, W> = BTreeMap<&'a Terms, BTreeSet<&'a W>>;

/// Finds sources that are wanted in one place in more than one way, whatever the order of the wishes. Several that want the
/// same are no clash.
pub fn clashes<W: Ord + Clone>(wishes: &[Wish<W>]) -> Vec<Clash<W>> {
    let mut met: BTreeMap<Meeting<'_>, (&Wish<W>, Ways<'_, W>)> = BTreeMap::new();
    for wish in wishes {
        let at = (
            canonical::repository(&wish.destination),
            canonical::repository(&wish.source),
        );
        let (shown, ways) = met.entry(at).or_insert_with(|| (wish, Ways::new()));
        let name = |it: &&Wish<W>| (it.destination.clone(), it.source.clone());
        if name(&wish) < name(shown) {
            *shown = wish;
        }
        ways.entry(&wish.terms).or_default().insert(&wish.who);
    }
    let several = met.into_values().filter(|(_, ways)| ways.len() > 1);
    several
        .map(|(shown, ways)| {
            let mut ways: Vec<(Terms, BTreeSet<W>)> = ways
                .into_iter()
                .map(|(terms, who)| (terms.clone(), who.into_iter().cloned().collect()))
                .collect();
            ways.sort_by(|(_, one), (_, other)| one.cmp(other));
            Clash {
                source: shown.source.clone(),
                destination: shown.destination.clone(),
                ways,
            }
        })
        .collect()
}

/// Says what differs, and leaves out what does not.
impl<W: fmt::Display> fmt::Display for Clash<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            destination,
            ways,
        } = self;
        write!(
            f,
            "{source} is wanted in {destination} in {} ways, and can be there in one: ",
            ways.len()
        )?;
        let first = ways.first().map(|(terms, _)| terms);
        let aspects = [
            Aspect::Platforms,
            Aspect::Mode,
            Aspect::Referrers,
            Aspect::Overwrite,
        ];
        let aspects = aspects.into_iter().filter(|aspect| {
            let mut others = ways.iter().map(|(terms, _)| terms);
            others.any(|other| first.is_some_and(|first| first.differs(other, *aspect)))
        });
        let aspects: Vec<Aspect> = aspects.collect();
        for (index, (terms, who)) in ways.iter().take(MOST_SHOWN).enumerate() {
            let semicolon = if index == 0 { "" } else { "; " };
            let told: Vec<String> = aspects.iter().map(|aspect| terms.tell(*aspect)).collect();
            write!(f, "{semicolon}{} (", told.join(", "))?;
            for (index, who) in who.iter().take(MOST_SHOWN).enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(f, "{comma}{}", plain(&who.to_string()))?;
            }
            more(f, who.len())?;
            f.write_str(")")?;
        }
        more(f, ways.len())
    }
}

fn more(f: &mut fmt::Formatter<'_>, all: usize) -> fmt::Result {
    match all.checked_sub(MOST_SHOWN) {
        None | Some(0) => Ok(()),
        Some(more) => write!(f, " and {more} more"),
    }
}

#[cfg(test)]
mod tests;
