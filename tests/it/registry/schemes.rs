//! https before http, and credentials over neither by accident.

use std::net::Ipv4Addr;

use tagscope::image::Registry;
use tagscope::registry::{Access, Kind, TlsMaterial};

use super::{basic, client, list, repository, soon, texts, trusting, with_tags};
use crate::fake_registry::{Auth, FakeRegistry, Fault, Listener, Sent};

#[tokio::test]
async fn https_is_tried_first_and_once() {
    let registry = with_tags(&["1"]).await;
    let client = client();
    for _ in 0..3 {
        list(&client, &registry.image("team/app"), &Access::default())
            .await
            .unwrap();
    }
    // One connection for the try in TLS, and one for all requests.
    assert_eq!(
        (
            registry.connections(Listener::Plain),
            registry.requests().len()
        ),
        (2, 3)
    );
}

#[tokio::test]
async fn https_is_used_where_it_is_spoken() {
    let registry = with_tags(&["1"]).await;
    for image in [
        registry.tls_image("team/app"),
        registry
            .tls_image("team/app")
            .replace("127.0.0.1", "localhost"),
    ] {
        let access = trusting(
            &registry,
            Access {
                insecure: true,
                ..Access::default()
            },
        );
        assert_eq!(
            texts(&list(&client(), &image, &access).await.unwrap()),
            ["1"]
        );
    }
    assert_eq!(registry.connections(Listener::Plain), 0);
}

#[tokio::test]
async fn after_a_certificate_error_plain_http_is_not_tried() {
    let registry = with_tags(&["1"]).await;
    let host = registry.tls_host();
    // A plain-http host by name, and insecure on top: the certificate still decides.
    let access = Access {
        insecure: true,
        ..Access::default()
    };
    let error = list(&client(), &registry.tls_image("team/app"), &access)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Certificate);
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("the certificate of {host} is not trusted: ")),
        "{text}"
    );
    assert!(
        text.ends_with("; correct it, or give the CA that signed it (ca.crt of certSecretRef)"),
        "{text}"
    );
    assert_eq!(
        (
            registry.connections(Listener::Tls),
            registry.requests().len()
        ),
        (1, 0)
    );
}

#[tokio::test]
async fn nothing_is_sent_to_a_name_that_the_certificate_is_not_for() {
    let registry = with_tags(&["1"]).await;
    let access = trusting(&registry, Access::default());
    let image = registry
        .tls_image("team/app")
        .replace("127.0.0.1", "other.localhost");
    let error = list(&client(), &image, &access).await.unwrap_err();
    assert_eq!(
        (error.kind(), registry.requests().len()),
        (Kind::Certificate, 0)
    );
}

#[tokio::test]
async fn a_host_that_is_not_there_is_told_over_both_schemes() {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = socket.local_addr().unwrap();
    drop(socket);
    let error = list(&client(), &format!("{host}/team/app"), &Access::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Transport);
    assert_eq!(
        error.to_string(),
        format!(
            "failed to connect to {host}: over https: Connection refused (os error 111); over http: Connection refused (os error 111)"
        )
    );
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_transport_error() {
    let error = list(&client(), "registry.invalid/team/app", &Access::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Transport);
    assert!(
        error
            .to_string()
            .starts_with("failed to connect to registry.invalid: "),
        "{error}"
    );
}

/// An address of this machine that is neither loopback nor private to go-containerregistry's rules would be
/// needed to show this with a real host; 127.0.0.2 is loopback, but not on its list of plain-http hosts.
#[tokio::test]
async fn other_hosts_speak_plain_http_only_when_insecure() {
    let registry = with_tags(&["1"]).await;
    let proxy = forward_from(Ipv4Addr::new(127, 0, 0, 2), registry.plain_host()).await;
    let image = format!("{}/team/app", proxy.host);
    assert!(
        !image
            .parse::<tagscope::image::Repository>()
            .unwrap()
            .registry()
            .is_plain_http_host()
    );
    let error = list(&client(), &image, &Access::default())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), registry.requests().len()),
        (Kind::Transport, 0)
    );
    assert!(
        error
            .to_string()
            .ends_with("it does not answer in TLS on this port"),
        "{error}"
    );
    let access = Access {
        insecure: true,
        ..Access::default()
    };
    assert_eq!(
        texts(&list(&client(), &image, &access).await.unwrap()),
        ["1"]
    );
    // What one object allows is not allowed to another, though they share what is known of the host.
    let client = client();
    list(&client, &image, &access).await.unwrap();
    list(&client, &image, &Access::default()).await.unwrap_err();
}

