//! The flags as a user types them: Flux's published arguments, pflag's grammar, and the table in the documentation.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{CommandFactory as _, Parser};
use tagscope::cluster::connect::Rate;
use tagscope::config::args::Args;
use tagscope::config::settings::{Gates, LogEncoding, Settings};

use crate::sources;

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    args: Args,
}

fn settings(flags: &[&str]) -> Result<Settings, String> {
    let typed = Typed::try_parse_from([&["tagscope"], flags].concat());
    let typed = typed.map_err(|error| error.to_string())?;
    Settings::check(typed.args).map_err(|problems| problems.to_string())
}

/// The arguments of Flux's own Deployments, as `flux install --components-extra=…` renders them.
#[test]
fn fluxs_published_arguments_are_understood() {
    let reflector = settings(&[
        "--events-addr=http://notification-controller.flux-system.svc.cluster.local./",
        "--watch-all-namespaces=true",
        "--log-level=info",
        "--log-encoding=json",
        "--enable-leader-election",
    ])
    .unwrap();
    assert_eq!(
        format!("{:?}", reflector.events.unwrap()),
        "http://notification-controller.flux-system.svc.cluster.local."
    );
    assert!(reflector.election.is_on && reflector.election.release_on_cancel);
    assert_eq!(reflector.election.namespace, reflector.runtime_namespace);
    assert_eq!(
        (
            reflector.election.lease_duration,
            reflector.election.renew_deadline,
            reflector.election.retry_period
        ),
        (
            Duration::from_secs(35),
            Duration::from_secs(30),
            Duration::from_secs(5)
        )
    );
    assert_eq!(reflector.controllers.namespace, None);
    assert_eq!(reflector.log.encoding, LogEncoding::Json);
    assert!(reflector.without_effect.is_empty());

    // What its guides add for scale, for shards, for lockdown and for its storage.
    let tuned = settings(&[
        "--events-addr=",
        "--watch-all-namespaces",
        "--log-level",
        "debug",
        "--log-encoding=console",
        "--enable-leader-election=1",
        "--leader-election-release-on-cancel=f",
        "--storage-path=/data",
        "--storage-value-log-file-size=134217728",
        "--storage-compression-threshold=32",
        "--gc-interval=0",
        "--concurrent=20",
        "--requeue-dependency=5s",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--min-retry-delay=1s",
        "--max-retry-delay=1h30m",
        "--no-cross-namespace-refs=TRUE",
        "--default-service-account=image-reflector",
        "--feature-gates=ObjectLevelWorkloadIdentity=true,FluxStorage=true",
        "--watch-label-selector=sharding.fluxcd.io/key in (shard1, shard2),!test",
        "--watch-configs-label-selector=reconcile.fluxcd.io/watch=Enabled",
        "--token-cache-max-size=0",
        "--token-cache-max-duration=30m",
        "--metrics-addr=:9090",
        "--health-addr",
        ":9441",
        "--ssh-kex-algos=curve25519-sha256,ecdh-sha2-nistp256",
        "--ssh-hostkey-algos=ssh-ed25519",
        "--leader-election-lease-duration=60s",
        "--leader-election-renew-deadline=50s",
        "--leader-election-retry-period=10s",
        "--leader-election-namespace=flux-system",
    ])
    .unwrap();
    assert_eq!(tuned.events, None);
    assert!(!tuned.election.release_on_cancel);
    assert_eq!(tuned.election.namespace, "flux-system");
    assert_eq!(
        tuned.kube_api,
        Some(Rate {
            qps: 500.0,
            burst: 1000
        })
    );
    assert!(!tuned.controllers.cross_namespace_refs && tuned.controllers.gates.flux_storage);
    assert_eq!(
        tuned.controllers.label_selector.as_deref(),
        Some("sharding.fluxcd.io/key in (shard1, shard2),!test"),
        "as it was typed: the Lease is named after it"
    );
    assert_eq!(
        tuned.without_effect,
        [
            "--storage-value-log-file-size",
            "--storage-compression-threshold",
            "--gc-interval",
            "--watch-configs-label-selector",
            "--token-cache-max-size",
            "--token-cache-max-duration",
            "--ssh-kex-algos",
            "--ssh-hostkey-algos",
        ]
    );
}

