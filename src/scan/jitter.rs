//! Intervals that differ a little from object to object, so that those that were created together, or found again
//! together after a restart, do not ask their registries together for ever.
//!
//! Each object's interval is its own for as long as it lives, up to a twentieth shorter or longer than what its spec
//! says: on the average everybody is scanned as often as they asked to be. Peers that name one image still fall into
//! step, since an answer is shared with whoever is due within half an interval. First scans are not put off.

use std::time::Duration;

/// The part of an interval that is added or left out, at most.
const PART: u32 = 20;
/// No more than this, so that peers with long intervals still meet within the time for which answers are kept.
const MOST: Duration = Duration::from_mins(5);

/// The interval of the object `uid` whose spec says `interval`.
pub fn jitter(uid: &str, interval: Duration) -> Duration {
    let most = (interval / PART).min(MOST);
    let shortest = interval.saturating_sub(most);
    // In 2^16 steps from the shortest to the longest.
    let step = u32::try_from(hash(uid) >> 48).unwrap_or_default();
    let added = u128::from(step) * most.as_nanos() * 2 / (1 << 16);
    shortest.saturating_add(Duration::from_nanos(
        u64::try_from(added).unwrap_or_default(),
    ))
}

/// FNV-1a, mixed once more so that the upper bits depend on all of the text: the same in every build, which the
/// standard library does not promise of its own.
fn hash(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(n: u32) -> String {
        format!("6b1f0e3a-2c5d-4a7b-9e8f-{n:012x}")
    }

    #[test]
    fn an_objects_interval_is_its_own_and_close_to_what_was_asked() {
        for interval in [1, 60, 300, 3600, 86400].map(Duration::from_secs) {
            let most = (interval / 20).min(MOST);
            let all: Vec<_> = (0..2000).map(|n| jitter(&uid(n), interval)).collect();
            assert!(
                all.iter()
                    .all(|one| *one >= interval.saturating_sub(most) && *one <= interval + most)
            );
            let mean = all.iter().sum::<Duration>() / 2000;
            assert!(
                mean.abs_diff(interval) < most / 10,
                "{interval:?}: {mean:?}"
            );
            assert_eq!(jitter(&uid(7), interval), all[7]);
        }
    }

    #[test]
    fn those_created_together_are_spread_evenly() {
        let interval = Duration::from_mins(10);
        let mut tenths = [0; 10];
        for n in 0..1000 {
            let after = jitter(&uid(n), interval).saturating_sub(Duration::from_secs(570));
            tenths[usize::try_from(after.as_secs() / 6).unwrap()] += 1;
        }
        // One tenth of the spread each, a minute long: none has twice its share.
        assert!(
            tenths.iter().all(|count| (50..200).contains(count)),
            "{tenths:?}"
        );
    }

    #[test]
    fn nothing_overflows() {
        assert_eq!(jitter("", Duration::ZERO), Duration::ZERO);
        assert!(jitter("x", Duration::MAX) >= Duration::MAX.saturating_sub(MOST));
    }
}
