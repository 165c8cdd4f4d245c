//! Documents as people write them, right and wrong; what is said about them is what they need to mend them.

use super::*;

mod together;

/// What the texts ask for; each is a file, `a.yaml` and so on.
fn load(texts: &[&str]) -> Result<Asked, String> {
    let mut problems = Problems::default();
    let mut documents = Vec::new();
    for (name, text) in ('a'..).zip(texts) {
        read::parse(&format!("{name}.yaml"), text, &mut documents, &mut problems);
    }
    asked(documents, problems, &mut Vec::new())
        .map_err(|failure| format!("{:#}", failure.error.unwrap()))
}

fn refused(texts: &[&str]) -> String {
    load(texts).map(|_| ()).unwrap_err()
}

const SOURCE: &str = "
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: app, labels: {team: a}}
spec: {image: s.example/team/app, interval: 5m}
";

const MIRROR: &str = "
apiVersion: mirror.tagscope.dev/v1alpha1
kind: ImageMirror
metadata: {name: app}
spec:
  sourceRef: {name: app}
  destinations:
  - {name: one, registry: \"r.example:5000/m\"}
";

/// A mirror with these lines in its spec, in place of what [`MIRROR`] has there.
fn mirror(spec: &str) -> String {
    let head = MIRROR.split_once("spec:").unwrap().0;
    format!("{head}spec: {spec}")
}

#[test]
fn a_mirror_and_its_source_are_an_order() {
    let asked = load(&[&format!("# ours\n---{SOURCE}---{MIRROR}...\n")]).unwrap();
    assert!(asked.warnings.is_empty());
    let [order] = asked.orders.as_slice() else {
        panic!("{asked:?}")
    };
    assert_eq!(order.source.repository.to_string(), "s.example/team/app");
    assert!(order.source.keychain.is_none() && !order.source.insecure && !order.referrers);
    let to: Vec<String> = order
        .destinations
        .iter()
        .map(|end| end.repository.to_string())
        .collect();
    assert_eq!(to, ["r.example:5000/m/s.example/team/app"]);
    assert_eq!(order.verify_after, std::time::Duration::from_hours(24));
    assert!(order.bandwidth.is_none());
    assert!(matches!(
        order.overwrite,
        crate::mirror::overwrite::Overwrite::Never
    ));
}

#[test]
fn lists_as_kubectl_prints_them_are_their_items() {
    let indented = |text: &str| text.trim().replace('\n', "\n  ");
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}\n- {}\n",
        indented(SOURCE),
        indented(MIRROR)
    );
    assert_eq!(load(&[&list]).unwrap().orders.len(), 1);
    let broken = list.replace("registry:", "registri:");
    let said = refused(&[&broken]);
    assert!(
        said.contains("a.yaml, document 1, items[1] (ImageMirror default/app): spec.destinations[0].registri: is no field"),
        "{said}"
    );
}

