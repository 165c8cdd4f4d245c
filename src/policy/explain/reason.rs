//! Why a tag is not elected: a closed set, in the order in which the rules are asked.

use crate::policy::governance::Objection;

/// The rule that speaks against a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// An exclusion list drops it before anybody elects.
    Excluded,
    /// Another tag is held.
    NotHeld,
    /// The pattern of the filter does not match it.
    FilteredByPattern,
    /// Another tag has the same key.
    ExtractCollision,
    /// Its key is no version.
    NotSemver,
    /// Its version is not in the range.
    OutOfRange,
    /// Its version would be in the range, but is a prerelease.
    Prerelease,
    /// Its key is no number.
    NotNumeric,
    /// It lacks a platform.
    WrongPlatform,
    /// It is not known what it runs on.
    PlatformUnknown,
    /// It is not known what it runs on, and one run asks about no more tags.
    BudgetExhausted,
    /// It has not been known for long enough.
    TooYoung,
    /// The mirror that has to hold it does not yet, or is not known to.
    NotMirrored,
    /// It is earlier than what stands.
    DowngradeForbidden,
    /// Nothing speaks against it, and another tag ranks higher.
    LowerRank,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Excluded,
        Self::NotHeld,
        Self::FilteredByPattern,
        Self::ExtractCollision,
        Self::NotSemver,
        Self::OutOfRange,
        Self::Prerelease,
        Self::NotNumeric,
        Self::WrongPlatform,
        Self::PlatformUnknown,
        Self::BudgetExhausted,
        Self::TooYoung,
        Self::NotMirrored,
        Self::DowngradeForbidden,
        Self::LowerRank,
    ];

    /// As clients read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Excluded => "Excluded",
            Self::NotHeld => "NotHeld",
            Self::FilteredByPattern => "FilteredByPattern",
            Self::ExtractCollision => "ExtractCollision",
            Self::NotSemver => "NotSemver",
            Self::OutOfRange => "OutOfRange",
            Self::Prerelease => "Prerelease",
            Self::NotNumeric => "NotNumeric",
            Self::WrongPlatform => "WrongPlatform",
            Self::PlatformUnknown => "PlatformUnknown",
            Self::BudgetExhausted => "BudgetExhausted",
            Self::TooYoung => "TooYoung",
            Self::DowngradeForbidden => "DowngradeForbidden",
            Self::NotMirrored => "NotMirrored",
            Self::LowerRank => "LowerRank",
        }
    }

    /// The rule behind an objection.
    pub(super) fn of(objection: &Objection) -> Self {
        match objection {
            Objection::NotHeld => Self::NotHeld,
            Objection::WrongPlatform(_) => Self::WrongPlatform,
            Objection::PlatformUnknown { .. } | Objection::PlatformUnasked => Self::PlatformUnknown,
            Objection::BudgetExhausted => Self::BudgetExhausted,
            Objection::TooYoung(_) => Self::TooYoung,
            Objection::NotMirrored | Objection::MirrorSilent(_) => Self::NotMirrored,
            Objection::DowngradeForbidden => Self::DowngradeForbidden,
        }
    }
}
