//! Many mirrors of one source: each has all of it, each layer is written once, and when nothing changes nobody is asked.

use std::fmt::Write as _;

use http::Method;
use serde_json::json;

use super::{apply, get, mirror, repository, request};
use crate::harness::eventually;
use crate::it::fake_registry::{FakeRegistry, Image, Route};
use crate::world::{SOON, World};

const MIRRORS: usize = 50;
const TAGS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_mirrors_of_one_source_share_what_is_known() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let (source, destination) = (FakeRegistry::start().await, FakeRegistry::start().await);
    for number in 0..TAGS {
        let image = Image::sized(number as u64, &[20_000, 30_000]);
        source.add_image("team/app", &format!("1.{number}.0"), &image);
    }
    let ns = &cluster.namespace("fifty").await;
    let mut objects = vec![repository(ns, "app", &source.image("team/app"))];
    for number in 0..MIRRORS {
        let own = json!({ "destinations": [{
            "name": "there", "registry": destination.plain_host(),
            "repositoryTemplate": format!("m{number}/{{name}}"),
        }] });
        objects.push(mirror(ns, &format!("m{number}"), "app", "", own));
    }
    apply(cluster, &objects).await;
    let all_say = async |summary: &str| {
        eventually(SOON * 4, &format!("all say {summary}"), || async {
            let list = get(cluster, ns, &["imagemirrors"]).await?;
            let mut others = String::new();
            for one in list["items"].as_array().unwrap() {
                let said = &one["status"]["tags"]["summary"];
                if said != summary {
                    write!(others, "{} {said} ", one["metadata"]["name"]).unwrap();
                }
            }
            others.is_empty().then_some(()).ok_or(others)
        })
        .await;
    };
    all_say("3/3").await;
    for number in 0..MIRRORS {
        let path = format!("m{number}/app");
        destination.check_whole(&path);
        assert_eq!(destination.tags(&path).len(), TAGS, "{path}");
    }
    let layers = source.blobs("team/app");
    let read = source.count_of(&Method::GET, Route::Blob);
    let listed = source.count(Route::List);
    eprintln!(
        "{MIRRORS} mirrors of {layers} blobs: {read} blobs read, {listed} lists at the source"
    );
    // Runs that begin together may not know of each other yet, so many as run at once.
    assert!(read <= layers * 8, "{read}");

    // A scan that finds the same: one list, and not a word to the destination.
    source.clear_requests();
    destination.clear_requests();
    let token = request(cluster, ns, "imagerepository/app").await;
    eventually(SOON, "it is scanned", || async {
        let object = get(cluster, ns, &["imagerepository", "app"]).await?;
        let handled = &object["status"]["lastHandledReconcileAt"];
        (*handled == token.as_str())
            .then_some(())
            .ok_or_else(|| handled.to_string())
    })
    .await;
    // One more tag, at all of them: what was done before it is done is everything there is to be done.
    let settled = (source.requests().len(), destination.requests().len());
    assert_eq!(settled, (1, 0), "{:?}", destination.conversation());
    source.add_image("team/app", "2.0.0", &Image::sized(77, &[20_000]));
    request(cluster, ns, "imagerepository/app").await;
    all_say("4/4").await;
    assert_eq!(source.count(Route::List), 2, "one for each scan");
    assert_eq!(destination.count(Route::List), 0);
}
