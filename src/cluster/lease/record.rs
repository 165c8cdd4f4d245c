//! What a Lease says, and until when it is to be believed. No IO.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::time::Instant;

/// How long a Lease counts whose writer did not say.
const UNSAID: Duration = Duration::from_secs(15);

/// How far two calendars may be apart.
const SKEW: Duration = Duration::from_mins(1);

/// What a Lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Empty when it was released.
    pub(super) holder: String,
    pub(super) acquired: Option<Timestamp>,
    pub(super) renewed: Option<Timestamp>,
    pub(super) transitions: i32,
    pub(super) duration: Duration,
}

impl Record {
    pub(super) fn of(lease: &Lease) -> Self {
        let LeaseSpec {
            acquire_time,
            holder_identity,
            lease_duration_seconds,
            lease_transitions,
            renew_time,
            ..
        } = lease.spec.clone().unwrap_or_default();
        Self {
            holder: holder_identity.unwrap_or_default(),
            acquired: acquire_time.map(|time| time.0),
            renewed: renew_time.map(|time| time.0),
            transitions: lease_transitions.unwrap_or_default(),
            duration: lease_duration_seconds
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map_or(UNSAID, Duration::from_secs),
        }
    }

    /// The same in a Lease; its other fields stay.
    pub(super) fn write_to(&self, lease: &mut Lease) {
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(self.holder.clone());
        spec.acquire_time = self.acquired.map(MicroTime);
        spec.renew_time = self.renewed.map(MicroTime);
        spec.lease_transitions = Some(self.transitions);
        spec.lease_duration_seconds =
            Some(i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX));
    }

    /// Whether it was given up so long ago that no difference between calendars could explain it.
    fn is_long_dead(&self, now: Timestamp) -> bool {
        self.renewed.is_some_and(|renewed| {
            let age = Duration::try_from(now.duration_since(renewed)).unwrap_or_default();
            age > self.duration.saturating_add(SKEW)
        })
    }
}

/// A Lease of somebody's, as it was seen last.
#[derive(Debug, Clone)]
pub(super) struct Sighting {
    pub(super) record: Record,
    /// Until when the holder may believe in it.
    pub(super) expires: Instant,
}

impl Sighting {
    /// Seen for the first time: it may have been renewed just now, whatever its dates say.
    pub(super) fn first(record: Record, at: Instant) -> Self {
        let expires = at + record.duration;
        Self { record, expires }
    }

    /// Seen for the first time by somebody who wants to begin: dates that are long past are believed.
    pub(super) fn first_dated(record: Record, at: Instant, today: Timestamp) -> Self {
        if record.is_long_dead(today) {
            return Self {
                record,
                expires: at,
            };
        }
        Self::first(record, at)
    }

    /// Seen again: only a change is a sign of life.
    pub(super) fn again(&mut self, record: Record, at: Instant) {
        if self.record != record {
            self.expires = at + record.duration;
            self.record = record;
        }
    }

    /// Whether somebody holds it.
    pub(super) fn is_live(&self, now: Instant) -> bool {
        !self.record.holder.is_empty() && now < self.expires
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(renewed: &str) -> Record {
        Record {
            holder: "flux".into(),
            acquired: None,
            renewed: Some(renewed.parse().unwrap()),
            transitions: 0,
            duration: Duration::from_secs(35),
        }
    }

    #[test]
    fn what_is_written_is_read_and_other_fields_stay() {
        let mut lease = Lease::default();
        lease.metadata.annotations = Some([("a".into(), "b".into())].into());
        let record = Record {
            acquired: Some("2026-01-01T00:00:00.123456Z".parse().unwrap()),
            transitions: 3,
            ..record("2026-01-01T00:00:05.000001Z")
        };
        record.write_to(&mut lease);
        assert_eq!(Record::of(&lease), record);
        let json = serde_json::to_value(&lease).unwrap();
        assert_eq!(json["spec"]["renewTime"], "2026-01-01T00:00:05.000001Z");
        assert_eq!(json["metadata"]["annotations"]["a"], "b");
    }

    #[test]
    fn life_is_judged_by_change_and_old_dates_only_at_first_sight() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let today = "2026-01-01T00:01:00Z".parse().unwrap();
        // Two minutes old, and released ones: dead at once. Anything that a skewed clock explains: to be waited for.
        for (renewed, is_live) in [
            ("2025-12-31T23:59:00Z", false),
            ("2026-01-01T00:00:00Z", true),
            ("2026-01-01T00:01:00Z", true),
            ("2026-01-01T02:00:00Z", true),
        ] {
            let seen = Sighting::first_dated(record(renewed), at(0), today);
            assert_eq!(seen.is_live(at(1)), is_live, "{renewed}");
            assert!(!seen.is_live(at(35)), "{renewed}");
        }
        let released = Record {
            holder: String::new(),
            ..record("2026-01-01T00:01:00Z")
        };
        assert!(!Sighting::first(released, at(0)).is_live(at(0)));

        let mut seen = Sighting::first(record("2026-01-01T00:00:00Z"), at(0));
        seen.again(record("2026-01-01T00:00:00Z"), at(30));
        assert!(seen.is_live(at(34)) && !seen.is_live(at(36)), "no change");
        seen.again(record("2026-01-01T00:00:05Z"), at(36));
        assert!(seen.is_live(at(70)) && !seen.is_live(at(71)), "a change");
    }
}
