//! What is told, for people and for programs: the worst first, nothing left out, and nothing that moves a cursor.

use super::*;
use crate::mirror::outcome::Report;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn tag(tag: &str, outcome: Outcome) -> TagReport {
    let is_there = matches!(outcome, Outcome::Copied | Outcome::Unchanged);
    TagReport {
        from: "s.example/app".parse().unwrap(),
        to: "r.example/app".parse().unwrap(),
        tag: Some(tag.parse().unwrap()),
        source: Some(digest("s")),
        destination: is_there.then(|| digest("s")),
        expected: matches!(outcome, Outcome::Drifted { .. }).then(|| digest("s")),
        outcome,
        referrers: 0,
        moved_meanwhile: false,
    }
}

fn done() -> Done {
    let failed = Outcome::Failed {
        cause: "manifest\nunknown\u{1b}[2J".into(),
        is_temporary: true,
    };
    let immutable = Outcome::Immutable {
        found: Some(digest("o")),
        cause: "412".into(),
    };
    let mut copied = tag("1", Outcome::Copied);
    copied.referrers = 2;
    copied.moved_meanwhile = true;
    let mut pinned = tag("x", Outcome::Copied);
    pinned.tag = None;
    let report = Report {
        tags: vec![
            copied,
            tag("2", Outcome::Unchanged),
            tag("3", Outcome::Drifted { found: digest("d") }),
            tag("4", immutable),
            tag("5", Outcome::Gone),
            tag(
                "6",
                Outcome::NotBegun {
                    cause: "interrupted".into(),
                },
            ),
            tag("7", failed),
            pinned,
        ],
        written: Vec::new(),
        looks: Vec::new(),
        problems: vec!["s.example/b: no list".into()],
        warnings: vec!["r.example warns: it\u{1b}closes down".into()],
        totals: Totals {
            requests: [("r.example".to_owned(), 9), ("s.example".to_owned(), 4)].into(),
            bytes_read: 2048,
            bytes_written: 4096,
            blobs_copied: 3,
            blobs_mounted: 1,
            blobs_skipped: 2,
            manifests: 1,
            retries: 1,
        },
    };
    Done {
        report,
        estimate: Estimate {
            source_requests: 1,
            destination_requests: 20,
            bytes_read: 1024,
            bytes_written: 1025,
            blobs: 3,
            images: 2,
        },
        unmatched: Vec::new(),
    }
}

const RUN: Run = Run {
    is_dry: false,
    is_interrupted: false,
    has_told_tags: false,
    took: Duration::from_millis(2450),
};