#[test]
fn each_problem_names_file_document_and_field() {
    let source_and = |spec: &str| refused(&[SOURCE, &mirror(spec)]);
    let at = "b.yaml, document 1 (ImageMirror default/app): ";
    for (spec, expected) in [
        ("", "spec: is required"),
        ("{}", "spec.destinations: is required"),
        ("{}", "spec.sourceRef: is required"),
        (
            "{sourceRef: {name: app}, destinations: []}",
            "spec.destinations: has 0 items, and needs 1 at least",
        ),
        (
            "{sourceRef: {}, destinations: [{name: a, registry: r.example}]}",
            "spec.sourceRef: exactly one of name and selector must be set",
        ),
        (
            "{sourceRef: {name: app, selector: {}}, destinations: [{name: a, registry: r.example}]}",
            "spec.sourceRef: exactly one of name and selector must be set",
        ),
        (
            "{sourceRef: {name: other}, destinations: [{name: a, registry: r.example}]}",
            "spec.sourceRef.name: no document is the ImageRepository default/other",
        ),
        (
            "{sourceRef: {selector: {matchLabels: {team: b}}}, destinations: [{name: a, registry: r.example}]}",
            "spec.sourceRef.selector: selects no ImageRepository of namespace \"default\" in the documents",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}, {name: a, registry: q.example}]}",
            "spec.destinations[1].name: is \"a\", as that of another one",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: A, registry: r.example}]}",
            "spec.destinations[0].name: is \"A\", which does not match",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example, secretRef: {name: s}}]}",
            "spec.destinations[0].secretRef: no document is the Secret default/s",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example, insecure: 1}]}",
            "spec.destinations[0].insecure: has to be true or false, and is a number",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: s.example, repositoryTemplate: '{path}'}]}",
            "spec.destinations[0]: leads to the source itself, s.example/team/app",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example, repositoryTemplate: '{nam}'}]}",
            "spec.destinations[0]: repositoryTemplate is made of ",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], tags: {limit: 3}}",
            "spec.tags: limit needs a policy, which says what the latest tags are",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], tags: {limit: 0, policy: {semver: {range: '*'}}}}",
            "spec.tags.limit: is 0, which is out of range",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], tags: {policy: {semver: {range: '>'}}}}",
            "spec.tags.policy: invalid policy: ",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], tags: {filterTags: {pattern: '('}}}",
            "spec.tags.filterTags: failed to filter tags: ",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], tags: {imagePolicyRefs: [{name: p}]}}",
            "spec.tags.imagePolicyRefs[0]: no document is the ImagePolicy default/p",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], tags: {imagePolicyRefs: [{name: p}], limit: 1, policy: {numerical: {}}}}",
            "spec.tags: imagePolicyRefs cannot be combined with filterTags, policy and limit",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], platforms: {include: [linux]}}",
            "spec.platforms.include[0]: is \"linux\": a platform is written",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], platforms: {include: [linux/amd64], mode: sparse}}",
            "spec.platforms.mode: is \"sparse\", and has to be one of \"Rewritten\", \"Sparse\"",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], overwrite: {mutable: [x]}}",
            "spec.overwrite: mutable goes with mode MutableTagsOnly",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], overwrite: {mode: MutableTagsOnly, mutable: ['(']}}",
            "spec.overwrite.mutable[0]: error parsing regexp",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], interval: soon}",
            "spec.interval: is \"soon\", which does not match",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], verifyInterval: -1h}",
            "spec.verifyInterval: is \"-1h\", which does not match",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], bandwidth: fast}",
            "spec.bandwidth: is \"fast\", which does not match",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], bandwidth: 0MiB}",
            "spec: \"0MiB\" is not a bandwidth",
        ),
        (
            "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], overwite: {}}",
            "spec.overwite: is no field that there is",
        ),
    ] {
        let said = source_and(spec);
        assert!(
            said.contains(&format!("{at}{expected}")),
            "{spec}\n{said}\n{at}{expected}"
        );
    }
}

#[test]
fn rules_of_policies_are_held_as_those_of_mirrors() {
    let policy = |more: &str| {
        format!(
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {{name: p}}\nspec: {{imageRepositoryRef: {{name: app}}, policy: {{numerical: {{}}}}{more}}}\n"
        )
    };
    for (more, expected) in [
        (
            ", interval: 5m",
            "interval is only accepted when spec.digestReflectionPolicy is set to 'Always'",
        ),
        (
            ", digestReflectionPolicy: Always",
            "interval must be set when spec.digestReflectionPolicy is set to 'Always'",
        ),
    ] {
        let said = refused(&[SOURCE, &policy(more), MIRROR]);
        let place = "b.yaml, document 1 (ImagePolicy default/p): spec: ";
        assert_eq!(said, format!("{place}{expected}"));
    }
    for more in [
        "",
        ", interval: null",
        ", digestReflectionPolicy: Always, interval: 5m",
    ] {
        assert!(load(&[SOURCE, &policy(more), MIRROR]).is_ok(), "{more}");
    }
}

#[test]
fn what_is_no_document_is_told_with_its_line() {
    const NOTHING: &str = "no document is an ImageMirror: there is nothing to copy";
    let named = |name, namespace| {
        let (name, namespace) = ("a".repeat(name), "b".repeat(namespace));
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
        )
    };
    for (text, expected) in [
        ("a: 1\n---\nb: [\n", "a.yaml, document 2: line "),
        ("- a\n", "a.yaml, document 1: it is not an object"),
        (
            "kind: Secret\n",
            "a.yaml, document 1: apiVersion: is required, and is a text",
        ),
        (
            "apiVersion: v1\n",
            "a.yaml, document 1: kind: is required, and is a text",
        ),
        (
            "apiVersion: v1\nkind: Secret\n",
            "a.yaml, document 1 (Secret): metadata.name: is required, and is a text",
        ),
        (
            &named(254, 63),
            "a.yaml, document 1 (Secret): metadata.name: is longer than 253 bytes",
        ),
        (
            &named(253, 64),
            "a.yaml, document 1 (Secret): metadata.namespace: is longer than 63 bytes",
        ),
        (
            "a: 1\na: 2\n",
            "a.yaml, document 1: line 2: it is not YAML: ",
        ),
        ("", NOTHING),
        ("# nothing\n---\n---\n# at all\n", NOTHING),
    ] {
        let said = refused(&[text]);
        assert!(said.contains(expected), "{text:?}\n{said}");
    }
}

