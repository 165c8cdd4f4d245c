//! Holds every module to its floor: imports point downward only.
//!
//! What counts as an import is what the code names, wherever it names it: `use` trees, paths in bodies and
//! types, the tokens of macros, and the paths that derives take as strings.

mod paths;

use std::fmt::Write as _;
use std::path::{Component, Path};

use crate::sources;
use paths::{Named, named_by};

/// Where each top-level module stands. A module that is missing here fails the test.
const FLOORS: &[(u8, &[&str])] = &[
    (
        0,
        &["clock", "image", "object", "quote", "regexp", "secret"],
    ),
    (1, &["api"]),
    (2, &["mirror", "policy", "scan"]),
    (3, &["cluster", "registry", "state", "store", "task"]),
    (4, &["apiserver", "control", "serve"]),
    (5, &["app", "cli", "config", "fuzzing", "telemetry"]),
];

/// Crates of the outside world: floors 0 to 2 decide, and neither wait, talk nor log.
const OUTSIDE: &[&str] = &[
    "futures",
    "hyper",
    "hyper_util",
    "kube",
    "moka",
    "redb",
    "reqwest",
    "tokio",
    "tokio_rustls",
    "tokio_util",
    "tracing",
    "tracing_subscriber",
];

/// The parts of kube that are clients. Its derives and object types are what floor 1 is made of.
const KUBE_CLIENTS: &[&str] = &[
    "Api",
    "Client",
    "Config",
    "client",
    "config",
    "discovery",
    "runtime",
];

/// The parts of std that reach outside.
const STD_OUTSIDE: &[&str] = &["env", "fs", "io", "net", "process", "thread"];

/// What of them is a mere value.
const STD_VALUES: &[[&str; 2]] = &[["net", "IpAddr"], ["net", "Ipv4Addr"], ["net", "Ipv6Addr"]];

/// What tells the time, in std. Decisions are told it.
const STD_CLOCKS: &[[&str; 2]] = &[["time", "Instant"], ["time", "SystemTime"]];

