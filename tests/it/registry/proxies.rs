//! Through proxies: the object's own, the environment's, and what they must not be asked for.

use std::sync::Arc;
use std::time::Duration;

use tagscope::registry::{Proxies, Proxy};

use super::*;
use crate::fake_proxy::{FakeProxy, Mood};
use crate::fake_registry::{Fault, Sent};

/// A name that no DNS knows, and the proxy does.
pub(super) const NAME: &str = "registry.proxied.test";

pub(super) fn through(proxy: &FakeProxy, user: Option<(&str, &str)>, access: Access) -> Access {
    let password = user.map(|(_, password)| password.into());
    let user = user.map(|(username, _)| username).zip(password.as_ref());
    let proxy = Proxy::new(&proxy.address(), user).unwrap();
    assert_eq!(format!("{proxy:?}"), "Proxy(..)");
    Access {
        proxy: Some(Arc::new(proxy)),
        ..access
    }
}

pub(super) fn insecure(access: Access) -> Access {
    Access {
        insecure: true,
        ..access
    }
}

/// A registry in plain http that is known by [`NAME`], to the proxy only.
pub(super) async fn proxied(mood: Mood) -> (FakeRegistry, FakeProxy) {
    let registry = with_tags(&["1"]).await;
    let proxy = FakeProxy::start(mood).await;
    proxy.knows(&format!("{NAME}:80"), &registry.plain_host());
    (registry, proxy)
}

#[tokio::test]
async fn https_goes_through_a_tunnel_that_sees_no_credential() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(Auth::Basic {
        username: "me".into(),
        password: "hunter2".into(),
    });
    let proxy = FakeProxy::start(Mood::Asks("guest", "let me")).await;
    let access = trusting(&registry, basic("me", "hunter2"));
    let access = through(&proxy, Some(("guest", "let me")), access);
    let found = list(&client(), &registry.tls_image("team/app"), &access)
        .await
        .unwrap();
    assert_eq!(texts(&found), ["1"]);
    assert!(!proxy.heads().is_empty());
    for head in proxy.heads() {
        assert!(
            head.starts_with(&format!("CONNECT {} ", registry.tls_host())),
            "{head}"
        );
        let is_told = head
            .lines()
            .any(|line| line.to_ascii_lowercase().starts_with("authorization"));
        assert!(!is_told, "{head}");
    }
}

#[tokio::test]
async fn plain_http_goes_in_absolute_form_and_the_registry_never_sees_the_proxys_password() {
    let (registry, proxy) = proxied(Mood::Asks("guest", "let me")).await;
    let access = through(
        &proxy,
        Some(("guest", "let me")),
        insecure(Access::default()),
    );
    let found = list(&client(), &format!("{NAME}/team/app"), &access)
        .await
        .unwrap();
    assert_eq!(texts(&found), ["1"]);
    assert_eq!(
        proxy.asked(),
        [
            format!("CONNECT {NAME}:443"),
            format!("GET http://{NAME}/v2/team/app/tags/list?n=1000"),
        ]
    );
    assert_eq!(registry.requests()[0].sent, Sent::Nothing);
}

#[tokio::test]
async fn a_proxy_that_does_not_do_its_work_is_named() {
    let registry = with_tags(&["1"]).await;
    // Bound, so that nobody else gets it, and not listening.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = closed.local_addr().unwrap().to_string();
    let named = "the Secret of spec.proxySecretRef";
    for (mood, user, told) in [
        (
            Mood::Asks("guest", "hunter2"),
            None,
            format!("asks for a user name and password (407): give them in {named}"),
        ),
        (
            Mood::Asks("guest", "hunter2"),
            Some(("guest", "hunter3")),
            format!("refuses the user name and password (407): check them in {named}"),
        ),
        (Mood::Refuses, None, "did not connect to it".to_owned()),
        (Mood::HangsUp, None, "broke off the connection".to_owned()),
        (
            Mood::Silent,
            None,
            "the connection was not made in time".to_owned(),
        ),
    ] {
        let proxy = FakeProxy::start(mood.clone()).await;
        let access = through(&proxy, user, trusting(&registry, Access::default()));
        let client = Client::new(Settings {
            connect_timeout: Duration::from_millis(300),
            ..settings()
        });
        // A name and not this machine: of that, plain http would be tried too.
        let host = format!("{NAME}:443");
        proxy.knows(&host, &registry.tls_host());
        let error = list(&client, &format!("{NAME}/team/app"), &access)
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("failed to connect to {NAME}: "))
                && text.contains(&format!("the proxy {}", proxy.host))
                && text.ends_with(&told),
            "{mood:?}: {text}"
        );
        assert!(!text.contains("hunter"), "{text}");
        assert_eq!(error.kind(), Kind::Transport, "{text}");
    }
    let access = Access {
        proxy: Some(Arc::new(
            Proxy::new(&format!("http://{nobody}"), None).unwrap(),
        )),
        ..Access::default()
    };
    let error = list(&client(), &format!("{NAME}/team/app"), &access)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("failed to connect to {NAME}: the proxy {nobody} refuses connections")
    );
    assert_eq!(registry.requests(), []);
}

