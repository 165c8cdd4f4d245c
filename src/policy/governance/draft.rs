//! The same five rules as fields of a draft instead of annotations: nobody remembers an earlier value of those, so that
//! one which does not parse is refused.

use super::{Governance, MOST_PLATFORMS, Platform, age, downgrade, tag};

/// The fields as they were written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draft<'a> {
    /// The one tag to elect.
    pub hold: Option<&'a str>,
    /// A Go duration.
    pub minimum_age: Option<&'a str>,
    /// `allow` or `forbid`.
    pub downgrade: Option<&'a str>,
    /// `os/arch` or `os/arch/variant`, each.
    pub platforms: Option<&'a [String]>,
    /// `name` or `namespace/name`.
    pub require_mirrored: Option<&'a str>,
}

/// A field that does not parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// The tag to hold, and what is wrong with it.
    Hold(String),
    /// The age, and what is wrong with it.
    MinimumAge(String),
    /// The way down is neither of the two.
    Downgrade,
    /// The platform at this place is none.
    Platform(usize),
    /// There are so many platforms, more than may be.
    TooManyPlatforms {
        /// How many there are.
        given: usize,
        /// How many there may be.
        most: usize,
    },
    /// The mirror's name, and what is wrong with it.
    RequireMirrored(String),
}

impl Draft<'_> {
    /// Reads all fields, or says what is wrong with each that does not parse.
    pub fn read(self) -> Result<Governance, Vec<Unfit>> {
        let mut unfit = Vec::new();
        let mut take = |problem: Option<Unfit>| unfit.extend(problem);
        let hold = self.hold.map(tag).transpose();
        take(hold.as_ref().err().cloned().map(Unfit::Hold));
        let minimum_age = self.minimum_age.map(age).transpose();
        take(minimum_age.as_ref().err().cloned().map(Unfit::MinimumAge));
        let downgrade = self.downgrade.map(downgrade).transpose();
        take(downgrade.is_err().then_some(Unfit::Downgrade));
        let platforms = self.platforms.map(|platforms| {
            let given = platforms.len();
            if given > MOST_PLATFORMS {
                let most = MOST_PLATFORMS;
                unfit.push(Unfit::TooManyPlatforms { given, most });
            }
            let mut read: Vec<Platform> = Vec::new();
            for (place, platform) in platforms.iter().take(MOST_PLATFORMS).enumerate() {
                match platform.parse() {
                    Ok(platform) => read.push(platform),
                    Err(()) => unfit.push(Unfit::Platform(place)),
                }
            }
            read.sort();
            read.dedup();
            read
        });
        let mirror = self.require_mirrored.map(str::parse).transpose();
        unfit.extend(mirror.as_ref().err().cloned().map(Unfit::RequireMirrored));
        match (hold, minimum_age, downgrade, mirror) {
            (Ok(hold), Ok(minimum_age), Ok(downgrade), Ok(require_mirrored))
                if unfit.is_empty() =>
            {
                Ok(Governance {
                    hold,
                    minimum_age,
                    downgrade,
                    require_mirrored,
                    // No platform asks for nothing.
                    platforms: platforms.filter(|platforms| !platforms.is_empty()),
                })
            }
            _ => Err(unfit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::governance::Downgrade;

    #[test]
    fn what_parses_governs_and_what_does_not_is_told_field_by_field() {
        let platforms = ["linux/arm64".to_owned(), "linux/amd64".to_owned()];
        let draft = Draft {
            hold: Some("1.0.0"),
            minimum_age: Some("72h"),
            downgrade: Some("forbid"),
            platforms: Some(&platforms),
            require_mirrored: Some("apps/web"),
        };
        let read = draft.read().unwrap();
        assert_eq!(read.hold.unwrap().as_str(), "1.0.0");
        assert_eq!(read.downgrade, Some(Downgrade::Forbid));
        assert_eq!(read.platforms.unwrap().len(), 2);
        assert_eq!(read.require_mirrored.unwrap().to_string(), "apps/web");
        let none = ["linux".to_owned()];
        let broken = Draft {
            hold: Some("a b"),
            minimum_age: Some("-1h"),
            downgrade: Some("no"),
            platforms: Some(&none),
            require_mirrored: Some("apps/web/1"),
        };
        assert!(matches!(
            broken.read().unwrap_err()[..],
            [
                Unfit::Hold(_),
                Unfit::MinimumAge(_),
                Unfit::Downgrade,
                Unfit::Platform(0),
                Unfit::RequireMirrored(_)
            ]
        ));
        let many = vec!["linux/amd64".to_owned(); 33];
        let many = Draft {
            platforms: Some(&many),
            ..Draft::default()
        };
        assert_eq!(
            many.read().unwrap_err(),
            [Unfit::TooManyPlatforms {
                given: 33,
                most: 32
            }]
        );
        assert_eq!(Draft::default().read(), Ok(Governance::default()));
    }
}
