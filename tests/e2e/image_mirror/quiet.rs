//! No credential is said to anybody: not in logs, not in Events, statuses or metrics, whether a run succeeds or fails.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{apply, get, mirror, ready, repository, request, says, secret};
use crate::harness::eventually;
use crate::it::fake_registry::{Auth, FakeRegistry, Fault, Image};
use crate::world::{SOON, World};

const PULL: &str = "pull-3f1c9a77-secret";
const PUSH: &str = "push-8b20d4e5-secret";
const WRONG: &str = "wrong-66a1f0c2-secret";

#[tokio::test(flavor = "multi_thread")]
async fn fault_40_no_secret_is_in_any_log_event_status_or_metric() {
    let world = World::start(&["--log-level=debug"]).await;
    let cluster = &world.cluster;
    let (source, destination) = (FakeRegistry::start().await, FakeRegistry::start().await);
    for number in 0..3 {
        let image = Image::sized(number, &[1000, 2000]);
        source.add_image("team/app", &format!("1.{number}.0"), &image);
    }
    let bearer = |username: &str, password: &str| Auth::Bearer {
        username: username.to_owned(),
        password: password.to_owned(),
        identity_token: None,
        anonymous: false,
    };
    source.set_auth(bearer("puller", PULL));
    destination.set_auth(Auth::Basic {
        username: "pusher".to_owned(),
        password: PUSH.to_owned(),
    });
    let ns = &cluster.namespace("quiet").await;
    let mut scanned = repository(ns, "app", &source.image("team/app"));
    scanned["spec"]["secretRef"] = json!({ "name": "pull" });
    let with_secret = json!({ "destinations": [{
        "name": "there", "registry": destination.plain_host(), "repositoryTemplate": "{path}",
        "secretRef": { "name": "push" },
    }] });
    let push = |password: &str| secret(ns, "push", &destination.plain_host(), "pusher", password);
    let objects = [
        secret(ns, "pull", &source.plain_host(), "puller", PULL),
        push(WRONG),
        scanned,
        mirror(ns, "app", "app", "", with_secret),
    ];
    apply(cluster, &objects).await;
    eventually(SOON, "it fails with the wrong password", || async {
        let object = get(cluster, ns, &["imagemirror", "app"]).await?;
        let (status, ..) = ready(&object);
        (status == "False")
            .then_some(())
            .ok_or_else(|| object["status"].to_string())
    })
    .await;
    // A registry that says the credential back.
    destination.fail_next(Fault::Echo);
    source.fail_next(Fault::Echo);
    request(cluster, ns, "imagemirror/app").await;
    apply(cluster, &[push(PUSH)]).await;
    says(cluster, ns, "app", "3/3").await;

    let everything = ["imagemirrors,imagerepositories,events,configmaps", "-A"];
    let args = [&["get"], &everything[..], &["-o", "json"]].concat();
    let texts = [
        ("the log", world.program.log()),
        ("metrics", world.program.scrape().await),
        ("objects", cluster.kubectl(&args).await.ok()),
    ];
    for (user, password) in [("puller", PULL), ("pusher", PUSH), ("pusher", WRONG)] {
        let basic = STANDARD.encode(format!("{user}:{password}"));
        for (what, text) in &texts {
            assert!(
                !text.contains(password),
                "{what} says the password of {user}"
            );
            assert!(!text.contains(&basic), "{what} says the header of {user}");
        }
    }
    assert!(!destination.saw(PULL) && !source.saw(PUSH));
    for (what, text) in &texts[..2] {
        assert!(!text.contains("Bearer ey"), "{what} says a token");
    }
}
