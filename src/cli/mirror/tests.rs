//! What flags mean together, and what is said of those that contradict each other.

use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command, USAGE};
use crate::mirror::overwrite::Overwrite;
use crate::mirror::subset::Mode;
use crate::registry::copy::Wanted;

fn parse(flags: &str) -> Result<order::Order, String> {
    let words = ["tagscope", "mirror"]
        .into_iter()
        .chain(flags.split_whitespace());
    let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    let Some(Command::Mirror(args)) = cli.command else {
        panic!("{flags}")
    };
    args.flags.order().map_err(|failure| {
        assert_eq!(failure.code, USAGE);
        format!("{:#}", failure.error.unwrap())
    })
}

fn wanted(flags: &str) -> String {
    let order = parse(flags).unwrap();
    let renamed = order
        .renamed
        .map_or_else(String::new, |tag| format!(" as {tag}"));
    match order.wanted {
        Wanted::Tags(tags) => {
            let tags: Vec<&str> = tags.iter().map(crate::image::Tag::as_str).collect();
            format!("tags {}{renamed}", tags.join(" "))
        }
        Wanted::Digest(digest, tag) => {
            let digest = digest.as_str().get(..10).unwrap().to_owned();
            format!(
                "{digest} as {}",
                tag.map_or_else(|| "-".into(), |tag| tag.to_string())
            )
        }
        Wanted::Selected(_) => format!("selected{renamed}"),
    }
}

const DIGEST: &str = "sha256:5c6861a52da9e6bfd5f0b37a8c51af173d7550443bb36253b18b2caf57987f53";

#[test]
fn names_say_which_image_and_what_it_is_called_there() {
    for (flags, expected) in [
        ("alpine r.example/app", "tags latest".to_owned()),
        ("alpine:3 r.example/app", "tags 3".to_owned()),
        ("alpine:3 r.example/app:three", "tags 3 as three".to_owned()),
        ("alpine:3 alpine:three", "tags 3 as three".to_owned()),
        (
            &format!("alpine@{DIGEST} r.example/app"),
            "sha256:5c6 as -".to_owned(),
        ),
        (
            &format!("alpine:3@{DIGEST} r.example/app"),
            "sha256:5c6 as 3".to_owned(),
        ),
        (
            &format!("alpine:3@{DIGEST} r.example/app:4"),
            "sha256:5c6 as 4".to_owned(),
        ),
        (
            "alpine localhost:5000/app --all-tags",
            "selected".to_owned(),
        ),
        (
            "alpine localhost:5000/app --tags ^3 --exclude rc",
            "selected".to_owned(),
        ),
        (
            "alpine localhost:5000/app --semver 3.x --latest 2",
            "selected".to_owned(),
        ),
        (
            "alpine localhost:5000/app --numerical=desc --tags (\\d+) --extract $1",
            "selected".to_owned(),
        ),
    ] {
        assert_eq!(wanted(flags), expected, "{flags}");
    }
}

#[test]
fn who_selects_nothing_reads_what_was_selected() {
    for (flags, listed, expected) in [
        (
            "--all-tags",
            0,
            "nothing is copied: index.docker.io/library/alpine has no tags",
        ),
        (
            "--semver 9.x --latest 2",
            1,
            "nothing is copied: the one tag of index.docker.io/library/alpine is not selected (semver \"9.x\", the latest 2)",
        ),
        (
            "--tags ^x(.*) --extract $1 --numerical --exclude rc --exclude \\d",
            7,
            "nothing is copied: none of the 7 tags of index.docker.io/library/alpine is selected \
             (those that match \"^x(.*)\", by \"$1\", numerical, without those that match \"rc\" or \"\\\\d\")",
        ),
        (
            "--all-tags --exclude .",
            7,
            "nothing is copied: none of the 7 tags of index.docker.io/library/alpine is selected (all tags, without those that match \".\")",
        ),
    ] {
        let order = parse(&format!("alpine r.example/app {flags}")).unwrap();
        assert_eq!(order.unmatched(listed), expected, "{flags}");
    }
}

