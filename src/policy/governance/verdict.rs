//! A governed election: the latest candidate that nothing speaks against, or why there is none.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::judge::{Facts, Judge, Objection};
use super::{Downgrade, Gap, Governance, InForce, Mirrored, Notice};
use crate::policy::{Candidates, NoTag, Policy, Ranked, TagFilter};

/// How many candidates a registry is asked about in one run, at most.
pub const MOST_CHECKS: usize = 20;

/// What a governed election comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// What is elected.
    pub chosen: Chosen<'a>,
    /// What waits or is held, why, and until when.
    pub notices: Vec<Notice>,
    /// When the first of those that wait is old enough.
    pub matures: Option<Timestamp>,
    /// How many candidates are later than what is elected then; `None` when nothing is.
    pub lag: Option<usize>,
    /// What would be elected if no mirror were required.
    pub without_mirror: Chosen<'a>,
}

/// What is elected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen<'a> {
    /// This tag of the list.
    Tag(&'a str),
    /// What stands, if anything does.
    Stands,
    /// Nothing yet: it has to be known first what this tag runs on.
    Ask(&'a str),
}

/// Holds an election: [`crate::policy::elect`] where nothing governs it, [`govern`] where something does.
pub fn elect<'a>(
    policy: &Policy,
    filter: Option<&TagFilter>,
    candidates: &'a Candidates,
    in_force: &InForce,
    facts: &Facts<'_>,
) -> Result<Verdict<'a>, NoTag> {
    if in_force.is_nothing() {
        return crate::policy::elect(policy, filter, candidates).map(Verdict::ungoverned);
    }
    govern(policy, filter, candidates, in_force, facts)
}

/// Elects under `in_force`. Fails, with the words of [`crate::policy::elect`], when nothing fits that could be governed.
pub fn govern<'a>(
    policy: &Policy,
    filter: Option<&TagFilter>,
    candidates: &'a Candidates,
    in_force: &InForce,
    facts: &Facts<'_>,
) -> Result<Verdict<'a>, NoTag> {
    let ranking = policy.rank(filter, candidates);
    let judge = Judge::new(policy, filter, &in_force.governance, facts);
    govern_ranked(
        policy,
        filter,
        candidates,
        in_force,
        &judge,
        ranking.as_deref(),
    )
}

/// As [`elect`], from what [`Policy::rank`] made of `candidates` already; `judge` knows the same facts.
pub fn elect_ranked<'a>(
    policy: &Policy,
    filter: Option<&TagFilter>,
    candidates: &'a Candidates,
    in_force: &InForce,
    judge: &Judge<'_>,
    ranking: Result<&[Ranked<'a>], &NoTag>,
) -> Result<Verdict<'a>, NoTag> {
    if in_force.is_nothing() {
        let first = ranking.map_err(NoTag::clone)?.first();
        return first
            .map(|first| Verdict::ungoverned(first.tag))
            .ok_or(NoTag::NoMatch);
    }
    govern_ranked(policy, filter, candidates, in_force, judge, ranking)
}

fn govern_ranked<'a>(
    policy: &Policy,
    filter: Option<&TagFilter>,
    candidates: &'a Candidates,
    in_force: &InForce,
    judge: &Judge<'_>,
    ranking: Result<&[Ranked<'a>], &NoTag>,
) -> Result<Verdict<'a>, NoTag> {
    let InForce {
        governance,
        broken,
        is_frozen,
    } = in_force;
    let walk = Walk {
        policy,
        judge,
        governance,
        facts: judge.facts(),
    };
    let mut verdict = match &governance.hold {
        _ if *is_frozen => walk.frozen(ranking.unwrap_or_default()),
        Some(held) => walk.hold(
            held.as_str(),
            candidates.get(held.as_str()),
            filter,
            ranking.unwrap_or_default(),
        ),
        None => match ranking {
            Ok(ranking) => walk.elect(ranking),
            Err(NoTag::Empty | NoTag::NoMatch) if walk.may_not_go_down() => walk.nothing_is_left(),
            Err(none) => return Err(none.clone()),
        },
    };
    let broken = broken.iter().cloned().map(Notice::Invalid);
    verdict.notices.splice(..0, broken);
    Ok(verdict)
}

impl<'a> Verdict<'a> {
    /// The latest tag that fits, and nothing else to tell.
    fn ungoverned(tag: &'a str) -> Self {
        Self {
            chosen: Chosen::Tag(tag),
            notices: Vec::new(),
            matures: None,
            lag: Some(0),
            without_mirror: Chosen::Tag(tag),
        }
    }
}

/// One walk over the candidates.
struct Walk<'a> {
    policy: &'a Policy,
    judge: &'a Judge<'a>,
    governance: &'a Governance,
    facts: &'a Facts<'a>,
}

/// What was passed over on the way.
#[derive(Default)]
struct Passed {
    missing: Option<Notice>,
    unknown: Option<Notice>,
    waiting: Option<Notice>,
    unmirrored: Option<Notice>,
    silent: Option<Notice>,
    matures: Option<Timestamp>,
}

