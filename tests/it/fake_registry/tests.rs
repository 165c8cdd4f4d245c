//! The fake is a registry, by an independent reader's judgement, and each of its faults is one.

use std::time::Duration;

use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

use super::{Auth, ETags, FakeRegistry, Fault, Links, Listener, Paging, Route, Sent};

fn reader(protocol: ClientProtocol) -> Client {
    Client::new(ClientConfig {
        protocol,
        ..ClientConfig::default()
    })
}

async fn tags(client: &Client, image: &str, auth: &RegistryAuth) -> Vec<String> {
    let image: Reference = image.parse().unwrap();
    client
        .list_tags(&image, auth, None, None)
        .await
        .unwrap()
        .tags
}

#[tokio::test]
async fn an_independent_client_reads_tags_manifests_and_blobs() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", ["1.0.0", "1.1.0"]);
    let digest = registry.push("team/app", "2.0.0");
    registry.delete_tag("team/app", "1.0.0");
    let client = reader(ClientProtocol::Http);
    assert_eq!(
        tags(
            &client,
            &registry.image("team/app"),
            &RegistryAuth::Anonymous
        )
        .await,
        ["1.1.0", "2.0.0"]
    );

    let image: Reference = format!("{}:2.0.0", registry.image("team/app"))
        .parse()
        .unwrap();
    assert_eq!(
        client
            .fetch_manifest_digest(&image, &RegistryAuth::Anonymous)
            .await
            .unwrap(),
        digest
    );
    let (manifest, found) = client
        .pull_manifest_raw(&image, &RegistryAuth::Anonymous, &[OCI_IMAGE_MEDIA_TYPE])
        .await
        .unwrap();
    assert_eq!(found, digest);
    let manifest: OciImageManifest = serde_json::from_slice(&manifest).unwrap();
    let mut blob = Vec::new();
    client
        .pull_blob(&image, &manifest.layers[0], &mut blob)
        .await
        .unwrap();
    assert_eq!(blob, b"{}");
}

#[tokio::test]
async fn an_independent_client_pushes() {
    let registry = FakeRegistry::start().await;
    let client = Client::new(ClientConfig {
        protocol: ClientProtocol::Http,
        use_monolithic_push: true,
        ..ClientConfig::default()
    });
    let image: Reference = format!("{}:1.0", registry.image("team/new"))
        .parse()
        .unwrap();
    let layer = oci_client::client::ImageLayer::oci_v1(b"layer".to_vec(), None);
    let config = oci_client::client::Config::oci_v1(b"{}".to_vec(), None);
    client
        .push(&image, &[layer], config, &RegistryAuth::Anonymous, None)
        .await
        .unwrap();
    let reader = reader(ClientProtocol::Http);
    let pulled = reader
        .pull(
            &image,
            &RegistryAuth::Anonymous,
            vec![oci_client::manifest::IMAGE_LAYER_MEDIA_TYPE],
        )
        .await
        .unwrap();
    assert_eq!(pulled.layers[0].data.as_ref(), b"layer");
}

#[tokio::test]
async fn an_independent_client_logs_in_over_tls() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", ["1.0.0"]);
    let certificate = Certificate {
        encoding: CertificateEncoding::Pem,
        data: registry.ca_pem().as_bytes().to_vec(),
    };
    let connect = || {
        Client::new(ClientConfig {
            extra_root_certificates: vec![certificate.clone()],
            ..ClientConfig::default()
        })
    };
    let me = RegistryAuth::Basic("me".into(), "pw".into());
    registry.set_auth(Auth::Basic {
        username: "me".into(),
        password: "pw".into(),
    });
    assert_eq!(
        tags(&connect(), &registry.tls_image("team/app"), &me).await,
        ["1.0.0"]
    );

    registry.set_auth(bearer(false));
    assert_eq!(
        tags(&connect(), &registry.tls_image("team/app"), &me).await,
        ["1.0.0"]
    );
    assert_eq!(registry.count(Route::Token), 1);
    let image: Reference = registry.tls_image("team/app").parse().unwrap();
    connect()
        .list_tags(&image, &RegistryAuth::Anonymous, None, None)
        .await
        .unwrap_err();
}