#[test]
fn the_grammar_is_pflags() {
    let on = |flags: &[&str]| settings(flags).map(|settings| settings.election.is_on);
    for value in ["1", "t", "T", "true", "TRUE", "True"] {
        assert_eq!(
            on(&[&format!("--enable-leader-election={value}")]),
            Ok(true)
        );
    }
    for value in ["0", "f", "F", "false", "FALSE", "False"] {
        assert_eq!(
            on(&[&format!("--enable-leader-election={value}")]),
            Ok(false)
        );
    }
    assert_eq!(on(&["--enable-leader-election"]), Ok(true));
    // The last one counts.
    assert_eq!(
        on(&["--enable-leader-election", "--enable-leader-election=false"]),
        Ok(false)
    );
    let last = settings(&["--concurrent=1", "--concurrent", "7"]).unwrap();
    assert_eq!(last.controllers.concurrent.get(), 7);
    // Maps merge, and within them the last one counts.
    let gates = settings(&[
        "--feature-gates=FluxStorage=true,GitShallowClone=false",
        "--feature-gates",
        "FluxStorage=false,GitSparseCheckout=T",
    ]);
    assert_eq!(
        gates.unwrap().controllers.gates,
        Gates {
            git_shallow_clone: false,
            git_sparse_checkout: true,
            ..Gates::default()
        }
    );
    for (flags, expected) in [
        (
            &["--enable-leader-election=yes"][..],
            "neither true nor false",
        ),
        (&["--enable-leader-election="], "neither true nor false"),
        (&["-log-level=debug"], "unexpected argument '-l'"),
        (&["--no-such-flag"], "unexpected argument '--no-such-flag'"),
        (&["--concurrent"], "a value is required"),
    ] {
        let said = settings(flags).unwrap_err();
        assert!(said.contains(expected), "{flags:?}: {said}");
    }
}

#[test]
fn every_wrong_value_has_a_line_of_its_own() {
    let flags = [
        (
            "--gc-interval=70000",
            "--gc-interval \"70000\" is not a whole number in range",
        ),
        (
            "--storage-value-log-file-size=big",
            "--storage-value-log-file-size \"big\"",
        ),
        (
            "--storage-compression-threshold=0",
            "must be more than 0 with the gate FluxStorage",
        ),
        (
            "--feature-gates=FluxStorage=true,Bogus=true",
            "knows no \"Bogus\"",
        ),
        (
            "--default-service-account=x",
            "--default-service-account needs --feature-gates=ObjectLevelWorkloadIdentity=true",
        ),
        (
            "--watch-label-selector=a=(",
            "--watch-label-selector \"a=(\" is not a label selector",
        ),
        (
            "--watch-configs-label-selector==",
            "--watch-configs-label-selector \"=\" is not a label selector",
        ),
        ("--token-cache-max-size=-1", "--token-cache-max-size \"-1\""),
        (
            "--token-cache-max-duration=long",
            "--token-cache-max-duration \"long\" is not a duration",
        ),
        (
            "--kube-api-qps=fast",
            "--kube-api-qps \"fast\" is not a number",
        ),
        ("--kube-api-burst=1.5", "--kube-api-burst \"1.5\""),
        (
            "--registry-rps=-1",
            "--registry-rps \"-1\" is not a number of at least 0",
        ),
        ("--registry-concurrency=0", "--registry-concurrency \"0\""),
        ("--suspect-confirmations=-", "--suspect-confirmations \"-\""),
        (
            "--leader-election-lease-duration=30s",
            "--leader-election-lease-duration must be at least 1s and more than --leader-election-renew-deadline",
        ),
        (
            "--leader-election-retry-period=25s",
            "must be more than 1.2 times --leader-election-retry-period",
        ),
        (
            "--leader-election-namespace=Not_One",
            "--leader-election-namespace \"Not_One\" is not a namespace's name",
        ),
        (
            "--events-addr=ftp://me:secret@host",
            "--events-addr is not an address such as",
        ),
        ("--log-level=warn", "--log-level \"warn\""),
        ("--companion=maybe", "--companion \"maybe\""),
    ];
    let said = settings(&flags.map(|(flag, _)| flag)).unwrap_err();
    for (flag, expected) in flags {
        assert!(said.contains(expected), "{flag} in:\n{said}");
    }
    assert_eq!(said.lines().count(), flags.len(), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn a_companion_stands_for_no_election() {
    let settings = settings(&["--companion", "--enable-leader-election"]).unwrap();
    assert!(settings.controllers.is_companion && !settings.election.is_on);
    assert_eq!(
        settings.without_effect,
        ["--enable-leader-election beside --companion"]
    );
}

/// The arguments of imagerepo-mirror's own Deployment.
#[test]
fn imagerepo_mirrors_published_arguments_are_understood() {
    let published = [
        "--log-level=info",
        "--log-json",
        "--enable-leader-election",
        "--destination-registry=europe-west4-docker.pkg.dev/project/repository",
        "--workers=8",
        "--tag-workers=2",
        "--metrics-addr=:8080",
    ];
    let settings = settings(&published).unwrap();
    assert_eq!(settings.without_effect, ["--log-json"]);
    assert!(settings.election.is_on && settings.controllers.image_mirror);
    let mirrors = settings.mirrors;
    assert_eq!(mirrors.workers.get(), 8);
    assert_eq!(mirrors.concurrency.map(std::num::NonZero::get), Some(2));
    assert_eq!(mirrors.bandwidth, None);
    let implicit = mirrors.implicit.unwrap();
    assert_eq!(
        implicit.registry,
        "europe-west4-docker.pkg.dev/project/repository"
    );
    assert!(implicit.secret.is_none() && implicit.holds_lease);
}

/// Then Flux's Lease is left to Flux, and imagerepo-mirror's is held.
#[test]
fn a_companion_that_mirrors_stands_for_the_lease_of_imagerepo_mirror_only() {
    let flags = [
        "--companion",
        "--enable-leader-election",
        "--destination-registry=r.example/team",
        "--mirror-bandwidth=50MiB",
    ];
    let settings = settings(&flags).unwrap();
    assert!(!settings.election.is_on && settings.without_effect.is_empty());
    assert!(settings.mirrors.implicit.unwrap().holds_lease);
    let bandwidth = settings.mirrors.bandwidth.unwrap();
    assert_eq!(bandwidth.bytes_per_second(), 50 << 20);
    assert_eq!(settings.mirrors.workers.get(), 4);
}

/// `docs/flags.md`: one row a flag, `| --name | default | whose | … |`.
#[test]
fn the_documentation_names_exactly_the_flags_that_exist() {
    let path = sources::root().join("docs/flags.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut documented = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `--")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`').trim_start_matches("--");
        let before = documented.insert(name.to_owned(), cells[2].trim_matches('`').to_owned());
        assert_eq!(before, None, "--{name} stands there twice");
        assert_eq!(cells.len(), 6, "{line}");
    }
    let mut existing = BTreeMap::new();
    for arg in Typed::command().get_arguments() {
        let Some(name) = arg.get_long() else { continue };
        if name == "help" {
            continue;
        }
        let defaults = arg.get_default_values();
        let default = defaults
            .first()
            .map(|text| text.to_string_lossy().into_owned());
        existing.insert(name.to_owned(), default);
    }
    let names = |map: &BTreeMap<String, _>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        documented.keys().cloned().collect::<Vec<_>>(),
        names(&existing)
    );
    for (name, default) in existing {
        if let Some(default) = default {
            assert_eq!(documented[&name], default, "the default of --{name}");
        }
    }
}

