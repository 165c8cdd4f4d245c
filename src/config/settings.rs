//! The flags as meant: parsed, checked against one another, with every problem reported at once.

mod checker;
mod delegated;
mod gates;
mod mirrors;
mod serving;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use self::checker::Checker;
pub use self::delegated::Delegated;
pub use self::gates::Gates;
pub use self::mirrors::{Implicit, Mirrors};
pub use self::serving::Serving;
use super::args::Args;
use crate::cluster::connect::Rate;
use crate::cluster::event::Address;

/// What `tagscope run` was asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The aggregated API server.
    pub api_server: ApiServer,
    /// The controllers.
    pub controllers: Controllers,
    /// How to treat registries.
    pub registries: Registries,
    /// How to copy images.
    pub mirrors: Mirrors,
    /// The election.
    pub election: Election,
    /// How fast requests to kube-apiserver may follow one another; `None`: as fast as they can.
    pub kube_api: Option<Rate>,
    /// Where events are posted besides Kubernetes Events.
    pub events: Option<Address>,
    /// Where the tag store keeps its snapshots.
    pub storage_path: PathBuf,
    /// The metrics endpoint; `None` when it is off.
    pub metrics: Option<SocketAddr>,
    /// The plain health endpoint.
    pub health: SocketAddr,
    /// Logging.
    pub log: Log,
    /// The namespace of our own Secret and Lease.
    pub runtime_namespace: String,
    /// The flags that were given and do nothing here.
    pub without_effect: Vec<&'static str>,
}

/// How to treat registries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Registries {
    /// Requests per second and host; `None`: only what registries teach.
    pub rps: Option<f64>,
    /// Requests at once per host.
    pub concurrency: NonZeroUsize,
}

/// Who may act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Election {
    /// Whether one is held at all.
    pub is_on: bool,
    /// The Lease's namespace.
    pub namespace: String,
    /// How long others wait for a leader that is silent.
    pub lease_duration: Duration,
    /// How long a leader tries to renew.
    pub renew_deadline: Duration,
    /// The time between two tries.
    pub retry_period: Duration,
    /// Give the Lease up on shutdown.
    pub release_on_cancel: bool,
}

/// Settings of the aggregated API server.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiServer {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its certificate, when it is not self-managed.
    pub certificate: Option<CertificateFiles>,
    /// Ordinary requests served at once.
    pub max_requests_inflight: NonZeroUsize,
    /// How long a stopping server keeps serving.
    pub shutdown_delay: Duration,
    /// ImageRepository labels that ImageTags carry too.
    pub imagetag_labels: Vec<String>,
    /// How users are recognised, and what they may do.
    pub delegated: Delegated,
    /// How it is served.
    pub serving: Serving,
}

/// A certificate and its key, as files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate chain (PEM).
    pub certificate: PathBuf,
    /// The private key (PEM).
    pub key: PathBuf,
}

/// Settings of the controllers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "as many as there are flags")]
pub struct Controllers {
    /// Scan ImageRepositories.
    pub image_repository: bool,
    /// Resolve ImagePolicies.
    pub image_policy: bool,
    /// Copy what ImageMirrors ask for.
    pub image_mirror: bool,
    /// Reconciliations of one kind at once.
    pub concurrent: NonZeroUsize,
    /// How long a policy waits for its repository's tags.
    pub requeue_dependency: Duration,
    /// First wait after a failure.
    pub min_retry_delay: Duration,
    /// Longest wait after failures.
    pub max_retry_delay: Duration,
    /// A policy may refer to a repository in another namespace (if that one's `accessFrom` agrees).
    pub cross_namespace_refs: bool,
    /// The only namespace to watch; `None` for all.
    pub namespace: Option<String>,
    /// The labels of the objects to look at; `None`: whatever their labels.
    pub label_selector: Option<String>,
    /// Run beside Flux's own controller.
    pub is_companion: bool,
    /// Scans in a row that have to miss a tag before it is dropped, where a list is suspect.
    pub suspect_confirmations: u32,
    /// Flux's feature gates.
    pub gates: Gates,
}

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The shape of a line.
    pub encoding: LogEncoding,
    /// The least level that is written.
    pub level: LogLevel,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEncoding {
    /// One JSON object, as `flux logs` reads it.
    Json,
    /// For people.
    Console,
}

/// Flux's log levels; there is no `warn` on the command line, warnings show at `info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the levels say themselves")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Error,
}