pub(super) fn bearer(anonymous: bool) -> Auth {
    Auth::Bearer {
        username: "me".into(),
        password: "pw".into(),
        identity_token: None,
        anonymous,
    }
}

#[tokio::test]
async fn every_request_is_written_down() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", ["1"]);
    registry.set_auth(bearer(true));
    let answer = get(&registry, "/v2/team/app/tags/list?n=5").await.unwrap();
    assert_eq!(answer.status(), 401);
    let request = registry.requests().remove(0);
    assert_eq!(
        (request.listener, request.route, request.sent),
        (Listener::Plain, Route::List, Sent::Nothing)
    );
    assert_eq!(
        (request.path.as_str(), request.query.as_str()),
        ("/v2/team/app/tags/list", "n=5")
    );
    assert_eq!(request.host, registry.plain_host());
    registry.clear_requests();
    assert_eq!(
        (
            registry.requests().len(),
            registry.connections(Listener::Plain)
        ),
        (0, 1)
    );
}

async fn get(registry: &FakeRegistry, path: &str) -> reqwest::Result<reqwest::Response> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    client
        .get(format!("http://{}{path}", registry.plain_host()))
        .timeout(Duration::from_millis(500))
        .send()
        .await
}

/// Status, `Link`, and the body or how it failed.
async fn outcome(registry: &FakeRegistry) -> (u16, String, Result<String, reqwest::Error>) {
    let answer = get(registry, "/v2/team/app/tags/list").await.unwrap();
    let header = |name: &str| {
        answer
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let note = [
        "link",
        "location",
        "www-authenticate",
        "retry-after",
        "content-encoding",
    ]
    .into_iter()
    .find_map(header);
    (
        answer.status().as_u16(),
        note.unwrap_or_default(),
        answer.text().await,
    )
}

#[tokio::test]
async fn each_fault_shows_once_and_then_the_registry_is_well_again() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", ["1"]);
    for (fault, status, note, body) in [
        (Fault::Status(500), 500, "", "UNKNOWN"),
        (Fault::Code(400, "UNSUPPORTED"), 400, "", "UNSUPPORTED"),
        (Fault::RateLimited(None), 429, "", "TOOMANYREQUESTS"),
        (
            Fault::RateLimited(Some("7".into())),
            429,
            "7",
            "TOOMANYREQUESTS",
        ),
        (Fault::Unavailable("8".into()), 503, "8", "UNAVAILABLE"),
        (Fault::Html, 200, "", "<!DOCTYPE html>"),
        (Fault::Json("[]".into()), 200, "", "[]"),
        (
            Fault::LinkToItself,
            200,
            "</v2/team/app/tags/list>; rel=\"next\"",
            "\"1\"",
        ),
        (Fault::Link("<x>".into()), 200, "<x>", "\"1\""),
        (
            Fault::Redirect("https://elsewhere".into()),
            307,
            "https://elsewhere",
            "",
        ),
        (
            Fault::Challenge(Some("Nonsense".into())),
            401,
            "Nonsense",
            "UNAUTHORIZED",
        ),
        (Fault::Challenge(None), 401, "", "UNAUTHORIZED"),
        (Fault::Echo, 401, "Basic realm=fake", "you sent"),
        (Fault::Compressed, 200, "gzip", "\"1\""),
    ] {
        let shown = format!("{fault:?}");
        registry.fail_next(fault);
        let (found_status, found_note, found_body) = outcome(&registry).await;
        assert_eq!(
            (found_status, found_note.as_str()),
            (status, note),
            "{shown}"
        );
        assert!(found_body.unwrap().contains(body), "{shown}");
        let (status, note, body) = outcome(&registry).await;
        assert_eq!(
            (status, note.as_str(), body.unwrap().as_str()),
            (200, "", r#"{"name":"team/app","tags":["1"]}"#),
            "after {shown}"
        );
    }
}

#[tokio::test]
async fn faults_of_the_connection_break_the_body() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", ["1"]);
    registry.fail_next(Fault::Truncated);
    let (status, _, body) = outcome(&registry).await;
    assert!(status == 200 && body.is_err());

    registry.fail_next(Fault::Reset);
    let (status, _, body) = outcome(&registry).await;
    assert_eq!(status, 200);
    let error = body.unwrap_err();
    let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |link| link.source());
    let kinds: Vec<_> = chain
        .filter_map(|link| link.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind)
        .collect();
    assert!(
        kinds.contains(&std::io::ErrorKind::ConnectionReset),
        "{error:?}"
    );

    registry.fail_next(Fault::Stalled);
    let (_, _, body) = outcome(&registry).await;
    assert!(body.unwrap_err().is_timeout());

    registry.fail_next(Fault::Slow(Duration::from_secs(5)));
    assert!(get(&registry, "/v2/").await.unwrap_err().is_timeout());

    registry.fail_next(Fault::EndlessJson);
    let mut answer = get(&registry, "/v2/team/app/tags/list").await.unwrap();
    let mut read = 0;
    while read < 10 << 20 {
        read += answer.chunk().await.unwrap().unwrap().len();
    }
}

