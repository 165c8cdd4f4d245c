//! What breaks around a mirror that copies: the API server, a credential, a destination.

use http::Method;
use serde_json::json;

use super::{apply, get, mirror, ready, repository, request, says, secret};
use crate::harness::eventually;
use crate::it::fake_registry::{Auth, FakeRegistry, Fault, Image, Nth};
use crate::mirror::yard::{Kind, Registry};
use crate::world::{SOON, World};

const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_on_while_the_api_server_is_away() {
    let mut world = World::start(&[]).await;
    let source = Registry::start(Kind::Distribution).await.unwrap();
    let destination = Registry::start(Kind::Distribution).await.unwrap();
    source.kit("layer", &["big/one", "48"]).await.unwrap();
    let ns = &world.cluster.namespace("away").await;
    let slow = json!({ "bandwidth": "8MiB" });
    let objects = [
        repository(ns, "big", &source.image("big/one")),
        mirror(ns, "big", "big", &destination.address, slow),
    ];
    apply(&world.cluster, &objects).await;
    eventually(SOON, "bytes arrive", || async {
        let arrived = destination.uploading();
        (arrived > MIB).then_some(()).ok_or(arrived)
    })
    .await;
    world.cluster.restart("kube-apiserver");
    let object = says(&world.cluster, ns, "big", "1/1").await;
    assert_eq!(
        destination.check(&["big/one"]).await.unwrap(),
        source.check(&["big/one"]).await.unwrap()
    );
    // In one go: nothing was begun anew because nobody could be told of it.
    let run = &object["status"]["lastRun"];
    let read = run["bytesRead"].as_u64().unwrap();
    assert!((48 * MIB..60 * MIB).contains(&read), "{run}");
    assert_eq!(world.program.end(), None, "{}", world.program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_33_a_secret_that_is_rotated_during_a_copy_is_read_again() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let (source, destination) = (FakeRegistry::start().await, FakeRegistry::start().await);
    for number in 0..6 {
        let image = Image::sized(number, &[200_000, 300_000]);
        source.add_image("team/app", &format!("1.{number}.0"), &image);
    }
    let allow = |password: &str| {
        destination.set_auth(Auth::Basic {
            username: "pusher".to_owned(),
            password: password.to_owned(),
        });
    };
    allow("first-password");
    // Long enough for what follows.
    let slow = Fault::SlowBody(100_000);
    source.on(Method::GET, "/blobs/", Nth::Every, slow);
    let ns = &cluster.namespace("rotated").await;
    let with_secret = json!({ "destinations": [{
        "name": "there", "registry": destination.plain_host(), "repositoryTemplate": "{path}",
        "secretRef": { "name": "push" },
    }] });
    let of = |password: &str| secret(ns, "push", &destination.plain_host(), "pusher", password);
    let objects = [
        of("first-password"),
        repository(ns, "app", &source.image("team/app")),
        mirror(ns, "app", "app", "", with_secret),
    ];
    apply(cluster, &objects).await;
    eventually(SOON, "layers are copied", || async {
        let sessions = destination.sessions();
        (sessions > 0).then_some(()).ok_or(sessions)
    })
    .await;
    assert!(destination.tags("team/app").is_empty(), "too late");
    allow("second-password");
    apply(cluster, &[of("second-password")]).await;
    source.heal();
    says(cluster, ns, "app", "6/6").await;
    destination.check_whole("team/app");
    assert_eq!(destination.tags("team/app").len(), 6);
}

/// It is tried again, ever more seldom, and told once.
#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_down_is_told_once_and_filled_when_it_is_back() {
    let world = World::shared().await;
    let (cluster, source) = (&world.cluster, &world.cluster.registry);
    let destination = Registry::start(Kind::Distribution).await.unwrap();
    let address = destination.address.clone();
    drop(destination);
    let ns = &cluster.namespace("down").await;
    let path = &format!("{ns}/app");
    source.push(path, &["1.0.0", "1.1.0"]).await;
    // Scanned before: that it is not yet would be told, too.
    apply(cluster, &[repository(ns, "app", &source.image(path))]).await;
    world.wait_ready(ns, "imagerepository/app").await;
    let object = mirror(ns, "app", "app", &address, json!({}));
    apply(cluster, &[object]).await;
    eventually(SOON, "it says that it has failed", || async {
        let object = get(cluster, ns, &["imagemirror", "app"]).await?;
        let (status, _, message) = ready(&object);
        if status == "False" && message.contains(&address) {
            Ok(())
        } else {
            Err(object["status"].to_string())
        }
    })
    .await;
    eventually(SOON * 2, "it is tried a few times", || async {
        let metrics = world.program.scrape().await;
        let of_runs = metrics.lines().filter(|line| {
            line.starts_with("tagscope_mirror_runs_total{") && line.contains(&format!("\"{ns}\""))
        });
        let runs = of_runs.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        let runs: u64 = runs.sum();
        if runs >= 4 { Ok(()) } else { Err(runs) }
    })
    .await;
    let of_mirror = "--field-selector=involvedObject.kind=ImageMirror,type=Warning";
    let events = get(cluster, ns, &["events", of_mirror]).await.unwrap();
    let items = events["items"].as_array().unwrap();
    let told: u64 = items
        .iter()
        .map(|event| event["count"].as_u64().unwrap_or(1))
        .sum();
    assert_eq!(told, 1, "{events}");

    let destination = Registry::start_at(Kind::Distribution, &address)
        .await
        .unwrap();
    // Nobody has to ask for it: a retry comes, or somebody is impatient.
    request(cluster, ns, "imagemirror/app").await;
    says(cluster, ns, "app", "2/2").await;
    assert_eq!(destination.check(&[path]).await.unwrap().len(), 2);
}
