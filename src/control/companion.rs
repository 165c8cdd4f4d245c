//! Companion mode: beside a Flux that goes on scanning and electing. Its statuses are followed, and its objects are read
//! and never written: no status, no finalizer, no Event.
//!
//! A repository is scanned when it is seen for the first time, and once whenever Flux's own scan found another revision.
//! What Flux's policies elected is put into the store as it stands in their statuses. Nothing is decided here that Flux
//! decides: neither when to scan nor what to elect.

mod image_policy;
mod image_repository;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use kube::ResourceExt as _;
use tokio_util::sync::CancellationToken;

use super::kind::Kind;
use super::queue::{self, Lane, Trigger};
use super::{Context, Settings, follow, image_mirror, lanes, secrets};
use crate::api::{ImagePolicy, ImageRepository, names};
use crate::cluster::index::Touched;
use crate::cluster::watch;

/// The annotations that govern an election here, and that Flux's controller knows nothing of.
const GOVERNING: [&str; 5] = [
    names::HOLD,
    names::MINIMUM_AGE,
    names::DOWNGRADE,
    names::PLATFORMS,
    names::REQUIRE_MIRRORED,
];

/// Everything that runs once Flux's kinds are served, until `shutdown`.
pub(super) async fn control(context: Arc<Context>, shutdown: CancellationToken) {
    let (scan, scans) = queue::queue();
    let (mark, marks) = queue::queue();
    let scanner = Arc::new(image_repository::Controller::new(context.clone()));
    let marker = Arc::new(image_policy::Controller::new(context.clone()));
    let Settings {
        concurrent,
        retry,
        ref scope,
        ref kinds,
        ..
    } = context.settings;
    let (scans_run, marks_run) = (
        kinds.contains(&Kind::ImageRepository),
        kinds.contains(&Kind::ImagePolicy),
    );

    let watches = async {
        let client = &context.client.0;
        tokio::join!(
            watch::follow(
                client.clone(),
                scope.clone(),
                context.repositories.clone(),
                |touched| repositories(&context, touched, &marker, &scan, &mark)
            ),
            watch::follow(
                client.clone(),
                scope.clone(),
                context.policies.clone(),
                |touched| policies(&context, touched, &marker, &mark)
            ),
            follow::tidy(&context, &scan, &mark),
            follow::store(
                &context,
                |repository| marker.referrers(repository),
                || follow::policies(&context),
                &mark
            ),
            // What Flux's policies elected needs no credential.
            secrets::follow(&context, |_| Vec::new(), &scan, &mark),
            announce(&context),
        );
    };
    let run_scans = queue::run(
        scans,
        concurrent,
        |key| lanes::of_repository(&context, key),
        retry,
        shutdown.clone(),
        context.metrics.queue(Kind::ImageRepository, concurrent),
        move |key| {
            let scanner = scanner.clone();
            // Boxed: a reconcile holds every request that it may make.
            Box::pin(async move { scanner.reconcile(key, scans_run).await })
        },
    );
    let (marks_by, synced) = (marker.clone(), context.repositories.clone());
    let run_marks = queue::run(
        marks,
        concurrent,
        // Nothing here waits for a registry.
        |_| Lane::default(),
        retry,
        shutdown.clone(),
        context.metrics.queue(Kind::ImagePolicy, concurrent),
        move |key| {
            let (marker, synced) = (marks_by.clone(), synced.clone());
            Box::pin(async move {
                // Until the repositories are known, each would look missing.
                synced.wait_until_synced().await;
                marker.reconcile(key, marks_run).await
            })
        },
    );
    tokio::join!(run_scans, run_marks, shutdown.run_until_cancelled(watches));
}

/// ImageRepositories were touched: they may have to be scanned, and may let in other policies than before.
async fn repositories(
    context: &Context,
    touched: Vec<Touched<ImageRepository>>,
    marker: &image_policy::Controller,
    scan: &Trigger,
    mark: &Trigger,
) {
    for one in touched {
        context.secrets.noted(&one);
        image_mirror::heard_repository(context, &one);
        if image_repository::lets_in_others(&one) {
            for policy in marker.referrers(&one.key) {
                mark.request(policy).await;
            }
        }
        if image_repository::asks(&one) {
            scan.request(one.key).await;
        }
    }
}

/// ImagePolicies were touched.
async fn policies(
    context: &Context,
    touched: Vec<Touched<ImagePolicy>>,
    marker: &image_policy::Controller,
    mark: &Trigger,
) {
    for one in touched {
        marker.noted(&one);
        image_mirror::heard_policy(context, &one);
        if image_policy::asks(&one) {
            mark.request(one.key).await;
        }
    }
}

/// Says once what this mode does, and what it leaves alone.
async fn announce(context: &Context) {
    context.policies.wait_until_synced().await;
    let governed = context
        .policies
        .objects()
        .iter()
        .filter(|(_, policy)| is_governed(policy))
        .count();
    tracing::info!(
        governed_policies = governed,
        "Companion mode: follows Flux's controller and writes none of its objects; \
         annotations that govern elections show in queries only"
    );
}

fn is_governed(policy: &ImagePolicy) -> bool {
    let annotations = policy.annotations();
    GOVERNING.iter().any(|name| annotations.contains_key(*name))
}
