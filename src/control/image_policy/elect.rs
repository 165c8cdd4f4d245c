//! The election itself: which tag the rules of `crate::policy` choose from these facts, and what they tell about it.

use std::time::Duration;

use super::decide::is_observed;
use super::gather::{Facts, is_requested};
use crate::control::Settings;
use crate::control::queue::Next;
use crate::image::{Repository, Tag};
use crate::policy::governance::{self, Chosen, Gap, Governance, Mirrored, Notice, Verdict};
use crate::policy::{Candidates, NoTag, Policy, TagFilter};
use crate::store::{Candidate, RepositoryTags};

/// What an election is held with.
pub(super) struct Election<'a> {
    pub(super) facts: &'a Facts,
    pub(super) settings: &'a Settings,
    pub(super) policy: &'a Policy,
    pub(super) filter: Option<&'a TagFilter>,
    pub(super) candidates: &'a Candidates,
    /// The image that they are of.
    pub(super) image: &'a Repository,
    pub(super) tags: Option<&'a RepositoryTags>,
    /// The tag that stands elected, of this image.
    pub(super) current: Option<&'a str>,
    /// How often it is looked again at tags that lack a platform.
    pub(super) fresh_for: Duration,
}

/// What comes of it.
#[derive(Debug, PartialEq)]
pub(super) enum Elected {
    Tag(Tag, Governed),
    /// What the status says stands, and no tag of the list is elected.
    Stands(Governed),
    /// It has to be known first what this tag runs on.
    Ask(Tag),
}

/// What governs what is elected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Governed {
    /// What waits or is held.
    pub(super) notices: Vec<Notice>,
    /// When to look again, if nothing changes before.
    pub(super) next: Next,
    /// How many matching tags are later than the elected one.
    pub(super) lag: Option<usize>,
    /// How old a new digest of the elected tag has to be.
    pub(super) minimum_age: Option<Duration>,
    /// The image that is asked for, where what stands is of another one.
    pub(super) instead_of: Option<String>,
    /// What would be elected if no mirror were required.
    pub(super) candidate: Option<Candidate>,
    /// As long as it says nothing of this: the mirror that is required is about to speak.
    pub(super) silence: Option<Duration>,
}

/// The longest wait in one piece: calendars jump, and timers do not.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

impl Election<'_> {
    pub(super) fn hold(&self) -> Result<Elected, NoTag> {
        let in_force = &self.facts.governing.in_force;
        let seen = |tag: &str| self.tags?.seen(tag);
        let platforms = |tag: &str| self.facts.platforms.known(tag);
        let mirrored = |tag: &str| self.mirrored(tag);
        let facts = governance::Facts {
            now: self.facts.now,
            current: self.current,
            is_listed: self
                .current
                .is_some_and(|current| self.candidates.get(current).is_some()),
            is_rebased: self.facts.governing.is_rebased,
            seen: &seen,
            refound: self.tags.and_then(RepositoryTags::refound),
            platforms: &platforms,
            mirrored: &mirrored,
        };
        let verdict =
            governance::elect(self.policy, self.filter, self.candidates, in_force, &facts)?;
        let governed = Governed {
            next: self.next(&verdict),
            candidate: self.candidate(verdict.without_mirror),
            silence: self.silence(&verdict),
            notices: verdict.notices,
            lag: verdict.lag,
            minimum_age: minimum_age(&in_force.governance),
            instead_of: None,
        };
        // What stands is elected again while it is in the list: the store may not know of it.
        let elected = match verdict.chosen {
            Chosen::Ask(asked) => {
                if let Some(asked) = tag(asked) {
                    return Ok(Elected::Ask(asked));
                }
                None
            }
            Chosen::Tag(elected) => tag(elected),
            Chosen::Stands if facts.is_listed => self.current.and_then(tag),
            Chosen::Stands => None,
        };
        Ok(match elected {
            Some(elected) => Elected::Tag(elected, governed),
            None => Elected::Stands(governed),
        })
    }

    fn mirrored(&self, tag: &str) -> Mirrored {
        Mirrored::of(match &self.facts.gate {
            Some(Ok(copies)) => copies.has(tag).ok_or(Gap::Unfinished),
            Some(Err(gap)) => Err(*gap),
            None => Ok(true),
        })
    }

    fn candidate(&self, chosen: Chosen<'_>) -> Option<Candidate> {
        let elected = match chosen {
            Chosen::Tag(elected) => Some(elected),
            Chosen::Stands => self.current,
            Chosen::Ask(_) => None,
        };
        Some(Candidate {
            repository: self.facts.reference.clone(),
            image: self.image.clone(),
            tag: tag(elected?)?,
        })
    }

    /// What stands stays, and the mirror has not had the time to say anything: nor does the status.
    fn silence(&self, verdict: &Verdict<'_>) -> Option<Duration> {
        let object = &self.facts.object;
        let stays = match verdict.chosen {
            Chosen::Stands => true,
            Chosen::Tag(elected) => Some(elected) == self.current,
            Chosen::Ask(_) => false,
        };
        let is_told = verdict
            .notices
            .iter()
            .any(|notice| matches!(notice, Notice::MirrorSilent { gap, .. } if gap.may_pass()));
        let waits = self.current.is_some()
            && stays
            && is_told
            && is_observed(object)
            && !is_requested(object);
        self.facts.patience.filter(|_| waits)
    }

    fn next(&self, verdict: &Verdict<'_>) -> Next {
        if let Some(asked) = self.facts.platforms.failed() {
            return Next::retry_after(Some(asked));
        }
        let is_among = |is: fn(&Notice) -> bool| verdict.notices.iter().any(is);
        let matures = verdict.matures.map(|time| {
            let wait = time.duration_since(self.facts.now);
            Duration::try_from(wait).unwrap_or_default()
        });
        let goes_on = is_among(|notice| *notice == Notice::BudgetExhausted)
            .then_some(self.settings.requeue_dependency);
        let looks_again = is_among(|notice| {
            matches!(
                notice,
                Notice::PlatformsMissing { .. } | Notice::PlatformsUnknown { .. }
            )
        })
        .then_some(self.fresh_for);
        soonest([matures, goes_on, looks_again])
    }
}

/// The soonest of these.
pub(super) fn soonest(waits: impl IntoIterator<Item = Option<Duration>>) -> Next {
    let soonest = waits.into_iter().flatten().min();
    soonest.map_or(Next::Await, |wait| Next::After(wait.min(LONGEST_WAIT)))
}

/// Who holds a tag does not wait for it.
fn minimum_age(governance: &Governance) -> Option<Duration> {
    governance.minimum_age.filter(|_| governance.hold.is_none())
}

/// What is stored was a tag when it was stored.
fn tag(text: &str) -> Option<Tag> {
    text.parse().ok()
}
