//! The write side is a registry's, by an independent client's judgement and by the specification's.

use http::Method;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};

use super::content::digest_with;
use super::tests::bearer;
use super::{
    FakeRegistry, Fault, LaterPatches, Layer, Mounts, Nth, Personality, Route, bytes_of, digest_of,
};

/// What was answered: status, headers and body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// Sends one request on a connection of its own. `place` is a path, or a whole address.
pub(super) async fn send(
    registry: &FakeRegistry,
    method: Method,
    place: &str,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> reqwest::Result<Answer> {
    let client = reqwest::Client::builder()
        .no_proxy()
        // Plain HTTP alone: the platform's certificates need not be read.
        .tls_certs_only([])
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(2))
        .build()?;
    let url = if place.starts_with("http") {
        place.to_owned()
    } else {
        format!("http://{}{place}", registry.plain_host())
    };
    let mut request = client.request(method, url).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await?;
    Ok(Answer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: answer.bytes().await?.into(),
    })
}

/// Begins an upload; where it goes on.
pub(super) async fn begin(registry: &FakeRegistry) -> String {
    let answer = send(registry, Method::POST, "/v2/a/b/blobs/uploads/", &[], "").await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, 202);
    answer.header("location").to_owned()
}

fn client(is_monolithic: bool) -> Client {
    Client::new(ClientConfig {
        protocol: ClientProtocol::Http,
        use_monolithic_push: is_monolithic,
        ..ClientConfig::default()
    })
}

#[tokio::test]
async fn an_independent_client_pushes_in_chunks_and_whole_and_pulls() {
    let registry = FakeRegistry::start().await;
    for (tag, is_monolithic) in [("chunks", false), ("whole", true)] {
        let image: Reference = registry.image(&format!("team/new:{tag}")).parse().unwrap();
        let bytes = bytes_of(1, 100_000);
        let layer = oci_client::client::ImageLayer::oci_v1(bytes.to_vec(), None);
        let config = oci_client::client::Config::oci_v1(tag.as_bytes().to_vec(), None);
        client(is_monolithic)
            .push(&image, &[layer], config, &RegistryAuth::Anonymous, None)
            .await
            .unwrap();
        let pulled = client(true)
            .pull(
                &image,
                &RegistryAuth::Anonymous,
                vec![oci_client::manifest::IMAGE_LAYER_MEDIA_TYPE],
            )
            .await
            .unwrap();
        assert_eq!(pulled.layers[0].data, bytes, "{tag}");
    }
    registry.check_whole("team/new");
    assert_eq!(registry.sessions(), 0);
    assert!(registry.count_of(&Method::PATCH, Route::Upload) > 0);
    assert!(registry.bytes_in() >= 200_000 && registry.bytes_out() >= 200_000);
}

#[tokio::test]
async fn an_upload_is_one_put_or_patches_and_a_put_or_one_post() {
    let registry = FakeRegistry::start().await;
    let digest = digest_of(b"abcdef");
    let done = async |method: Method, place: &str, headers: &[(&str, &str)], body: &'static str| {
        send(&registry, method, place, headers, body).await.unwrap()
    };
    let check = || {
        assert!(registry.has_blob("a/b", &digest));
        assert_eq!(registry.sessions(), 0);
        registry.lose_blob("a/b", &digest);
    };

    let place = begin(&registry).await;
    assert_eq!(registry.sessions(), 1);
    let answer = done(
        Method::PUT,
        &format!("{place}&digest={digest}"),
        &[],
        "abcdef",
    )
    .await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("location"), format!("/v2/a/b/blobs/{digest}"));
    check();

    let place = begin(&registry).await;
    let answer = done(Method::PATCH, &place, &[], "abc").await;
    assert_eq!((answer.status, answer.header("range")), (202, "0-2"));
    let answer = done(Method::PATCH, &place, &[("content-range", "3-4")], "de").await;
    assert_eq!((answer.status, answer.header("range")), (202, "0-4"));
    let answer = done(Method::PATCH, &place, &[("content-range", "3-4")], "xx").await;
    assert_eq!((answer.status, answer.header("range")), (416, "0-4"));
    let answer = done(Method::GET, &place, &[], "").await;
    assert_eq!((answer.status, answer.header("range")), (204, "0-4"));
    assert_eq!(registry.session_bytes(), 5);
    let last = format!("{}&digest={digest}", answer.header("location"));
    let answer = done(Method::PUT, &last, &[("content-range", "5-5")], "f").await;
    assert_eq!(answer.status, 201);
    check();

    let once = format!("/v2/a/b/blobs/uploads/?digest={digest}");
    assert_eq!(done(Method::POST, &once, &[], "abcdef").await.status, 201);
    check();
    registry.configure(|options| options.takes_one_shot = false);
    assert_eq!(done(Method::POST, &once, &[], "abcdef").await.status, 202);
    registry.lose_sessions();

    let place = begin(&registry).await;
    assert_eq!(done(Method::DELETE, &place, &[], "").await.status, 204);
    let gone = done(
        Method::PUT,
        &format!("{place}&digest={digest}"),
        &[],
        "abcdef",
    )
    .await;
    assert_eq!(gone.status, 404);
    assert!(gone.text().contains("BLOB_UPLOAD_UNKNOWN"));
    let place = begin(&registry).await;
    let bare = place.split_once('?').unwrap().0;
    assert_eq!(done(Method::PATCH, bare, &[], "x").await.status, 404);
}