#[test]
fn two_objects_of_one_name_are_refused_and_several_problems_told_at_once() {
    let said = refused(&[
        SOURCE,
        SOURCE,
        &mirror("{sourceRef: {name: app}, destinations: 5}"),
    ]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "b.yaml, document 1 (ImageRepository default/app): metadata.name: is taken already, in a.yaml, document 1 (ImageRepository default/app)",
            "c.yaml, document 1 (ImageMirror default/app): spec.destinations: has to be a list, and is a number",
        ]
    );
    let many = "kind: X\n---\n".repeat(60);
    let said = refused(&[&many]);
    assert_eq!(said.lines().count(), 51);
    assert!(said.ends_with("and 10 more problems"), "{said}");
}

#[test]
fn two_sources_that_would_meet_are_refused_by_name() {
    let other = SOURCE
        .replace("name: app", "name: other")
        .replace("s.example", "t.example");
    let meeting = "{sourceRef: {selector: {}}, destinations: [{name: a, registry: r.example, repositoryTemplate: '{name}'}]}";
    let said = refused(&[SOURCE, &other, &mirror(meeting)]);
    for part in [
        "would meet in r.example/app",
        "s.example/team/app",
        "t.example/team/app",
        "ImageMirror default/app",
        "\"a\"",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn two_ways_into_one_repository_are_refused_and_name_what_differs() {
    let with = |name: &str, more: &str| {
        let spec = format!(
            "{{sourceRef: {{name: app}}, destinations: [{{name: a, registry: r.example}}]{more}}}"
        );
        mirror(&spec).replace("{name: app}\nspec", &format!("{{name: {name}}}\nspec"))
    };
    let plain = with("plain", "");
    for (more, expected) in [
        (
            ", platforms: {include: [linux/amd64]}",
            "all platforms (b.yaml, document 1 (ImageMirror default/plain) destination \"a\"); linux/amd64 (c.yaml, document 1 (ImageMirror default/other) destination \"a\")",
        ),
        (", referrers: true", "without referrers ("),
        (", overwrite: {mode: Always}", "never overwritten ("),
    ] {
        let said = refused(&[SOURCE, &plain, &with("other", more)]);
        assert!(
            said.starts_with(
                "s.example/team/app is wanted in r.example/s.example/team/app in 2 ways"
            ) && said.contains(expected)
                && said.lines().count() == 1,
            "{said}"
        );
    }
    // Other tags of it in the same way, or all of them in the same way once more, do no harm.
    for more in [
        "",
        ", tags: {policy: {semver: {range: 2.x}}}",
        ", overwrite: {mode: Never}",
    ] {
        let asked = load(&[SOURCE, &plain, &with("other", more)]).unwrap();
        assert_eq!(asked.orders.len(), 2, "{more}");
    }
    let elsewhere = with("other", ", referrers: true").replace("registry: r", "registry: q");
    assert_eq!(load(&[SOURCE, &plain, &elsewhere]).unwrap().orders.len(), 2);
}

#[test]
fn policies_are_elections_of_their_source() {
    let policy = |name: &str, of: &str| {
        format!(
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {{name: {name}}}\nspec: {{imageRepositoryRef: {{name: {of}}}, policy: {{semver: {{range: 1.x}}}}}}\n"
        )
    };
    let wanting = "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], tags: {imagePolicyRefs: [{name: p}, {name: q}]}}";
    let texts = [
        SOURCE,
        &policy("p", "app"),
        &policy("q", "app"),
        &mirror(wanting),
    ];
    assert_eq!(load(&texts).unwrap().orders.len(), 2);
    let said = refused(&[
        SOURCE,
        &policy("p", "app"),
        &policy("q", "elsewhere"),
        &mirror(wanting),
    ]);
    assert!(
        said.ends_with("spec.tags.imagePolicyRefs[1]: the ImagePolicy default/q elects from default/elsewhere, and not from default/app"),
        "{said}"
    );
}

#[test]
fn with_a_selector_each_policy_is_of_one_source_and_each_source_has_one() {
    let other = SOURCE
        .replace("name: app", "name: other")
        .replace("team/app", "team/other");
    let policy = |of: &str| {
        format!(
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {{name: p}}\nspec: {{imageRepositoryRef: {{name: {of}}}, policy: {{numerical: {{}}}}}}\n"
        )
    };
    let selecting = mirror(
        "{sourceRef: {selector: {}}, destinations: [{name: a, registry: r.example}], tags: {imagePolicyRefs: [{name: p}]}}",
    );
    let asked = load(&[SOURCE, &other, &policy("app"), &selecting]).unwrap();
    assert_eq!(asked.orders.len(), 1);
    assert_eq!(
        asked.warnings,
        [
            "d.yaml, document 1 (ImageMirror default/app): spec.tags.imagePolicyRefs: none elects from default/other, of which nothing is copied"
        ]
    );
    assert_eq!(
        asked.orders[0].unmatched(12),
        "d.yaml, document 1 (ImageMirror default/app): spec.tags.imagePolicyRefs[0] (ImagePolicy default/p): nothing is copied: \
         none of the 12 tags of s.example/team/app is selected (numerical, the latest 1)"
    );
    let said = refused(&[SOURCE, &other, &policy("elsewhere"), &selecting]);
    assert!(
        said.ends_with("spec.tags.imagePolicyRefs[0]: the ImagePolicy default/p elects from default/elsewhere, and not from any of the sources that are selected")
            && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn secrets_are_read_in_both_forms_and_never_shown() {
    let config = r#"{"auths":{"r.example:5000":{"username":"me","password":"hunter2"}}}"#;
    let secret = |data: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ntype: kubernetes.io/dockerconfigjson\n{data}\n"
        )
    };
    let with = mirror(
        "{sourceRef: {name: app}, destinations: [{name: a, registry: 'r.example:5000', secretRef: {name: s}}]}",
    );
    let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, config);
    for data in [
        format!("stringData: {{.dockerconfigjson: '{config}'}}"),
        format!("data: {{.dockerconfigjson: {base64}}}"),
        format!("data: {{.dockerconfigjson: AAAA}}\nstringData: {{.dockerconfigjson: '{config}'}}"),
    ] {
        let asked = load(&[SOURCE, &secret(&data), &with]).unwrap();
        let keychain = asked.orders[0].destinations[0].keychain.as_ref().unwrap();
        assert!(
            keychain
                .lookup(&"r.example:5000/app".parse().unwrap())
                .is_some(),
            "{data}"
        );
        assert!(!format!("{asked:?}").contains("hunter2"));
    }
    for (data, expected) in [
        (
            "data: {.dockerconfigjson: 'hunter2!'}",
            "data..dockerconfigjson: is not base64",
        ),
        (
            "stringData: {.dockerconfigjson: hunter2}",
            "spec.destinations[0].secretRef: b.yaml, document 1 (Secret default/s): \".dockerconfigjson\" is not a Docker configuration",
        ),
        (
            "stringData: {.dockerconfigjson: 5}",
            "stringData..dockerconfigjson: is not a text",
        ),
        ("data: hunter2", "data: is not a map of texts"),
        (
            "stringData: {}",
            "the Secret has no key \".dockerconfigjson\"",
        ),
    ] {
        let said = refused(&[SOURCE, &secret(data), &with]);
        assert!(
            said.contains(expected) && !said.contains("hunter2"),
            "{data}\n{said}"
        );
    }
}

#[test]
fn certificates_and_proxies_are_those_of_the_secret() {
    let with = mirror(
        "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example, certSecretRef: {name: s}, proxySecretRef: {name: s}}]}",
    );
    let secret = |data: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {data}\n")
    };
    for (data, expected) in [
        (
            "{address: 'http://p.example:3128'}",
            "spec.destinations[0].certSecretRef: b.yaml, document 1 (Secret default/s): it has neither 'ca.crt' nor 'tls.crt' with 'tls.key'",
        ),
        ("{tls.crt: x}", "it has 'tls.crt', but no 'tls.key'"),
        ("{ca.crt: x}", "'ca.crt' holds no PEM certificate"),
        (
            "{ca.crt: x}",
            "spec.destinations[0].proxySecretRef: b.yaml, document 1 (Secret default/s): it has no 'address'",
        ),
        (
            "{address: nowhere, password: hunter2}",
            "it has 'password', but no 'username'",
        ),
    ] {
        let said = refused(&[SOURCE, &secret(data), &with]);
        assert!(
            said.contains(expected) && !said.contains("hunter2"),
            "{data}\n{said}"
        );
    }
}

