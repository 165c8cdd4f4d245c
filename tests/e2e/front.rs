//! The front of the API server with a real kube-apiserver behind it: tokens of ServiceAccounts, rights on single names,
//! selectors in access reviews, the merged documents; asked directly and through the aggregator.

use kube::config::Kubeconfig;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};

use crate::harness::{ControlPlane, Tagscope, eventually};
use crate::rights::kubeconfig_of_service_account;
use crate::world::{SOON, World};

const TAGS: &str = "/apis/tags.tagscope.dev/v1alpha1";

/// Asks as a ServiceAccount, whatever certificate the server shows.
struct Caller {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Caller {
    /// Asks the program itself.
    async fn direct(world: &World, ns: &str, account: &str) -> Self {
        let base = format!("https://127.0.0.1:{}", world.program.secure_port);
        Self::at(&world.cluster, base, ns, account).await
    }

    /// Asks kube-apiserver.
    async fn through(world: &World, ns: &str, account: &str) -> Self {
        let kubeconfig = Kubeconfig::read_from(&world.cluster.kubeconfig).unwrap();
        let base = kubeconfig.clusters[0]
            .cluster
            .as_ref()
            .unwrap()
            .server
            .clone();
        Self::at(&world.cluster, base.unwrap(), ns, account).await
    }

    async fn at(cluster: &ControlPlane, base: String, ns: &str, account: &str) -> Self {
        let token = ["create", "token", account, "-n", ns, "--duration=1h"];
        let token = cluster.kubectl(&token).await.ok().trim().to_owned();
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .build()
            .unwrap();
        Self {
            client,
            base,
            token,
        }
    }

    async fn get(&self, path: &str, accept: &str) -> reqwest::Response {
        self.get_with(path, accept, &format!("Bearer {}", self.token))
            .await
    }