#[test]
fn modules_import_downward_only() {
    let violations = violations(&sources::root().join("src"));
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn a_sound_tree_has_no_violations() {
    assert_eq!(violations(&fixture("sound")), Vec::<String>::new());
}

#[test]
fn every_way_to_name_a_module_is_seen() {
    let found = violations(&fixture("broken"));
    let expected = [
        "api.rs: `crate::store::timestamp` points upward: api stands on floor 1, store on floor 3",
        "api.rs: `kube::Client` belongs to the outside world, api stands on floor 1",
        "apiserver.rs: `crate::control::Thing` points sideways: apiserver and control stand on floor 4",
        "apiserver.rs: `crate::control` points sideways: apiserver and control stand on floor 4",
        "image.rs: `crate::api::name` points upward: image stands on floor 0, api on floor 1",
        "image.rs: `crate::policy::A` points upward: image stands on floor 0, policy on floor 2",
        "image.rs: `std::fs::read` belongs to the outside world, image stands on floor 0",
        "image.rs: `tokio::test` belongs to the outside world, image stands on floor 0",
        "policy.rs: `crate::clock::Clock` tells the time, policy stands on floor 2 and is told it",
        "policy.rs: `crate::store::Snapshot` points upward: policy stands on floor 2, store on floor 3",
        "policy.rs: `futures::future::ready` belongs to the outside world, policy stands on floor 2",
        "policy.rs: `moka::sync::Cache` belongs to the outside world, policy stands on floor 2",
        "policy.rs: `std::io::stdin` belongs to the outside world, policy stands on floor 2",
        "policy.rs: `std::net::TcpStream::connect` belongs to the outside world, policy stands on floor 2",
        "policy.rs: `std::time::Instant` belongs to the outside world, policy stands on floor 2",
        "policy.rs: async code, policy stands on floor 2",
        "policy/semver.rs: `crate::*` names every floor at once",
        "policy/semver.rs: `crate::control::now` points upward: policy stands on floor 2, control on floor 4",
        "policy/semver.rs: `crate::scan::due` points sideways: policy and scan stand on floor 2",
        "policy/semver.rs: `crate` names every floor at once",
        "registry.rs: `crate::attic::Box` is in a module without a floor",
        "registry.rs: `crate::store::Tag` points sideways: registry and store stand on floor 3",
        "stray.rs: the module `stray` has no floor",
        "task.rs: `crate::store` points sideways: task and store stand on floor 3",
    ];
    assert_eq!(found, expected, "\n{}", found.join("\n"));
}

fn fixture(name: &str) -> std::path::PathBuf {
    sources::root().join("tests/it/fixtures/floors").join(name)
}

/// Every violation in the tree below `src`, one line each, sorted.
fn violations(src: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for file in sources::rust_files(src) {
        let module = module_of(&file);
        let mut report = |what: String| found.push(format!("{}: {what}", file.display()));
        let Some(top) = module.first() else {
            continue; // lib.rs and main.rs stand on top and may name everything.
        };
        let Some(floor) = floor_of(top) else {
            report(format!("the module `{top}` has no floor"));
            continue;
        };
        for named in named_by(&module, &sources::parse(&src.join(&file))) {
            let problem = match &named {
                Named::Own(path) => own_problem(top, floor, path),
                Named::Foreign(path) => foreign_problem(top, floor, path),
                Named::Async => {
                    (floor <= 2).then(|| format!("async code, {top} stands on floor {floor}"))
                }
            };
            problem.into_iter().for_each(&mut report);
        }
    }
    found.sort();
    found.dedup();
    found
}

/// `policy/semver.rs` is `["policy", "semver"]`; lib.rs and main.rs are the crate itself.
fn module_of(file: &Path) -> Vec<String> {
    let parts = file.with_extension("");
    let parts = parts.components().map(|part| match part {
        Component::Normal(name) => name.to_string_lossy().into_owned(),
        other => unreachable!("{other:?} in {}", file.display()),
    });
    let module: Vec<_> = parts.collect();
    if module == ["lib"] || module == ["main"] {
        Vec::new()
    } else {
        module
    }
}

fn floor_of(module: &str) -> Option<u8> {
    let floor = FLOORS.iter().find(|(_, modules)| modules.contains(&module));
    floor.map(|(floor, _)| *floor)
}

/// What is wrong with the module `from` naming `crate::PATH`.
fn own_problem(from: &str, floor: u8, path: &[String]) -> Option<String> {
    let text = path.iter().fold("crate".to_owned(), |mut text, part| {
        write!(text, "::{part}").expect("a String takes it");
        text
    });
    let to = match path.first().map(String::as_str) {
        None | Some("*") => return Some(format!("`{text}` names every floor at once")),
        Some(to) if to == from => return None,
        Some(to) => to,
    };
    let Some(other) = floor_of(to) else {
        return Some(format!("`{text}` is in a module without a floor"));
    };
    if other > floor {
        return Some(format!(
            "`{text}` points upward: {from} stands on floor {floor}, {to} on floor {other}"
        ));
    }
    if floor == 2 && to == "clock" {
        return Some(format!(
            "`{text}` tells the time, {from} stands on floor {floor} and is told it"
        ));
    }
    // Words build on words, and assembly is one thing. Everybody spawns, every server serves, and a mirror's tags are
    // ranked as a policy ranks them.
    let neighbours = matches!(floor, 0 | 1 | 5)
        || to == "task"
        || to == "serve"
        || (from, to) == ("mirror", "policy");
    (other == floor && !neighbours)
        .then(|| format!("`{text}` points sideways: {from} and {to} stand on floor {floor}"))
}

/// What is wrong with the module `from` naming something of another crate.
fn foreign_problem(from: &str, floor: u8, path: &[String]) -> Option<String> {
    let mut parts = path.iter().map(String::as_str);
    let outside = match (parts.next()?, parts.next()) {
        ("kube", second) if floor == 1 => {
            let second = if second == Some("api") {
                parts.next()
            } else {
                second
            };
            second.is_none_or(|name| name == "*" || KUBE_CLIENTS.contains(&name))
        }
        ("std", Some(second)) => {
            let named = parts.next().map(|third| [second, third]);
            let is_one_of = |list: &[[&str; 2]]| named.is_some_and(|named| list.contains(&named));
            (STD_OUTSIDE.contains(&second) && !is_one_of(STD_VALUES)) || is_one_of(STD_CLOCKS)
        }
        (name, _) => OUTSIDE.contains(&name),
    };
    (floor <= 2 && outside).then(|| {
        format!(
            "`{}` belongs to the outside world, {from} stands on floor {floor}",
            path.join("::")
        )
    })
}
