//! The rules for one candidate: what, if anything, keeps it from being elected.
//!
//! Asked lazily, tag by tag, by an election and by whoever explains one.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{Downgrade, Gap, Governance, Mirrored, Platform};
use crate::policy::{Policy, Ranked, TagFilter};

/// What others know that the rules need.
pub struct Facts<'a> {
    /// Now.
    pub now: Timestamp,
    /// The tag that stands elected, of the image that is elected from.
    pub current: Option<&'a str>,
    /// Whether that tag is in the list.
    pub is_listed: bool,
    /// Whether the spec has changed since: then going down is what it asks for.
    pub is_rebased: bool,
    /// When a tag was seen first, as what it is now. `None`: it is old.
    pub seen: &'a dyn Fn(&str) -> Option<Timestamp>,
    /// When all tags were found again after the store was lost; see [`crate::policy::governance`].
    pub refound: Option<Timestamp>,
    /// What a tag runs on.
    pub platforms: &'a dyn Fn(&str) -> Known,
    /// What the mirror that is required says of a tag.
    pub mirrored: &'a dyn Fn(&str) -> Mirrored,
}

/// What is known of the platforms of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Its index offers these.
    Offers(Arc<[String]>),
    /// The registry has none to tell, and will not have any: why.
    Refused(Arc<str>),
    /// The registry could not be asked: why.
    Failed(Arc<str>),
    /// Nobody has asked yet.
    Unasked,
    /// Nobody has asked yet, and nobody may in this run.
    OverBudget,
}

/// Why a candidate is not elected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// Another tag is held.
    NotHeld,
    /// Its index lacks these.
    WrongPlatform(Vec<Platform>),
    /// The registry does not say what it runs on, and why.
    PlatformUnknown {
        /// What the registry said.
        why: Arc<str>,
        /// Whether asking again may help.
        may_pass: bool,
    },
    /// What it runs on has to be asked first.
    PlatformUnasked,
    /// What it runs on would have to be asked, but enough was asked in this run.
    BudgetExhausted,
    /// It is not old enough before this time.
    TooYoung(Timestamp),
    /// The mirror that is required does not hold it yet.
    NotMirrored,
    /// The mirror that is required says nothing of any tag.
    MirrorSilent(Gap),
    /// It is earlier than the one that stands, which vanished.
    DowngradeForbidden,
}

/// Knows the rules, and the facts of one election.
pub struct Judge<'a> {
    policy: &'a Policy,
    governance: &'a Governance,
    facts: &'a Facts<'a>,
    /// The standing tag's key; `None` also when the filter would not let it in.
    current: Option<String>,
}

impl<'a> Judge<'a> {
    /// Whoever judges the candidates of `policy` behind `filter`.
    pub fn new(
        policy: &'a Policy,
        filter: Option<&TagFilter>,
        governance: &'a Governance,
        facts: &'a Facts<'a>,
    ) -> Self {
        let current = facts.current.and_then(|tag| match filter {
            Some(filter) => filter.key(tag).map(std::borrow::Cow::into_owned),
            None => Some(tag.to_owned()),
        });
        Self {
            policy,
            governance,
            facts,
            current,
        }
    }

    pub(super) fn facts(&self) -> &'a Facts<'a> {
        self.facts
    }

    /// What keeps `candidate` from being elected; the first that does in the order of the rules.
    pub fn objection(&self, candidate: &Ranked<'_>) -> Option<Objection> {
        if let Some(held) = &self.governance.hold {
            return (held.as_str() != candidate.tag).then_some(Objection::NotHeld);
        }
        self.platforms(candidate)
            .or_else(|| self.age(candidate))
            .or_else(|| self.mirrored(candidate))
            .or_else(|| self.downgrade(candidate))
    }

