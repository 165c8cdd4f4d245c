//! How it ended, for each tag at each destination, and what that makes of the whole.

use std::collections::BTreeMap;

use super::text::plain;
use crate::image::{Digest, Repository, Tag};

/// How one tag fared at one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was copied.
    Copied,
    /// It is there already.
    Unchanged,
    /// The destination has another image by this tag, which may not be overwritten.
    Drifted {
        /// What the destination has.
        found: Digest,
    },
    /// The registry forbids to move the tag.
    Immutable {
        /// What the destination has, if it says.
        found: Option<Digest>,
        /// The registry's own words.
        cause: String,
    },
    /// The tag was gone from the source when its turn came, though its list had it. (One that was asked for by name has
    /// failed.)
    Gone,
    /// It was not begun: interrupted, or out of budget.
    NotBegun {
        /// Why.
        cause: String,
    },
    /// It failed.
    Failed {
        /// What went wrong, where, and what to do.
        cause: String,
        /// Whether trying again later makes sense.
        is_temporary: bool,
    },
}

/// One tag (or digest) at one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagReport {
    /// Where from.
    pub from: Repository,
    /// Where to.
    pub to: Repository,
    /// The tag there; none: by digest only.
    pub tag: Option<Tag>,
    /// What it is at the source, if that was found out.
    pub source: Option<Digest>,
    /// What it is at the destination now, when it is there.
    pub destination: Option<Digest>,
    /// What it would be there if it had been written, of what was not, where that was found out: another one than at the source
    /// when platforms are left out.
    pub expected: Option<Digest>,
    /// How it ended.
    pub outcome: Outcome,
    /// Referrers and signatures copied with it.
    pub referrers: u32,
    /// Whether it moved at the source while it was copied, so that it should be looked at again at once.
    pub moved_meanwhile: bool,
}

/// What was done in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests, by API host.
    pub requests: BTreeMap<String, u64>,
    /// Bytes read from sources.
    pub bytes_read: u64,
    /// Bytes written to destinations.
    pub bytes_written: u64,
    /// Blobs that crossed the network, each destination repository counted.
    pub blobs_copied: u64,
    /// Blobs that the destination took from another of its repositories.
    pub blobs_mounted: u64,
    /// Blobs that were there.
    pub blobs_skipped: u64,
    /// Manifests written.
    pub manifests: u64,
    /// Requests made again.
    pub retries: u64,
}

/// A tag that was written at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Where.
    pub to: Repository,
    /// Which.
    pub tag: Tag,
    /// What it is now.
    pub digest: Digest,
    /// What it was before; none: it was not there. The same as now: what belongs to several images was there already.
    pub before: Option<Digest>,
    /// The image that it belongs to, where it is none of its own: signatures and the like.
    pub with: Option<Digest>,
}

/// A source's list as it was read, and what was selected of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The number of the job that it was read for, in its run.
    pub job: usize,
    /// Whose.
    pub from: Repository,
    /// Where what is selected goes.
    pub to: Vec<Repository>,
    /// How many tags it has.
    pub listed: usize,
    /// Whether a tag that is not in it is not there.
    pub is_complete: bool,
    /// What was selected.
    pub selected: Vec<Tag>,
}

/// Everything that happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Each tag, by destination and tag.
    pub tags: Vec<TagReport>,
    /// The tags that were written, and those that belong to several images, in no order. Not those of a dry run.
    pub written: Vec<Written>,
    /// The lists of sources that were read.
    pub looks: Vec<Look>,
    /// What went wrong besides single tags: a list that could not be read, say.
    pub problems: Vec<String>,
    /// What registries warned of. It went well all the same: none of it changes the verdict.
    pub warnings: Vec<String>,
    /// The sum.
    pub totals: Totals,
}

/// What a report means for whoever has to act on it, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Something failed.
    Failed,
    /// Drift, or a registry that forbids to move a tag.
    Blocked,
    /// All is there.
    Done,
}

/// So many causes are told.
const MOST_CAUSES: usize = 10;

