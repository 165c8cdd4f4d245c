//! What an election tells about what waits or is held, why, and until when: the ends of condition messages.
//!
//! A text says nothing that changes by itself from run to run, so that an unchanged state is an unchanged status.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::{Gap, Invalid, MOST_CHECKS, Platform};
use crate::api::duration::GoDuration;
use crate::api::names;

/// One thing that governs an election. Ordered by what a person wants to know first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An annotation does not parse.
    Invalid(Invalid),
    /// A tag is held.
    Held {
        /// The tag.
        tag: String,
        /// What would be elected otherwise, if that is another one.
        instead: Option<String>,
    },
    /// The tag to hold is not in the list.
    HeldTagMissing {
        /// The tag.
        tag: String,
    },
    /// Only earlier tags are left.
    DowngradeForbidden {
        /// The tag that stands.
        current: String,
        /// The best that is left; `None` when nothing is.
        left: Option<String>,
    },
    /// The mirror that is required says nothing of any tag.
    MirrorSilent {
        /// The mirror.
        mirror: String,
        /// Why.
        gap: Gap,
        /// What would be elected otherwise, if that is another one.
        instead: Option<String>,
    },
    /// Not all candidates could be looked at for their platforms in one run.
    BudgetExhausted,
    /// The registry could not say what a tag runs on.
    PlatformsUnknown {
        /// The best such tag.
        tag: String,
        /// What the registry said.
        why: String,
    },
    /// A tag does not run on everything that is asked for.
    PlatformsMissing {
        /// The best such tag.
        tag: String,
        /// What it lacks.
        missing: Vec<Platform>,
        /// How many other tags were passed over for theirs.
        others: usize,
    },
    /// A tag is too young.
    Waiting {
        /// The best such tag.
        tag: String,
        /// When it is old enough.
        until: Timestamp,
        /// What is asked for.
        age: Duration,
        /// How many other tags wait.
        others: usize,
    },
    /// The mirror that is required does not hold a tag yet.
    NotMirrored {
        /// The best such tag.
        tag: String,
        /// The mirror.
        mirror: String,
        /// How many other tags were passed over for the same.
        others: usize,
    },
    /// The elected tag was pushed again, and what it is now is too young.
    DigestWaiting {
        /// The tag.
        tag: String,
        /// Its new digest.
        digest: String,
        /// When it is old enough.
        until: Timestamp,
        /// What is asked for.
        age: Duration,
    },
}

/// What a notice is about, for programs: the reason of the condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// An annotation does not parse.
    InvalidAnnotation,
    /// A tag is held.
    Held,
    /// The tag to hold is not in the list.
    HeldTagMissing,
    /// The election does not go down.
    DowngradeForbidden,
    /// More candidates have to be looked at than one run may.
    BudgetExhausted,
    /// The registry could not say what a tag runs on.
    PlatformsUnknown,
    /// A tag does not run on everything that is asked for.
    PlatformsMissing,
    /// Something has to become older.
    Waiting,
    /// The mirror that is required does not hold a tag yet.
    NotMirrored,
    /// There is no such mirror.
    MirrorMissing,
    /// It is not known what the mirror holds.
    MirrorUnknown,
    /// The mirror does not copy from here.
    MirrorElsewhere,
    /// The mirror's copies have other digests than those that are asked for.
    MirrorRewritten,
}

impl Reason {
    /// As it stands in the condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidAnnotation => "InvalidAnnotation",
            Self::Held => "Held",
            Self::HeldTagMissing => "HeldTagMissing",
            Self::DowngradeForbidden => "DowngradeForbidden",
            Self::BudgetExhausted => "BudgetExhausted",
            Self::PlatformsUnknown => "PlatformsUnknown",
            Self::PlatformsMissing => "PlatformsMissing",
            Self::Waiting => "Waiting",
            Self::NotMirrored => "NotMirrored",
            Self::MirrorMissing => "MirrorMissing",
            Self::MirrorUnknown => "MirrorUnknown",
            Self::MirrorElsewhere => "MirrorElsewhere",
            Self::MirrorRewritten => "MirrorRewritten",
        }
    }
}