    /// What to make of `objection` once it is known what would be elected if no mirror were required: nobody has to be asked
    /// about a tag that is not elected whatever the answer.
    pub(crate) fn mirror_first(
        &self,
        candidate: &Ranked<'_>,
        objection: Option<Objection>,
    ) -> Option<Objection> {
        match objection {
            Some(
                Objection::PlatformUnasked
                | Objection::BudgetExhausted
                | Objection::PlatformUnknown { may_pass: true, .. },
            ) => self.mirrored(candidate).or(objection),
            objection => objection,
        }
    }

    /// Whether the mirror does not hold `candidate`. The tag that stands has been elected once: a mirror that lost it, or
    /// that nobody knows any more, takes nothing away.
    fn mirrored(&self, candidate: &Ranked<'_>) -> Option<Objection> {
        self.governance.require_mirrored.as_ref()?;
        if self.facts.current == Some(candidate.tag) {
            return None;
        }
        match (self.facts.mirrored)(candidate.tag) {
            Mirrored::Yes => None,
            Mirrored::NotYet => Some(Objection::NotMirrored),
            Mirrored::Unsaid(gap) => Some(Objection::MirrorSilent(gap)),
        }
    }

    /// How `candidate` compares with the tag that stands; `None` when they do not compare.
    pub fn compared(&self, candidate: &Ranked<'_>) -> Option<Ordering> {
        self.policy
            .compare(&candidate.key, self.current.as_deref()?)
    }

    fn platforms(&self, candidate: &Ranked<'_>) -> Option<Objection> {
        let wanted = self.governance.platforms.as_ref()?;
        match (self.facts.platforms)(candidate.tag) {
            Known::Offers(offered) => {
                let is_missing =
                    |wanted: &&Platform| !offered.iter().any(|offered| wanted.is(offered));
                let missing: Vec<_> = wanted.iter().filter(is_missing).cloned().collect();
                (!missing.is_empty()).then_some(Objection::WrongPlatform(missing))
            }
            // What stands was good enough once: a refusal does not show that it is not any more.
            Known::Refused(why) => Some(Objection::PlatformUnknown {
                why,
                may_pass: self.facts.current == Some(candidate.tag),
            }),
            Known::Failed(why) => Some(Objection::PlatformUnknown {
                why,
                may_pass: true,
            }),
            Known::Unasked => Some(Objection::PlatformUnasked),
            Known::OverBudget => Some(Objection::BudgetExhausted),
        }
    }

    /// The tag that stands has been elected once: it does not have to wait again.
    fn age(&self, candidate: &Ranked<'_>) -> Option<Objection> {
        let age = self.governance.minimum_age?;
        if self.facts.current == Some(candidate.tag) {
            return None;
        }
        let seen = (self.facts.seen)(candidate.tag)?;
        if self.was_there_before_the_loss(candidate, seen) {
            return None;
        }
        let until = matures(seen, age);
        (until > self.facts.now).then_some(Objection::TooYoung(until))
    }

    /// Of the tags that were found again nobody knows how old they are; but what the election had passed by already is
    /// not new.
    fn was_there_before_the_loss(&self, candidate: &Ranked<'_>, seen: Timestamp) -> bool {
        let is_refound = self
            .facts
            .refound
            .is_some_and(|refound| refound.as_second() == seen.as_second());
        is_refound && self.compared(candidate).is_some_and(Ordering::is_le)
    }

    pub(super) fn downgrade(&self, candidate: &Ranked<'_>) -> Option<Objection> {
        let is_forbidden = self.governance.downgrade == Some(Downgrade::Forbid)
            && !self.facts.is_rebased
            && !self.facts.is_listed;
        let is_lower = || self.compared(candidate).is_some_and(Ordering::is_lt);
        (is_forbidden && is_lower()).then_some(Objection::DowngradeForbidden)
    }
}

/// When something that was seen at `seen` is so old; never, where the calendar ends before.
pub(crate) fn matures(seen: Timestamp, age: std::time::Duration) -> Timestamp {
    SignedDuration::try_from(age)
        .ok()
        .and_then(|age| seen.checked_add(age).ok())
        .unwrap_or(Timestamp::MAX)
}
