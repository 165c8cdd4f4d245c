//! What is read for one job never serves another that reads by another account and only knows a digest.

use super::*;
use crate::fake_registry::{Image, Layer};
use crate::registry::basic;

/// A job of `account`, from `path` to the same at the destination.
fn job_of(world: &World, account: &str, path: &str) -> Job {
    let mut job = world.job(path, tag("1.0"));
    job.source.access = basic(account, "password");
    job
}

fn assert_only_the_owner_has_it(world: &World, done: &Done, digests: &[String]) {
    let [(_, Outcome::Copied), (_, Outcome::Failed { .. })] = &outcomes(done)[..] else {
        panic!("{done:?}");
    };
    world.destination.check_whole("alice/app");
    assert_eq!(world.destination.tags("bob/app"), [""; 0]);
    for digest in digests {
        assert!(!world.destination.has_blob("bob/app", digest), "{digest}");
        assert!(world.destination.manifest("bob/app", digest).is_none());
    }
}

#[tokio::test]
async fn a_layer_that_another_account_may_read_does_not_come_to_who_only_names_it() {
    let world = World::new().await;
    let secret = Layer::new(7, 5000);
    let image = Image::new([secret.clone()]);
    world.source.add_image("alice/app", "1.0", &image);
    world.source.add_image("bob/app", "1.0", &image);
    world.source.lose_blob("bob/app", &secret.digest());
    let jobs = || {
        vec![
            job_of(&world, "alice", "alice/app"),
            job_of(&world, "bob", "bob/app"),
        ]
    };
    let done = world.run(jobs()).await;
    assert_only_the_owner_has_it(&world, &done, &[secret.digest()]);
    // Nor does what is known from before help them.
    let done = world.run(vec![job_of(&world, "bob", "bob/app")]).await;
    assert!(matches!(outcomes(&done)[0].1, Outcome::Failed { .. }));
    assert!(!world.destination.has_blob("bob/app", &secret.digest()));
}

#[tokio::test]
async fn a_manifest_that_another_account_may_read_does_not_come_to_who_only_names_it() {
    let world = World::new().await;
    let secret = Layer::new(7, 5000);
    let child = Image::new([secret.clone()]).platform("linux/amd64");
    let index = Image::index([child.clone()]);
    world.source.add_image("alice/app", "1.0", &index);
    let child = world.source.add_untagged("alice/app", &child);
    world.source.add_image("bob/app", "1.0", &index);
    world.source.lose_manifest("bob/app", &child);
    let jobs = vec![
        job_of(&world, "alice", "alice/app"),
        job_of(&world, "bob", "bob/app"),
    ];
    let done = world.run(jobs).await;
    assert_only_the_owner_has_it(&world, &done, &[child, secret.digest()]);
}

#[tokio::test]
async fn what_one_account_may_read_of_many_repositories_is_read_once() {
    let world = World::new().await;
    let image = Image::sized(1, &[5000]);
    let jobs: Vec<_> = (0..10)
        .map(|number| {
            let path = format!("team/app{number}");
            world.source.add_image(&path, "1.0", &image);
            job_of(&world, "alice", &path)
        })
        .collect();
    assert_all(&world.run(jobs).await, &Outcome::Copied);
    assert_eq!(blobs_asked(&world.source), 2);
}