#[tokio::test]
async fn what_has_another_digest_or_length_is_refused() {
    let registry = FakeRegistry::start().await;
    let long = digest_with("sha512", b"abcdef").unwrap();
    for (digest, body, status) in [
        (digest_of(b"abcdef"), "abcdeg", 400),
        (digest_of(b"abcdef"), "abcde", 400),
        ("sha256:abc".to_owned(), "abcdef", 400),
        (
            "md5:e80b5017098950fc58aad83c8c14978e".to_owned(),
            "abcdef",
            400,
        ),
        (long.replace('a', "b"), "abcdef", 400),
        (long.clone(), "abcdef", 201),
    ] {
        let place = format!("{}&digest={digest}", begin(&registry).await);
        let answer = send(&registry, Method::PUT, &place, &[], body)
            .await
            .unwrap();
        assert_eq!(answer.status, status, "{digest} {body}");
        assert!(status == 201 || answer.text().contains("DIGEST_INVALID"));
    }
    assert!(registry.has_blob("a/b", &long));
    let place = begin(&registry).await;
    let answer = send(&registry, Method::PUT, &place, &[], "abcdef").await;
    assert_eq!(answer.unwrap().status, 400);
    registry.configure(|options| options.keeps_bytes = false);
    let digest = digest_of(b"abcdef");
    let place = format!("{}&digest={digest}", begin(&registry).await);
    let answer = send(&registry, Method::PUT, &place, &[], "abcdef").await;
    assert_eq!(answer.unwrap().status, 201);
    assert!(registry.has_blob("a/b", &digest) && registry.blob("a/b", &digest).is_none());
}

#[tokio::test]
async fn blobs_are_mounted_from_where_they_are() {
    let registry = FakeRegistry::start().await;
    let digest = registry.add_blob("x/y", "abc");
    let unknown = digest_of(b"unknown");
    let post = async |query: &str| {
        let place = format!("/v2/a/b/blobs/uploads/?{query}");
        let answer = send(&registry, Method::POST, &place, &[], "").await;
        let answer = answer.unwrap();
        (answer.status, registry.has_blob("a/b", &digest))
    };
    let wish = format!("mount={digest}&from=x/y");
    assert_eq!(post(&format!("mount={digest}")).await, (202, false));
    assert_eq!(
        post(&format!("mount={unknown}&from=x/y")).await,
        (202, false)
    );
    registry.configure(|options| options.mounts = Mounts::Ignored);
    assert_eq!(post(&wish).await, (202, false));
    registry.configure(|options| options.mounts = Mounts::Refused(405));
    assert_eq!(post(&wish).await, (405, false));
    registry.configure(|options| options.mounts = Mounts::Done);
    registry.on(
        Method::POST,
        "/uploads/",
        Nth::First(1),
        Fault::MountForbidden(403),
    );
    registry.on(
        Method::POST,
        "/uploads/",
        Nth::Exactly(2),
        Fault::MountAcceptedButMissing,
    );
    assert_eq!(post("").await, (202, false));
    assert_eq!(post(&wish).await, (403, false));
    assert_eq!(post(&wish).await, (201, false));
    assert_eq!(post(&wish).await, (201, true));
}

