//! What governs an election beyond the spec: five annotations of an ImagePolicy, read once into a [`Governance`].
//!
//! They only ever pass over a tag that the policy would elect, or keep the one that stands; without them an election is
//! [`super::elect`], letter for letter. The order is hold > filter and range > platforms > minimum age > mirrored >
//! downgrade: [`judge`] has the rules for one candidate, [`verdict`] the walk over all of them, [`notice`] the words.
//! Nothing here knows registries, stores or conditions; what they know comes in as [`Facts`].

mod draft;
mod judge;
mod mirror;
mod notice;
mod platform;
mod verdict;

#[cfg(test)]
mod tests;

pub use draft::{Draft, Unfit};
pub(crate) use judge::matures;
pub use judge::{Facts, Judge, Known, Objection};
pub use mirror::{Gap, Mirror, Mirrored};
pub(crate) use notice::until;
pub use notice::{Notice, Reason};
pub use platform::Platform;
pub use verdict::{Chosen, MOST_CHECKS, Verdict, elect, elect_ranked, govern};

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::api::duration::GoDuration;
use crate::api::names;
use crate::image::Tag;
use crate::quote::GoQuoted;

/// What a policy's annotations ask for. The default asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Governance {
    /// The one tag to elect.
    pub hold: Option<Tag>,
    /// How long a tag has to be known before it is elected.
    pub minimum_age: Option<Duration>,
    /// Whether the election may not go down because tags vanished.
    pub downgrade: Option<Downgrade>,
    /// What an elected tag's index has to run on, all of it.
    pub platforms: Option<Vec<Platform>>,
    /// Who has to hold a tag at all its destinations before it is elected.
    pub require_mirrored: Option<Mirror>,
}

/// What becomes of an election whose tag vanished, where only earlier ones are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downgrade {
    /// An earlier one is elected, as without the annotation.
    Allow,
    /// The election stands.
    Forbid,
}

/// An annotation whose value does not parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The annotation's name.
    pub annotation: &'static str,
    /// The beginning of its value.
    value: String,
    /// What is wrong with it.
    why: String,
}

/// How much of a broken value is told.
const TOLD: usize = 64;

/// The longest list of platforms: more than there are.
const MOST_PLATFORMS: usize = 32;

/// What an object's annotations say, before anybody remembers anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// What parsed; what did not is absent here.
    good: Governance,
    /// What did not parse.
    broken: Vec<Invalid>,
}

/// What is in force for one election.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InForce {
    /// What governs.
    pub governance: Governance,
    /// What does not parse.
    pub broken: Vec<Invalid>,
    /// Something does not parse and was never known to have parsed: whatever is elected stays so.
    pub is_frozen: bool,
}

impl Governance {
    /// The same, of something in this namespace: what names no namespace means this one.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        if let Some(mirror) = &mut self.require_mirrored {
            mirror.within(namespace);
        }
        self
    }
}

impl Read {
    /// Reads an object's annotations.
    pub fn of(annotations: &BTreeMap<String, String>) -> Self {
        let mut read = Self::default();
        let value = |name| annotations.get(name).map(String::as_str);
        read.good.hold = read.take(names::HOLD, value(names::HOLD), tag);
        read.good.minimum_age = read.take(names::MINIMUM_AGE, value(names::MINIMUM_AGE), age);
        read.good.downgrade = read.take(names::DOWNGRADE, value(names::DOWNGRADE), downgrade);
        read.good.platforms = read.take(names::PLATFORMS, value(names::PLATFORMS), platforms);
        let mirror = value(names::REQUIRE_MIRRORED);
        read.good.require_mirrored = read.take(names::REQUIRE_MIRRORED, mirror, str::parse);
        read
    }

