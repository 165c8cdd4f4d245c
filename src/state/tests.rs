//! What was saved is found again, by whoever opens it; what makes no sense is made anew.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::image::{Digest, Repository};

fn repository() -> Repository {
    "r.example/a/b".parse().unwrap()
}

fn blob(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn opened(directory: &Path) -> Opened {
    let opened = State::open(directory).unwrap();
    assert_eq!(opened.warning, None);
    opened
}

#[test]
fn what_was_saved_is_known_the_next_time() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("deep/tagscope");
    let first = opened(&directory);
    first.known.note_blob(&repository(), &blob("a"));
    first.state.save(&first.known).unwrap();
    let second = opened(&directory);
    assert!(second.known.has_blob(&repository(), &blob("a")));
    assert!(!second.known.has_blob(&repository(), &blob("b")));
}

#[test]
fn each_state_has_a_name_that_stays() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("tagscope");
    let id = opened(&directory).state.id().unwrap();
    assert_eq!(opened(&directory).state.id().unwrap(), id);
    let other = opened(&home.path().join("other")).state.id().unwrap();
    assert_ne!(other, id);
    // One that makes no sense is none.
    std::fs::write(directory.join(ID), "tagscope").unwrap();
    let anew = opened(&directory).state.id().unwrap();
    assert_ne!(anew, id);
    assert_eq!(opened(&directory).state.id().unwrap(), anew);
}

#[test]
fn nobody_else_may_read_it() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("tagscope");
    let Opened { state, known, .. } = opened(&directory);
    state.save(&known).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join(FILE)), 0o600);
    assert!(!directory.join(TEMPORARY).exists());
}

#[test]
fn two_at_once_lose_nothing_of_each_other() {
    let home = tempfile::tempdir().unwrap();
    let (one, two) = (opened(home.path()), opened(home.path()));
    one.known.note_blob(&repository(), &blob("one"));
    two.known.note_blob(&repository(), &blob("two"));
    one.state.save(&one.known).unwrap();
    two.state.save(&two.known).unwrap();
    let after = opened(home.path());
    assert!(after.known.has_blob(&repository(), &blob("one")));
    assert!(after.known.has_blob(&repository(), &blob("two")));
}

#[test]
fn what_is_forgotten_does_not_come_back_from_ones_own_file() {
    let home = tempfile::tempdir().unwrap();
    let Opened { state, known, .. } = opened(home.path());
    known.note_blob(&repository(), &blob("a"));
    state.save(&known).unwrap();
    known.forget_blob(&repository(), &blob("a"));
    state.save(&known).unwrap();
    assert!(!known.has_blob(&repository(), &blob("a")));
    assert!(
        !opened(home.path())
            .known
            .has_blob(&repository(), &blob("a"))
    );
}

#[test]
fn fault_29_a_corrupt_file_is_ignored_with_a_warning_and_made_anew() {
    let home = tempfile::tempdir().unwrap();
    let Opened { state, known, .. } = opened(home.path());
    known.note_blob(&repository(), &blob("a"));
    state.save(&known).unwrap();
    let path = home.path().join(FILE);
    let good = std::fs::read(&path).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x40;
    let cut = good[..good.len() - 1].to_vec();
    let bad_path = home.path().join(BAD);
    for bad in [Vec::new(), b"hello".to_vec(), cut, flipped] {
        std::fs::write(&path, &bad).unwrap();
        let Opened {
            state,
            known,
            warning,
        } = State::open(home.path()).unwrap();
        let warning = warning.expect("a warning");
        assert!(
            warning.contains("will be made anew") && warning.ends_with("mirror.known.bad"),
            "{warning}"
        );
        assert_eq!(
            std::fs::read(&bad_path).unwrap(),
            bad,
            "the last one is kept"
        );
        assert!(!path.exists());
        assert!(!known.has_blob(&repository(), &blob("a")));
        state.save(&known).unwrap();
        opened(home.path());
    }
}

#[test]
fn what_cannot_be_made_is_an_error_that_names_it() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = State::open(&file.join("below")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "failed to make the state directory {}",
            file.join("below").display()
        )
    );
    assert!(error.is_wrong_place());
    let error = State::open(&file).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the state directory {} is no directory", file.display())
    );
    assert!(error.is_wrong_place());
    assert!(State::peek(&file).unwrap_err().is_wrong_place());
    assert!(
        State::peek(&file.join("below"))
            .unwrap_err()
            .is_wrong_place()
    );
}

#[test]
fn what_somebody_may_not_do_is_a_wrong_place_and_what_a_machine_cannot_is_none() {
    for (kind, is_wrong) in [
        (ErrorKind::PermissionDenied, true),
        (ErrorKind::ReadOnlyFilesystem, true),
        (ErrorKind::NotADirectory, true),
        (ErrorKind::StorageFull, false),
        (ErrorKind::Other, false),
    ] {
        let error = failed("open", Path::new("/x"), kind.into());
        assert_eq!(error.is_wrong_place(), is_wrong, "{kind}");
    }
    let path = PathBuf::from("/x");
    assert!(!Error::Locked { path }.is_wrong_place());
}

#[test]
fn who_only_looks_leaves_no_trace() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("tagscope");
    let Peeked { known, warning } = State::peek(&directory).unwrap();
    assert!(!known.has_blob(&repository(), &blob("a")) && warning.is_none());
    assert!(!directory.exists());
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join(FILE), "nonsense").unwrap();
    let Peeked { warning, .. } = State::peek(&directory).unwrap();
    assert!(warning.unwrap().contains("is not used"));
    let names: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, [FILE]);
    let Opened { state, known, .. } = State::open(&directory).unwrap();
    known.note_blob(&repository(), &blob("a"));
    state.save(&known).unwrap();
    let Peeked { known, .. } = State::peek(&directory).unwrap();
    assert!(known.has_blob(&repository(), &blob("a")));
}

#[test]
fn what_is_damaged_between_is_set_aside_when_it_is_written() {
    let home = tempfile::tempdir().unwrap();
    let Opened { state, known, .. } = opened(home.path());
    known.note_blob(&repository(), &blob("a"));
    assert_eq!(state.save(&known).unwrap(), None);
    std::fs::write(home.path().join(FILE), "nonsense").unwrap();
    let warning = state.save(&known).unwrap().expect("a warning");
    assert!(warning.contains("mirror.known.bad"), "{warning}");
    assert_eq!(std::fs::read(home.path().join(BAD)).unwrap(), b"nonsense");
    assert!(
        opened(home.path())
            .known
            .has_blob(&repository(), &blob("a"))
    );
}

#[test]
fn the_directory_is_where_the_environment_says() {
    let at = |variables: &[(&str, &str)]| {
        let variables: Vec<(String, String)> = variables
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect();
        default_directory(|name| {
            variables
                .iter()
                .find(|(k, _)| k == name)
                .map(|(_, v)| v.into())
        })
    };
    assert_eq!(
        at(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]),
        Some("/s/tagscope".into())
    );
    assert_eq!(
        at(&[("HOME", "/h")]),
        Some("/h/.local/state/tagscope".into())
    );
    assert_eq!(
        at(&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")]),
        Some("/h/.local/state/tagscope".into())
    );
    assert_eq!(at(&[]), None);
}

#[test]
fn what_is_no_file_is_not_read() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(FILE)).unwrap();
    let opened = State::open(home.path()).unwrap();
    assert!(opened.warning.unwrap().contains("it is no file"));
}
