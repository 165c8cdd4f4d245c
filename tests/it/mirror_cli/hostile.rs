//! What a failing run says: nothing secret, and nothing that a terminal, a log or a table would obey.

use serde_json::{Value, json};

use super::{Machine, Ran, registries};
use crate::fake_registry::{Auth, FakeRegistry, Fault, Image, Nth};

const READER: &str = "correct-horse-battery";
const WRITER: &str = "staple-of-the-writer";

fn bearer(password: &str) -> Auth {
    Auth::Bearer {
        username: "me".into(),
        password: password.into(),
        identity_token: None,
        anonymous: false,
    }
}

fn basic(password: &str) -> Auth {
    Auth::Basic {
        username: "me".into(),
        password: password.into(),
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}

/// Everything that a run leaves: what it wrote, what it logged, and what it keeps.
fn traces(machine: &Machine, ran: &Ran) -> String {
    let mut all = format!("{}\n{}", ran.out, ran.err);
    let known = std::fs::read(machine.path(".local/state/tagscope/mirror.known"));
    all.push_str(&String::from_utf8_lossy(&known.unwrap_or_default()));
    all
}

/// Copies one tag, with all that could be said said, as text and as JSON.
async fn failing(source: &FakeRegistry, destination: &FakeRegistry, what: &str) -> String {
    let machine = Machine::new();
    let auth = |password: &str| json!({"auth": base64(&format!("me:{password}"))});
    let auths = json!({source.plain_host(): auth(READER), destination.plain_host(): auth(WRITER)});
    machine.write(
        ".docker/config.json",
        &json!({ "auths": auths }).to_string(),
    );
    let (from, to) = (source.image("team/app:1.0.0"), destination.image("app"));
    let mut all = String::new();
    for output in ["text", "json"] {
        let ran = machine
            .command(&["mirror", &from, &to, "-o", output])
            .env("TAGSCOPE_LOG", "trace")
            .output()
            .await
            .unwrap();
        let ran = Ran::from(ran);
        assert_eq!(ran.code, Some(1), "{what}: {ran:?}");
        assert!(ran.out.contains("failed"), "{what}: {ran:?}");
        all.push_str(&traces(&machine, &ran));
    }
    all
}

#[tokio::test]
async fn fault_40_a_run_that_fails_says_nothing_secret() {
    // Who repeats what it was sent; a signed address that is refused; an upload's address, and a token server.
    let stories = [
        "an echo at the source",
        "a store that refuses",
        "an upload that fails",
        "an echo of the token server",
        "an echo at the destination",
    ];
    let runs = stories.map(|story| async move {
        let (source, destination) = registries().await;
        source.set_auth(bearer(READER));
        destination.set_auth(basic(WRITER));
        match story {
            "an echo at the source" => {
                source.set_auth(basic(READER));
                source.on(None, "/manifests/", Nth::Every, Fault::Echo);
            }
            "a store that refuses" => {
                source.configure(|options| options.redirects_blobs_to = Some("localhost"));
                source.on(None, "^/store", Nth::Every, Fault::Status(403));
            }
            "an upload that fails" => {
                destination.on(
                    None,
                    "digest=",
                    Nth::Every,
                    Fault::Code(400, "DIGEST_INVALID"),
                );
            }
            "an echo of the token server" => {
                for _ in 0..20 {
                    source.fail_next_token(Fault::Echo);
                }
            }
            _ => destination.on(None, "/uploads/", Nth::Every, Fault::Echo),
        }
        (story, failing(&source, &destination, story).await)
    });
    for (story, all) in futures::future::join_all(runs).await {
        for secret in [
            READER,
            WRITER,
            &base64(&format!("me:{READER}")),
            &base64(&format!("me:{WRITER}")),
            "token-number",
            "signature=",
            "_state=",
        ] {
            assert!(!all.contains(secret), "{story}: {secret} in {all}");
        }
    }
}

const HOSTILE: &str = "X\u{1b}[2J\r\ncopied \u{202e}evil\u{7}\u{9b}31m";

/// Nothing but printable text and line ends; nothing that changes the direction.
#[track_caller]
fn assert_tame(text: &str) {
    let is_wild = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(is_wild), "{text:?}");
}