impl Outcome {
    /// What it means for whoever has to act on it.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Failed { .. } | Self::NotBegun { .. } => Verdict::Failed,
            Self::Drifted { .. } | Self::Immutable { .. } => Verdict::Blocked,
            Self::Copied | Self::Unchanged | Self::Gone => Verdict::Done,
        }
    }

    /// In a word or two.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Failed { .. } => "failed",
            Self::NotBegun { .. } => "not begun",
            Self::Immutable { .. } => "immutable",
            Self::Drifted { .. } => "drifted",
            Self::Gone => "gone",
            Self::Copied => "copied",
            Self::Unchanged => "unchanged",
        }
    }

    /// What there is to say of it besides; none where all is well.
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Failed { cause, .. } | Self::NotBegun { cause } => Some(plain(cause)),
            Self::Immutable { found, cause } => Some(match found {
                Some(found) => format!("the registry keeps {found}: {}", plain(cause)),
                None => plain(cause),
            }),
            Self::Drifted { found } => Some(format!("the destination has {found}")),
            Self::Gone => Some("it is no longer at the source".to_owned()),
            Self::Copied | Self::Unchanged => None,
        }
    }

    /// The worst first.
    fn rank(&self) -> u8 {
        match self {
            Self::Failed { .. } => 0,
            Self::NotBegun { .. } => 1,
            Self::Immutable { .. } => 2,
            Self::Drifted { .. } => 3,
            Self::Gone => 4,
            Self::Copied => 5,
            Self::Unchanged => 6,
        }
    }
}

impl Totals {
    fn add(&mut self, other: Self) {
        let Self {
            requests,
            bytes_read,
            bytes_written,
            blobs_copied,
            blobs_mounted,
            blobs_skipped,
            manifests,
            retries,
        } = other;
        for (host, count) in requests {
            *self.requests.entry(host).or_default() += count;
        }
        self.bytes_read += bytes_read;
        self.bytes_written += bytes_written;
        self.blobs_copied += blobs_copied;
        self.blobs_mounted += blobs_mounted;
        self.blobs_skipped += blobs_skipped;
        self.manifests += manifests;
        self.retries += retries;
    }
}

impl Report {
    /// What happened in another run besides.
    pub fn add(&mut self, other: Self) {
        let Self {
            tags,
            written,
            looks,
            problems,
            warnings,
            totals,
        } = other;
        self.tags.extend(tags);
        self.written.extend(written);
        self.looks.extend(looks);
        self.problems.extend(problems);
        self.warnings.extend(warnings);
        self.totals.add(totals);
        self.sort();
    }

    /// Puts the tags in their order.
    pub fn sort(&mut self) {
        let key = |report: &TagReport| (report.to.clone(), report.tag.clone());
        self.tags.sort_by_cached_key(key);
    }

    /// What it means: the worst of all tags, and failed where there are problems besides. What was not begun is not done.
    pub fn verdict(&self) -> Verdict {
        let of_problems = (!self.problems.is_empty()).then_some(Verdict::Failed);
        let of_tags = self.tags.iter().map(|tag| tag.outcome.verdict());
        of_tags.chain(of_problems).min().unwrap_or(Verdict::Done)
    }

    /// How many tags ended how, the worst first, such as `1 failed, 2 drifted, 97 unchanged`.
    pub fn summary(&self) -> String {
        let mut counts = BTreeMap::new();
        for TagReport { outcome, .. } in &self.tags {
            let (_, count) = counts
                .entry(outcome.rank())
                .or_insert_with(|| (outcome.name(), 0_u64));
            *count += 1;
        }
        let mut parts: Vec<String> = counts
            .values()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        match self.problems.len() {
            0 => {}
            1 => parts.insert(0, "1 problem".to_owned()),
            several => parts.insert(0, format!("{several} problems")),
        }
        if parts.is_empty() {
            return "nothing to copy".to_owned();
        }
        parts.join(", ")
    }

    /// What stands in the way, a line each, the worst first, and no more than ten. Texts of others are cut and escaped.
    pub fn causes(&self) -> Vec<String> {
        let mut blocked: Vec<&TagReport> = self
            .tags
            .iter()
            .filter(|tag| tag.outcome.verdict() != Verdict::Done)
            .collect();
        blocked.sort_by_key(|tag| tag.outcome.rank());
        let all = self.problems.len() + blocked.len();
        let problems = self.problems.iter().map(|problem| plain(problem));
        let lines = problems.chain(blocked.into_iter().map(line));
        let mut lines: Vec<String> = lines.take(MOST_CAUSES).collect();
        if let Some(more) = all.checked_sub(MOST_CAUSES).filter(|more| *more > 0) {
            lines.push(format!("and {more} more"));
        }
        lines
    }
}

