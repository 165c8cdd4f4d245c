//! Runs one after the other, beside each other, and broken off.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::yard::{Home, Kind, Registry, text};
use crate::harness::{eventually, signal};

const REPOSITORY: &str = "team/app-0";

async fn two() -> (Registry, Registry, Vec<String>) {
    let source = Registry::start(Kind::Distribution).await.unwrap();
    let destination = Registry::start(Kind::Distribution).await.unwrap();
    source.kit("images", &["1", "4"]).await.unwrap();
    let whole = source.check(&[REPOSITORY]).await.unwrap();
    (source, destination, whole)
}

#[tokio::test]
async fn fault_28_two_runs_into_one_destination_do_not_harm_each_other() {
    let (source, destination, whole) = two().await;
    let (from, to) = (source.image(REPOSITORY), destination.image(REPOSITORY));
    let args = [from.as_str(), &to, "--all-tags", "--quiet"];
    let (home, other) = (Home::new(), Home::new());
    // Two that share their state, and one that does not.
    let (first, second, third) = tokio::join!(home.run(&args), home.run(&args), other.run(&args));
    for output in [first, second, third] {
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(destination.check(&[REPOSITORY]).await.unwrap(), whole);
}

#[tokio::test]
async fn fault_20_a_destination_that_was_emptied_is_filled_again() {
    let (source, destination, whole) = two().await;
    let home = Home::new();
    let from = source.image(REPOSITORY);
    let to = destination.image(REPOSITORY);
    home.good(&[&from, &to, "--all-tags"]).await;
    let address = destination.address.clone();
    drop(destination);
    // At the same address, so that the state is about it.
    let destination = Registry::start_at(Kind::Distribution, &address)
        .await
        .unwrap();
    let to = destination.image(REPOSITORY);
    home.good(&[&from, &to, "--all-tags"]).await;
    assert_eq!(destination.check(&[REPOSITORY]).await.unwrap(), whole);
}

#[tokio::test]
async fn fault_29_an_interrupted_run_ends_with_130_and_is_resumed() {
    let source = Registry::start(Kind::Distribution).await.unwrap();
    let destination = Registry::start(Kind::Distribution).await.unwrap();
    source.kit("layer", &["big/one", "64"]).await.unwrap();
    let home = Home::new();
    let (from, to) = (
        source.image("big/one:big"),
        destination.image("big/one:big"),
    );
    let mut run = home
        .mirror(&[&from, &to, "--bandwidth", "4MiB"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let process = run.id().unwrap();
    eventually(Duration::from_secs(30), "bytes arrive", || async {
        let arrived = destination.uploading();
        (arrived > 1 << 20)
            .then_some(())
            .ok_or_else(|| format!("{arrived} bytes"))
    })
    .await;
    signal(process, "INT");
    let mut lines = BufReader::new(run.stderr.take().unwrap()).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        said.push_str(&line);
        said.push('\n');
    }
    let ended = run.wait().await.unwrap();
    assert_eq!(ended.code(), Some(130), "{said}");
    assert!(destination.tags("big/one").await.is_empty());
    home.good(&[&from, &to]).await;
    assert_eq!(
        destination.check(&["big/one"]).await.unwrap(),
        source.check(&["big/one"]).await.unwrap()
    );
}

#[tokio::test]
async fn a_tag_that_differs_is_drift_unless_it_may_be_written_over() {
    let (source, destination, whole) = two().await;
    let home = Home::new();
    let from = source.image(REPOSITORY);
    let to = destination.image(REPOSITORY);
    let (one, other) = (format!("{from}:1.0.0"), format!("{from}:1.1.0"));
    let there = format!("{to}:1.0.0");
    home.good(&[&other, &there]).await;
    let drifted = home.run(&[&one, &there]).await;
    assert_eq!(drifted.status.code(), Some(2), "{}", text(&drifted.stdout));
    assert!(text(&drifted.stdout).contains("1.0.0"));
    home.good(&[&one, &there, "--overwrite", "always"]).await;
    assert_eq!(destination.check(&[REPOSITORY]).await.unwrap(), whole[..1]);
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let (source, destination, _) = two().await;
    let (from, to) = (source.image(REPOSITORY), destination.image(REPOSITORY));
    let said = Home::new()
        .good(&[&from, &to, "--all-tags", "--dry-run"])
        .await;
    assert!(said.contains("1.0.0"), "{said}");
    assert!(destination.tags(REPOSITORY).await.is_empty());
}