#[tokio::test]
async fn standing_faults_last_until_healed() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", ["1"]);
    registry.fail_always(Fault::EndlessPages);
    registry.fail_times(2, Fault::Status(502));
    assert_eq!(outcome(&registry).await.0, 502);
    assert_eq!(outcome(&registry).await.0, 502);
    let (_, first, _) = outcome(&registry).await;
    let (_, second, _) = outcome(&registry).await;
    assert!(
        first.contains("rel=\"next\"") && first != second,
        "{first} {second}"
    );
    registry.fail_always(Fault::EndlessEmptyPages);
    assert!(outcome(&registry).await.2.unwrap().contains("[]"));
    registry.fail_always(Fault::RedirectToItself);
    assert!(
        outcome(&registry)
            .await
            .1
            .ends_with("/v2/team/app/tags/list")
    );
    registry.heal();
    assert_eq!(outcome(&registry).await.0, 200);
}

#[tokio::test]
async fn manifests_can_lie_about_their_digest() {
    let registry = FakeRegistry::start().await;
    let digest = registry.push("team/app", "1");
    let stated = |answer: reqwest::Response| answer.headers().get("docker-content-digest").cloned();
    let path = "/v2/team/app/manifests/1";
    assert_eq!(
        stated(get(&registry, path).await.unwrap()).unwrap(),
        digest.as_str()
    );
    registry.fail_next(Fault::ContentDigest(Some("sha256:lie".into())));
    assert_eq!(
        stated(get(&registry, path).await.unwrap()).unwrap(),
        "sha256:lie"
    );
    registry.fail_next(Fault::ContentDigest(None));
    assert_eq!(stated(get(&registry, path).await.unwrap()), None);
}

#[tokio::test]
async fn the_token_server_can_be_ill() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", ["1"]);
    registry.set_auth(bearer(true));
    let (_, challenge, _) = outcome(&registry).await;
    let realm = challenge.split('"').nth(1).unwrap().to_owned();
    let ask = || async {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let answer = client
            .get(format!(
                "{realm}?service=fake&scope=repository:team/app:pull"
            ))
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for (fault, status, body) in [
        (Fault::Status(500), 500, "UNKNOWN"),
        (Fault::Json("7".into()), 200, "7"),
        (Fault::Html, 200, "<html>"),
        (Fault::RateLimited(Some("1".into())), 429, "TOOMANYREQUESTS"),
        (Fault::Redirect("http://elsewhere/".into()), 307, ""),
        (Fault::Echo, 401, "you sent"),
        (Fault::EndlessJson, 200, "    "),
    ] {
        let shown = format!("{fault:?}");
        registry.fail_next_token(fault);
        let (found, text) = ask().await;
        assert!(
            found == status && text.contains(body),
            "{shown}: {found} {text:.50}"
        );
    }
    let (status, text) = ask().await;
    assert!(status == 200 && text.contains("token-number-1"), "{text}");
}

