//! What was done, on standard output: for people a line for each tag, the worst first, and the sums; for programs JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::figures;
use crate::image::{Digest, Repository, Tag};
use crate::mirror::outcome::{Outcome, TagReport, Totals, Verdict};
use crate::registry::copy::{Done, Estimate};

/// What is told besides the report.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Run {
    pub(super) is_dry: bool,
    pub(super) is_interrupted: bool,
    /// Every tag has a line where this is written to.
    pub(super) has_told_tags: bool,
    pub(super) took: Duration,
}

/// For people. Warnings are told on standard error.
pub(super) fn text(done: &Done, run: Run) -> String {
    let Done {
        report,
        estimate,
        unmatched: _,
    } = done;
    let mut tags: Vec<&TagReport> = report.tags.iter().collect();
    tags.sort_by_key(|tag| rank(&tag.outcome));
    let mut lines: Vec<String> = Vec::new();
    lines.extend(
        report
            .problems
            .iter()
            .map(|problem| format!("problem      {}", one_line(problem))),
    );
    if !run.has_told_tags {
        lines.extend(tags.iter().map(|tag| tag_line(tag, run.is_dry)));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    let mut counts: BTreeMap<u8, (&str, u64)> = BTreeMap::new();
    for tag in &report.tags {
        let (_, count) = counts
            .entry(rank(&tag.outcome))
            .or_insert_with(|| (word(&tag.outcome, run.is_dry), 0));
        *count += 1;
    }
    // The other way round: what was asked for first.
    let counts: Vec<String> = counts
        .values()
        .rev()
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    lines.push(if counts.is_empty() {
        "no tags".to_owned()
    } else {
        counts.join(", ")
    });
    if run.is_dry {
        lines.push(bounds(estimate));
    } else {
        lines.extend(sums(&report.totals));
    }
    let mut last = figures::time(run.took);
    if run.is_interrupted {
        last.push_str(", interrupted: run it again to go on");
    }
    lines.push(last);
    lines.join("\n") + "\n"
}

/// One tag at one destination.
pub(super) fn tag_line(report: &TagReport, is_dry: bool) -> String {
    let TagReport {
        from,
        to,
        tag,
        source,
        destination,
        expected,
        outcome,
        referrers,
        moved_meanwhile,
    } = report;
    let mut notes: Vec<String> = Vec::new();
    match outcome {
        Outcome::Copied => {
            notes.extend(
                destination
                    .as_ref()
                    .or(source.as_ref())
                    .map(ToString::to_string),
            );
        }
        Outcome::Unchanged => {}
        Outcome::Drifted { found } => {
            let other = match (expected, source) {
                (Some(expected), Some(source)) if expected != source => {
                    format!("and would get {expected}, which is made of the source's {source}")
                }
                (Some(expected), _) => format!("the source {expected}"),
                (None, Some(source)) => {
                    format!("and would get what is made of the source's {source}")
                }
                (None, None) => "the source another image".to_owned(),
            };
            notes.push(format!(
                "the destination has {found}, {other}; --overwrite says when it may be replaced"
            ));
        }
        Outcome::Immutable { found, cause } => {
            notes.push(match found {
                Some(found) => format!("the registry does not let go of {found}: {cause}"),
                None => format!("the registry does not let the tag be moved: {cause}"),
            });
        }
        Outcome::Gone => notes.push("it is not at the source any more".to_owned()),
        Outcome::NotBegun { cause } => notes.push(cause.clone()),
        Outcome::Failed {
            cause,
            is_temporary,
        } => {
            notes.push(cause.clone());
            if *is_temporary {
                notes.push("trying again may help".to_owned());
            }
        }
    }
    if *referrers > 0 {
        notes.push(figures::count((*referrers).into(), "referrer"));
    }
    if *moved_meanwhile {
        notes.push("moved at the source meanwhile: run it again".to_owned());
    }
    let mut line = format!(
        "{:<12} {} -> {}",
        word(outcome, is_dry),
        named(from, None, source.as_ref().filter(|_| tag.is_none())),
        named(
            to,
            tag.as_ref(),
            destination.as_ref().filter(|_| tag.is_none())
        ),
    );
    if !notes.is_empty() {
        line.push_str("  ");
        line.push_str(&one_line(&notes.join(", ")));
    }
    line
}

/// For programs.
pub(super) fn json(done: &Done, run: Run, prune: Option<Value>) -> String {
    let Done {
        report,
        estimate,
        unmatched: _,
    } = done;
    let verdict = if run.is_interrupted {
        "interrupted"
    } else {
        match report.verdict() {
            Verdict::Failed => "failed",
            Verdict::Blocked => "blocked",
            Verdict::Done => "done",
        }
    };
    let tags: Vec<Value> = report.tags.iter().map(tag_json).collect();
    let Totals {
        requests,
        bytes_read,
        bytes_written,
        blobs_copied,
        blobs_mounted,
        blobs_skipped,
        manifests,
        retries,
    } = &report.totals;
    let Estimate {
        source_requests,
        destination_requests,
        bytes_read: most_read,
        bytes_written: most_written,
        blobs,
        images,
    } = estimate;
    let mut document = json!({
        "verdict": verdict,
        "dryRun": run.is_dry,
        "seconds": (run.took.as_secs_f64() * 1000.0).round() / 1000.0,
        "tags": tags,
        "problems": report.problems,
        "warnings": report.warnings,
        "totals": {
            "requests": requests,
            "bytesRead": bytes_read,
            "bytesWritten": bytes_written,
            "blobsCopied": blobs_copied,
            "blobsMounted": blobs_mounted,
            "blobsSkipped": blobs_skipped,
            "manifests": manifests,
            "retries": retries,
        },
        "atMost": {
            "sourceRequests": source_requests,
            "destinationRequests": destination_requests,
            "bytesRead": most_read,
            "bytesWritten": most_written,
            "blobs": blobs,
            "images": images,
        },
    });
    if let (Some(prune), Some(document)) = (prune, document.as_object_mut()) {
        document.insert("prune".to_owned(), prune);
    }
    format!("{document:#}\n")
}

fn tag_json(report: &TagReport) -> Value {
    let TagReport {
        from,
        to,
        tag,
        source,
        destination,
        expected,
        outcome,
        referrers,
        moved_meanwhile,
    } = report;
    let (word, found, cause, is_temporary) = match outcome {
        Outcome::Copied => ("copied", None, None, None),
        Outcome::Unchanged => ("unchanged", None, None, None),
        Outcome::Drifted { found } => ("drifted", Some(found), None, None),
        Outcome::Immutable { found, cause } => ("immutable", found.as_ref(), Some(cause), None),
        Outcome::Gone => ("gone", None, None, None),
        Outcome::NotBegun { cause } => ("notBegun", None, Some(cause), None),
        Outcome::Failed {
            cause,
            is_temporary,
        } => ("failed", None, Some(cause), Some(is_temporary)),
    };
    let text = |digest: Option<&Digest>| digest.map(ToString::to_string);
    let all = json!({
        "from": from.to_string(),
        "to": to.to_string(),
        "tag": tag.as_ref().map(ToString::to_string),
        "outcome": word,
        "sourceDigest": text(source.as_ref()),
        "destinationDigest": text(destination.as_ref()),
        "foundDigest": text(found),
        "expectedDigest": text(expected.as_ref()),
        "cause": cause,
        "temporary": is_temporary,
        "referrers": referrers,
        "movedMeanwhile": moved_meanwhile,
    });
    super::documents::without_nulls(&all)
}

/// What was moved, and what was asked.
fn sums(totals: &Totals) -> Vec<String> {
    let Totals {
        requests,
        bytes_read,
        bytes_written,
        blobs_copied,
        blobs_mounted,
        blobs_skipped,
        manifests,
        retries,
    } = totals;
    let mut lines = vec![format!(
        "blobs: {blobs_copied} copied ({} read, {} written), {blobs_mounted} mounted, {blobs_skipped} there already; {} written",
        figures::bytes(*bytes_read),
        figures::bytes(*bytes_written),
        figures::count(*manifests, "manifest"),
    )];
    if !requests.is_empty() {
        let hosts: Vec<String> = requests
            .iter()
            .map(|(host, count)| format!("{host} {count}"))
            .collect();
        let again = if *retries > 0 {
            format!("; {retries} made again")
        } else {
            String::new()
        };
        lines.push(format!("requests: {}{again}", hosts.join(", ")));
    }
    lines
}

/// What a dry run has found out.
fn bounds(estimate: &Estimate) -> String {
    format!(
        "at most: {} to sources, {} to destinations; {} read, {} written; {}",
        figures::count(estimate.source_requests, "request"),
        figures::count(estimate.destination_requests, "request"),
        figures::bytes(estimate.bytes_read),
        figures::bytes(estimate.bytes_written),
        figures::count(estimate.blobs, "blob"),
    )
}

/// The worst first.
fn rank(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Failed { .. } => 0,
        Outcome::Drifted { .. } => 1,
        Outcome::Immutable { .. } => 2,
        Outcome::NotBegun { .. } => 3,
        Outcome::Gone => 4,
        Outcome::Unchanged => 5,
        Outcome::Copied => 6,
    }
}

fn word(outcome: &Outcome, is_dry: bool) -> &'static str {
    match outcome {
        Outcome::Copied if is_dry => "would copy",
        Outcome::Copied => "copied",
        Outcome::Unchanged => "unchanged",
        Outcome::Drifted { .. } => "drifted",
        Outcome::Immutable { .. } => "immutable",
        Outcome::Gone => "gone",
        Outcome::NotBegun { .. } => "not begun",
        Outcome::Failed { .. } => "failed",
    }
}

fn named(repository: &Repository, tag: Option<&Tag>, digest: Option<&Digest>) -> String {
    match (tag, digest) {
        (Some(tag), _) => format!("{repository}:{tag}"),
        (None, Some(digest)) => format!("{repository}@{digest}"),
        (None, None) => repository.to_string(),
    }
}

/// What a registry said may be anything: it stays on its line, and moves no cursor.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}

#[cfg(test)]
mod tests;
