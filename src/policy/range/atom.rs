//! What one comparison of a range means, wildcards and missing parts included.
//!
//! The prerelease gate is not here: it is a matter of the whole segment.

use std::cmp::Ordering;

use crate::policy::version::Version;

/// One comparison: an operator and the version it compares with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Atom {
    pub(super) op: Op,
    pub(super) precision: Precision,
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) patch: u64,
    /// Empty when the atom names none.
    pub(super) prerelease: String,
}

/// How the candidate relates to the atom's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// `=`, or none.
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `<`
    Less,
    /// `>=`, `=>`
    GreaterOrEqual,
    /// `<=`, `=<`
    LessOrEqual,
    /// `~`, `~>`
    Tilde,
    /// `^`
    Caret,
}

/// The last part of its version that the atom spells out; parts behind it are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// None: `*`.
    Any,
    /// `1`, `1.x`
    Major,
    /// `1.2`, `1.2.x`
    Minor,
    /// `1.2.3`
    Patch,
}

impl Atom {
    pub(super) fn names_prerelease(&self) -> bool {
        !self.prerelease.is_empty()
    }

    /// Whether the comparison holds, the gate aside.
    pub(super) fn holds(&self, version: &Version<'_>) -> bool {
        match self.op {
            Op::Equal => match self.precision {
                Precision::Patch => self.order(version).is_eq(),
                Precision::Any | Precision::Major | Precision::Minor => self.holds_tilde(version),
            },
            Op::NotEqual => self.holds_not_equal(version),
            Op::Greater => self.holds_greater(version),
            Op::Less => self.order(version).is_lt(),
            Op::GreaterOrEqual => self.order(version).is_ge(),
            Op::LessOrEqual => self.holds_less_or_equal(version),
            Op::Tilde => self.holds_tilde(version),
            Op::Caret => self.holds_caret(version),
        }
    }

    /// How `version` compares with the atom's.
    fn order(&self, version: &Version<'_>) -> Ordering {
        version.precedence(&Version {
            major: self.major,
            minor: self.minor,
            patch: self.patch,
            prerelease: &self.prerelease,
            metadata: "",
        })
    }

    fn holds_not_equal(&self, version: &Version<'_>) -> bool {
        let (majors_differ, minors_differ) =
            (version.major != self.major, version.minor != self.minor);
        match self.precision {
            Precision::Any | Precision::Patch => self.order(version).is_ne(),
            Precision::Major => majors_differ,
            // Within the minor, only differing prereleases set two versions apart.
            Precision::Minor => {
                majors_differ || minors_differ || version.prerelease != self.prerelease
            }
        }
    }

    /// `>1.1` starts behind all of 1.1, `>1` behind all of 1.
    fn holds_greater(&self, version: &Version<'_>) -> bool {
        let majors = version.major.cmp(&self.major);
        match self.precision {
            Precision::Any | Precision::Patch => self.order(version).is_gt(),
            Precision::Major => majors.is_gt(),
            Precision::Minor => majors.then(version.minor.cmp(&self.minor)).is_gt(),
        }
    }

    /// `<=1.1` includes all of 1.1, `<=1` all of 1.
    fn holds_less_or_equal(&self, version: &Version<'_>) -> bool {
        let majors = version.major.cmp(&self.major);
        match self.precision {
            Precision::Patch => self.order(version).is_le(),
            Precision::Major => majors.is_le(),
            // A lone wildcard stands for 0.0 here.
            Precision::Any | Precision::Minor => {
                majors.then(version.minor.cmp(&self.minor)).is_le()
            }
        }
    }

    fn holds_tilde(&self, version: &Version<'_>) -> bool {
        if self.order(version).is_lt() {
            return false;
        }
        let (majors_agree, minors_agree) =
            (version.major == self.major, version.minor == self.minor);
        match self.precision {
            Precision::Major => majors_agree,
            Precision::Minor => majors_agree && minors_agree,
            // Upstream takes a core of 0.0.0 for "any version", whether a wildcard or the user wrote it.
            Precision::Any | Precision::Patch => {
                (self.major, self.minor, self.patch) == (0, 0, 0) || (majors_agree && minors_agree)
            }
        }
    }

    /// Everything up to the next change of the leftmost part that is not zero.
    fn holds_caret(&self, version: &Version<'_>) -> bool {
        if self.order(version).is_lt() || version.major != self.major {
            return false;
        }
        if self.major > 0 || self.precision == Precision::Major {
            return true;
        }
        if version.minor != self.minor {
            return false;
        }
        self.minor > 0 || self.precision == Precision::Minor || version.patch == self.patch
    }
}