fn line(report: &TagReport) -> String {
    let TagReport {
        from,
        to,
        tag,
        source,
        outcome,
        ..
    } = report;
    let name = match (tag, source) {
        (Some(tag), _) => format!(":{tag}"),
        (None, Some(source)) => format!("@{source}"),
        (None, None) => String::new(),
    };
    let cause = outcome
        .cause()
        .map_or_else(String::new, |cause| format!(": {cause}"));
    format!("{to}{name} from {from}: {}{cause}", outcome.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: Vec<Outcome>) -> Report {
        let tags = outcomes.into_iter().map(|outcome| TagReport {
            from: "ghcr.io/a/b".parse().unwrap(),
            to: "r.example/app".parse().unwrap(),
            tag: Some("v1".parse().unwrap()),
            source: None,
            destination: None,
            expected: None,
            outcome,
            referrers: 0,
            moved_meanwhile: false,
        });
        Report {
            tags: tags.collect(),
            ..Report::default()
        }
    }

    fn failed(cause: &str) -> Outcome {
        Outcome::Failed {
            cause: cause.to_owned(),
            is_temporary: true,
        }
    }

    fn every() -> Vec<Outcome> {
        let found = Digest::of(b"x");
        vec![
            Outcome::Unchanged,
            Outcome::Copied,
            Outcome::Gone,
            Outcome::Drifted {
                found: found.clone(),
            },
            Outcome::Immutable {
                found: Some(found),
                cause: "TAG_INVALID".to_owned(),
            },
            Outcome::NotBegun {
                cause: "interrupted".to_owned(),
            },
            failed("reset"),
        ]
    }

    #[test]
    fn the_worst_counts() {
        assert_eq!(Report::default().verdict(), Verdict::Done);
        for (count, verdict) in [
            (1, Verdict::Done),
            (3, Verdict::Done),
            (4, Verdict::Blocked),
            (5, Verdict::Blocked),
            (6, Verdict::Failed),
            (7, Verdict::Failed),
        ] {
            let outcomes = every().into_iter().take(count).collect();
            assert_eq!(report(outcomes).verdict(), verdict, "{count}");
        }
        let mut fine = report(vec![Outcome::Copied]);
        fine.warnings
            .push("r.example warns: it closes down".to_owned());
        assert_eq!(fine.verdict(), Verdict::Done);
        assert_eq!(
            (fine.summary(), fine.causes()),
            ("1 copied".to_owned(), vec![])
        );
        fine.problems.push("no list".to_owned());
        assert_eq!(fine.verdict(), Verdict::Failed);
    }

    #[test]
    fn a_summary_counts_the_worst_first() {
        let mut outcomes = every();
        outcomes.push(Outcome::Unchanged);
        let mut all = report(outcomes);
        let counts = "1 failed, 1 not begun, 1 immutable, 1 drifted, 1 gone, 1 copied, 2 unchanged";
        assert_eq!(all.summary(), counts);
        all.problems.push("no list".to_owned());
        assert_eq!(all.summary(), format!("1 problem, {counts}"));
        assert_eq!(Report::default().summary(), "nothing to copy");
    }

    #[test]
    fn causes_are_told_the_worst_first() {
        let mut all = report(every());
        all.problems.push("no list".to_owned());
        let digest = Digest::of(b"x");
        let start = "r.example/app:v1 from ghcr.io/a/b";
        assert_eq!(
            all.causes(),
            [
                "no list".to_owned(),
                format!("{start}: failed: reset"),
                format!("{start}: not begun: interrupted"),
                format!("{start}: immutable: the registry keeps {digest}: TAG_INVALID"),
                format!("{start}: drifted: the destination has {digest}"),
            ]
        );
    }

    #[test]
    fn fault_41_what_registries_say_is_cut_escaped_and_bounded() {
        let hostile = format!("a\n\u{1b}[31m{}", "x".repeat(100_000));
        let many = report(vec![failed(&hostile); 1000]);
        let causes = many.causes();
        assert_eq!(causes.len(), 11);
        assert_eq!(causes[10], "and 990 more");
        for cause in causes {
            assert!(
                cause.len() < 1000 && !cause.contains(char::is_control),
                "{cause:?}"
            );
        }
    }
}
