//! Stories of mirrors that come, change and go: who has to give way to whom, and who is told.

use std::cell::Cell;

use serde_json::{Value, json};

use super::*;
use crate::api::ImageMirrorSpec;
use crate::mirror::spec::{How, Target};

/// Mirrors by name: when each was created, its fields, and its source's image.
#[derive(Default)]
struct World {
    mirrors: HashMap<Key, (ImageMirror, Repository)>,
    claims: Claims,
    /// How often claims were worked out.
    worked_out: Cell<usize>,
}

impl World {
    fn put(&mut self, name: &str, created: &str, image: &str, fields: Value) {
        let mut all = json!({
            "sourceRef": { "name": "app" },
            "destinations": [{ "name": "copy", "registry": "mirror.test", "repositoryTemplate": "all/{name}" }],
        });
        let Value::Object(fields) = fields else {
            panic!("{fields}")
        };
        for (name, value) in fields {
            all[name] = value;
        }
        let spec: ImageMirrorSpec = serde_json::from_value(all).unwrap();
        let mut object = ImageMirror::new(name, spec);
        if !created.is_empty() {
            let created = format!("2026-01-01T00:00:{created}Z").parse().unwrap();
            object.metadata.creation_timestamp = Some(
                k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(created),
            );
        }
        let key = Key::new("apps", name);
        self.mirrors
            .insert(key.clone(), (object, image.parse().unwrap()));
        self.claims.note(key);
    }

    fn remove(&mut self, name: &str) {
        let key = Key::new("apps", name);
        self.mirrors.remove(&key);
        self.claims.note(key);
    }

    /// Who is told to look again.
    fn settle(&self) -> Vec<String> {
        let moved = self.claims.settle(|mirror| {
            self.worked_out.set(self.worked_out.get() + 1);
            let (object, image) = self.mirrors.get(mirror)?;
            let how = How::read(&object.spec).unwrap();
            let mut claim = Claim::new(mirror, object);
            claim.looks_at(&Key::new("apps", "app"));
            for target in Target::all(&object.spec).unwrap() {
                let destination = target.of(image).unwrap();
                claim.wants(image, &destination, how.terms(&object.spec));
            }
            Some(claim)
        });
        moved.iter().map(|key| key.name.to_string()).collect()
    }

    /// Whom a mirror gives way to, and what about.
    fn other(&self, name: &str) -> Option<(String, About)> {
        let conflict = self.claims.conflict(&Key::new("apps", name))?;
        Some((conflict.other.name.to_string(), conflict.is_about))
    }
}

const APP: &str = "registry.test/o/app";
const OTHER: &str = "registry.test/other/app";

fn gives_way_to(name: &str, about: About) -> (String, About) {
    (name.to_owned(), about)
}

#[test]
fn the_later_one_gives_way_until_the_earlier_goes() {
    let mut world = World::default();
    world.put("b", "02", OTHER, json!({}));
    world.put("a", "01", APP, json!({}));
    world.put("c", "03", "registry.test/o/elsewhere", json!({}));
    world.settle();
    assert_eq!(world.other("a"), None);
    assert_eq!(world.other("b"), Some(gives_way_to("a", About::Source)));
    assert_eq!(world.other("c"), None);
    world.remove("a");
    assert_eq!(world.settle(), ["b"]);
    assert_eq!(world.other("b"), None);
    // One that comes back is another one, and the later.
    world.put("a", "09", APP, json!({}));
    assert_eq!(
        world.settle(),
        [""; 0],
        "nobody's position has changed but its own"
    );
    assert_eq!(world.other("a"), Some(gives_way_to("b", About::Source)));
}

#[test]
fn who_goes_first_does_not_hang_on_who_was_heard_of_first() {
    let mut world = World::default();
    world.put("b", "01", APP, json!({}));
    world.put("a", "01", OTHER, json!({}));
    world.put("implicit", "", "registry.test/third/app", json!({}));
    world.settle();
    assert_eq!(world.other("a"), None, "of one age, the name decides");
    assert_eq!(world.other("b"), Some(gives_way_to("a", About::Source)));
    assert_eq!(
        world.other("implicit"),
        Some(gives_way_to("a", About::Source))
    );
}

#[test]
fn who_shares_a_place_in_peace_is_still_a_neighbour() {
    let mut world = World::default();
    world.put("a", "01", APP, json!({}));
    world.put("b", "02", APP, json!({}));
    let elsewhere = json!([{ "name": "copy", "registry": "else.test" }]);
    world.put("c", "03", APP, json!({ "destinations": elsewhere }));
    world.settle();
    assert_eq!(world.other("b"), None);
    let there = "mirror.test/all/app".parse().unwrap();
    let neighbour = |name: &str| world.claims.neighbour(&Key::new("apps", name), &there);
    assert_eq!(neighbour("a"), Some(Key::new("apps", "b")));
    assert_eq!(neighbour("b"), Some(Key::new("apps", "a")));
    world.remove("b");
    world.settle();
    assert_eq!(world.claims.neighbour(&Key::new("apps", "a"), &there), None);
}