impl Notice {
    /// What it is about.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_) => Reason::InvalidAnnotation,
            Self::Held { .. } => Reason::Held,
            Self::HeldTagMissing { .. } => Reason::HeldTagMissing,
            Self::DowngradeForbidden { .. } => Reason::DowngradeForbidden,
            Self::BudgetExhausted => Reason::BudgetExhausted,
            Self::PlatformsUnknown { .. } => Reason::PlatformsUnknown,
            Self::PlatformsMissing { .. } => Reason::PlatformsMissing,
            Self::Waiting { .. } | Self::DigestWaiting { .. } => Reason::Waiting,
            Self::NotMirrored { .. } => Reason::NotMirrored,
            Self::MirrorSilent { gap, .. } => match gap {
                Gap::Missing => Reason::MirrorMissing,
                Gap::Unseen | Gap::Unlooked | Gap::Unfinished | Gap::Blocked => {
                    Reason::MirrorUnknown
                }
                Gap::Elsewhere => Reason::MirrorElsewhere,
                Gap::Rewritten => Reason::MirrorRewritten,
            },
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => {
                write!(f, "{invalid}; what was in force before it stays so")
            }
            Self::Held { tag, instead } => {
                write!(f, "held at {tag} by {}", names::HOLD)?;
                match instead {
                    Some(instead) => write!(f, ", {instead} is not elected"),
                    None => Ok(()),
                }
            }
            Self::HeldTagMissing { tag } => write!(
                f,
                "{tag}, which {} asks for, is not in the list",
                names::HOLD
            ),
            Self::DowngradeForbidden { current, left } => {
                match left {
                    Some(left) => write!(f, "{left} would be a downgrade")?,
                    None => f.write_str("nothing else fits")?,
                }
                write!(
                    f,
                    ", and {current} stays though it is not in the list any more ({}: forbid)",
                    names::DOWNGRADE
                )
            }
            Self::BudgetExhausted => write!(
                f,
                "more than {MOST_CHECKS} tags have to be asked for their platforms, the next ones soon ({})",
                names::PLATFORMS
            ),
            Self::PlatformsUnknown { tag, why } => {
                write!(f, "the platforms of {tag} are not known: {why}")
            }
            Self::PlatformsMissing {
                tag,
                missing,
                others,
            } => {
                write!(f, "{tag} lacks ")?;
                for (index, platform) in missing.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{platform}")?;
                }
                write!(f, " ({})", names::PLATFORMS)?;
                and_others(f, *others)
            }
            Self::Waiting {
                tag,
                until,
                age,
                others,
            } => {
                write!(f, "{tag} waits {}", Until(*until, *age))?;
                and_others(f, *others)
            }
            Self::NotMirrored {
                tag,
                mirror,
                others,
            } => {
                let name = names::REQUIRE_MIRRORED;
                write!(
                    f,
                    "{tag} is not yet at all destinations of ImageMirror {mirror} ({name})"
                )?;
                match others {
                    0 => Ok(()),
                    1 => f.write_str(", nor is 1 other tag"),
                    _ => write!(f, ", nor are {others} other tags"),
                }
            }
            Self::MirrorSilent {
                mirror,
                gap,
                instead,
            } => {
                write!(f, "{} ({})", gap.told(mirror), names::REQUIRE_MIRRORED)?;
                match instead {
                    Some(instead) => write!(f, ", {instead} is not elected"),
                    None => Ok(()),
                }
            }
            Self::DigestWaiting {
                tag,
                digest,
                until,
                age,
            } => write!(
                f,
                "{tag} was pushed again, digest {digest} waits {}",
                Until(*until, *age)
            ),
        }
    }
}

/// When, in whole seconds and never too early, and for what age.
struct Until(Timestamp, Duration);

/// `until <date> (minimum age <age>)`, without the name of an annotation.
pub(crate) fn until(until: Timestamp, age: Duration) -> String {
    let (until, age) = (whole_seconds(until), GoDuration::from(age));
    format!("until {until} (minimum age {age})")
}

fn whole_seconds(until: Timestamp) -> Timestamp {
    let second = until.as_second() + i64::from(until.subsec_nanosecond() > 0);
    Timestamp::from_second(second).unwrap_or(until)
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(until, age) = self;
        let until = whole_seconds(*until);
        let age = GoDuration::from(*age);
        write!(f, "until {until} ({}: {age})", names::MINIMUM_AGE)
    }
}

fn and_others(f: &mut fmt::Formatter<'_>, others: usize) -> fmt::Result {
    match others {
        0 => Ok(()),
        1 => f.write_str(", and so does 1 other tag"),
        _ => write!(f, ", and so do {others} other tags"),
    }
}
