//! Everything that the specifications allow, from each of the registries to each: byte for byte.

use super::yard::{Home, Kind, Registry};

const ODD: &str = "odd/all";
const REPOSITORIES: [&str; 2] = ["team/app-0", "team/app-1"];

async fn everything_arrives(from: Kind, to: Kind) {
    let (Some(source), Some(destination)) =
        (Registry::start(from).await, Registry::start(to).await)
    else {
        return;
    };
    source.kit("images", &["2", "3"]).await.unwrap();
    source.kit("odd", &[ODD]).await.unwrap();
    let home = Home::new();
    for repository in REPOSITORIES {
        let (from, to) = (source.image(repository), destination.image(repository));
        home.good(&[&from, &to, "--all-tags"]).await;
    }
    assert_eq!(
        source.check(&REPOSITORIES).await.unwrap(),
        destination.check(&REPOSITORIES).await.unwrap()
    );

    // One odd tag after the other: what one registry has, the other may refuse, and then it says so.
    let sent = source.manifests(ODD).await;
    let mut refused = Vec::new();
    for tag in sent.keys() {
        let (from, to) = (source.image(ODD), destination.image(ODD));
        let (from, to) = (format!("{from}:{tag}"), format!("{to}:{tag}"));
        let output = home.run(&[&from, &to]).await;
        if !output.status.success() {
            refused.push((tag.as_str(), super::yard::text(&output.stderr)));
        }
    }
    let mut arrived = destination.manifests(ODD).await;
    // Where the registry does not keep the list of what refers to an image, whoever copies does (and it does not say
    // so where it knows the API).
    arrived.retain(|tag, _| sent.contains_key(tag) || !tag.starts_with("sha256-"));
    for (tag, (media_type, bytes)) in &arrived {
        let (sent_type, sent_bytes) = &sent[tag];
        assert_eq!(bytes, sent_bytes, "{tag}");
        assert_eq!(media_type, sent_type, "{tag}");
    }
    assert_eq!(arrived.len() + refused.len(), sent.len(), "{refused:?}");
    // Nobody but a registry that differs in what it takes may refuse.
    if from == to {
        assert!(refused.is_empty(), "{refused:?}");
    }
    let may_refuse = [
        "foreign-layer",
        "index-of-index",
        "inner-index",
        "empty-index",
    ];
    for (tag, why) in &refused {
        assert!(may_refuse.contains(tag), "{tag}: {why}");
        assert!(why.contains(&destination.address), "{tag}: {why}");
    }
    destination.check(&[ODD]).await.unwrap();
}

#[tokio::test]
async fn distribution_v3_to_itself() {
    everything_arrives(Kind::Distribution, Kind::Distribution).await;
}

#[tokio::test]
async fn docker_registry_to_itself() {
    everything_arrives(Kind::DockerRegistry, Kind::DockerRegistry).await;
}

#[tokio::test]
async fn go_containerregistry_to_itself() {
    everything_arrives(Kind::Peer, Kind::Peer).await;
}

#[tokio::test]
async fn go_containerregistry_to_distribution_v3() {
    everything_arrives(Kind::Peer, Kind::Distribution).await;
}

#[tokio::test]
async fn distribution_v3_to_docker_registry() {
    everything_arrives(Kind::Distribution, Kind::DockerRegistry).await;
}

/// A registry keeps the list itself; another has none, and gets the fallback tag.
#[tokio::test]
async fn referrers_arrive_where_a_registry_keeps_them_and_where_none_does() {
    let source = Registry::start(Kind::Peer).await.unwrap();
    source.kit("odd", &[ODD]).await.unwrap();
    let (_, plain) = source.manifest(ODD, "plain").await.unwrap();
    let subject = tagscope::image::Digest::of(&plain);
    let home = Home::new();
    for kind in [Kind::Peer, Kind::Distribution] {
        let destination = Registry::start(kind).await.unwrap();
        let (from, to) = (source.image(ODD), destination.image(ODD));
        let (from, to) = (format!("{from}:plain"), format!("{to}:plain"));
        home.good(&[&from, &to, "--referrers"]).await;
        let list = match kind {
            Kind::Peer => {
                let url = format!(
                    "http://{}/v2/{ODD}/referrers/{subject}",
                    destination.address
                );
                let answer = reqwest::get(url).await.unwrap().bytes().await.unwrap();
                serde_json::from_slice::<serde_json::Value>(&answer).unwrap()
            }
            Kind::Distribution | Kind::DockerRegistry => {
                let fallback = subject.as_str().replace(':', "-");
                let (_, bytes) = destination.manifest(ODD, &fallback).await.unwrap();
                serde_json::from_slice(&bytes).unwrap()
            }
        };
        let found: Vec<_> = list["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["digest"].as_str().unwrap().to_owned())
            .collect();
        let (_, referrer) = source.manifest(ODD, "subject").await.unwrap();
        let referrer = tagscope::image::Digest::of(&referrer);
        assert_eq!(found, [referrer.as_str()], "{kind:?}");
        let signature = format!("{}.sig", subject.as_str().replace(':', "-"));
        assert!(
            destination.tags(ODD).await.contains(&signature),
            "{kind:?}: what cosign wrote as a tag"
        );
    }
}
