//! Problems of all stages at once: what does not read hides its own consequences, and nothing else.

use super::*;

/// The lines that are told.
fn told(texts: &[&str]) -> Vec<String> {
    refused(texts).lines().map(str::to_owned).collect()
}

#[test]
fn what_refers_to_what_did_not_read_is_not_told_that_it_is_missing() {
    let broken = SOURCE.replace("interval: 5m", "interval: soon");
    let policy = "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImagePolicy\nmetadata: {name: p}\nspec: {policy: {numerical: {}}}\n";
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: '!'}\n";
    let wanting = mirror(
        "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example, secretRef: {name: s}}], tags: {imagePolicyRefs: [{name: p}]}}",
    );
    assert_eq!(
        told(&[&broken, policy, secret, &wanting]),
        [
            "a.yaml, document 1 (ImageRepository default/app): spec.interval: is \"soon\", which does not match ^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$",
            "b.yaml, document 1 (ImagePolicy default/p): spec.imageRepositoryRef: is required",
            "c.yaml, document 1 (Secret default/s): data.a: is not base64",
        ]
    );
    // By labels as well.
    let selecting =
        mirror("{sourceRef: {selector: {}}, destinations: [{name: a, registry: r.example}]}");
    assert_eq!(told(&[&broken, &selecting]).len(), 1);
    // An ImageMirror that did not read is one.
    assert_eq!(told(&[SOURCE, &mirror("{}")]).len(), 2);
}

#[test]
fn what_is_wrong_besides_is_told_at_once() {
    let broken = SOURCE.replace("interval: 5m", "interval: soon");
    let other = SOURCE.replace("name: app", "name: other");
    let wrong = mirror(
        "{sourceRef: {name: app}, destinations: [{name: a, registry: r.example, repositoryTemplate: '{name}', secretRef: {name: s}}, {name: b, registry: r.example}], \
         platforms: {include: [linux]}, tags: {filterTags: {pattern: '('}}}",
    );
    let lost =
        mirror("{sourceRef: {name: nowhere}, destinations: [{name: a, registry: r.example}]}")
            .replace("{name: app}\nspec", "{name: lost}\nspec");
    let said = told(&[&broken, &other, &wrong, &lost]);
    let expected = [
        "spec.interval: is \"soon\"",
        "spec.platforms.include[0]: is \"linux\"",
        "spec.destinations[0].secretRef: no document is the Secret default/s",
        "spec.tags.filterTags: failed to filter tags",
        "spec.sourceRef.name: no document is the ImageRepository default/nowhere",
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (line, part) in said.iter().zip(expected) {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn what_is_not_known_may_have_been_anything() {
    let lost =
        mirror("{sourceRef: {name: nowhere}, destinations: [{name: a, registry: r.example}]}");
    for (text, lines) in [
        ("kind: ImageRepository\n", 1),
        ("a: [\n", 1),
        ("- 1\n", 1),
        // It has a kind, and one that is not missed.
        ("apiVersion: v1\nkind: Secret\nmetadata: {}\n", 2),
        (
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {}\n",
            1,
        ),
        (
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {name: nowhere, labels: 1}\n",
            1,
        ),
        (
            "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageRepository\nmetadata: {name: elsewhere, labels: 1}\n",
            2,
        ),
    ] {
        let said = told(&[text, &lost]);
        assert_eq!(said.len(), lines, "{text}\n{said:#?}");
    }
}

#[test]
fn what_several_mirrors_share_is_told_once() {
    let source = SOURCE
        .replace("s.example", "S.example/B")
        .replace("interval: 5m", "interval: 5m, suspend: true");
    let second = MIRROR.replace("{name: app}\nspec", "{name: second}\nspec");
    assert_eq!(told(&[&source, MIRROR, &second]).len(), 1);
    let source = SOURCE.replace("interval: 5m", "interval: 5m, suspend: true");
    let asked = load(&[&source, MIRROR, &second]).unwrap();
    assert_eq!((asked.orders.len(), asked.warnings.len()), (2, 1));
}

#[test]
fn a_file_that_cannot_be_read_hides_no_other() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("wrong.yaml");
    std::fs::write(&file, mirror("{}")).unwrap();
    let failure = super::super::load(&["/nowhere.yaml".into(), file]).unwrap_err();
    let said = format!("{:#}", failure.error.unwrap());
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(
        said.starts_with("failed to read /nowhere.yaml: No such file"),
        "{said}"
    );
}
