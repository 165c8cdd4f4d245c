//! What the program tells of itself over a whole run: lines that `flux logs` reads, and metrics that dashboards ask for.

use serde_json::Value;

use crate::harness::eventually;
use crate::world::{SOON, World};

/// `flux logs` decodes these as strings, and reads no further where one is something else.
const STRINGS: [&str; 9] = [
    "ts",
    "level",
    "msg",
    "error",
    "logger",
    "reconciler kind",
    "controllerKind",
    "name",
    "namespace",
];

fn check_line(line: &str) -> Value {
    let entry: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    let fields = entry
        .as_object()
        .unwrap_or_else(|| panic!("no object: {line}"));
    for field in STRINGS {
        let value = fields.get(field);
        assert!(
            value.is_none_or(Value::is_string),
            "{field} is no string: {line}"
        );
    }
    for field in ["ts", "level", "msg"] {
        assert!(fields.contains_key(field), "no {field}: {line}");
    }
    let level = entry["level"].as_str().unwrap();
    assert!(
        ["trace", "debug", "info", "error"].contains(&level),
        "{line}"
    );
    let ts = entry["ts"].as_str().unwrap();
    assert!(ts.parse::<jiff::Timestamp>().is_ok(), "{line}");
    if let Some(kind) = entry["controllerKind"].as_str() {
        assert_eq!(
            entry["controllerGroup"], "image.toolkit.fluxcd.io",
            "{line}"
        );
        assert_eq!(entry["controller"], kind.to_lowercase(), "{line}");
        assert_eq!(entry[kind]["name"], entry["name"], "{line}");
        assert_eq!(entry[kind]["namespace"], entry["namespace"], "{line}");
        assert!(entry["reconcileID"].is_string(), "{line}");
    }
    entry
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_run_is_one_that_flux_logs_reads_and_every_metric_has_its_name() {
    let args = [
        "--log-level=trace",
        "--enable-leader-election",
        "--storage-value-log-file-size=1024",
        "--gc-interval=5",
        "--feature-gates=CacheSecretsAndConfigMaps=true",
    ];
    let mut world = World::start(&args).await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("tells").await;
    cluster
        .registry
        .push("tells/app", &["1.0.0", "1.1.0"])
        .await;
    world.scan(ns, "app", "tells/app").await;
    world.create_policy(ns, "app", "app", "1.x").await;
    world.elects(ns, "app", "1.1.0").await;
    // What fails, is refused, is missing, and is deleted.
    world
        .create_repository(ns, "missing", "tells/missing")
        .await;
    world.create_policy(ns, "lost", "nowhere", "1.x").await;
    world.create_policy(ns, "bad", "app", "not a range").await;
    eventually(SOON, "a scan has failed", || async {
        let metrics = world.program.scrape().await;
        let failed = metrics.contains("tagscope_scans_total{result=\"failed\"");
        failed.then_some(()).ok_or(metrics)
    })
    .await;

    let metrics = world.program.scrape().await;
    for name in [
        format!(
            "gotk_reconcile_duration_seconds_count{{kind=\"ImageRepository\",name=\"app\",namespace=\"{ns}\"}}"
        ),
        "controller_runtime_reconcile_total{controller=\"imagepolicy\",result=\"error\"}"
            .to_owned(),
        "controller_runtime_reconcile_errors_total{controller=\"imagerepository\"}".to_owned(),
        "controller_runtime_max_concurrent_reconciles{controller=\"imagerepository\"} 4".to_owned(),
        "workqueue_depth{name=\"imagerepository\",controller=\"imagerepository\"}".to_owned(),
        "workqueue_adds_total{name=\"imagepolicy\",controller=\"imagepolicy\"}".to_owned(),
        "rest_client_requests_total{code=\"200\",method=\"PATCH\",host=\"127.0.0.1:".to_owned(),
        "leader_election_master_status{name=\"image-reflector-controller-leader-election\"} 1"
            .to_owned(),
        format!("tagscope_tags{{namespace=\"{ns}\",name=\"app\"}} 2"),
        "tagscope_store_bytes ".to_owned(),
        "process_start_time_seconds ".to_owned(),
        "tagscope_apiserver_on 1".to_owned(),
    ] {
        assert!(
            metrics.lines().any(|line| line.starts_with(&name)),
            "no {name} in\n{metrics}"
        );
    }
    let profile = format!("http://{}/debug/pprof/heap", world.program.metrics);
    assert_eq!(reqwest::get(profile).await.unwrap().status().as_u16(), 404);

    let object = world.get(&["imagerepository", "app", "-n", ns]).await;
    let conditions = object["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|one| one["type"] == "Ready");
    let scanned = ready.unwrap()["message"].as_str().unwrap().to_owned();

    let delete = ["delete", "imagerepository,imagepolicy", "--all", "-n", ns];
    cluster.kubectl(&delete).await.ok();
    let of_objects = format!("namespace=\"{ns}\"");
    eventually(SOON, "the series end with their objects", || async {
        let metrics = world.program.scrape().await;
        let left = metrics.lines().find(|line| line.contains(&of_objects));
        left.map_or(Ok(()), |line| Err(line.to_owned()))
    })
    .await;

    assert!(
        world.program.terminate().await.success(),
        "{}",
        world.program.log()
    );
    let log = world.program.log();
    let entries: Vec<Value> = log.lines().map(check_line).collect();
    let with = |field: &str, text: &str| {
        let found = entries
            .iter()
            .filter(|entry| entry[field].as_str() == Some(text));
        found.count()
    };
    assert!(with("level", "debug") > 0, "{log}");
    assert!(
        with("controllerKind", "ImageRepository") > 0 && with("controllerKind", "ImagePolicy") > 0
    );
    // What Flux's controller logs: people search for it.
    assert_eq!(with("msg", &scanned), 1, "{scanned}: {log}");
    assert!(with("error", "DependencyNotReady") > 0, "{log}");
    let flags = "--storage-value-log-file-size, --gc-interval";
    assert_eq!(with("flags", flags), 1, "one notice for all of them: {log}");
    assert_eq!(with("msg", "Released the lease"), 1, "{log}");
}
