//! The CustomResourceDefinitions: what is in `deploy/crds/crds.yaml` is what the types say, and what the types say is
//! what the ecosystem knows.
//!
//! `UPDATE_GOLDENS=1` rewrites that file; the `.facts` tables are never rewritten.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, JSONSchemaProps,
    JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use tagscope::api;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn crd(plural: &str) -> CustomResourceDefinition {
    api::crds()
        .into_iter()
        .find(|crd| crd.spec.names.plural == plural)
        .expect("a definition of that name")
}

#[test]
fn the_installed_definitions_are_those_of_the_types() {
    let file = root().join("deploy/crds/crds.yaml");
    let generated = api::crd::stream().unwrap();
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        fs::write(&file, &generated).unwrap();
    }
    assert!(
        generated == fs::read_to_string(&file).unwrap_or_default(),
        "{} is not what the types say; `make generate`, and look at the difference",
        file.display()
    );
}

/// Where Flux has installed its own definitions, that of mirrors is added alone.
#[test]
fn mirrors_come_alone_where_flux_has_the_others() {
    let file = root().join("deploy/crds/mirrors/crd.yaml");
    let generated = api::render(&crd("imagemirrors")).unwrap();
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        fs::write(&file, &generated).unwrap();
    }
    assert!(
        generated == fs::read_to_string(&file).unwrap_or_default(),
        "{} is not what the type says; `make generate`, and look at the difference",
        file.display()
    );
}

#[test]
fn the_yaml_reads_back_as_what_was_written() {
    for crd in api::crds() {
        let read: CustomResourceDefinition =
            serde_saphyr::from_str(&api::render(&crd).unwrap()).unwrap();
        assert_eq!(read, crd);
    }
}

#[test]
fn the_schemas_hold_the_known_facts() {
    for plural in ["imagerepositories", "imagepolicies"] {
        let table = root()
            .join("tests/it/golden/crds")
            .join(format!("{plural}.facts"));
        let known = fs::read_to_string(&table).unwrap();
        let known: Vec<&str> = known
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        let crd = crd(plural);
        for version in &crd.spec.versions {
            assert_eq!(facts_of(version), known, "{plural} {}", version.name);
        }
    }
}

#[test]
fn one_version_is_stored_and_the_older_ones_stay_served() {
    const OURS: [(&str, bool, bool); 1] = [("v1alpha1", true, true)];
    const FLUXS: [(&str, bool, bool); 3] = [
        ("v1", true, true),
        ("v1beta2", true, false),
        ("v1beta1", true, false),
    ];
    for crd in api::crds() {
        let versions: Vec<_> = crd
            .spec
            .versions
            .iter()
            .map(|version| (version.name.as_str(), version.served, version.storage))
            .collect();
        let is_fluxs = crd.spec.group == api::names::IMAGE_GROUP;
        let expected = if is_fluxs { &FLUXS[..] } else { &OURS[..] };
        assert_eq!(versions, expected, "{:?}", crd.metadata.name);
        assert_eq!(crd.spec.conversion, None, "{:?}", crd.metadata.name);
        for version in &crd.spec.versions {
            assert_eq!(
                version.deprecated.unwrap_or_default(),
                !version.storage,
                "{}",
                version.name
            );
        }
    }
}

fn facts_of(version: &CustomResourceDefinitionVersion) -> Vec<String> {
    let schema = version.schema.as_ref().unwrap();
    let mut lines = Vec::new();
    facts("", schema.open_api_v3_schema.as_ref().unwrap(), &mut lines);
    lines
}

/// One line per node of the schema: its path, its type, and all that it holds a value to.
fn facts(path: &str, schema: &JSONSchemaProps, lines: &mut Vec<String>) {
    // Whatever is not in the line must be empty: a constraint that this does not know cannot hide.
    let known = JSONSchemaProps {
        type_: schema.type_.clone(),
        description: schema.description.clone(),
        required: schema.required.clone(),
        default: schema.default.clone(),
        enum_: schema.enum_.clone(),
        format: schema.format.clone(),
        max_items: schema.max_items,
        max_length: schema.max_length,
        min_length: schema.min_length,
        minimum: schema.minimum,
        pattern: schema.pattern.clone(),
        x_kubernetes_validations: schema.x_kubernetes_validations.clone(),
        properties: schema.properties.clone(),
        items: schema.items.clone(),
        additional_properties: schema.additional_properties.clone(),
        ..JSONSchemaProps::default()
    };
    assert_eq!(
        &known, schema,
        "{path} holds something that the table does not know"
    );

    let mut line = format!(
        "{} {}",
        if path.is_empty() { "." } else { path },
        schema.type_.as_deref().unwrap_or("?")
    );
    if let Some(required) = &schema.required {
        write!(line, " required={}", required.join(",")).unwrap();
    }
    if let Some(default) = &schema.default {
        write!(line, " default={}", default.0).unwrap();
    }
    if let Some(values) = &schema.enum_ {
        let values: Vec<_> = values.iter().map(|value| value.0.to_string()).collect();
        write!(line, " enum=[{}]", values.join(",")).unwrap();
    }
    if let Some(format) = &schema.format {
        write!(line, " format={format}").unwrap();
    }
    for (name, value) in [
        ("maxItems", schema.max_items),
        ("maxLength", schema.max_length),
        ("minLength", schema.min_length),
    ] {
        if let Some(value) = value {
            write!(line, " {name}={value}").unwrap();
        }
    }
    if let Some(minimum) = schema.minimum {
        write!(line, " minimum={minimum}").unwrap();
    }
    if let Some(pattern) = &schema.pattern {
        write!(line, " pattern={pattern}").unwrap();
    }
    for rule in schema.x_kubernetes_validations.iter().flatten() {
        write!(
            line,
            " rule={} message={}",
            rule.rule,
            rule.message.as_deref().unwrap_or_default()
        )
        .unwrap();
    }
    lines.push(line);

    for (name, property) in schema.properties.iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        facts(&path, property, lines);
    }
    match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => facts(&format!("{path}[]"), item, lines),
        Some(JSONSchemaPropsOrArray::Schemas(_)) => {
            panic!("{path}: a list of schemas is not structural")
        }
        None => {}
    }
    match &schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(value)) => facts(&format!("{path}{{}}"), value, lines),
        Some(JSONSchemaPropsOrBool::Bool(_)) => panic!("{path}: a free map"),
        None => {}
    }
}