    async fn get_with(&self, path: &str, accept: &str, authorization: &str) -> reqwest::Response {
        let mut request = self
            .client
            .get(format!("{}{path}", self.base))
            .header(ACCEPT, accept);
        if !authorization.is_empty() {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.send().await.unwrap()
    }

    async fn status(&self, path: &str) -> u16 {
        self.get(path, "application/json").await.status().as_u16()
    }
}

async fn account(cluster: &ControlPlane, ns: &str, name: &str) {
    cluster
        .kubectl(&["create", "serviceaccount", name, "-n", ns])
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_on_one_name_reaches_that_object_alone_until_it_is_taken_away() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("one-name").await;
    cluster.registry.push("one-name/app", &["1", "2"]).await;
    world.scan(ns, "app", "one-name/app").await;
    account(cluster, ns, "reader").await;
    cluster
        .apply(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: one, namespace: {ns}}}\n\
             rules:\n- {{apiGroups: [tags.tagscope.dev], resources: [imagetags], resourceNames: ['app:1'], verbs: [get, list, watch]}}\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: one, namespace: {ns}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: one}}\n\
             subjects: [{{kind: ServiceAccount, name: reader, namespace: {ns}}}]\n"
        ))
        .await;
    let callers = [
        Caller::direct(world, ns, "reader").await,
        Caller::through(world, ns, "reader").await,
    ];
    let all = format!("{TAGS}/namespaces/{ns}/imagetags");
    let one = format!("{all}?fieldSelector=metadata.name%3Dapp:1");
    for caller in &callers {
        eventually(SOON, "the right is known", || async {
            let status = caller.status(&one).await;
            (status == 200).then_some(()).ok_or(status)
        })
        .await;
        for (path, expected) in [
            (format!("{all}/app:1"), 200),
            (format!("{all}/app%3A1"), 200),
            (format!("{all}/app:2"), 403),
            (format!("{all}/nothing:9"), 403),
            (all.clone(), 403),
            (format!("{all}?fieldSelector=metadata.name%3Dapp:2"), 403),
            (format!("{all}?labelSelector=a+in+(b)"), 403),
            (format!("{one}&labelSelector=a+in+(b),!c,d%3E1"), 200),
            (format!("{one}&watch=1&timeoutSeconds=1"), 200),
            (format!("{all}?watch=1&timeoutSeconds=1"), 403),
        ] {
            assert_eq!(
                caller.status(&path).await,
                expected,
                "{} {path}",
                caller.base
            );
        }
        let listed: Value = caller
            .get(&one, "application/json")
            .await
            .json()
            .await
            .unwrap();
        assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    }
    cluster
        .kubectl(&["delete", "rolebinding", "one", "-n", ns])
        .await
        .ok();
    for caller in &callers {
        eventually(SOON, "the right is gone", || async {
            let status = caller.status(&one).await;
            (status == 403).then_some(()).ok_or(status)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_accounts_token_names_it_directly() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("tokens").await;
    account(cluster, ns, "robot").await;
    let robot = Caller::direct(world, ns, "robot").await;
    let path = format!("{TAGS}/namespaces/{ns}/imagetags");
    for (authorization, status, named) in [
        (
            format!("Bearer {}", robot.token),
            403,
            format!("system:serviceaccount:{ns}:robot"),
        ),
        (
            format!("bEaReR {}", robot.token),
            403,
            format!("system:serviceaccount:{ns}:robot"),
        ),
        (
            format!("Bearer  {}", robot.token),
            403,
            "system:anonymous".to_owned(),
        ),
        (String::new(), 403, "system:anonymous".to_owned()),
        (
            format!("Bearer {}x", robot.token),
            401,
            "Unauthorized".to_owned(),
        ),
    ] {
        let answer = robot
            .get_with(&path, "application/json", &authorization)
            .await;
        assert_eq!(answer.status().as_u16(), status, "{authorization}");
        let said: Value = answer.json().await.unwrap();
        let message = said["message"].as_str().unwrap();
        assert!(message.contains(&named), "{message}");
    }
    // Everybody who is somebody may discover: by the cluster's own roles.
    for path in ["/apis", TAGS, "/openapi/v2", "/openapi/v3", "/version"] {
        assert_eq!(robot.status(path).await, 200, "{path}");
    }
    assert_eq!(robot.status("/metrics").await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_through_the_aggregator_as_they_were_negotiated() {
    let world = World::shared().await;
    let cluster = &world.cluster;
    let ns = &cluster.namespace("negotiated").await;
    account(cluster, ns, "reader").await;
    let bind = format!("--serviceaccount={ns}:reader");
    let bind = [
        "create",
        "rolebinding",
        "view",
        "-n",
        ns,
        "--clusterrole=view",
        &bind,
    ];
    cluster.kubectl(&bind).await.ok();
    let through = Caller::through(world, ns, "reader").await;
    let path = format!("{TAGS}/namespaces/{ns}/imagetags");
    eventually(SOON, "viewers may list tags", || async {
        let status = through.status(&path).await;
        (status == 200).then_some(()).ok_or(status)
    })
    .await;
    for (accept, status, content_type) in [
        ("application/yaml", 200, "application/yaml"),
        (
            "application/json;as=Table;v=v1;g=meta.k8s.io",
            200,
            "application/json",
        ),
        (
            "application/vnd.kubernetes.protobuf,application/json",
            200,
            "application/json",
        ),
        (
            "application/vnd.kubernetes.protobuf",
            406,
            "application/json",
        ),
        ("application/cbor", 406, "application/json"),
    ] {
        let answer = through.get(&path, accept).await;
        assert_eq!(answer.status().as_u16(), status, "{accept}");
        assert_eq!(answer.headers()[CONTENT_TYPE], content_type, "{accept}");
    }
    // kube-apiserver has merged our document, in the form too that one bad schema would break for everybody.
    let protobuf = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    eventually(SOON, "the documents are merged", || async {
        let merged: Value = through
            .get("/openapi/v2", "application/json")
            .await
            .json()
            .await
            .unwrap();
        let paths = merged["paths"].as_object().unwrap();
        paths
            .contains_key("/apis/tags.tagscope.dev/v1alpha1/imagetags")
            .then_some(())
            .ok_or(paths.len())
    })
    .await;
    let merged = through.get("/openapi/v2", protobuf).await;
    assert_eq!(merged.status().as_u16(), 200);
    let document = through
        .get("/openapi/v3/apis/tags.tagscope.dev/v1alpha1", "*/*")
        .await;
    assert_eq!(
        document.json::<Value>().await.unwrap()["openapi"],
        json!("3.0.0")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_are_made_with_the_kubeconfigs_of_the_flags() {
    let cluster = ControlPlane::start().await;
    cluster
        .kubectl(&["create", "namespace", "tagscope-system"])
        .await
        .ok();
    cluster.apply(&cluster.definitions().await).await;
    for name in ["for-tokens", "for-access"] {
        account(&cluster, "tagscope-system", name).await;
        let subject = format!("--serviceaccount=tagscope-system:{name}");
        let bind = [
            "create",
            "clusterrolebinding",
            name,
            "--clusterrole=system:auth-delegator",
            &subject,
        ];
        cluster.kubectl(&bind).await.ok();
    }
    let role = "--role=extension-apiserver-authentication-reader";
    let bind = [
        "create",
        "rolebinding",
        "for-tokens",
        "-n",
        "kube-system",
        role,
    ];
    let subject = "--serviceaccount=tagscope-system:for-tokens";
    cluster
        .kubectl(&[&bind[..], &[subject]].concat())
        .await
        .ok();
    let [tokens, access] = [
        kubeconfig_of_service_account(&cluster, "tagscope-system", "for-tokens").await,
        kubeconfig_of_service_account(&cluster, "tagscope-system", "for-access").await,
    ]
    .map(|path| path.display().to_string());
    let flags = [
        format!("--authentication-kubeconfig={tokens}"),
        format!("--authorization-kubeconfig={access}"),
    ];
    let program = cluster
        .tagscope()
        .args(flags.iter().map(String::as_str))
        .start()
        .await;
    let program: Tagscope = program.unwrap_or_else(|log| panic!("it did not start:\n{log}"));
    account(&cluster, "default", "robot").await;
    let base = format!("https://127.0.0.1:{}", program.secure_port);
    let robot = Caller::at(&cluster, base, "default", "robot").await;
    assert_eq!(robot.status("/apis").await, 200);
    for (user, resource) in [
        ("for-tokens", "tokenreviews"),
        ("for-access", "subjectaccessreviews"),
    ] {
        let user = format!("system:serviceaccount:tagscope-system:{user}");
        eventually(SOON, &format!("{user} has asked"), || async {
            let requests = cluster.requests_of(&user);
            let asked = requests
                .iter()
                .any(|event| event["objectRef"]["resource"] == resource);
            asked.then_some(()).ok_or(requests.len())
        })
        .await;
    }

    let missing = ["--authentication-kubeconfig=/nowhere/config"];
    let log = cluster.tagscope().args(missing).start().await.unwrap_err();
    assert!(log.contains("--authentication-kubeconfig"), "{log}");
    assert!(
        log.contains("failed to load the kubeconfig /nowhere/config"),
        "{log}"
    );
    let missing = ["--client-ca-file=/nowhere/ca.pem"];
    let log = cluster.tagscope().args(missing).start().await.unwrap_err();
    assert!(
        log.contains("failed to read --client-ca-file /nowhere/ca.pem"),
        "{log}"
    );
}
