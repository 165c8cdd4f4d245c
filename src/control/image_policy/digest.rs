//! What becomes of a digest that the registry was asked for, where the tag had another one before. Pure.
//!
//! A tag that was pushed again starts anew: as long as what it is now is younger than the minimum age, the election stands
//! with what it was.

use std::time::Duration;

use jiff::Timestamp;

use crate::image::{Digest, Tag};
use crate::policy::governance::matures;
use crate::store::Pushed;

/// The digest to elect.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Adopted {
    pub(super) digest: Digest,
    /// What is to be remembered.
    pub(super) pushed: Option<Pushed>,
    /// The new digest is not elected yet.
    pub(super) waits: Option<DigestWait>,
}

/// A digest that is not old enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DigestWait {
    pub(super) tag: Tag,
    pub(super) digest: Digest,
    pub(super) until: Timestamp,
    pub(super) age: Duration,
}

/// `found` is what `tag` is now, `before` what it was when it was elected, `known` what is remembered of it.
pub(super) fn adopt(
    tag: &Tag,
    found: Digest,
    before: Option<&Digest>,
    known: Option<&Pushed>,
    minimum_age: Option<Duration>,
    now: Timestamp,
) -> Adopted {
    let known = known.filter(|known| known.digest == found);
    let Some(before) = before.filter(|before| **before != found) else {
        return Adopted {
            digest: found,
            pushed: known.cloned(),
            waits: None,
        };
    };
    let seen = known.map_or_else(
        || Timestamp::from_second(now.as_second()).unwrap_or(now),
        |known| known.seen,
    );
    let pushed = Some(Pushed {
        digest: found.clone(),
        seen,
    });
    let waits = minimum_age
        .map(|age| (age, matures(seen, age)))
        .filter(|(_, until)| *until > now);
    match waits {
        Some((age, until)) => Adopted {
            digest: before.clone(),
            pushed,
            waits: Some(DigestWait {
                tag: tag.clone(),
                digest: found,
                until,
                age,
            }),
        },
        None => Adopted {
            digest: found,
            pushed,
            waits: None,
        },
    }
}

/// What stands, where the registry was not asked: as if it had said what it said last, as long as that changes nothing.
pub(super) fn unasked(
    before: &Digest,
    known: Option<&Pushed>,
    adopt: impl FnOnce(Digest) -> Adopted,
) -> Adopted {
    let last = known.map_or(before, |known| &known.digest);
    let adopted = adopt(last.clone());
    if adopted.digest == *before {
        return adopted;
    }
    Adopted {
        digest: before.clone(),
        pushed: known.cloned(),
        waits: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(fill: char) -> Digest {
        format!("sha256:{}", fill.to_string().repeat(64))
            .parse()
            .unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn another_digest_waits_for_its_age_and_is_remembered_either_way() {
        let pushed = |fill, seconds| Pushed {
            digest: digest(fill),
            seen: at(seconds),
        };
        let hour = Some(Duration::from_hours(1));
        // What it is now, was, what is remembered, the age; what is elected, what is remembered, until when it waits.
        let rows = [
            ("the first", '1', None, None, hour, ('1', None, None)),
            ("the same", '1', Some('1'), None, hour, ('1', None, None)),
            (
                "another one",
                '2',
                Some('1'),
                None,
                hour,
                ('1', Some(pushed('2', 10_000)), Some(13_600)),
            ),
            (
                "it is known already",
                '2',
                Some('1'),
                Some(pushed('2', 9_000)),
                hour,
                ('1', Some(pushed('2', 9_000)), Some(12_600)),
            ),
            (
                "it is old enough",
                '2',
                Some('1'),
                Some(pushed('2', 6_400)),
                hour,
                ('2', Some(pushed('2', 6_400)), None),
            ),
            (
                "it was pushed once more",
                '3',
                Some('1'),
                Some(pushed('2', 6_400)),
                hour,
                ('1', Some(pushed('3', 10_000)), Some(13_600)),
            ),
            (
                "it was pushed back",
                '1',
                Some('1'),
                Some(pushed('2', 9_000)),
                hour,
                ('1', None, None),
            ),
            (
                "no age is asked for",
                '2',
                Some('1'),
                None,
                None,
                ('2', Some(pushed('2', 10_000)), None),
            ),
            (
                "the next run remembers when",
                '2',
                Some('2'),
                Some(pushed('2', 10_000)),
                None,
                ('2', Some(pushed('2', 10_000)), None),
            ),
        ];
        for (name, found, before, known, age, (elected, remembered, until)) in rows {
            let adopted = adopt(
                &"1.0.0".parse().unwrap(),
                digest(found),
                before.map(digest).as_ref(),
                known.as_ref(),
                age,
                at(10_000),
            );
            assert_eq!(
                (
                    adopted.digest,
                    adopted.pushed,
                    adopted.waits.map(|waits| waits.until)
                ),
                (digest(elected), remembered, until.map(at)),
                "{name}"
            );
        }
    }
}