#[test]
fn what_has_no_effect_is_told() {
    let mut text = mirror(
        "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example}], prune: {enabled: true}, bandwidth: 5MiB}",
    );
    text.push_str("\n---\n");
    text.push_str(&mirror("{sourceRef: {name: app}, suspend: true, destinations: [{name: a, registry: r.example}]}").replace("{name: app}\nspec", "{name: later}\nspec"));
    text.push_str("\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n");
    let source = SOURCE.replace(
        "interval: 5m",
        "interval: 5m, serviceAccountName: puller, provider: aws",
    );
    let asked = load(&[&source, &text]).unwrap();
    assert_eq!(asked.orders.len(), 1);
    let limiter = asked.orders[0].bandwidth.as_ref().unwrap();
    assert_eq!(limiter.bytes_per_second(), 5 << 20);
    let rules = asked.orders[0].prune.unwrap();
    assert_eq!((rules.grace.as_secs(), rules.max_percent), (24 * 3600, 10));
    let [suspended] = &asked.suspended[..] else {
        panic!("{asked:?}")
    };
    assert_eq!(suspended.mirror.to_string(), "default/later");
    let to = suspended.to.iter().flatten().map(ToString::to_string);
    assert_eq!(to.collect::<Vec<_>>(), ["r.example/s.example/team/app"]);
    assert_eq!(
        asked.warnings,
        [
            "b.yaml, document 3 (Namespace): v1 Namespace is not used here",
            "a.yaml, document 1 (ImageRepository default/app): spec.serviceAccountName has no effect here",
            "a.yaml, document 1 (ImageRepository default/app): spec.provider has no effect here: your own credentials are used",
            "b.yaml, document 2 (ImageMirror default/later): it is suspended, and left out",
        ]
    );
}