#[tokio::test]
async fn tokens_cover_actions_and_end() {
    let registry = FakeRegistry::start().await;
    registry.add_blob("a/b", "abc");
    let other = registry.add_blob("x/y", "only there");
    registry.set_auth(bearer(false));
    let give = |scope: &str, seconds| {
        let lifetime = std::time::Duration::from_secs(seconds);
        registry.shared.state.lock().give_token(scope, lifetime)
    };
    let status = async |token: &str, method: Method, place: &str| {
        let sent = format!("Bearer {token}");
        let sent = [("authorization", sent.as_str())];
        send(&registry, method, place, &sent, "").await.unwrap()
    };
    let blob = format!("/v2/a/b/blobs/{}", digest_of(b"abc"));
    let upload = "/v2/a/b/blobs/uploads/";
    let pull = give("repository:a/b:pull", 60);
    assert_eq!(status(&pull, Method::GET, &blob).await.status, 200);
    let refused = status(&pull, Method::POST, upload).await;
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate");
    assert!(challenge.contains("scope=\"repository:a/b:pull,push\""));
    assert!(challenge.contains("error=\"insufficient_scope\""));
    let push = give("repository:a/b:pull,push", 60);
    assert_eq!(status(&push, Method::POST, upload).await.status, 202);
    let mount = format!("{upload}?mount={other}&from=x/y");
    assert_eq!(status(&push, Method::POST, &mount).await.status, 202);
    let both = give("repository:a/b:pull,push repository:x/y:pull", 60);
    assert_eq!(status(&both, Method::POST, &mount).await.status, 201);
    assert_eq!(status(&push, Method::DELETE, &blob).await.status, 401);
    let delete = give("repository:a/b:delete", 60);
    assert_eq!(status(&delete, Method::DELETE, &blob).await.status, 202);
    let ended = give("repository:a/b:pull,push", 0);
    let refused = status(&ended, Method::POST, upload).await;
    assert!(refused.header("www-authenticate").contains("invalid_token"));
    assert!(registry.saw(&ended) && !registry.saw("me:pw"));
}

#[tokio::test]
async fn the_token_server_gives_less_than_is_asked_for_and_says_what_it_likes() {
    let registry = FakeRegistry::start().await;
    registry.set_auth(bearer(true));
    let port = registry.shared.token_plain.port();
    let ask = async |user: bool| {
        let query = "service=fake&scope=repository:a/b:pull,push,delete&scope=repository:x:pull";
        let url = format!("http://127.0.0.1:{port}/token?{query}");
        let basic = [("authorization", "Basic bWU6cHc=")];
        let headers = if user { &basic[..] } else { &[] };
        let answer = send(&registry, Method::GET, &url, headers, "").await;
        let document: serde_json::Value = serde_json::from_slice(&answer.unwrap().body).unwrap();
        let token = document["token"].as_str().unwrap().to_owned();
        let scope = registry.shared.state.lock().tokens[&token].scope.clone();
        (scope, document["expires_in"].as_i64().unwrap())
    };
    let all = "repository:a/b:pull,push,delete repository:x:pull".to_owned();
    let some = "repository:a/b:pull repository:x:pull".to_owned();
    assert_eq!(ask(true).await, (all, 300));
    assert_eq!(ask(false).await, (some.clone(), 300));
    registry.configure(|options| {
        options.token_grants = Some(vec!["pull"]);
        options.token_says = Some(-5);
    });
    assert_eq!(ask(true).await, (some, -5));
    assert!(registry.saw("me:pw"));
    registry.on(None::<Method>, "^/token", Nth::First(1), Fault::Status(503));
    let url = format!("http://127.0.0.1:{port}/token");
    let answer = send(&registry, Method::GET, &url, &[], "").await.unwrap();
    assert_eq!(answer.status, 503);
}

