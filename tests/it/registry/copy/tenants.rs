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

/// How often the destination was asked to mount from `path`.
fn mounts_from(world: &World, path: &str) -> usize {
    let from = format!("from={}", path.replace('/', "%2F"));
    let destination = &world.destination;
    destination.count_where(|request| request.query.contains(&from))
}

#[tokio::test]
async fn what_an_account_brought_serves_no_mount_of_others_in_a_later_run() {
    let world = World::new().await;
    let secret = Layer::new(7, 5000);
    let image = Image::new([secret.clone()]);
    for path in ["alice/app", "alice/other", "bob/app"] {
        world.source.add_image(path, "1.0", &image);
    }
    world.source.lose_blob("bob/app", &secret.digest());
    let alices = vec![job_of(&world, "alice", "alice/app")];
    assert_all(&world.run(alices).await, &Outcome::Copied);
    for account in [Access::default(), basic("bob", "password")] {
        let mut job = world.job("bob/app", tag("1.0"));
        job.source.access = account;
        let done = world.run(vec![job]).await;
        assert!(matches!(outcomes(&done)[0].1, Outcome::Failed { .. }));
        assert!(!world.destination.has_blob("bob/app", &secret.digest()));
    }
    assert_eq!(mounts_from(&world, "alice/app"), 0);
    // The account itself is served, in this process; who is who is not written down for the next one.
    let again = Known::decode(&world.known.encode()).unwrap();
    world.clear();
    let other = || vec![job_of(&world, "alice", "alice/other")];
    assert_all(&world.run(other()).await, &Outcome::Copied);
    assert_eq!(
        (mounts_from(&world, "alice/app"), blobs_asked(&world.source)),
        (2, 0)
    );
    world.destination.lose_repository("alice/other");
    world.clear();
    assert_all(&world.run_knowing(other(), &again).await, &Outcome::Copied);
    assert_eq!(
        (mounts_from(&world, "alice/app"), blobs_asked(&world.source)),
        (0, 2)
    );
}

#[tokio::test]
async fn what_everybody_may_read_is_mounted_in_a_later_process_by_whoever_reads_there() {
    let world = World::new().await;
    for path in ["team/app", "team/other", "team/third"] {
        world
            .source
            .add_image(path, "1.0", &Image::sized(1, &[5000]));
    }
    let job = world.job("team/app", tag("1.0"));
    assert_all(&world.run(vec![job]).await, &Outcome::Copied);
    let known = Known::decode(&world.known.encode()).unwrap();
    world.clear();
    let jobs = vec![
        world.job("team/other", tag("1.0")),
        job_of(&world, "alice", "team/third"),
    ];
    assert_all(&world.run_knowing(jobs, &known).await, &Outcome::Copied);
    assert_eq!(
        (mounts_from(&world, "team/app"), blobs_asked(&world.source)),
        (4, 0)
    );
}

#[tokio::test]
async fn from_a_repository_that_two_write_to_each_mounts_what_is_its_own() {
    let world = World::new().await;
    let (secret, base) = (Layer::new(7, 5000), Layer::new(8, 3000));
    let alices = Image::new([secret.clone()]);
    world.source.add_image("alice/app", "1.0", &alices);
    world
        .source
        .add_image("bob/first", "2.0", &Image::new([base.clone()]));
    let both = Image::new([secret.clone(), base.clone()]);
    world.source.add_image("bob/app", "3.0", &both);
    world.source.lose_blob("bob/app", &secret.digest());
    let to = |account: &str, from: &str, name: &str, paths: &[&str]| {
        let mut job = world.job(from, tag(name));
        job.source.access = basic(account, "password");
        job.destinations = paths
            .iter()
            .map(|path| place(&world.destination, path))
            .collect();
        vec![job]
    };
    let shared = &["shared/app"][..];
    assert_all(
        &world.run(to("alice", "alice/app", "1.0", shared)).await,
        &Outcome::Copied,
    );
    assert_all(
        &world.run(to("bob", "bob/first", "2.0", shared)).await,
        &Outcome::Copied,
    );
    world.clear();
    let done = world
        .run(to("bob", "bob/app", "3.0", &["bob/app", "shared/app"]))
        .await;
    // What is in the repository can be named by whoever may write there, and is read by whoever reads there.
    let [(_, Outcome::Failed { .. }), (_, Outcome::Copied)] = &outcomes(&done)[..] else {
        panic!("{done:?}");
    };
    assert!(!world.destination.has_blob("bob/app", &secret.digest()));
    assert!(world.destination.has_blob("bob/app", &base.digest()));
    let mounts = |layer: &Layer| {
        let digest = layer.digest().replace(':', "%3A");
        let asked = format!("mount={digest}");
        world
            .destination
            .count_where(|request| request.query.contains(&asked))
    };
    assert_eq!((mounts(&secret), mounts(&base)), (0, 1));
    world.destination.check_whole("shared/app");
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
