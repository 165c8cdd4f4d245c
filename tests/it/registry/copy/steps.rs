//! Each step of a copy, met with each kind of passing trouble.

use super::*;
use crate::fake_registry::{Fault, Image, Nth};

/// What a step meets once.
fn troubles(is_read: bool) -> Vec<Fault> {
    let mut troubles: Vec<Fault> = [500, 502, 503, 504].map(Fault::Status).into();
    troubles.push(Fault::ResetHead);
    if is_read {
        troubles.extend([Fault::TruncateAt(10), Fault::ResetAt(10)]);
    } else {
        troubles.extend([Fault::CommitThen(500), Fault::CommitThenReset]);
    }
    troubles
}

#[tokio::test]
async fn fault_13_and_14_no_step_fails_for_passing_trouble() {
    for (is_source, method, pattern) in [
        (true, Method::GET, "/tags/list"),
        (true, Method::GET, "/manifests/"),
        (true, Method::GET, "/blobs/"),
        (false, Method::GET, "/tags/list"),
        (false, Method::POST, "/blobs/uploads/"),
        (false, Method::PUT, "/blobs/uploads/."),
        (false, Method::PUT, "/manifests/sha256:"),
        (false, Method::PUT, "/manifests/1.0"),
    ] {
        for fault in troubles(method == Method::GET) {
            let what = format!("{method} {pattern}: {fault:?}");
            let world = World::new().await;
            let index = Image::index([Image::sized(1, &[3000, 200]).platform("linux/amd64")]);
            world.source.add_image("team/app", "1.0", &index);
            let registry = if is_source {
                &world.source
            } else {
                &world.destination
            };
            registry.on(method.clone(), pattern, Nth::First(1), fault);
            let done = world.run(vec![world.job("team/app", all())]).await;
            assert_eq!(outcomes(&done)[0].1, Outcome::Copied, "{what}");
            let expected = world.source.tag_digest("team/app", "1.0");
            let found = world.destination.tag_digest("team/app", "1.0");
            assert_eq!(found, expected, "{what}");
            world.destination.check_whole("team/app");
            let lost = usize::from(method == Method::POST);
            assert!(world.destination.sessions() <= lost, "{what}");
        }
    }
}

#[tokio::test]
async fn fault_13_what_stays_ill_is_temporary_and_leaves_no_tag() {
    for (method, pattern) in [
        (Method::POST, "/blobs/uploads/"),
        (Method::PUT, "/manifests/"),
    ] {
        let world = World::new().await;
        world
            .source
            .add_image("team/app", "1.0", &Image::sized(1, &[3000]));
        world
            .destination
            .on(method, pattern, Nth::Every, Fault::Status(503));
        let done = world.run(vec![world.job("team/app", tag("1.0"))]).await;
        let [(_, Outcome::Failed { is_temporary, .. })] = &outcomes(&done)[..] else {
            panic!("{done:?}");
        };
        assert!(is_temporary, "{done:?}");
        assert_eq!(world.destination.tag_digest("team/app", "1.0"), None);
        assert_eq!(world.destination.sessions(), 0);
    }
}
