//! The list of referrers: only a registry's own 404 says that there is none.

use http::Method;
use tagscope::registry::Kind;
use tagscope::registry::remote::Referrers;

use super::reader;
use crate::fake_registry::{FakeRegistry, Fault, Image, Nth, Route};

#[tokio::test]
async fn fault_30_referrers_are_read_over_all_pages() {
    let registry = FakeRegistry::start().await;
    let subject = registry.add_image("team/app", "1", &Image::sized(1, &[10]));
    for seed in 10..17 {
        registry.add_referrer("team/app", &subject, "application/x", seed);
    }
    registry.configure(|options| options.referrers_page = Some(3));
    let subject = subject.parse().unwrap();
    let found = match reader(&registry).referrers(&subject).await {
        Ok(Referrers::Listed(found)) => found,
        other => panic!("{other:?}"),
    };
    assert_eq!((found.len(), registry.count(Route::Referrers)), (7, 3));
    assert_eq!(found[0].artifact_type.as_deref(), Some("application/x"));
    assert!(
        registry
            .requests()
            .iter()
            .all(|request| !request.query.contains("artifactType"))
    );
}

#[tokio::test]
async fn fault_30_only_404_means_that_there_is_no_api() {
    let registry = FakeRegistry::start().await;
    let subject = registry.add_image("team/app", "1", &Image::sized(1, &[10]));
    let subject = subject.parse().unwrap();
    let remote = reader(&registry);
    let none = Referrers::Listed(Vec::new());
    assert_eq!(remote.referrers(&subject).await.unwrap(), none);
    for (status, kind) in [
        (400, Kind::Protocol),
        (403, Kind::Forbidden),
        (500, Kind::Unavailable),
        (405, Kind::Protocol),
    ] {
        registry.on(
            Method::GET,
            "/referrers/",
            Nth::Every,
            Fault::Status(status),
        );
        let error = remote.referrers(&subject).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}");
        registry.heal();
    }
    registry.fail_next(Fault::RateLimited(Some("3600".into())));
    let error = remote.referrers(&subject).await.unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
    let other = FakeRegistry::start().await;
    other.add_image("team/app", "1", &Image::sized(1, &[10]));
    other.configure(|options| options.has_referrers = false);
    let found = reader(&other).referrers(&subject).await;
    assert_eq!(found.unwrap(), Referrers::NoApi);
}

#[tokio::test]
async fn fault_30_what_is_no_index_is_no_list_of_referrers() {
    let registry = FakeRegistry::start().await;
    let subject = registry.add_image("team/app", "1", &Image::sized(1, &[10]));
    let subject = subject.parse().unwrap();
    let remote = reader(&registry);
    registry.fail_next(Fault::ContentType(
        "application/vnd.oci.image.manifest.v1+json",
    ));
    assert_eq!(remote.referrers(&subject).await.unwrap(), Referrers::NoApi);
    registry.fail_next(Fault::Html);
    assert!(remote.referrers(&subject).await.is_err());
}

#[tokio::test]
async fn fault_36_a_link_of_referrers_leads_nowhere_else_and_in_no_circle() {
    let registry = FakeRegistry::start().await;
    let subject = registry.add_image("team/app", "1", &Image::sized(1, &[10]));
    let subject = subject.parse().unwrap();
    let elsewhere = FakeRegistry::start().await;
    let remote = reader(&registry);
    for link in [
        format!("<http://{}/x>; rel=\"next\"", elsewhere.plain_host()),
        "<javascript:alert(1)>; rel=\"next\"".to_owned(),
    ] {
        registry.fail_next(Fault::Link(link));
        let error = remote.referrers(&subject).await.unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("the link to its next page leads away or cannot be read"),
            "{error}"
        );
    }
    assert_eq!(elsewhere.requests().len(), 0);
    registry.fail_always(Fault::LinkToItself);
    let error = remote.referrers(&subject).await.unwrap_err();
    assert!(
        error.to_string().ends_with("its pages run in a circle"),
        "{error}"
    );
    registry.heal();
    registry.fail_always(Fault::EndlessPages);
    let error = remote.referrers(&subject).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Limit);
}

#[tokio::test]
async fn fault_30_a_missing_repository_and_a_page_for_people_do_not_say_that_there_is_no_api() {
    let registry = FakeRegistry::start().await;
    let subject = registry.add_image("team/app", "1", &Image::sized(1, &[10]));
    let subject = subject.parse().unwrap();
    let remote = reader(&registry);
    registry.fail_next(Fault::Code(404, "NAME_UNKNOWN"));
    let found = remote.referrers(&subject).await;
    assert_eq!(found.unwrap(), Referrers::NoRepository);
    registry.fail_next(Fault::HtmlStatus(404));
    let found = remote.referrers(&subject).await;
    assert_eq!(found.unwrap(), Referrers::NoWord);
    registry.fail_next(Fault::HtmlStatus(200));
    assert!(remote.referrers(&subject).await.is_err());
}