impl Walk<'_> {
    fn frozen<'a>(&self, ranking: &[Ranked<'a>]) -> Verdict<'a> {
        Verdict {
            chosen: Chosen::Stands,
            notices: Vec::new(),
            matures: None,
            lag: self.lag_of_current(ranking),
            without_mirror: Chosen::Stands,
        }
    }

    fn hold<'a>(
        &self,
        asked: &str,
        found: Option<&'a str>,
        filter: Option<&TagFilter>,
        ranking: &[Ranked<'a>],
    ) -> Verdict<'a> {
        let tag = asked.to_owned();
        let Some(held) = found else {
            return Verdict {
                chosen: Chosen::Stands,
                notices: vec![Notice::HeldTagMissing { tag }],
                matures: None,
                lag: self.lag_of_current(ranking),
                without_mirror: Chosen::Stands,
            };
        };
        let best = ranking.first().map(|best| best.tag);
        let instead = best.filter(|best| *best != held).map(str::to_owned);
        let key = match filter {
            Some(filter) => filter.key(held),
            None => Some(held.into()),
        };
        Verdict {
            chosen: Chosen::Tag(held),
            notices: vec![Notice::Held { tag, instead }],
            matures: None,
            lag: Some(self.later_than(ranking, key.as_deref())),
            without_mirror: Chosen::Tag(held),
        }
    }

    fn elect<'a>(&self, ranking: &[Ranked<'a>]) -> Verdict<'a> {
        let mut passed = Passed {
            silent: self.silent_mirror(ranking),
            ..Passed::default()
        };
        let mut chosen = Chosen::Stands;
        let mut without_mirror = None;
        let mut lag = None;
        for candidate in ranking {
            let mut objection = self.judge.objection(candidate);
            if without_mirror.is_some() {
                objection = self.judge.mirror_first(candidate, objection);
            } else {
                without_mirror = self.without_mirror(candidate, objection.as_ref());
            }
            match objection {
                None => {
                    chosen = Chosen::Tag(candidate.tag);
                    lag = Some(self.later_than(ranking, Some(&candidate.key)));
                    break;
                }
                Some(Objection::PlatformUnasked) => {
                    chosen = Chosen::Ask(candidate.tag);
                    break;
                }
                // What follows would be elected for want of knowledge.
                Some(Objection::BudgetExhausted) => {
                    passed.unknown = Some(Notice::BudgetExhausted);
                    break;
                }
                Some(Objection::PlatformUnknown {
                    why,
                    may_pass: true,
                }) => {
                    passed.unknown = Some(unknown(candidate, &why));
                    break;
                }
                Some(Objection::DowngradeForbidden) => {
                    let mut verdict = self.nothing_is_left();
                    if let Some(Notice::DowngradeForbidden { left, .. }) =
                        verdict.notices.first_mut()
                    {
                        *left = Some(candidate.tag.to_owned());
                    }
                    verdict.matures = passed.matures;
                    verdict.notices.extend(passed.notices());
                    verdict.lag = self.lag_of_current(ranking);
                    verdict.without_mirror = without_mirror.unwrap_or(Chosen::Stands);
                    return verdict;
                }
                Some(Objection::NotMirrored) => passed.is_not_mirrored(candidate, &self.mirror()),
                // It may hold what follows no more than this one.
                Some(Objection::MirrorSilent(gap)) => {
                    passed.silent.get_or_insert_with(|| self.silence(gap));
                    if without_mirror == Some(Chosen::Tag(candidate.tag)) {
                        passed.instead_of(candidate);
                    }
                    break;
                }
                Some(Objection::PlatformUnknown {
                    why,
                    may_pass: false,
                }) => {
                    passed
                        .unknown
                        .get_or_insert_with(|| unknown(candidate, &why));
                }
                Some(Objection::WrongPlatform(missing)) => passed.lacks(candidate, missing),
                Some(Objection::TooYoung(until)) => {
                    let age = self.governance.minimum_age.unwrap_or_default();
                    passed.waits(candidate, until, age);
                }
                // Nothing is held here.
                Some(Objection::NotHeld) => {}
            }
        }
        if chosen == Chosen::Stands {
            lag = self.lag_of_current(ranking);
        }
        Verdict {
            chosen,
            matures: passed.matures,
            notices: passed.notices().collect(),
            lag,
            without_mirror: without_mirror.unwrap_or(chosen),
        }
    }

    fn mirror(&self) -> String {
        let mirror = self.governance.require_mirrored.as_ref();
        mirror.map(ToString::to_string).unwrap_or_default()
    }

    /// What is wrong with the mirror as such, whatever the tag.
    fn silent_mirror(&self, ranking: &[Ranked<'_>]) -> Option<Notice> {
        self.governance.require_mirrored.as_ref()?;
        match (self.facts.mirrored)(ranking.first()?.tag) {
            Mirrored::Unsaid(Gap::Unfinished) | Mirrored::Yes | Mirrored::NotYet => None,
            Mirrored::Unsaid(gap) => Some(self.silence(gap)),
        }
    }

    fn silence(&self, gap: Gap) -> Notice {
        Notice::MirrorSilent {
            mirror: self.mirror(),
            gap,
            instead: None,
        }
    }

    /// What this candidate makes of an election in which no mirror is required, if that comes to its end here.
    fn without_mirror<'a>(
        &self,
        candidate: &Ranked<'a>,
        objection: Option<&Objection>,
    ) -> Option<Chosen<'a>> {
        match objection {
            None => Some(Chosen::Tag(candidate.tag)),
            // All rules before have been asked.
            Some(Objection::NotMirrored | Objection::MirrorSilent(_)) => {
                Some(match self.judge.downgrade(candidate) {
                    None => Chosen::Tag(candidate.tag),
                    Some(_) => Chosen::Stands,
                })
            }
            Some(Objection::PlatformUnasked) => Some(Chosen::Ask(candidate.tag)),
            Some(
                Objection::BudgetExhausted
                | Objection::PlatformUnknown { may_pass: true, .. }
                | Objection::DowngradeForbidden,
            ) => Some(Chosen::Stands),
            Some(
                Objection::NotHeld
                | Objection::WrongPlatform(_)
                | Objection::PlatformUnknown {
                    may_pass: false, ..
                }
                | Objection::TooYoung(_),
            ) => None,
        }
    }

    fn may_not_go_down(&self) -> bool {
        self.governance.downgrade == Some(Downgrade::Forbid)
            && self.facts.current.is_some()
            && !self.facts.is_listed
            && !self.facts.is_rebased
    }

    /// The tag that stands vanished, and stays.
    fn nothing_is_left<'a>(&self) -> Verdict<'a> {
        Verdict {
            chosen: Chosen::Stands,
            notices: vec![Notice::DowngradeForbidden {
                current: self.facts.current.unwrap_or_default().to_owned(),
                left: None,
            }],
            matures: None,
            lag: Some(0),
            without_mirror: Chosen::Stands,
        }
    }

    fn lag_of_current(&self, ranking: &[Ranked<'_>]) -> Option<usize> {
        self.facts.current?;
        let is_later =
            |candidate: &&Ranked<'_>| self.judge.compared(candidate).is_none_or(Ordering::is_gt);
        Some(ranking.iter().take_while(is_later).count())
    }

    /// How many of the ranking go before what has this key, equals left out; all, where it does not compare.
    fn later_than(&self, ranking: &[Ranked<'_>], key: Option<&str>) -> usize {
        let is_later = |candidate: &&Ranked<'_>| {
            key.and_then(|key| self.policy.compare(&candidate.key, key))
                .is_none_or(Ordering::is_gt)
        };
        ranking.iter().take_while(is_later).count()
    }
}