#[tokio::test]
async fn pages_are_cut_as_registries_cut_them() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", ["a", "b", "c"]);
    let page = |path: &'static str| {
        let registry = &registry;
        async move {
            let answer = get(registry, path).await.unwrap();
            let link = answer
                .headers()
                .get("link")
                .map(|value| value.to_str().unwrap().to_owned())
                .unwrap_or_default();
            let status = answer.status().as_u16();
            let body: serde_json::Value =
                serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            (status, body["tags"].to_string(), link)
        }
    };
    let list = "/v2/team/app/tags/list?n=2";
    let next = "</v2/team/app/tags/list?n=2&last=b>; rel=\"next\"";
    assert_eq!(page(list).await, (200, r#"["a","b"]"#.into(), next.into()));
    assert_eq!(
        page("/v2/team/app/tags/list?n=2&last=b").await,
        (200, r#"["c"]"#.into(), String::new())
    );
    for (links, expected) in [
        (
            Links::Absolute,
            format!("<http://{}/v2/", registry.plain_host()),
        ),
        (Links::WrongHost, "<http://internal.invalid/v2/".to_owned()),
    ] {
        registry.set_paging(Paging {
            links,
            ..Paging::default()
        });
        assert!(page(list).await.2.starts_with(&expected));
    }
    registry.set_paging(Paging {
        links: Links::Missing,
        ..Paging::default()
    });
    assert_eq!(page(list).await.2, "");
    registry.set_paging(Paging {
        default_size: Some(1),
        max_size: Some(1),
        ..Paging::default()
    });
    assert_eq!(page(list).await.1, r#"["a"]"#);
    registry.set_paging(Paging {
        ignores_last: true,
        ..Paging::default()
    });
    assert_eq!(
        page("/v2/team/app/tags/list?n=2&last=b").await.1,
        r#"["a","b"]"#
    );
    registry.set_paging(Paging {
        max_size: Some(1),
        refusal: Some((400, "UNSUPPORTED")),
        ..Paging::default()
    });
    assert_eq!(page(list).await.0, 400);
    registry.set_paging(Paging {
        refuses_any_size: true,
        refusal: Some((400, "UNSUPPORTED")),
        ..Paging::default()
    });
    assert_eq!(page("/v2/team/app/tags/list?n=1").await.0, 400);
}

#[tokio::test]
async fn tokens_can_be_made_void_and_cover_one_repository() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", ["1"]);
    registry.add_repository("team/other", ["1"]);
    registry.set_auth(bearer(true));
    let token = registry
        .shared
        .state
        .lock()
        .give_token("repository:team/app:pull", Duration::from_secs(300));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = |path: &str| {
        let request = client
            .get(format!(
                "http://{}/v2/{path}/tags/list",
                registry.plain_host()
            ))
            .bearer_auth(&token);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(
        (status("team/app").await, status("team/other").await),
        (200, 401)
    );
    registry.revoke_tokens();
    assert_eq!(status("team/app").await, 401);
}

#[tokio::test]
async fn lists_are_sent_once_to_whoever_says_what_they_know() {
    let registry = FakeRegistry::start().await;
    registry.add_repository("team/app", ["1"]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/v2/team/app/tags/list", registry.plain_host());
    let get = |known: &str| {
        let request = client.get(&url).header("if-none-match", known);
        async move {
            let answer = request.send().await.unwrap();
            let etag = answer.headers().get("etag");
            let etag = etag.map(|etag| etag.to_str().unwrap().to_owned());
            (answer.status().as_u16(), etag.unwrap_or_default())
        }
    };
    assert_eq!(get("x").await, (200, String::new()));
    for (etags, starts) in [(ETags::Strong, "\"sha256:"), (ETags::Weak, "W/\"sha256:")] {
        registry.set_etags(etags);
        let (status, etag) = get("\"x\"").await;
        assert!(status == 200 && etag.starts_with(starts), "{etag}");
        assert_eq!(get(&etag).await, (304, etag.clone()));
        registry.push("team/app", starts.get(..1).unwrap());
        assert_eq!(get(&etag).await.0, 200);
    }
    assert_eq!(registry.list_bodies(), 5);
    registry.fail_next(Fault::Headers(vec![("x-more", "yes".into())]));
    let answer = client.get(&url).send().await.unwrap();
    assert_eq!(answer.headers()["x-more"], "yes");
}
