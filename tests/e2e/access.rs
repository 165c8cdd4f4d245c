//! A private registry and the Secret for it, against a real kube-apiserver: what changes there is noticed at once.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::harness::eventually;
use crate::world::{SOON, World};

/// Lets whoever knows the password through to a registry that lets everybody in. Over when dropped.
struct Gate {
    address: String,
    accepting: JoinHandle<()>,
}

/// `me:hunter2`.
const GOOD: &str = "bWU6aHVudGVyMg==";

impl Gate {
    async fn before(registry: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let registry = registry.to_owned();
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let registry = registry.clone();
                // A client that goes away is none of our business.
                tokio::spawn(async move { drop(converse(stream, &registry).await) });
            }
        });
        Self { address, accepting }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One request, and the end of the connection.
async fn converse(mut from: TcpStream, registry: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = from.read_u8().await?;
        if head.is_empty() && byte == 0x16 {
            let answer =
                b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            return from.write_all(answer).await;
        }
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    if !head.contains(&format!("Basic {GOOD}")) {
        let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"gate\"\r\n\
                      Connection: close\r\nContent-Length: 0\r\n\r\n";
        return from.write_all(answer.as_bytes()).await;
    }
    let mut to = TcpStream::connect(registry).await?;
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    to.write_all(head.as_bytes()).await?;
    tokio::io::copy_bidirectional(&mut from, &mut to).await?;
    Ok(())
}

async fn says(world: &World, ns: &str, name: &str, status: &str, message: &str) {
    eventually(SOON, &format!("{name} says {message}"), || async {
        let object = world.get(&["imagerepository", name, "-n", ns]).await;
        let conditions = object["status"]["conditions"].as_array();
        let ready = conditions.and_then(|all| all.iter().find(|one| one["type"] == "Ready"));
        let ready = ready.cloned().unwrap_or_default();
        let said = ready["message"].as_str().unwrap_or_default();
        assert!(!said.contains("hunter"), "{said}");
        if ready["status"] == status && said.contains(message) {
            Ok(())
        } else {
            Err(ready.to_string())
        }
    })
    .await;
}

async fn docker_secret(world: &World, ns: &str, name: &str, host: &str, password: &str) {
    world
        .cluster
        .apply(&format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {ns}}}\n\
             type: kubernetes.io/dockerconfigjson\nstringData:\n  .dockerconfigjson: \
             '{{\"auths\":{{\"{host}\":{{\"username\":\"me\",\"password\":\"{password}\"}}}}}}'\n"
        ))
        .await;
}

async fn repository(world: &World, ns: &str, name: &str, image: &str, more: &str) {
    world
        .cluster
        .apply(&format!(
            "{{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImageRepository, \
             metadata: {{name: {name}, namespace: {ns}}}, \
             spec: {{image: \"{image}\", interval: 12h, {more}}}}}"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_come_later_and_are_mended_are_noticed_at_once() {
    // Nothing is tried again by itself while this test runs.
    let patience = [
        "--min-retry-delay=1h",
        "--max-retry-delay=1h",
        "--requeue-dependency=1h",
    ];
    let world = &World::start(&patience).await;
    let ns = &world.cluster.namespace("private").await;
    world.cluster.registry.push("private/app", &["1.0.0"]).await;
    let gate = Gate::before(&world.cluster.registry.address).await;
    let image = format!("{}/private/app", gate.address);
    repository(world, ns, "named", &image, "secretRef: {name: pull}").await;
    repository(world, ns, "account", &image, "serviceAccountName: puller").await;
    says(world, ns, "named", "False", "secrets \"pull\" not found").await;
    says(
        world,
        ns,
        "account",
        "False",
        "serviceaccounts \"puller\" not found",
    )
    .await;

    docker_secret(world, ns, "pull", &gate.address, "hunter3").await;
    says(world, ns, "named", "False", "refused the credential").await;
    docker_secret(world, ns, "pull", &gate.address, "hunter2").await;
    says(world, ns, "named", "True", "found 1 tags").await;

    world
        .cluster
        .apply(&format!(
            "{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: puller, namespace: {ns}}}, \
             imagePullSecrets: [{{name: lent}}]}}"
        ))
        .await;
    // ServiceAccounts are not watched.
    world.request_scan(ns, "account").await;
    let missing =
        format!("image pull secret of service account '{ns}/puller': secrets \"lent\" not found");
    says(world, ns, "account", "False", &missing).await;
    docker_secret(world, ns, "lent", &gate.address, "hunter2").await;
    says(world, ns, "account", "True", "found 1 tags").await;
    assert!(!world.program.log().contains("hunter"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_digest_of_an_image_for_two_platforms_is_that_of_its_index() {
    let world = World::shared().await;
    let ns = &world.cluster.namespace("index").await;
    let registry = &world.cluster.registry;
    let pushed = registry.push_index("digests/app", &["1.0.0"]).await;
    world.scan(ns, "app", "digests/app").await;
    world
        .cluster
        .apply(&format!(
            "{{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImagePolicy, \
             metadata: {{name: app, namespace: {ns}}}, \
             spec: {{imageRepositoryRef: {{name: app}}, digestReflectionPolicy: IfNotPresent, \
             policy: {{semver: {{range: '*'}}}}}}}}"
        ))
        .await;
    world.elects(ns, "app", "1.0.0").await;
    let object = world.get(&["imagepolicy", "app", "-n", ns]).await;
    assert_eq!(object["status"]["latestRef"]["digest"], pushed[0].as_str());
}