#[test]
fn people_read_the_worst_first_and_the_sums_last() {
    let (s, d, o) = (digest("s"), digest("d"), digest("o"));
    let expected = format!(
        "problem      s.example/b: no list
failed       s.example/app -> r.example/app:7  manifest unknown [2J, trying again may help
drifted      s.example/app -> r.example/app:3  the destination has {d}, the source {s}; --overwrite says when it may be replaced
immutable    s.example/app -> r.example/app:4  the registry does not let go of {o}: 412
not begun    s.example/app -> r.example/app:6  interrupted
gone         s.example/app -> r.example/app:5  it is not at the source any more
unchanged    s.example/app -> r.example/app:2
copied       s.example/app -> r.example/app:1  {s}, 2 referrers, moved at the source meanwhile: run it again
copied       s.example/app@{s} -> r.example/app@{s}  {s}

2 copied, 1 unchanged, 1 gone, 1 not begun, 1 immutable, 1 drifted, 1 failed
blobs: 3 copied (2.0 KiB read, 4.0 KiB written), 1 mounted, 2 there already; 1 manifest written
requests: r.example 9, s.example 4; 1 made again
2.4 s
"
    );
    let told = text(&done(), RUN);
    assert_eq!(told, expected, "\n{told}");
}

#[test]
fn what_was_told_on_the_way_is_not_told_again() {
    let run = Run {
        has_told_tags: true,
        ..RUN
    };
    let told = text(&done(), run);
    let beginning = "problem      s.example/b: no list\n\n2 copied, 1 unchanged, ";
    assert!(told.starts_with(beginning), "{told}");
}

#[test]
fn drift_is_told_with_what_would_be_written() {
    let (s, d, e) = (digest("s"), digest("d"), digest("e"));
    for (expected, words) in [
        (Some(digest("s")), format!("the source {s}")),
        (
            Some(digest("e")),
            format!("and would get {e}, which is made of the source's {s}"),
        ),
        (
            None,
            format!("and would get what is made of the source's {s}"),
        ),
    ] {
        let report = TagReport {
            expected,
            ..tag("3", Outcome::Drifted { found: digest("d") })
        };
        assert_eq!(
            tag_line(&report, false),
            format!(
                "drifted      s.example/app -> r.example/app:3  the destination has {d}, {words}; --overwrite says when it may be replaced"
            )
        );
    }
}

#[test]
fn a_dry_run_tells_what_would_happen_and_what_it_takes_at_most() {
    let run = Run {
        is_dry: true,
        is_interrupted: true,
        ..RUN
    };
    let told = text(&done(), run);
    assert!(
        told.contains("\nwould copy   s.example/app -> r.example/app:1"),
        "{told}"
    );
    assert!(
        told.ends_with(
            "at most: 1 request to sources, 20 requests to destinations; 1.0 KiB read, 1.0 KiB written; 3 blobs\n\
             2.4 s, interrupted: run it again to go on\n"
        ),
        "{told}"
    );
    assert_eq!(text(&Done::default(), RUN).lines().next(), Some("no tags"));
}

#[test]
fn programs_read_all_of_it() {
    let value: Value = serde_json::from_str(&json(&done(), RUN, None)).unwrap();
    let (s, d, o) = (digest("s"), digest("d"), digest("o"));
    let base = |tag: &str, outcome: &str| {
        json!({"from": "s.example/app", "to": "r.example/app", "tag": tag, "outcome": outcome,
            "sourceDigest": s.as_str(), "referrers": 0, "movedMeanwhile": false})
    };
    let with = |mut value: Value, more: Value| {
        let Value::Object(more) = more else { panic!() };
        value.as_object_mut().unwrap().extend(more);
        value
    };
    let mut pinned = with(base("", "copied"), json!({"destinationDigest": s.as_str()}));
    pinned.as_object_mut().unwrap().remove("tag");
    let expected = json!({
        "verdict": "failed",
        "dryRun": false,
        "seconds": 2.45,
        "tags": [
            with(base("1", "copied"), json!({"destinationDigest": s.as_str(), "referrers": 2, "movedMeanwhile": true})),
            with(base("2", "unchanged"), json!({"destinationDigest": s.as_str()})),
            with(base("3", "drifted"), json!({"foundDigest": d.as_str(), "expectedDigest": s.as_str()})),
            with(base("4", "immutable"), json!({"foundDigest": o.as_str(), "cause": "412"})),
            base("5", "gone"),
            with(base("6", "notBegun"), json!({"cause": "interrupted"})),
            with(base("7", "failed"), json!({"cause": "manifest\nunknown\u{1b}[2J", "temporary": true})),
            pinned,
        ],
        "problems": ["s.example/b: no list"],
        "warnings": ["r.example warns: it\u{1b}closes down"],
        "totals": {
            "requests": {"r.example": 9, "s.example": 4}, "bytesRead": 2048, "bytesWritten": 4096,
            "blobsCopied": 3, "blobsMounted": 1, "blobsSkipped": 2, "manifests": 1, "retries": 1,
        },
        "atMost": {
            "sourceRequests": 1, "destinationRequests": 20, "bytesRead": 1024, "bytesWritten": 1025, "blobs": 3, "images": 2,
        },
    });
    assert_eq!(value, expected);
    let run = Run {
        is_interrupted: true,
        ..RUN
    };
    let value: Value = serde_json::from_str(&json(&done(), run, None)).unwrap();
    assert_eq!(value["verdict"], "interrupted");
}