#[test]
fn every_field_is_described() {
    fn check(path: &str, schema: &JSONSchemaProps) {
        for (name, property) in schema.properties.iter().flatten() {
            let path = format!("{path}.{name}");
            assert!(
                property
                    .description
                    .as_deref()
                    .is_some_and(|text| text.len() > 5),
                "{path}"
            );
            check(&path, property);
        }
        if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
            check(&format!("{path}[]"), item);
        }
    }
    for crd in api::crds() {
        for version in &crd.spec.versions {
            check(
                &crd.spec.names.kind,
                version
                    .schema
                    .as_ref()
                    .unwrap()
                    .open_api_v3_schema
                    .as_ref()
                    .unwrap(),
            );
        }
    }
}

#[test]
fn kinds_answer_to_their_usual_names() {
    let flux = (api::names::IMAGE_GROUP, api::names::IMAGE_VERSION);
    let ours = (api::names::MIRROR_GROUP, api::names::MIRROR_VERSION);
    let fluxs: &[&str] = &["all", "fluxcd", "fluxcd-images"];
    let rows = [
        (
            "imagerepositories",
            "ImageRepository",
            "imagerepository",
            &["imgrepo", "imagerepo"][..],
            (flux, fluxs),
        ),
        (
            "imagepolicies",
            "ImagePolicy",
            "imagepolicy",
            &["imgpol", "imagepol"],
            (flux, fluxs),
        ),
        (
            "imagemirrors",
            "ImageMirror",
            "imagemirror",
            &["imirror"],
            (ours, &["all"]),
        ),
    ];
    assert_eq!(rows.len(), api::crds().len());
    for (plural, kind, singular, short, ((group, version), categories)) in rows {
        let crd = crd(plural);
        assert_eq!(
            crd.metadata.name.as_deref(),
            Some(&*format!("{plural}.{group}"))
        );
        assert_eq!(crd.spec.group, group);
        assert_eq!(crd.spec.scope, "Namespaced");
        let names = &crd.spec.names;
        assert_eq!(
            (names.kind.as_str(), names.singular.as_deref()),
            (kind, Some(singular))
        );
        assert_eq!(names.short_names.as_deref().unwrap(), short);
        assert_eq!(names.categories.as_deref().unwrap(), categories);
        assert_eq!(crd.spec.versions[0].name, version);
        for version in &crd.spec.versions {
            assert!(
                version
                    .subresources
                    .as_ref()
                    .is_some_and(|sub| sub.status.is_some() && sub.scale.is_none()),
                "{}",
                version.name
            );
        }
    }
}

#[test]
fn columns_say_what_a_glance_should() {
    const READY: &str = r#".status.conditions[?(@.type=="Ready")].status"#;
    const STATUS: &str = r#".status.conditions[?(@.type=="Ready")].message"#;
    type Column<'a> = (&'a str, &'a str, &'a str, Option<i32>);
    let rows: [(&str, &[Column<'_>]); 3] = [
        (
            "imagerepositories",
            &[
                ("Image", "string", ".spec.image", None),
                ("Tags", "string", ".status.lastScanResult.tagCount", None),
                ("Ready", "string", READY, None),
                ("Status", "string", STATUS, None),
                (
                    "Last scan",
                    "string",
                    ".status.lastScanResult.scanTime",
                    Some(1),
                ),
                ("Age", "date", ".metadata.creationTimestamp", None),
            ],
        ),
        (
            "imagepolicies",
            &[
                ("Image", "string", ".status.latestRef.name", None),
                ("Tag", "string", ".status.latestRef.tag", None),
                ("Ready", "string", READY, None),
                ("Status", "string", STATUS, None),
                ("Age", "date", ".metadata.creationTimestamp", None),
            ],
        ),
        (
            "imagemirrors",
            &[
                ("Source", "string", ".spec.sourceRef.name", None),
                ("Mirrored", "string", ".status.tags.summary", None),
                ("Drift", "integer", ".status.tags.drifted", None),
                ("Ready", "string", READY, None),
                ("Status", "string", STATUS, None),
                ("Last run", "date", ".status.lastRun.finished", None),
                ("Next run", "string", ".status.nextRun", Some(1)),
                ("Failed", "integer", ".status.tags.failed", Some(1)),
                (
                    "Destination",
                    "string",
                    ".spec.destinations[0].registry",
                    Some(1),
                ),
                ("Suspended", "boolean", ".spec.suspend", Some(1)),
                ("Age", "date", ".metadata.creationTimestamp", None),
            ],
        ),
    ];
    for (plural, known) in rows {
        let crd = crd(plural);
        let columns = crd.spec.versions[0]
            .additional_printer_columns
            .as_ref()
            .unwrap();
        let columns: Vec<_> = columns
            .iter()
            .map(|c| {
                (
                    c.name.as_str(),
                    c.type_.as_str(),
                    c.json_path.as_str(),
                    c.priority.filter(|p| *p != 0),
                )
            })
            .collect();
        assert_eq!(columns, known);
    }
}
