//! The controller is killed in the middle, again and again: no tag at the destination is ever not whole, and whoever comes
//! next ends what was begun.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{apply, mirror, repository, says};
use crate::harness::eventually;
use crate::mirror::yard::{Kind, Registry};
use crate::world::World;

const MOST_KILLS: u32 = 50;
/// As many as fit into this.
const WITHIN: Duration = Duration::from_secs(150);
const FEWEST_KILLS: u32 = 10;
/// A registry has done by then what it was asked for.
const SETTLED: Duration = Duration::from_secs(5);
const PATH: &str = "team/app-0";

#[tokio::test(flavor = "multi_thread")]
async fn fault_29_killed_at_any_instant_it_leaves_no_tag_that_is_not_whole() {
    let mut world = World::start(&[]).await;
    let source = Registry::start(Kind::Distribution).await.unwrap();
    let destination = Registry::start(Kind::Distribution).await.unwrap();
    source.kit("images", &["1", "6"]).await.unwrap();
    let whole = source.check(&[PATH]).await.unwrap();
    let summary = &format!("{0}/{0}", whole.len());
    let ns = &world.cluster.namespace("killed").await;
    let into = |round: u32| {
        let spec = json!({ "destinations": [{
            "name": "there", "registry": destination.address, "repositoryTemplate": format!("round-{round}"),
        }] });
        mirror(ns, "all", "app", &destination.address, spec)
    };
    let first = [repository(ns, "app", &source.image(PATH)), into(0)];
    apply(&world.cluster, &first).await;
    says(&world.cluster, ns, "all", summary).await;

    // A round ends when all of it is there: then the mirror is told to go somewhere else.
    let (mut round, mut kills, mut interrupted) = (1, 0, 0);
    let begin = Instant::now();
    apply(&world.cluster, &[into(round)]).await;
    while kills < MOST_KILLS && begin.elapsed() < WITHIN {
        // The golden ratio spreads evenly however many there are.
        let fraction = (f64::from(kills) * 0.618_033_988_749_895).fract();
        tokio::time::sleep(Duration::from_millis(700).mul_f64(fraction)).await;
        world.program.kill();
        kills += 1;
        let path = format!("round-{round}");
        // The registry may be in the middle of what it was asked last, and lists a tag before it has it. Nobody asks it
        // for anything else now: what is not whole stays so.
        let what = format!("all that is there is whole after kill {kills}");
        let there = eventually(SETTLED, &what, || async {
            destination.check(&[&path]).await
        })
        .await;
        if there.len() == whole.len() {
            round += 1;
            apply(&world.cluster, &[into(round)]).await;
        } else {
            interrupted += 1;
        }
        world
            .program
            .restart()
            .await
            .unwrap_or_else(|log| panic!("kill {kills}:\n{log}"));
    }
    eprintln!("{kills} kills, {interrupted} of them in the middle, {round} rounds");
    assert!(kills >= FEWEST_KILLS, "{kills}");
    says(&world.cluster, ns, "all", summary).await;
    let path = format!("round-{round}");
    let there = destination.check(&[&path]).await.unwrap();
    let renamed: Vec<_> = whole.iter().map(|line| line.replace(PATH, &path)).collect();
    assert_eq!(there, renamed);
}
