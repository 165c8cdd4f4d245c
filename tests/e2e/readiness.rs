//! What the program's readiness asks for: all of its own, and no registry.

use std::collections::BTreeSet;

use crate::world::World;

/// What keeps the program from being ready, and what the API besides.
const READINESS: [&str; 6] = [
    "authn-config",
    "kube-informers",
    "ping",
    "serving-cert",
    "shutdown",
    "tag-cache-synced",
];

/// The names of the checks of an endpoint of the secure port, as anybody may ask for them; all of them hold.
async fn checks(world: &World, endpoint: &str) -> BTreeSet<String> {
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let port = world.program.secure_port;
    let url = format!("https://127.0.0.1:{port}/{endpoint}?verbose");
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{endpoint}");
    let text = answer.text().await.unwrap();
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("[+]")?.strip_suffix(" ok"));
    names.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_asks_for_all_of_its_own_and_for_no_registry() {
    let world = World::shared().await;
    let mut ready = checks(world, "readyz").await;
    // Of the API alone: a standby is ready to take over.
    ready.remove("leader");
    assert_eq!(ready, BTreeSet::from(READINESS.map(str::to_owned)));
    let alive = checks(world, "livez").await;
    for check in &READINESS {
        assert_eq!(alive.contains(*check), *check == "ping", "{check}");
    }
}
