//! An election explained: who wins, who comes next, and for every other tag the first rule that speaks against it.
//!
//! The winner comes out of the functions that elect ([`governance::elect_ranked`] over [`Policy::rank`]); nothing here
//! decides anything a second time. The order of the rules is theirs: exclusion, hold, filter and range, platforms, age,
//! mirrored, downgrade, and last the rank. Explaining walks over as many tags as there are, and so asks every now and then whether
//! to go on.

mod reason;
mod tally;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::governance::{self, Chosen, Facts, Gap, InForce, Judge, MOST_CHECKS, Notice, Objection};
use super::range::Mismatch;
use super::{Candidates, Filtered, NoTag, Policy, Ranked, TagFilter, Version, number};
use crate::quote::GoQuoted;

pub use reason::Reason;
use tally::Tally;

/// An election to explain.
pub struct Question<'a> {
    /// How the latest tag is chosen.
    pub policy: &'a Policy,
    /// From which tags.
    pub filter: Option<&'a TagFilter>,
    /// All tags.
    pub candidates: &'a Candidates,
    /// Those that were left out before, each with the pattern that did it.
    pub excluded: &'a [(String, String)],
    /// What governs.
    pub in_force: &'a InForce,
    /// What others know.
    pub facts: &'a Facts<'a>,
    /// The list may not be all there is, and what stands is not in it: then it stands.
    pub is_awaited: bool,
    /// How much to tell.
    pub limits: Limits,
    /// Whether there is time left. Asked before each tag.
    pub go_on: &'a dyn Fn() -> bool,
}

/// How much is told. What is counted does not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most of the ranking.
    pub ranked: usize,
    /// The most rejected tags.
    pub rejected: usize,
}

/// A tag, and what the policy judges it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The tag.
    pub tag: String,
    /// The tag again, or what the filter extracts from it; `None` where the filter does not let it in.
    pub key: Option<String>,
}

/// A tag that is not elected, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The tag.
    pub tag: String,
    /// The rule that speaks against it.
    pub reason: Reason,
    /// The same for people.
    pub message: String,
}

/// How many tags there are of which kind: `total` = `eligible` + all of `rejected` but [`Reason::LowerRank`]; where keys grow
/// beyond their bound, `total` alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// All tags.
    pub total: usize,
    /// Those that nothing speaks against but that another one ranks higher.
    pub eligible: usize,
    /// The others, and the eligible ones that do not win, by reason.
    pub rejected: BTreeMap<Reason, usize>,
}

/// What there is to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// What is elected; also what stands elected and stays, though it may not be in the list.
    pub latest: Option<Seat>,
    /// The eligible tags, the best first.
    pub ranked: Vec<Seat>,
    /// Why not: those that the policy ranks first, in its order, then the others in descending byte order.
    pub rejected: Vec<Rejected>,
    /// All of it in numbers.
    pub counts: Counts,
    /// What the policy says instead of electing.
    pub none: Option<NoTag>,
    /// What waits or is held.
    pub notices: Vec<Notice>,
}

/// There was no time left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the election was not explained in time")]
pub struct Interrupted;

/// Holds the election, and explains it.
pub fn explain(question: &Question<'_>) -> Result<Explained, Interrupted> {
    let Question {
        policy,
        filter,
        candidates,
        excluded,
        in_force,
        facts,
        is_awaited,
        limits,
        go_on,
    } = question;
    let filtered = filter.map(|filter| filter.apply_while(candidates, go_on));
    let filtered: Option<Result<Filtered<'_>, NoTag>> = match filtered {
        Some(Ok(None)) => return Err(Interrupted),
        Some(Ok(Some(filtered))) => Some(Ok(filtered)),
        Some(Err(none)) => Some(Err(none)),
        None => None,
    };
    let ranking = match &filtered {
        None => policy.rank(None, candidates),
        Some(_) if candidates.is_empty() => Err(NoTag::Empty),
        Some(Ok(filtered)) => policy.rank_filtered(filtered.clone()),
        Some(Err(none)) => Err(none.clone()),
    };
    let judge = Judge::new(policy, *filter, &in_force.governance, facts);
    let verdict = governance::elect_ranked(
        policy,
        *filter,
        candidates,
        in_force,
        &judge,
        ranking.as_deref(),
    );
    let (chosen, notices, none) = match verdict {
        _ if *is_awaited => (Chosen::Stands, Vec::new(), None),
        Ok(verdict) => (verdict.chosen, verdict.notices, None),
        Err(none) => (Chosen::Stands, Vec::new(), Some(none)),
    };
    let latest = match chosen {
        Chosen::Tag(tag) => Some(tag),
        Chosen::Stands | Chosen::Ask(_) if none.is_none() => facts.current,
        Chosen::Stands | Chosen::Ask(_) => None,
    };
    let explainer = Explainer {
        question,
        filtered: filtered
            .as_ref()
            .and_then(|filtered| filtered.as_ref().ok()),
        judge: &judge,
        latest,
        is_too_large: matches!(none, Some(NoTag::KeysTooLarge(_))),
    };
    let mut tally = Tally::new(limits.rejected);
    explainer.candidates(ranking.as_deref().unwrap_or_default(), &mut tally)?;
    for (tag, pattern) in *excluded {
        let told = || format!("{} of exclusionList matches it", shown(pattern));
        tally.reject(tag, Reason::Excluded, told);
    }
    let latest = latest.map(|tag| explainer.seat(tag));
    let total = candidates.len() + excluded.len();
    let Tally {
        eligible,
        ranked,
        rejected,
        counts,
        ..
    } = tally;
    Ok(Explained {
        latest,
        ranked,
        rejected,
        counts: Counts {
            total,
            eligible,
            rejected: counts,
        },
        none,
        notices,
    })
}