#[test]
fn contradictions_are_one_error_that_says_so() {
    for (flags, expected) in [
        (
            "alpine:3 r.example/app --all-tags",
            "--all-tags selects tags of a repository, but SRC names one image (3)",
        ),
        (
            "alpine:3 r.example/app --semver 3.x",
            "--semver selects tags of a repository, but SRC names one image (3)",
        ),
        (
            "alpine r.example/app:1 --tags ^3",
            "--tags may select several tags, and all of them cannot be 1",
        ),
        (
            &format!("alpine r.example/app@{DIGEST}"),
            "DST cannot have a digest",
        ),
        (
            "alpine localhost:5000",
            "DST: \"localhost:5000\" names a registry, but no repository in it: write localhost:5000/<path>",
        ),
        (
            "r.example:5000 localhost:5000/app",
            "SRC: \"r.example:5000\" names a registry",
        ),
        (
            "Alpine r.example/app",
            "SRC: could not parse reference: Alpine",
        ),
        (
            "https://r.example/app r.example/b",
            "SRC: image 'https://r.example/app' should not include URL scheme",
        ),
        (
            "alpine docker.io/library/alpine",
            "SRC and DST are the same: index.docker.io/library/alpine",
        ),
        ("alpine:3 alpine:3", "SRC and DST are the same"),
        ("alpine alpine --all-tags", "SRC and DST are the same"),
        (
            "alpine r.example/app --all-tags --semver 3.x",
            "--all-tags copies every tag, and --semver only some",
        ),
        (
            "alpine r.example/app --alphabetical",
            "--alphabetical only says which tags are the latest",
        ),
        (
            "alpine r.example/app --exclude rc",
            "--exclude leaves tags out of several",
        ),
        (
            "alpine r.example/app --all-tags --exclude (",
            "--exclude: failed to compile regex (: ",
        ),
        (
            "alpine r.example/app --tags (",
            "--tags: failed to filter tags: ",
        ),
        ("alpine r.example/app --semver >", "invalid policy: "),
        (
            "alpine r.example/app --mutable x",
            "--mutable names tags that may be overwritten with --overwrite=mutable",
        ),
        (
            "alpine r.example/app --overwrite always --mutable x",
            "--mutable names tags",
        ),
        (
            "alpine r.example/app --overwrite mutable --mutable (",
            "--mutable: error parsing regexp",
        ),
        (
            "alpine r.example/app --src-ca /nowhere.pem",
            "failed to use /nowhere.pem of --src-ca",
        ),
        // clap's own.
        ("alpine", "<DST>"),
        ("", "required arguments were not provided"),
        (
            "alpine r.example/app --latest 3",
            "required arguments were not provided",
        ),
        (
            "alpine r.example/app --semver 3.x --latest 0",
            "0 is not in 1..",
        ),
        (
            "alpine r.example/app --semver 3.x --numerical",
            "cannot be used with",
        ),
        (
            "alpine r.example/app --all-tags --tags x",
            "cannot be used with",
        ),
        (
            "alpine r.example/app --sparse",
            "required arguments were not provided",
        ),
        (
            "alpine r.example/app --platform linux/amd64 --sparse --rewritten",
            "cannot be used with",
        ),
        (
            "alpine r.example/app --platform linux",
            "a platform is written os/architecture",
        ),
        (
            "alpine r.example/app --state x --no-state",
            "cannot be used with",
        ),
        (
            "alpine r.example/app --bandwidth fast",
            "is not a bandwidth",
        ),
        (
            "alpine r.example/app --verify-interval=-1h",
            "it is negative; 0 asks every time",
        ),
        (
            "alpine r.example/app --verify-interval -1h",
            "it is negative; 0 asks every time",
        ),
        (
            "alpine r.example/app --verify-interval soon",
            "invalid duration",
        ),
        ("alpine r.example/app -f m.yaml", "cannot be used with"),
        ("-f m.yaml --all-tags", "cannot be used with"),
        ("-f m.yaml --overwrite always", "cannot be used with"),
        ("-f m.yaml --dest-insecure", "cannot be used with"),
        ("-f m.yaml --semver 1.x", "cannot be used with"),
    ] {
        let said = parse(flags).map(|_| ()).unwrap_err();
        assert!(said.contains(expected), "{flags}\n{said}");
    }
}

#[test]
fn the_rest_goes_where_it_belongs() {
    let order = parse("alpine r.example/app").unwrap();
    assert!(matches!(order.overwrite, Overwrite::Never) && order.mode == Mode::Rewritten);
    assert!(!order.referrers && order.platforms.is_empty());
    assert_eq!(order.verify_after, std::time::Duration::from_hours(24));
    let order = parse(
        "alpine r.example/app --platform linux/amd64 --platform linux/arm64/v8 --sparse --referrers \
         --overwrite mutable --mutable ^edge- --mutable ^rc- --src-insecure --verify-interval 1h",
    )
    .unwrap();
    let platforms: Vec<String> = order.platforms.iter().map(ToString::to_string).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    assert!(order.mode == Mode::Sparse && order.referrers);
    assert!(
        matches!(&order.overwrite, Overwrite::MutableTagsOnly(patterns) if patterns.len() == 2)
    );
    assert!(order.source.insecure && !order.destinations[0].insecure);
    assert_eq!(order.verify_after, std::time::Duration::from_hours(1));
    for zero in ["0", "0s"] {
        let order = parse(&format!("alpine r.example/app --verify-interval {zero}")).unwrap();
        assert_eq!(order.verify_after, std::time::Duration::ZERO);
    }
    let order = parse("alpine r.example/app --overwrite always --dest-insecure").unwrap();
    assert!(matches!(order.overwrite, Overwrite::Always));
    assert!(!order.source.insecure && order.destinations[0].insecure);
}

#[test]
fn documents_need_no_names() {
    let words = [
        "tagscope",
        "mirror",
        "-f",
        "a.yaml",
        "--file",
        "-",
        "--dry-run",
        "-o",
        "json",
        "-q",
    ];
    let Some(Command::Mirror(args)) = Cli::try_parse_from(words).unwrap().command else {
        panic!()
    };
    assert_eq!(args.file, [PathBuf::from("a.yaml"), PathBuf::from("-")]);
    assert!(args.how.dry_run && args.how.quiet && args.how.output == Output::Json);
    assert_eq!(args.how.concurrency.get(), 32);
}

#[test]
fn every_flag_that_documents_speak_for_is_refused_beside_them() {
    use clap::Args as _;
    let flags = Flags::augment_args(clap::Command::new("x"));
    let named: Vec<&str> = flags
        .get_arguments()
        .map(|arg| arg.get_id().as_str())
        .collect();
    assert_eq!(named, flags::OF_FLAGS_ALONE);
}

#[test]
fn what_is_too_long_is_no_beginning_of_it() {
    assert_eq!(read_bounded(&b"1234"[..], 4).unwrap(), b"1234");
    assert_eq!(
        read_bounded(&b"12345"[..], 4).unwrap_err().to_string(),
        "it is longer than 4 bytes"
    );
}
