//! The table that is printed: theirs, the floor, ours, what ours should be.

use std::fmt;
use std::time::Duration;

use crate::e2e::harness::Writes;
use crate::{Floor, Process};

struct Row {
    what: String,
    theirs: &'static str,
    floor: String,
    ours: String,
    target: String,
    /// `None` where there is nothing to meet.
    is_met: Option<bool>,
}

/// What was measured so far.
pub(crate) struct Report {
    pairs: usize,
    tags: usize,
    floor: Floor,
    rows: Vec<Row>,
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// How many of `count` there are for each of `of`.
fn per(count: u64, of: usize) -> String {
    if of == 0 {
        return "-".into();
    }
    let each = count as f64 / of as f64;
    format!("{each:.3}")
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

impl Report {
    pub(crate) fn new(pairs: usize, tags: usize, floor: Floor) -> Self {
        Self {
            pairs,
            tags,
            floor,
            rows: Vec::new(),
        }
    }

    fn row(
        &mut self,
        what: &str,
        theirs: &'static str,
        floor: String,
        ours: String,
        target: &str,
        is_met: impl Into<Option<bool>>,
    ) {
        let row = Row {
            what: what.to_owned(),
            theirs,
            floor,
            ours,
            target: target.to_owned(),
            is_met: is_met.into(),
        };
        eprintln!("{}: {}", row.what, row.ours);
        self.rows.push(row);
    }

    pub(crate) fn first(
        &mut self,
        created: Duration,
        ready: Duration,
        writes: &Writes,
        lists: usize,
        requests: usize,
    ) {
        eprintln!("created after {}; {writes}", seconds(created));
        let ratio = ready.as_secs_f64() / self.floor.first.as_secs_f64();
        self.row(
            "first create → all Ready",
            "31.6 s",
            seconds(self.floor.first),
            format!("{} ({ratio:.2} × the floor)", seconds(ready)),
            "≤ 8 s, ≤ 1.25 × the floor",
            ready <= Duration::from_secs(8) && ratio <= 1.25,
        );
        let created = 2 * self.pairs as u64;
        let patches = writes.of("imagerepositories", "status", "PATCH")
            + writes.of("imagepolicies", "status", "PATCH");
        let events = writes.of("events", "", "POST") + writes.of("events", "", "PATCH");
        let rest = writes.total() - created - patches - events;
        self.row(
            "writes per pair",
            "14 (2 + 10 status + 2 events)",
            "4".into(),
            format!(
                "{} ({} status, {} events, {rest} else)",
                per(writes.total() - created, self.pairs),
                per(patches, self.pairs),
                per(events, self.pairs)
            ),
            "4 (2 status, 2 events)",
            patches == created && events == created && rest == 0,
        );
        self.row(
            "requests to the registry per pair",
            "2",
            "1".into(),
            format!(
                "{} ({} lists)",
                per(requests as u64, self.pairs),
                per(lists as u64, self.pairs)
            ),
            "1",
            lists == self.pairs && requests <= self.pairs + 1,
        );
    }

    pub(crate) fn process(&mut self, cpu: f64, process: &Process) {
        self.row(
            "memory after that",
            "202 MB",
            String::new(),
            format!("{:.0} MB (at most {:.0})", process.resident, process.peak),
            "≤ 60 MB",
            process.resident <= 60.0,
        );
        self.row(
            "processor time",
            "11 s",
            String::new(),
            format!("{cpu:.2} s"),
            "≤ 2.5 s",
            cpu <= 2.5,
        );
    }

    pub(crate) fn unchanged(&mut self, turn: &str, count: usize, requests: usize, writes: &Writes) {
        eprintln!("unchanged, {turn}: {writes}");
        let patches = writes.of("imagerepositories", "status", "PATCH")
            + writes.of("imagepolicies", "status", "PATCH");
        let events = writes.total() - patches;
        self.row(
            &format!("unchanged scan, {turn}"),
            "2 requests, 4 patches, 1 event",
            String::new(),
            format!(
                "{} requests, {} patches, {} events",
                per(requests as u64, count),
                per(patches, count),
                per(events, count)
            ),
            "1, ≤ 1, 0",
            requests <= count + 1 && patches <= count as u64 && events == 0,
        );
    }

    pub(crate) fn pushes(&mut self, mut times: Vec<Duration>) {
        times.sort();
        let median = times[times.len() / 2];
        let mut floor = self.floor.pushes.clone();
        floor.sort();
        let told = |times: &[Duration]| {
            format!(
                "p50 {}, max {}",
                millis(times[times.len() / 2]),
                millis(times[times.len() - 1])
            )
        };
        self.row(
            "requestedAt → elected",
            "p50 41 ms, max 88 ms",
            told(&floor),
            told(&times),
            "p50 ≤ 15 ms",
            median <= Duration::from_millis(15),
        );
    }

    pub(crate) fn restart_kept(
        &mut self,
        served: Duration,
        requests: usize,
        writes: &Writes,
        left: usize,
    ) {
        eprintln!("store kept: {writes}");
        let events = writes.of("events", "", "POST") + writes.of("events", "", "PATCH");
        let patches = writes.total() - events;
        self.row(
            "restart, store kept",
            "0 requests, 4,000 patches, 1,545 events",
            String::new(),
            format!("{requests} requests, {patches} patches, {events} events; {left} left Ready"),
            "0, 0, 0",
            requests == 0 && writes.total() == 0 && left == 0,
        );
        self.row(
            "… all tags served after",
            "",
            String::new(),
            seconds(served),
            "< 1 s",
            served < Duration::from_secs(1),
        );
    }

    pub(crate) fn restart_empty(
        &mut self,
        served: Duration,
        requests: usize,
        writes: &Writes,
        left: usize,
    ) {
        eprintln!("store lost: {writes}");
        let repositories = writes.of("imagerepositories", "status", "PATCH");
        let policies = writes.of("imagepolicies", "status", "PATCH");
        let events = writes.of("events", "", "POST") + writes.of("events", "", "PATCH");
        let rest = writes.total() - repositories - policies - events;
        self.row(
            "restart, store lost",
            "2,000 requests, 6,009 patches, 2,004 events",
            String::new(),
            format!(
                "{requests} requests, {repositories} + {policies} patches, {events} events; {left} left Ready"
            ),
            "1,000, ≤ 1,000 + 0, 0; none",
            requests <= self.pairs + 1
                && repositories <= self.pairs as u64
                && policies + events + rest == 0
                && left == 0,
        );
        self.row(
            "… all tags served after",
            "",
            String::new(),
            seconds(served),
            "",
            None,
        );
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{} repositories × {} tags, one policy each\n",
            self.pairs, self.tags
        )?;
        writeln!(
            f,
            "| | image-reflector-controller v1.2.0 | floor | ours | target | met |\n|---|---|---|---|---|---|"
        )?;
        for row in &self.rows {
            let met = match row.is_met {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "",
            };
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {met} |",
                row.what, row.theirs, row.floor, row.ours, row.target
            )?;
        }
        Ok(())
    }
}