/// Everything that is wrong with the flags, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Settings {
    /// Checks all of `args`.
    pub fn check(args: Args) -> Result<Self, Problems> {
        let mut found = Checker::default();
        let Args {
            bind_address,
            secure_port,
            tls_cert_file,
            tls_private_key_file,
            max_requests_inflight,
            shutdown_delay_duration,
            imagetag_labels,
            delegated,
            serving,
            controllers,
            concurrent,
            requeue_dependency,
            min_retry_delay,
            max_retry_delay,
            no_cross_namespace_refs,
            watch_all_namespaces,
            watch_label_selector,
            companion,
            suspect_confirmations,
            feature_gates,
            default_service_account,
            registry_rps,
            registry_concurrency,
            mirrors,
            enable_leader_election,
            leader_election_namespace,
            leader_election_release_on_cancel,
            leader_election_lease_duration,
            leader_election_renew_deadline,
            leader_election_retry_period,
            storage_path,
            metrics_addr,
            health_addr,
            events_addr,
            log_encoding,
            log_level,
            kube_api_qps,
            kube_api_burst,
            runtime_namespace,
            log_json,
            storage_value_log_file_size,
            storage_compression_threshold,
            gc_interval,
            watch_configs_label_selector,
            token_cache_max_size,
            token_cache_max_duration,
            ssh_kex_algos,
            ssh_hostkey_algos,
        } = args;

        let certificate = match (tls_cert_file, tls_private_key_file) {
            (Some(certificate), Some(key)) => Some(CertificateFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                found.wrong("--tls-cert-file needs --tls-private-key-file beside it")
            }
            (None, Some(_)) => {
                found.wrong("--tls-private-key-file needs --tls-cert-file beside it")
            }
        };
        let selected = found.controllers(&controllers);
        let [min_retry_delay, max_retry_delay] = [
            found.duration("--min-retry-delay", &min_retry_delay),
            found.duration("--max-retry-delay", &max_retry_delay),
        ];
        if min_retry_delay.is_zero() || min_retry_delay > max_retry_delay {
            found.wrong::<()>(
                "--min-retry-delay must be more than zero and at most --max-retry-delay",
            );
        }
        let requeue_dependency = found.duration("--requeue-dependency", &requeue_dependency);
        if requeue_dependency < Duration::from_secs(1) {
            found.wrong::<()>("--requeue-dependency must be at least 1s");
        }
        let all_namespaces = found.boolean("--watch-all-namespaces", &watch_all_namespaces);
        found.namespace(
            "--runtime-namespace (RUNTIME_NAMESPACE)",
            &runtime_namespace,
        );
        let gates = found.gates(&feature_gates);
        if !default_service_account.is_empty() && !gates.object_level_workload_identity {
            found.wrong::<()>(
                "--default-service-account needs --feature-gates=ObjectLevelWorkloadIdentity=true",
            );
        }
        let is_companion = found.boolean("--companion", &companion);
        let mut election = found.election(
            &enable_leader_election,
            [
                &leader_election_lease_duration,
                &leader_election_renew_deadline,
                &leader_election_retry_period,
            ],
            &leader_election_release_on_cancel,
        );
        election.namespace = if leader_election_namespace.is_empty() {
            runtime_namespace.clone()
        } else {
            found.namespace("--leader-election-namespace", &leader_election_namespace);
            leader_election_namespace
        };
        let mut without_effect = found.without_effect(&checker::WithoutEffect {
            log_json,
            storage_value_log_file_size,
            storage_compression_threshold,
            gc_interval,
            watch_configs_label_selector,
            token_cache_max_size,
            token_cache_max_duration,
            ssh_kex_algos,
            ssh_hostkey_algos,
            is_flux_storage: gates.flux_storage,
        });
        let mirrors = Mirrors::check(
            &mut found,
            mirrors,
            &mirrors::Beside {
                runtime_namespace: &runtime_namespace,
                elects: election.is_on,
                runs: selected.image_mirror,
                is_sharded: !watch_label_selector.is_empty(),
            },
        );
        if is_companion && election.is_on {
            // Flux's Lease is Flux's.
            election.is_on = false;
            if mirrors.implicit.is_none() {
                without_effect.push("--enable-leader-election beside --companion");
            }
        }
        let serving = Serving::check(&mut found, serving);
        let ip = found.bind_address(&bind_address);
        let settings = Self {
            api_server: ApiServer {
                listen: SocketAddr::new(ip, found.number("--secure-port", &secure_port)),
                certificate,
                max_requests_inflight: found
                    .at_least_one("--max-requests-inflight", &max_requests_inflight),
                shutdown_delay: found
                    .duration("--shutdown-delay-duration", &shutdown_delay_duration),
                imagetag_labels: found.imagetag_labels(&imagetag_labels),
                delegated: found.delegated(delegated),
                serving,
            },
            controllers: Controllers {
                image_repository: selected.image_repository,
                image_policy: selected.image_policy,
                image_mirror: selected.image_mirror,
                concurrent: found.at_least_one("--concurrent", &concurrent),
                requeue_dependency,
                min_retry_delay,
                max_retry_delay,
                cross_namespace_refs: !found
                    .boolean("--no-cross-namespace-refs", &no_cross_namespace_refs),
                namespace: (!all_namespaces).then(|| runtime_namespace.clone()),
                label_selector: found
                    .label_selector("--watch-label-selector", &watch_label_selector),
                is_companion,
                suspect_confirmations: found
                    .number("--suspect-confirmations", &suspect_confirmations),
                gates,
            },
            registries: Registries {
                rps: found.rate("--registry-rps", &registry_rps),
                concurrency: found.at_least_one("--registry-concurrency", &registry_concurrency),
            },
            mirrors,
            election,
            kube_api: found.kube_api(&kube_api_qps, &kube_api_burst),
            events: found.events_address(&events_addr),
            storage_path,
            metrics: found.optional_address("--metrics-addr", &metrics_addr),
            health: found.address("--health-addr", &health_addr),
            log: Log {
                encoding: found.log_encoding(&log_encoding),
                level: found.log_level(&log_level),
            },
            runtime_namespace,
            without_effect,
        };
        if found.problems.is_empty() {
            Ok(settings)
        } else {
            Err(Problems(found.problems))
        }
    }
}

#[cfg(test)]
mod tests;