#[tokio::test]
async fn fault_41_tags_of_a_list_that_are_none_reach_nobody() {
    let (source, destination) = registries().await;
    let long = "x".repeat(4096);
    let names = [
        "1.0.0",
        HOSTILE,
        "a\nfailed b",
        "\u{202e}0.1",
        "..%2f..%2fother%2fapp",
        "../other/app/manifests/1",
        "1.0.0?x=y#z",
        "",
        &long,
    ];
    let list = json!({"name": "team/app", "tags": names}).to_string();
    source.on(None, "/tags/list", Nth::Every, Fault::Json(list));
    let machine = Machine::new();
    let (from, to) = (source.image("team/app"), destination.image("app"));
    for output in ["text", "json"] {
        let args = [
            "mirror",
            &from,
            &to,
            "--all-tags",
            "--no-state",
            "-o",
            output,
        ];
        let ran = machine.run(&args).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_tame(&ran.out);
        assert_tame(&ran.err);
        // One of them is shown, as tame as the others are absent.
        assert!(
            format!("{ran:?}").contains("8 names are no tags"),
            "{ran:?}"
        );
        for part in ["%2f", "failed b", "other", &long] {
            assert!(!format!("{ran:?}").contains(part), "{part}: {ran:?}");
        }
        if output == "json" {
            let tags = ran.json()["tags"].clone();
            assert_eq!(tags.as_array().unwrap().len(), 1);
            assert_eq!(tags[0]["tag"], "1.0.0");
        }
    }
    assert_eq!(destination.tags("app"), ["1.0.0"]);
    let strays = source.count_where(|request| {
        let path = &request.path;
        path.contains("/manifests/")
            && !path.ends_with("/manifests/1.0.0")
            && !path.contains("sha256:")
    });
    assert_eq!(strays, 0, "{:#?}", source.conversation());
}

/// Every text in a document.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(all) => all.iter().flat_map(texts).collect(),
        Value::Object(all) => all.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn fault_41_what_registries_say_moves_no_cursor_and_begins_no_line() {
    let (source, destination) = registries().await;
    let machine = Machine::new();
    let to = destination.image("app");
    // In an error of either side, in a digest, in a media type, and in a manifest.
    destination.on(
        None,
        "manifests/1.0.0",
        Nth::Every,
        Fault::Code(400, HOSTILE),
    );
    source.on(
        None,
        "manifests/1.1.0",
        Nth::Every,
        Fault::Code(403, HOSTILE),
    );
    let digest = Fault::Headers(vec![("docker-content-digest", "sha256:\u{e9}evil".into())]);
    source.on(None, "manifests/2.0.0", Nth::Every, digest);
    let odd = json!({"schemaVersion": 2, "mediaType": HOSTILE, "layers": HOSTILE, "config": {"digest": HOSTILE}});
    source.put_manifest("team/app", Some("3.0.0"), "application/x", &odd);
    let index =
        Image::index([Image::sized(1, &[10])]).field("manifests", json!([{"digest": HOSTILE}]));
    source.add_image("team/app", "4.0.0", &index);
    let from = source.image("team/app");
    for output in ["text", "json"] {
        let args = [
            "mirror",
            &from,
            &to,
            "--all-tags",
            "--no-state",
            "-o",
            output,
        ];
        let ran = machine.run(&args).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_tame(&ran.err);
        assert_tame(&ran.out);
        if output == "text" {
            let failed = ran.out.lines().filter(|line| line.starts_with("failed "));
            assert_eq!(failed.count(), 5, "{ran:?}");
            assert!(
                !ran.out.lines().any(|line| line.starts_with("copied ")),
                "{ran:?}"
            );
        } else {
            let said = ran.json();
            texts(&said).into_iter().for_each(assert_tame);
            assert_eq!(said["tags"].as_array().unwrap().len(), 5, "{ran:?}");
        }
    }
}