#[test]
fn a_change_moves_those_whom_it_concerns_and_nobody_else() {
    let mut world = World::default();
    world.put("a", "01", APP, json!({}));
    world.put("b", "02", OTHER, json!({}));
    world.put("same", "03", APP, json!({}));
    world.settle();
    assert_eq!(world.other("same"), Some(gives_way_to("b", About::Source)));
    assert_eq!(world.other("b"), Some(gives_way_to("a", About::Source)));
    // Nothing that counts has changed.
    world.put("a", "01", APP, json!({ "suspend": true, "interval": "1h" }));
    assert_eq!(world.settle(), [""; 0]);
    assert_eq!(world.other("b"), Some(gives_way_to("a", About::Source)));
    // Another destination: the next one may go on.
    let elsewhere = json!([{ "name": "copy", "registry": "elsewhere.test" }]);
    world.put("a", "01", APP, json!({ "destinations": elsewhere }));
    assert_eq!(world.settle(), ["b"]);
    assert_eq!(world.other("b"), None);
    // And back again.
    world.put("a", "01", APP, json!({}));
    assert_eq!(world.settle(), ["b"]);
    assert_eq!(world.other("b"), Some(gives_way_to("a", About::Source)));
}

#[test]
fn one_source_in_one_place_is_there_in_one_way() {
    let platforms = |mode: &str| json!({ "include": ["linux/amd64"], "mode": mode });
    let mutable = |patterns: &[&str]| json!({ "mode": "MutableTagsOnly", "mutable": patterns });
    let rows = [
        ("nothing", json!({}), json!({}), false),
        (
            "what is no option of the copy",
            json!({ "interval": "1h" }),
            json!({ "bandwidth": "1MiB" }),
            false,
        ),
        (
            "other tags",
            json!({ "tags": { "imagePolicyRefs": [{ "name": "x" }] } }),
            json!({}),
            false,
        ),
        (
            "platforms",
            json!({ "platforms": platforms("Rewritten") }),
            json!({}),
            true,
        ),
        (
            "mode",
            json!({ "platforms": platforms("Rewritten") }),
            json!({ "platforms": platforms("Sparse") }),
            true,
        ),
        ("referrers", json!({ "referrers": true }), json!({}), true),
        (
            "overwrite",
            json!({ "overwrite": { "mode": "Always" } }),
            json!({}),
            true,
        ),
        (
            "never is the default",
            json!({ "overwrite": { "mode": "Never" } }),
            json!({}),
            false,
        ),
        (
            "patterns",
            json!({ "overwrite": mutable(&["a", "b"]) }),
            json!({ "overwrite": mutable(&["a"]) }),
            true,
        ),
        (
            "their order",
            json!({ "overwrite": mutable(&["a", "b"]) }),
            json!({ "overwrite": mutable(&["b", "a"]) }),
            false,
        ),
    ];
    for (name, one, other, is_clash) in rows {
        let mut world = World::default();
        world.put("a", "01", APP, one);
        // The same source and the same registry, written in another way.
        let mut other = other;
        other["destinations"] = json!([
            { "name": "copy", "registry": "Mirror.test:443", "repositoryTemplate": "all/{name}" },
        ]);
        world.put("b", "02", "Registry.test:443/o/app", other);
        world.settle();
        let expected = is_clash.then(|| ("a".to_owned(), About::Terms));
        assert_eq!(world.other("b"), expected, "{name}");
        assert_eq!(world.other("a"), None, "{name}");
    }
}

#[test]
fn thousands_of_mirrors_cost_what_changes() {
    let mut world = World::default();
    for number in 0..2000 {
        let image = format!("registry.test/o/app-{number}");
        world.put(&format!("m-{number}"), "01", &image, json!({}));
    }
    world.settle();
    assert_eq!(world.worked_out.take(), 2000);
    for number in 0..2000 {
        world.claims.note(Key::new("apps", format!("m-{number}")));
        assert!(world.settle().is_empty());
        assert_eq!(world.other(&format!("m-{number}")), None);
    }
    assert_eq!(world.worked_out.take(), 2000, "each once");
    for number in 0..2000 {
        world.remove(&format!("m-{number}"));
    }
    world.settle();
    let state = world.claims.state.lock();
    let is_empty = state.mirrors.is_empty() && state.places.is_empty() && state.stale.is_empty();
    assert!(is_empty, "nothing is left behind");
}