#[tokio::test]
async fn a_tunnel_that_fails_sends_no_credential_over_plain_http() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(Auth::Basic {
        username: "me".into(),
        password: "hunter2".into(),
    });
    let proxy = FakeProxy::start(Mood::Open).await;
    let access = insecure(trusting(&registry, basic("me", "hunter2")));
    let access = through(&proxy, None, access);
    let (client, image) = (client(), registry.tls_image("team/app"));
    list(&client, &image, &access).await.unwrap();
    // The tunnel is lost, and there is no other for a while.
    proxy.set_mood(Mood::Refuses);
    registry.fail_next(Fault::Reset);
    let error = list(&client, &image, &access).await.unwrap_err();
    assert!(
        error.to_string().ends_with("did not connect to it"),
        "{error}"
    );
    proxy.set_mood(Mood::Open);
    list(&client, &image, &access).await.unwrap();
    for asked in proxy.asked() {
        assert!(asked.starts_with("CONNECT "), "{asked}");
    }
}

#[tokio::test]
async fn in_plain_http_a_proxys_challenge_is_not_taken_for_the_registrys() {
    let (registry, proxy) = proxied(Mood::Open).await;
    let client = Client::new(Settings {
        proxies: Proxies::read(|name| {
            let named = ["HTTP_PROXY", "HTTPS_PROXY"].contains(&name);
            named.then(|| proxy.address())
        }),
        ..settings()
    });
    let access = insecure(Access::default());
    let image = format!("{NAME}/team/app");
    // From now on it is known to speak plain http.
    list(&client, &image, &access).await.unwrap();
    registry.clear_requests();
    proxy.set_mood(Mood::Asks("guest", "hunter2"));
    let error = list(&client, &image, &access).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "failed to connect to {NAME}: the proxy {} asks for a user name and password (407): give them in HTTP_PROXY",
            proxy.host
        )
    );
    assert_eq!(registry.requests(), []);
    assert!(proxy.asked().last().unwrap().starts_with("GET http://"));
}

#[tokio::test]
async fn the_environments_proxies_stand_before_everything_but_this_machine_and_what_they_leave_out()
{
    let (registry, proxy) = proxied(Mood::Open).await;
    let environment = |no_proxy: &'static str| {
        let address = proxy.address();
        Settings {
            proxies: Proxies::read(|name| match name {
                "HTTP_PROXY" | "HTTPS_PROXY" => Some(address.clone()),
                "NO_PROXY" => Some(no_proxy.to_owned()),
                _ => None,
            }),
            ..settings()
        }
    };
    let access = insecure(Access::default());
    let image = format!("{NAME}/team/app");
    list(&Client::new(environment("")), &image, &access)
        .await
        .unwrap();
    assert_eq!(proxy.asked().len(), 2);
    list(
        &Client::new(environment("")),
        &registry.image("team/app"),
        &access,
    )
    .await
    .unwrap();
    assert_eq!(proxy.asked().len(), 2, "this machine is asked directly");
    let error = list(&Client::new(environment(".proxied.test")), &image, &access)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Transport);
    assert_eq!(proxy.asked().len(), 2, "it is left out");
    // The object's own wins, and stands before this machine too.
    let own = FakeProxy::start(Mood::Open).await;
    own.knows(&format!("{NAME}:80"), &registry.plain_host());
    list(
        &Client::new(environment("*")),
        &image,
        &through(&own, None, access),
    )
    .await
    .unwrap();
    assert_eq!((proxy.asked().len(), own.asked().len()), (2, 2));
}

/// A name of this machine that the system's resolver knows, and that does not say so itself.
fn name_of_this_machine() -> Option<String> {
    let hosts = std::fs::read_to_string("/etc/hosts").ok()?;
    let lines = hosts.lines().filter_map(|line| {
        let line = line.split('#').next()?;
        let (address, names) = line.trim().split_once(char::is_whitespace)?;
        let ip: std::net::IpAddr = address.parse().ok()?;
        ip.is_loopback().then(|| names.to_owned())
    });
    let names: Vec<String> = lines
        .flat_map(|names| {
            names
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    names.into_iter().find(|name| !name.contains("localhost"))
}

#[tokio::test]
async fn a_proxy_is_not_asked_for_what_a_registry_may_not_send_us_to() {
    let (registry, proxy) = proxied(Mood::Open).await;
    let image = format!("{NAME}/team/app");
    let access = through(&proxy, None, insecure(Access::default()));
    let mut inside = vec![
        "127.0.0.1:9".to_owned(),
        "localhost:9".to_owned(),
        "169.254.169.254".to_owned(),
        "[fe80::1]".to_owned(),
        "10.0.0.1".to_owned(),
    ];
    inside.extend(name_of_this_machine());
    for target in inside {
        let realm = format!("Bearer realm=\"http://{target}/token\"");
        registry.fail_next(Fault::Challenge(Some(realm)));
        let error = list(&client(), &image, &access).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unsafe, "{target}: {error}");
        assert!(
            error.to_string().contains("nearer to this network"),
            "{target}: {error}"
        );
        registry.fail_next(Fault::Redirect(format!("http://{target}/v2/")));
        let error = list(&client(), &image, &access).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unsafe, "{target}: {error}");
        assert!(
            error
                .to_string()
                .ends_with("to an address nearer to this network than its own"),
            "{target}: {error}"
        );
    }
    let strange: Vec<String> = proxy
        .asked()
        .into_iter()
        .filter(|line| !line.contains(NAME))
        .collect();
    assert_eq!(strange, [""; 0]);
    // A name that only the proxy knows is the proxy's business.
    proxy.knows("elsewhere.proxied.test:80", &registry.plain_host());
    registry.fail_next(Fault::Redirect(
        "http://elsewhere.proxied.test/v2/team/app/tags/list".into(),
    ));
    list(&client(), &image, &access).await.unwrap();
    assert!(
        proxy
            .asked()
            .iter()
            .any(|line| line.starts_with("GET http://elsewhere.proxied.test/")),
        "{:?}",
        proxy.asked()
    );
}
