//! The plug is pulled in the middle, a hundred times.

use std::time::{Duration, Instant};

use super::yard::{Home, Kind, Registry};

const KILLS: u32 = 100;
const REPOSITORY: &str = "team/app-0";

/// Instants that are spread over a run and differ from run to run, the same in every test.
fn instant(number: u32, whole: Duration) -> Duration {
    // The golden ratio spreads evenly however many there are.
    let fraction = (f64::from(number) * 0.618_033_988_749_895).fract();
    whole.mul_f64(fraction)
}

#[tokio::test]
async fn fault_29_killed_at_a_hundred_instants_it_leaves_no_tag_that_is_not_whole() {
    let source = Registry::start(Kind::Distribution).await.unwrap();
    let destination = Registry::start(Kind::Distribution).await.unwrap();
    source.kit("images", &["1", "4"]).await.unwrap();
    let from = source.image(REPOSITORY);
    let whole = source.check(&[REPOSITORY]).await.unwrap();

    let begin = Instant::now();
    let first = destination.image("first");
    Home::new()
        .good(&[&from, &first, "--all-tags", "--quiet"])
        .await;
    let takes = begin.elapsed();

    let mut home = Home::new();
    let mut round = 0;
    let mut interrupted = 0;
    for number in 0..KILLS {
        let repository = format!("round/{round}");
        let to = destination.image(&repository);
        let mut run = home
            .mirror(&[&from, &to, "--all-tags", "--quiet"])
            .spawn()
            .unwrap();
        let ended = tokio::time::timeout(instant(number, takes), run.wait()).await;
        if ended.is_err() {
            run.kill().await.unwrap();
            interrupted += 1;
        }
        let there = destination
            .check(&[&repository])
            .await
            .unwrap_or_else(|error| panic!("kill {number}: {error}"));
        if there.len() == whole.len() {
            // It came to its end: the next ones begin again, the state of this one is lost, too.
            round += 1;
            home = Home::new();
        }
    }
    assert!(interrupted >= KILLS / 2, "{interrupted} of {KILLS}");
    let repository = format!("round/{round}");
    let to = destination.image(&repository);
    home.good(&[&from, &to, "--all-tags", "--quiet"]).await;
    let there = destination.check(&[&repository]).await.unwrap();
    let renamed: Vec<_> = whole
        .iter()
        .map(|line| line.replace(REPOSITORY, &repository))
        .collect();
    assert_eq!(there, renamed);
}