#[test]
fn where_a_suspended_mirror_would_copy_to_may_be_unknown() {
    for spec in [
        "{sourceRef: {name: other}, suspend: true, destinations: [{name: a, registry: r.example}]}",
        "{sourceRef: {selector: {matchLabels: {team: b}}}, suspend: true, destinations: [{name: a, registry: r.example}]}",
    ] {
        let asked = load(&[SOURCE, &mirror(spec)]).unwrap();
        let to: Vec<_> = asked.suspended.iter().map(|it| &it.to).collect();
        assert_eq!(to, [&None], "{spec}");
    }
}

#[test]
fn the_examples_are_sound() {
    for (file, orders) in [("mirrors", 2), ("team", 2)] {
        let path = format!("{}/examples/mirror/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        let asked = super::load(&[path.into()])
            .map_err(|failure| failure.error)
            .unwrap();
        assert_eq!(
            (asked.orders.len(), asked.warnings.len()),
            (orders, 0),
            "{file}"
        );
    }
}

#[test]
fn a_mirror_s_own_credentials_go_before_those_of_its_sources() {
    let secret = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/dockerconfigjson\n\
             stringData: {{.dockerconfigjson: '{{\"auths\":{{\"s.example\":{{\"username\":\"{name}\",\"password\":\"x\"}}}}}}'}}\n"
        )
    };
    let source = format!(
        "{}  secretRef: {{name: pull}}\n",
        SOURCE.replace(
            "spec: {image: s.example/team/app, interval: 5m}",
            "spec:\n  image: s.example/team/app\n  interval: 5m"
        )
    );
    let with = mirror(
        "{sourceRef: {name: app}, sourceSecretRef: {name: own}, destinations: [{name: a, registry: r.example}]}",
    );
    // The Secret that is not used need not be there.
    let asked = load(&[&source, &secret("own"), &with]).unwrap();
    let keychain = asked.orders[0].source.keychain.as_ref().unwrap();
    let found = keychain.lookup(&"s.example/team/app".parse().unwrap());
    let is_own = matches!(found, Some(crate::secret::Credential::Basic { username, .. }) if username == "own");
    assert!(is_own);
    assert!(asked.orders[0].destinations[0].keychain.is_none());
    let said = refused(&[&source, &secret("pull"), &with]);
    let expected = "spec.sourceSecretRef: no document is the Secret default/own";
    assert!(said.contains(expected), "{said}");
}
