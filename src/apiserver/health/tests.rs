//! Health as a kubelet and a curious operator read it.

use super::*;
use http_body_util::BodyExt as _;

async fn get(health: &Health, uri: &str) -> (u16, String) {
    let request = http::Request::get(uri).body(()).unwrap();
    let response = health.handle(&request);
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn health() -> (Health, Fact, Fact) {
    let readiness = Readiness::new();
    let (store, certificate) = (readiness.fact("store"), readiness.fact("serving-cert"));
    let version = Version {
        version: "0.1.0".into(),
        commit: "abc".into(),
        built: String::new(),
    };
    (Health::new(readiness, version), store, certificate)
}

#[tokio::test]
async fn readiness_is_every_fact_and_liveness_none() {
    let (health, store, certificate) = health();
    let failing =
        "[+]ping ok\n[-]store failed: reason withheld\n[-]serving-cert failed: reason withheld\n";
    assert_eq!(
        get(&health, "/readyz").await,
        (500, format!("{failing}readyz check failed\n"))
    );
    assert_eq!(get(&health, "/livez").await, (200, "ok".into()));
    assert_eq!(health.readiness().missing(), ["store", "serving-cert"]);

    store.set(true);
    assert_eq!(get(&health, "/readyz/store").await, (200, "ok".into()));
    assert_eq!(get(&health, "/readyz/serving-cert").await.0, 500);
    assert_eq!(
        get(&health, "/readyz?exclude=serving-cert").await,
        (200, "ok".into())
    );
    assert!(!health.readiness().has_started());

    certificate.set(true);
    for endpoint in ["readyz", "healthz", "livez"] {
        assert_eq!(
            get(&health, &format!("/{endpoint}")).await,
            (200, "ok".into())
        );
    }
    certificate.set(false);
    assert_eq!(get(&health, "/readyz").await.0, 500);
    assert_eq!(
        get(&health, "/healthz").await.0,
        200,
        "liveness, for Flux's probes"
    );
    assert!(health.readiness().has_started(), "once is enough");
}

#[tokio::test]
async fn verbose_and_exclude_read_as_kube_apiservers() {
    let (health, store, certificate) = health();
    store.set(true);
    certificate.set(true);
    let body = "[+]ping excluded: ok\n[+]store ok\n[+]serving-cert ok\n\
                warn: some health checks cannot be excluded: no matches for \"a\",\"nope\"\nreadyz check passed\n";
    assert_eq!(
        get(
            &health,
            "/readyz?verbose&exclude=ping&exclude=nope&exclude=a"
        )
        .await,
        (200, body.into())
    );
    assert_eq!(
        get(&health, "/livez?verbose=0").await,
        (200, "[+]ping ok\nlivez check passed\n".into())
    );
}

#[tokio::test]
async fn nothing_else_is_answered() {
    let (health, ..) = health();
    for path in ["/", "/readyz/nope", "/metrics", "/readyzz", "/livez/store"] {
        assert_eq!(get(&health, path).await.0, 404, "{path}");
    }
    let post = http::Request::post("/livez").body(()).unwrap();
    assert_eq!(
        health.handle(&post).status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn the_version_has_the_shape_clients_parse() {
    let (health, ..) = health();
    let (status, body) = get(&health, "/version").await;
    let version: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &version["major"], &version["minor"]),
        (200, &"0".into(), &"1".into())
    );
    assert_eq!(
        (&version["gitVersion"], &version["gitCommit"]),
        (&"v0.1.0".into(), &"abc".into())
    );
}

#[test]
fn a_fact_asked_for_twice_is_one_fact() {
    let readiness = Readiness::new();
    let (one, same) = (readiness.fact("store"), readiness.fact("store"));
    one.set(true);
    assert!(same.holds());
    assert!(readiness.is_ready());
}

#[tokio::test]
async fn one_readiness_may_rest_on_another() {
    let base = Readiness::new();
    let store = base.fact("store");
    let serving = Readiness::over(base.clone());
    let leader = serving.fact("leader");
    store.set(true);
    assert!(base.is_ready() && !serving.is_ready());
    leader.set(true);
    assert!(serving.is_ready());
    store.set(false);
    assert!(!serving.is_ready());
    let health = Health::new(serving, Version::current());
    let (status, body) = get(&health, "/readyz").await;
    assert_eq!(status, 500);
    assert!(
        body.starts_with("[+]ping ok\n[-]store failed: reason withheld\n[+]leader ok\n"),
        "{body}"
    );
}

struct Counted;

impl Exposition for Counted {
    fn metrics(&self, _: &HeaderMap) -> Response<Body> {
        Response::new(Body::full("counted"))
    }
}

#[tokio::test(start_paused = true)]
async fn who_lives_but_does_not_run_is_told_so_by_liveness_alone() {
    let (health, store, certificate) = health();
    store.set(true);
    certificate.set(true);
    let health = health.with_heartbeat(Heartbeat::default());
    assert_eq!(
        get(&health, "/livez?verbose").await.1,
        "[+]ping ok\n[+]runtime-heartbeat ok\nlivez check passed\n"
    );
    tokio::time::advance(std::time::Duration::from_secs(31)).await;
    let failing = "[+]ping ok\n[-]runtime-heartbeat failed: reason withheld\n";
    assert_eq!(
        get(&health, "/livez").await,
        (500, format!("{failing}livez check failed\n"))
    );
    assert_eq!(get(&health, "/readyz").await, (200, "ok".into()));
}

#[tokio::test]
async fn the_index_names_every_path_in_order_and_only_the_secure_port_has_it() {
    let (health, ..) = health();
    let health = health.with_metrics(Arc::new(Counted));
    let all = |path: &'static str| health.answer_all(path, "", &HeaderMap::new());
    let index = all("/").unwrap().into_body().collect().await.unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index.to_bytes()).unwrap();
    let paths: Vec<&str> = index["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| path.as_str().unwrap())
        .collect();
    assert!(paths.is_sorted());
    for path in [
        "/apis/tags.tagscope.dev/v1alpha1",
        "/metrics",
        "/readyz/store",
        "/livez/ping",
    ] {
        assert!(paths.contains(&path), "{path} in {paths:?}");
    }
    assert!(all("/metrics").is_some() && all("/readyz").is_some() && all("/nope").is_none());
    assert_eq!(get(&health, "/").await.0, 404);
    assert_eq!(get(&health, "/metrics").await.0, 404);
}
