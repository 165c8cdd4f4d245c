//! `/metrics` on the secure port after some traffic: kube-apiserver's names and labels (OPS-7, checklist 89, 90, 100), and the
//! documentation of every name.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::HeaderMap;
use tagscope::apiserver::chain::Settings;
use tagscope::apiserver::health::Exposition as _;
use tagscope::clock::SystemClock;
use tagscope::store::Store;
use tagscope::telemetry::metrics::{KubeRequests, Leadership, Metrics};

use crate::authn_kit::{LIST, World};
use crate::serve_kit::{eventually, get};
use crate::sources;

fn counted() -> Metrics {
    let store = Store::in_memory(Arc::new(SystemClock));
    Metrics::new(store, &KubeRequests::default(), &Leadership::default())
}

#[tokio::test]
async fn after_some_traffic_the_names_are_those_of_kube_apiserver() {
    let counted = counted();
    let settings = Settings {
        served: &["imagetags"],
        reads: 1,
        ..Settings::default()
    };
    let world = World::finished(settings, Some(counted.api_observer()), |chain| chain).await;
    let (proxy, address) = (world.proxy(), world.server.address);
    let mut client = world.client(Some(&proxy)).http2(address).await;
    let user = [("X-Remote-User", "bob")];
    client.send(get(LIST, &user)).await;
    client.send(get(&format!("{LIST}/panic"), &user)).await;
    client.send(get(LIST, &[("X-Remote-User", "eve")])).await;
    client
        .send(get(&format!("{LIST}/slow?timeout=1ms"), &user))
        .await;
    let watch = get(&format!("https://a{LIST}?watch=1"), &user);
    let watch = client.sender.send_request(watch).await.unwrap();
    let text = || counted.text().unwrap();
    eventually("everything has been counted", || {
        text().contains(r#"dry_run="",code="504"} 1"#)
    })
    .await;
    let text = text();
    let ours =
        r#"group="tags.tagscope.dev",version="v1alpha1",resource="imagetags",subresource="""#;
    for start in [
        format!(
            r#"apiserver_request_total{{verb="LIST",{ours},scope="namespace",component="apiserver",dry_run="",code="200"}} 1"#
        ),
        format!(
            r#"apiserver_request_total{{verb="LIST",{ours},scope="namespace",component="apiserver",dry_run="",code="403"}} 1"#
        ),
        format!(
            r#"apiserver_request_total{{verb="GET",{ours},scope="resource",component="apiserver",dry_run="",code="500"}} 1"#
        ),
        format!(
            r#"apiserver_request_terminations_total{{verb="GET",{ours},scope="resource",component="apiserver",code="504"}} 1"#
        ),
        format!(
            r#"apiserver_longrunning_requests{{verb="WATCH",{ours},scope="namespace",component="apiserver"}} 1"#
        ),
        "apiserver_request_duration_seconds_bucket{".to_owned(),
        "apiserver_request_sli_duration_seconds_bucket{".to_owned(),
        "apiserver_response_sizes_bucket{".to_owned(),
        "apiserver_current_inflight_requests{request_kind=\"readOnly\"} 0".to_owned(),
        "apiserver_request_post_timeout_total{".to_owned(),
        "apiserver_request_panics_total 1".to_owned(),
        "apiserver_tls_handshake_errors_total 0".to_owned(),
        "apiserver_client_certificate_expiration_seconds_count 5".to_owned(),
        "authenticated_user_requests{username=\"other\"} 5".to_owned(),
        "authentication_attempts{result=\"success\"} 5".to_owned(),
        "authentication_duration_seconds_count{result=\"success\"} 5".to_owned(),
        "authorization_attempts_total{result=\"denied\"} 1".to_owned(),
        "authorization_duration_seconds_count{result=\"allowed\"} 4".to_owned(),
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(&start)),
            "no {start} in\n{text}"
        );
    }
    drop(watch);
    let open = |text: &str| {
        text.lines()
            .any(|line| line.starts_with("apiserver_longrunning_requests") && line.ends_with(" 0"))
    };
    eventually("the watch is over", || open(&counted.text().unwrap())).await;
}

#[tokio::test]
async fn health_and_its_arguments_are_answered_on_the_secure_port() {
    let world = World::new().await;
    let (proxy, address) = (world.proxy(), world.server.address);
    let mut client = world.client(Some(&proxy)).http2(address).await;
    let user = [("X-Remote-User", "bob")];
    let asked = client
        .send(get("/readyz?verbose&exclude=ping&exclude=nope", &user))
        .await;
    let lines = "[+]ping excluded: ok\n[+]store ok\n\
                 warn: some health checks cannot be excluded: no matches for \"nope\"\nreadyz check passed\n";
    assert_eq!((asked.status, asked.text()), (200, lines));
    assert_eq!(asked.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(
        asked.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    for path in ["/readyz/store", "/livez/ping", "/healthz/ping"] {
        let answer = client.send(get(path, &user)).await;
        assert_eq!((answer.status, answer.text()), (200, "ok"), "{path}");
    }
    let index = client.send(get("/", &user)).await.json();
    let paths: Vec<&str> = index["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| path.as_str().unwrap())
        .collect();
    assert!(
        paths.contains(&"/readyz/store") && paths.is_sorted(),
        "{paths:?}"
    );
    world.store.set(false);
    let failing = client.send(get("/readyz", &user)).await;
    assert_eq!(failing.status, 500);
    assert_eq!(
        failing.text(),
        "[+]ping ok\n[-]store failed: reason withheld\nreadyz check failed\n"
    );
    assert_eq!(
        client.send(get("/livez", &user)).await.status,
        200,
        "and lives"
    );
}

/// Names of the API server's series, as they are registered: the documentation has a row for each.
#[test]
fn the_documentation_names_every_metric_of_the_api_server() {
    let documented = std::fs::read_to_string(sources::root().join("docs/metrics.md")).unwrap();
    let registered = counted().metrics(&HeaderMap::new());
    let body =
        futures::executor::block_on(http_body_util::BodyExt::collect(registered.into_body()));
    let text = String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap();
    let names: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    assert!(names.len() > 10, "{text}");
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !documented.contains(&format!("`{name}")))
        .collect();
    assert!(missing.is_empty(), "{missing:?} are not in docs/metrics.md");
    // Series that appear with the first traffic only.
    for name in [
        "apiserver_request_total",
        "apiserver_request_duration_seconds",
        "apiserver_request_sli_duration_seconds",
        "apiserver_response_sizes",
        "apiserver_current_inflight_requests",
        "apiserver_longrunning_requests",
        "apiserver_request_terminations_total",
        "apiserver_request_aborts_total",
        "apiserver_audit_error_total",
        "apiserver_delegated_authn_request_total",
        "apiserver_delegated_authz_request_total",
        "authenticated_user_requests",
        "authentication_attempts",
        "authentication_duration_seconds",
        "authorization_attempts_total",
        "authorization_duration_seconds",
        "authentication_token_cache_request_total",
        "authentication_token_cache_fetch_total",
        "authentication_token_cache_request_duration_seconds",
        "authentication_token_cache_active_fetch_count",
        "tagscope_serving_certificate_not_after_timestamp_seconds",
    ] {
        assert!(
            documented.contains(&format!("`{name}`")),
            "{name} is not in docs/metrics.md"
        );
    }
}
