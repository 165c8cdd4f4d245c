//! Where it is written, and what of it is written once.

use std::fs::File;
use std::path::Path;

use super::{Machine, registries};

#[tokio::test]
async fn a_tag_is_told_once_in_a_file_that_takes_both() {
    let (source, destination) = registries().await;
    let machine = Machine::new();
    let (from, to) = (source.image("team/app"), destination.image("app"));
    for (args, lines) in [(&["--all-tags"][..], 3), (&["--all-tags", "-q"], 3)] {
        let file = File::create(machine.path("log")).unwrap();
        let status = machine
            .command(&[&["mirror", &from, &to], args].concat())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .status()
            .await
            .unwrap();
        assert!(status.success());
        let log = std::fs::read_to_string(machine.path("log")).unwrap();
        let tags = log.lines().filter(|line| line.contains(" -> ")).count();
        assert_eq!(tags, lines, "{log}");
        assert!(log.contains("\nblobs: "), "{log}");
    }
}

/// The file is written anew with `UPDATE_GOLDENS=1`; the difference is for a person to read.
#[tokio::test]
async fn the_help_is_the_golden_one() {
    let machine = Machine::new();
    let ran = machine.run(&["mirror", "--help"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("tests/it/golden/cli/mirror-help.txt");
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &ran.out).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        ran.out == golden,
        "{} is not what is printed (UPDATE_GOLDENS=1 rewrites it); got:\n{}",
        file.display(),
        ran.out
    );
}