/// All of image-reflector-controller's, and what image-automation-controller has besides.
#[test]
fn no_flag_of_fluxs_is_missing() {
    const FLUXS: [&str; 30] = [
        "metrics-addr",
        "events-addr",
        "health-addr",
        "storage-path",
        "storage-value-log-file-size",
        "storage-compression-threshold",
        "gc-interval",
        "concurrent",
        "requeue-dependency",
        "kube-api-qps",
        "kube-api-burst",
        "log-encoding",
        "log-level",
        "enable-leader-election",
        "leader-election-release-on-cancel",
        "leader-election-lease-duration",
        "leader-election-renew-deadline",
        "leader-election-retry-period",
        "no-cross-namespace-refs",
        "min-retry-delay",
        "max-retry-delay",
        "feature-gates",
        "watch-all-namespaces",
        "watch-label-selector",
        "watch-configs-label-selector",
        "token-cache-max-size",
        "token-cache-max-duration",
        "default-service-account",
        "ssh-kex-algos",
        "ssh-hostkey-algos",
    ];
    let command = Typed::command();
    for name in FLUXS {
        assert!(
            command
                .get_arguments()
                .any(|arg| arg.get_long() == Some(name)),
            "--{name}"
        );
    }
}

#[test]
fn what_makes_no_sense_ends_the_program_before_it_starts() {
    let flags = ["--feature-gates=Bogus=true", "--log-level=loud"];
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tagscope"))
        .args(flags)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), flags.len(), "{said}");
    assert!(
        said.contains("knows no \"Bogus\"") && said.contains("--log-level \"loud\""),
        "{said}"
    );
}