struct Explainer<'a> {
    question: &'a Question<'a>,
    filtered: Option<&'a Filtered<'a>>,
    judge: &'a Judge<'a>,
    latest: Option<&'a str>,
    /// Nothing can be said of any tag: its key was never made.
    is_too_large: bool,
}

impl Explainer<'_> {
    fn candidates(&self, ranking: &[Ranked<'_>], tally: &mut Tally) -> Result<(), Interrupted> {
        let question = self.question;
        let in_force = question.in_force;
        if in_force.governance.hold.is_some() || in_force.is_frozen || question.is_awaited {
            return self.held(tally);
        }
        if self.is_too_large {
            return Ok(());
        }
        self.ranked(ranking, tally)?;
        for tag in question.candidates.iter() {
            self.goes_on()?;
            match self.unfit(tag) {
                Some((reason, message)) => tally.reject(tag, reason, || message),
                // One that is no number fails the policy for all.
                None if ranking.is_empty() => tally.eligible += 1,
                None => {}
            }
        }
        Ok(())
    }

    /// One tag is held, or what stands is, whatever the rules say of the others.
    fn held(&self, tally: &mut Tally) -> Result<(), Interrupted> {
        let question = self.question;
        let held = match &question.in_force.governance.hold {
            Some(held) if !question.in_force.is_frozen => Some(held.as_str()),
            Some(_) | None => self.latest,
        };
        for tag in question.candidates.iter() {
            self.goes_on()?;
            if Some(tag) == held {
                tally.eligible += 1;
                if question.limits.ranked > 0 {
                    tally.ranked.push(self.seat(tag));
                }
                continue;
            }
            tally.reject(tag, Reason::NotHeld, || match held {
                Some(held) if question.is_awaited => {
                    format!("{held} stands: the list may not be all there is, and lacks it")
                }
                Some(held) => format!("{held} is held"),
                None => "nothing is elected before the annotations parse".to_owned(),
            });
        }
        Ok(())
    }

    fn ranked(&self, ranking: &[Ranked<'_>], tally: &mut Tally) -> Result<(), Interrupted> {
        let (mut unknown, mut is_decided) = (0, false);
        // The first of which something that decides is not known, and what.
        let mut first_unknown = None;
        for candidate in ranking {
            self.goes_on()?;
            let mut objection = self.judge.objection(candidate);
            if is_decided {
                objection = self.judge.mirror_first(candidate, objection);
            }
            is_decided |= matches!(
                objection,
                None | Some(Objection::NotMirrored | Objection::MirrorSilent(_))
            );
            let objection = match objection {
                Some(Objection::PlatformUnknown { may_pass: true, .. })
                    if unknown >= MOST_CHECKS =>
                {
                    Some(Objection::BudgetExhausted)
                }
                objection => objection,
            };
            if let Some(objection) = objection {
                let what = match objection {
                    Objection::PlatformUnknown { may_pass: true, .. } => {
                        unknown += 1;
                        Some("what that runs on")
                    }
                    Objection::MirrorSilent(Gap::Unfinished) => {
                        Some("whether the mirror has that one")
                    }
                    _ => None,
                };
                first_unknown = first_unknown.or_else(|| Some((candidate.tag, what?)));
                let reason = Reason::of(&objection);
                tally.reject(candidate.tag, reason, || self.told(&objection));
                continue;
            }
            tally.eligible += 1;
            if tally.ranked.len() < self.question.limits.ranked {
                tally.ranked.push(Seat {
                    tag: candidate.tag.to_owned(),
                    key: Some(candidate.key.clone().into_owned()),
                });
            }
            if Some(candidate.tag) != self.latest {
                tally.reject(candidate.tag, Reason::LowerRank, || {
                    match (first_unknown, self.latest) {
                        (Some((unknown, what)), _) => {
                            format!("{unknown} ranks above it, and {what} is not known")
                        }
                        (None, Some(latest)) => format!("{latest} ranks above it"),
                        (None, None) => "another tag goes first".to_owned(),
                    }
                });
            }
        }
        Ok(())
    }

    /// Why the policy does not even rank `tag`.
    fn unfit(&self, tag: &str) -> Option<(Reason, String)> {
        let key = match self.question.filter {
            None => Cow::Borrowed(tag),
            Some(filter) => {
                let Some(key) = filter.key(tag) else {
                    let message = "the pattern of filterTags does not match it".to_owned();
                    return Some((Reason::FilteredByPattern, message));
                };
                key
            }
        };
        let holder = self.filtered.and_then(|filtered| filtered.tag_of(&key));
        if let Some(holder) = holder.filter(|holder| *holder != tag) {
            let message = format!("{holder} has the same key, {}", shown(&key));
            return Some((Reason::ExtractCollision, message));
        }
        match self.question.policy {
            Policy::SemVer(range) => {
                let Some(version) = Version::parse_tag(&key) else {
                    let message = format!("{} is no version of three parts", shown(&key));
                    return Some((Reason::NotSemver, message));
                };
                match range.check(&version) {
                    Ok(()) => None,
                    Err(Mismatch::OutOfRange) => {
                        let message = format!("{} is not in the range", shown(&key));
                        Some((Reason::OutOfRange, message))
                    }
                    Err(Mismatch::Prerelease) => Some((
                        Reason::Prerelease,
                        format!("{} is a prerelease, and the range names none", shown(&key)),
                    )),
                }
            }
            Policy::Alphabetical(_) => None,
            Policy::Numerical(_) => number::parse(&key).is_none().then(|| {
                let message = format!(
                    "{}, and one such tag fails the policy",
                    NoTag::NotANumber(cut(&key).to_owned())
                );
                (Reason::NotNumeric, message)
            }),
        }
    }

    fn told(&self, objection: &Objection) -> String {
        match objection {
            Objection::NotHeld => "another tag is held".to_owned(),
            Objection::WrongPlatform(missing) => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                format!("it lacks {}", missing.join(", "))
            }
            Objection::PlatformUnknown { why, .. } => {
                format!("what it runs on is not known: {why}")
            }
            Objection::PlatformUnasked => "what it runs on has not been asked".to_owned(),
            Objection::BudgetExhausted => {
                format!("one run asks what {MOST_CHECKS} tags run on, and others go first")
            }
            Objection::TooYoung(until) => format!("it waits {}", self.age(*until)),
            Objection::NotMirrored => {
                format!(
                    "it is not yet at all destinations of ImageMirror {}",
                    self.mirror()
                )
            }
            Objection::MirrorSilent(gap) => gap.told(&self.mirror()),
            Objection::DowngradeForbidden => {
                let current = self.question.facts.current.unwrap_or_default();
                format!("it is earlier than {current}, which stays though it is not in the list")
            }
        }
    }

    fn age(&self, until: jiff::Timestamp) -> String {
        let age = self.question.in_force.governance.minimum_age;
        governance::until(until, age.unwrap_or_default())
    }

    fn mirror(&self) -> String {
        let mirror = self.question.in_force.governance.require_mirrored.as_ref();
        mirror.map(ToString::to_string).unwrap_or_default()
    }

    fn seat(&self, tag: &str) -> Seat {
        let key = match self.question.filter {
            None => Some(tag.to_owned()),
            Some(filter) => filter.key(tag).map(Cow::into_owned),
        };
        Seat {
            tag: tag.to_owned(),
            key,
        }
    }

    fn goes_on(&self) -> Result<(), Interrupted> {
        if (self.question.go_on)() {
            Ok(())
        } else {
            Err(Interrupted)
        }
    }
}

/// How much of a key or a pattern is told.
const SHOWN: usize = 256;

fn cut(text: &str) -> &str {
    let end = text
        .char_indices()
        .nth(SHOWN)
        .map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

/// Quoted, the beginning.
fn shown(text: &str) -> String {
    let cut = cut(text);
    let rest = if cut.len() < text.len() { "..." } else { "" };
    format!("{}{rest}", GoQuoted(cut))
}