    /// The same, of an object in this namespace.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        self.good = self.good.within(namespace);
        self
    }

    /// The mirror that is required; `Err` where what is written does not parse.
    pub fn mirror(&self) -> Result<Option<&Mirror>, &Invalid> {
        let broken = self.broken.iter();
        match broken
            .into_iter()
            .find(|one| one.annotation == names::REQUIRE_MIRRORED)
        {
            Some(broken) => Err(broken),
            None => Ok(self.good.require_mirrored.as_ref()),
        }
    }

    fn take<T>(
        &mut self,
        annotation: &'static str,
        value: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = value?;
        match parse(value.trim()) {
            Ok(parsed) => Some(parsed),
            Err(why) => {
                self.broken.push(Invalid {
                    annotation,
                    value: value.chars().take(TOLD).collect(),
                    why,
                });
                None
            }
        }
    }

    /// Puts the last good value in the place of each broken one. One that has none freezes the election.
    pub fn after(self, last: Option<&Governance>) -> InForce {
        let Self {
            good: mut governance,
            broken,
        } = self;
        let nothing = Governance::default();
        let last = last.unwrap_or(&nothing);
        let mut is_frozen = false;
        for Invalid { annotation, .. } in &broken {
            let is_known = match *annotation {
                names::HOLD => fill(&mut governance.hold, last.hold.as_ref()),
                names::MINIMUM_AGE => fill(&mut governance.minimum_age, last.minimum_age.as_ref()),
                names::DOWNGRADE => fill(&mut governance.downgrade, last.downgrade.as_ref()),
                names::PLATFORMS => fill(&mut governance.platforms, last.platforms.as_ref()),
                names::REQUIRE_MIRRORED => fill(
                    &mut governance.require_mirrored,
                    last.require_mirrored.as_ref(),
                ),
                _ => false,
            };
            is_frozen |= !is_known;
        }
        InForce {
            governance,
            broken,
            is_frozen,
        }
    }
}

impl InForce {
    /// Whether an election is as without any annotation.
    pub fn is_nothing(&self) -> bool {
        let Governance {
            hold,
            minimum_age,
            downgrade,
            platforms,
            require_mirrored,
        } = &self.governance;
        hold.is_none()
            && minimum_age.is_none_or(|age| age.is_zero())
            && !matches!(downgrade, Some(Downgrade::Forbid))
            && platforms.is_none()
            && require_mirrored.is_none()
            && self.broken.is_empty()
    }

    /// Whether it is not known which mirror is required: what does not parse was never known to have parsed.
    pub fn is_mirror_unknown(&self) -> bool {
        let is_broken = |one: &Invalid| one.annotation == names::REQUIRE_MIRRORED;
        self.governance.require_mirrored.is_none() && self.broken.iter().any(is_broken)
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            annotation,
            value,
            why,
        } = self;
        write!(f, "{annotation} is {}: {why}", GoQuoted(value))
    }
}

fn fill<T: Clone>(place: &mut Option<T>, last: Option<&T>) -> bool {
    *place = last.cloned();
    last.is_some()
}

fn tag(value: &str) -> Result<Tag, String> {
    value
        .parse()
        .map_err(|_| "it is no tag (1 to 128 of A-Za-z0-9_.-)".to_owned())
}

fn age(value: &str) -> Result<Duration, String> {
    let age: GoDuration = value
        .parse()
        .map_err(|_| "it is no duration, such as 72h or 1h30m".to_owned())?;
    if age < GoDuration::ZERO {
        return Err("an age is not negative".to_owned());
    }
    Ok(age.as_std())
}

fn downgrade(value: &str) -> Result<Downgrade, String> {
    match value {
        "forbid" => Ok(Downgrade::Forbid),
        "allow" => Ok(Downgrade::Allow),
        _ => Err("it has to be forbid or allow".to_owned()),
    }
}

fn platforms(value: &str) -> Result<Vec<Platform>, String> {
    let parsed: Result<Vec<Platform>, String> = value
        .split(',')
        .map(|one| {
            let one = one.trim();
            one.parse()
                .map_err(|()| format!("{} is no os/arch or os/arch/variant", GoQuoted(one)))
        })
        .take(MOST_PLATFORMS + 1)
        .collect();
    let mut platforms = parsed?;
    if platforms.len() > MOST_PLATFORMS {
        return Err(format!("it names more than {MOST_PLATFORMS} platforms"));
    }
    platforms.sort();
    platforms.dedup();
    Ok(platforms)
}