#[tokio::test]
async fn each_rung_can_be_taken_away() {
    let registry = FakeRegistry::start().await;
    let digest = digest_of(b"abcdef");
    let put = async |body: &'static str| {
        let place = format!("{}&digest={digest}", begin(&registry).await);
        send(&registry, Method::PUT, &place, &[], body)
            .await
            .unwrap()
            .status
    };
    let patches = async |headers: &[(&str, &str)]| {
        let place = begin(&registry).await;
        let first = send(&registry, Method::PATCH, &place, headers, "abc")
            .await
            .unwrap();
        let second = send(&registry, Method::PATCH, &place, &[], "def")
            .await
            .unwrap();
        (
            first.status,
            second.status,
            second.header("range").to_owned(),
        )
    };
    registry.configure(|options| options.put_limit = Some((5, 413)));
    assert_eq!(put("abcdef").await, 413);
    registry.configure(|options| options.put_limit = Some((6, 413)));
    assert_eq!(put("abcdef").await, 201);
    registry.configure(|options| options.refuses_put_body = Some(405));
    assert_eq!((put("abcdef").await, put("").await), (405, 400));
    assert_eq!(patches(&[]).await, (202, 202, "0-5".into()));
    registry.configure(|options| options.later_patches = LaterPatches::Overwrite);
    assert_eq!(patches(&[]).await, (202, 202, "0-2".into()));
    registry.configure(|options| options.later_patches = LaterPatches::Refused(400));
    assert_eq!(patches(&[]).await, (202, 400, String::new()));
    let chunk = [("content-range", "0-2")];
    registry.configure(|options| options.chunk_limit = Some(2));
    assert_eq!(patches(&chunk).await.0, 413);
    registry.configure(|options| options.refuses_chunks = Some(501));
    assert_eq!(patches(&chunk).await.0, 501);
    registry.configure(|options| options.refuses_plain_patch = Some(400));
    assert_eq!(patches(&[]).await.0, 400);

    let registry = FakeRegistry::start().await;
    registry.become_a(Personality::Acr);
    let place = format!("{}&digest={digest}", begin(&registry).await);
    let pieces = futures::stream::iter([Ok::<_, std::io::Error>("abcdef")]);
    let body = reqwest::Body::wrap_stream(pieces);
    let answer = send(&registry, Method::PUT, &place, &[], body).await;
    assert_eq!(answer.unwrap().status, 411);
    let place = format!("{}&digest={}", begin(&registry).await, digest_of(b""));
    let answer = send(&registry, Method::PUT, &place, &[], "").await.unwrap();
    assert_eq!(answer.status, 400);

    registry.become_a(Personality::Ecr);
    registry.add_repository("a/b", ["1"]);
    let place = begin(&registry).await;
    let answer = send(&registry, Method::PATCH, &place, &chunk, "abc")
        .await
        .unwrap();
    assert_eq!((answer.status, answer.header("range")), (201, "0-0"));
    let elsewhere = "/v2/not/there/blobs/uploads/";
    let answer = send(&registry, Method::POST, elsewhere, &[], "").await;
    assert_eq!(answer.unwrap().status, 404);
}

#[tokio::test]
async fn uploads_and_blobs_can_be_at_another_origin() {
    let registry = FakeRegistry::start().await;
    registry.configure(|options| {
        options.uploads_to = Some("127.0.0.1");
        options.redirects_blobs_to = Some("127.0.0.1");
    });
    let digest = digest_of(b"abcdef");
    let place = format!("{}&digest={digest}", begin(&registry).await);
    let origin = format!(
        "http://{}/store/",
        registry.store_host(super::Listener::StorePlain)
    );
    assert!(place.starts_with(&origin), "{place}");
    let credential = [("authorization", "Basic bWU6cHc=")];
    let leaking = send(&registry, Method::PUT, &place, &credential, "abcdef").await;
    assert_eq!(leaking.unwrap().status, 400);
    let answer = send(&registry, Method::PUT, &place, &[], "abcdef").await;
    assert_eq!(answer.unwrap().status, 201);

    let blob = format!("/v2/a/b/blobs/{digest}");
    let answer = send(&registry, Method::GET, &blob, &credential, "")
        .await
        .unwrap();
    let place = answer.header("location").to_owned();
    assert!(
        answer.status == 307 && place.starts_with(&origin),
        "{place}"
    );
    let leaking = send(&registry, Method::GET, &place, &credential, "").await;
    assert_eq!(leaking.unwrap().status, 400);
    let range = [("range", "bytes=4-")];
    let answer = send(&registry, Method::GET, &place, &range, "")
        .await
        .unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (206, "ef"));
    assert_eq!(
        (registry.count(Route::Store), registry.count(Route::Blob)),
        (2, 1)
    );
}

#[tokio::test]
async fn large_layers_are_made_while_they_are_sent() {
    let registry = FakeRegistry::start().await;
    let layer = Layer::new(3, (8 << 20) + 1);
    registry.add_image("a/b", "1", &super::Image::new([layer.clone()]));
    let blob = format!("/v2/a/b/blobs/{}", layer.digest());
    let range = [("range", "bytes=70001-70010")];
    let answer = send(&registry, Method::GET, &blob, &range, "")
        .await
        .unwrap();
    assert_eq!(answer.body, bytes_of(3, 80_000)[70_001..=70_010]);
    assert!(registry.blob("a/b", &layer.digest()).is_none());
    registry.check_whole("a/b");
}