impl Passed {
    fn lacks(&mut self, candidate: &Ranked<'_>, missing: Vec<super::Platform>) {
        match &mut self.missing {
            Some(Notice::PlatformsMissing { others, .. }) => *others += 1,
            first => {
                *first = Some(Notice::PlatformsMissing {
                    tag: candidate.tag.to_owned(),
                    missing,
                    others: 0,
                });
            }
        }
    }

    fn waits(&mut self, candidate: &Ranked<'_>, until: Timestamp, age: std::time::Duration) {
        self.matures = Some(self.matures.map_or(until, |first| first.min(until)));
        match &mut self.waiting {
            Some(Notice::Waiting { others, .. }) => *others += 1,
            first => {
                *first = Some(Notice::Waiting {
                    tag: candidate.tag.to_owned(),
                    until,
                    age,
                    others: 0,
                });
            }
        }
    }

    fn is_not_mirrored(&mut self, candidate: &Ranked<'_>, mirror: &str) {
        match &mut self.unmirrored {
            Some(Notice::NotMirrored { others, .. }) => *others += 1,
            first => {
                *first = Some(Notice::NotMirrored {
                    tag: candidate.tag.to_owned(),
                    mirror: mirror.to_owned(),
                    others: 0,
                });
            }
        }
    }

    fn instead_of(&mut self, candidate: &Ranked<'_>) {
        if let Some(Notice::MirrorSilent { instead, .. }) = &mut self.silent {
            *instead = Some(candidate.tag.to_owned());
        }
    }

    fn notices(self) -> impl Iterator<Item = Notice> {
        let Self {
            missing,
            unknown,
            waiting,
            unmirrored,
            silent,
            matures: _,
        } = self;
        silent
            .into_iter()
            .chain(unknown)
            .chain(missing)
            .chain(waiting)
            .chain(unmirrored)
    }
}

fn unknown(candidate: &Ranked<'_>, why: &str) -> Notice {
    Notice::PlatformsUnknown {
        tag: candidate.tag.to_owned(),
        why: why.to_owned(),
    }
}