#[tokio::test]
async fn credentials_go_over_http_to_loopback_or_when_insecure_only() {
    let registry = with_tags(&["1"]).await;
    registry.set_auth(Auth::Basic {
        username: "me".into(),
        password: "hunter2".into(),
    });
    list(
        &client(),
        &registry.image("team/app"),
        &basic("me", "hunter2"),
    )
    .await
    .unwrap();
    registry.clear_requests();

    let Some(address) = private_address().await else {
        // No private address on this machine: the rule is `Registry`'s, shown below.
        let private: Registry = "10.0.0.1:5000".parse().unwrap();
        assert!(private.is_plain_http_host() && !private.is_loopback());
        return;
    };
    let proxy = forward_from(address, registry.plain_host()).await;
    let image = format!("{}/team/app", proxy.host);
    let error = list(&client(), &image, &basic("me", "hunter2"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Authentication);
    assert_eq!(
        error.to_string(),
        format!(
            "{} speaks plain http: the credential was not sent; set spec.insecure to true if that is acceptable, or serve https",
            proxy.host
        )
    );
    assert!(
        registry
            .requests()
            .iter()
            .all(|request| request.sent == Sent::Nothing)
    );
    let insecure = Access {
        insecure: true,
        ..basic("me", "hunter2")
    };
    assert_eq!(
        texts(&list(&client(), &image, &insecure).await.unwrap()),
        ["1"]
    );
}

#[tokio::test]
async fn certificates_that_are_none_are_refused_with_reasons() {
    let registry = with_tags(&["1"]).await;
    let ca = registry.ca_pem().as_bytes();
    for (ca, identity, cause) in [
        (
            Some(&b"hello"[..]),
            None,
            "'ca.crt' holds no PEM certificate",
        ),
        (
            Some(ca),
            Some((&b"x"[..], &b"y"[..])),
            "'tls.crt' holds no PEM certificate",
        ),
    ] {
        let error = TlsMaterial::from_pem(ca, identity).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string()),
            (
                Kind::Configuration,
                format!("failed to set up the HTTP client: {cause}")
            )
        );
    }
    let empty = TlsMaterial::from_pem(None, None).unwrap();
    let access = Access {
        tls: Some(std::sync::Arc::new(empty)),
        ..Access::default()
    };
    client()
        .list_tags(&repository(&registry.image("team/app")), &access, soon())
        .await
        .unwrap();
}

/// Another address for the same registry.
struct Forward {
    host: String,
    _task: tokio::task::JoinSet<()>,
}

async fn forward_from(address: Ipv4Addr, to: String) -> Forward {
    let socket = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
    let host = socket.local_addr().unwrap().to_string();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move {
        let mut streams = tokio::task::JoinSet::new();
        while let Ok((mut from, _)) = socket.accept().await {
            let to = to.clone();
            streams.spawn(async move {
                if let Ok(mut to) = tokio::net::TcpStream::connect(to).await {
                    drop(tokio::io::copy_bidirectional(&mut from, &mut to).await);
                }
            });
        }
    });
    Forward { host, _task: task }
}

/// An RFC 1918 address of this machine, if it has one: the one it would speak to the world from.
async fn private_address() -> Option<Ipv4Addr> {
    let socket = tokio::net::UdpSocket::bind("0.0.0.0:0").await.ok()?;
    // Sends nothing: only picks the source address.
    socket.connect("192.0.2.1:9").await.ok()?;
    match socket.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(ip) if ip.is_private() => Some(ip),
        _ => None,
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_the_registry_and_to_nobody_else() {
    let registry = with_tags(&["1"]).await;
    let elsewhere = with_tags(&["1"]).await;
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["me".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let both = [registry.ca_pem(), elsewhere.ca_pem()].concat();
    let tls = TlsMaterial::from_pem(
        Some(both.as_bytes()),
        Some((certificate.pem().as_bytes(), key.serialize_pem().as_bytes())),
    )
    .unwrap();
    assert_eq!(
        format!("{tls:?}"),
        "TlsMaterial { authorities: 2, identity: true, .. }"
    );
    let access = Access {
        tls: Some(std::sync::Arc::new(tls)),
        ..Access::default()
    };
    let there = format!("https://{}/v2/team/app/tags/list", elsewhere.tls_host());
    registry.fail_next(Fault::Redirect(there));
    list(&client(), &registry.tls_image("team/app"), &access)
        .await
        .unwrap();
    let shown = |registry: &FakeRegistry| {
        registry
            .requests()
            .iter()
            .map(|request| request.has_certificate)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (shown(&registry), shown(&elsewhere)),
        (vec![true], vec![false])
    );
}
