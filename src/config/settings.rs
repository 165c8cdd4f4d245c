//! The flags as meant: parsed, checked against one another, with every problem reported at once.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::args::Args;
use crate::api::duration::GoDuration;

/// What `tagscope run` was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The aggregated API server.
    pub api_server: ApiServer,
    /// The controllers.
    pub controllers: Controllers,
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
}

/// Settings of the aggregated API server.
#[derive(Debug, Clone, PartialEq, Eq)]
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
pub struct Controllers {
    /// Scan ImageRepositories.
    pub image_repository: bool,
    /// Resolve ImagePolicies.
    pub image_policy: bool,
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
    /// Flux's feature gates.
    pub gates: Gates,
}

/// Flux's feature gates, all off unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gates {
    /// `FluxStorage`: revisions in the `sha256:` form.
    pub flux_storage: bool,
    /// `ObjectLevelWorkloadIdentity`: `spec.serviceAccountName` may go with a cloud provider.
    pub object_level_workload_identity: bool,
    /// `CacheSecretsAndConfigMaps`: without effect, nothing is cached here.
    pub cache_secrets_and_config_maps: bool,
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
            controllers,
            concurrent,
            requeue_dependency,
            min_retry_delay,
            max_retry_delay,
            no_cross_namespace_refs,
            watch_all_namespaces,
            feature_gates,
            storage_path,
            metrics_addr,
            health_addr,
            log_encoding,
            log_level,
            runtime_namespace,
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
        if !is_dns_label(&runtime_namespace) {
            found.wrong::<()>(format!("--runtime-namespace (RUNTIME_NAMESPACE) {runtime_namespace:?} is not a namespace's name"));
        }
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
            },
            controllers: Controllers {
                image_repository: selected.image_repository,
                image_policy: selected.image_policy,
                concurrent: found.at_least_one("--concurrent", &concurrent),
                requeue_dependency,
                min_retry_delay,
                max_retry_delay,
                cross_namespace_refs: !found
                    .boolean("--no-cross-namespace-refs", &no_cross_namespace_refs),
                namespace: (!all_namespaces).then(|| runtime_namespace.clone()),
                gates: found.gates(&feature_gates),
            },
            storage_path,
            metrics: found.optional_address("--metrics-addr", &metrics_addr),
            health: found.address("--health-addr", &health_addr),
            log: Log {
                encoding: found.log_encoding(&log_encoding),
                level: found.log_level(&log_level),
            },
            runtime_namespace,
        };
        if found.problems.is_empty() {
            Ok(settings)
        } else {
            Err(Problems(found.problems))
        }
    }
}

/// Parses flag values and gathers what is wrong; a wrong value is replaced by something harmless, because
/// [`Settings::check`] returns nothing at all when there is a problem.
#[derive(Default)]
struct Checker {
    problems: Vec<String>,
}

struct Selected {
    image_repository: bool,
    image_policy: bool,
}

impl Checker {
    fn wrong<T: Default>(&mut self, problem: impl Into<String>) -> T {
        self.problems.push(problem.into());
        T::default()
    }

    fn number<T: std::str::FromStr + Default>(&mut self, flag: &str, text: &str) -> T {
        text.parse().unwrap_or_else(|_| {
            self.wrong(format!("{flag} {text:?} is not a whole number in range"))
        })
    }

    fn at_least_one(&mut self, flag: &str, text: &str) -> NonZeroUsize {
        text.parse().unwrap_or_else(|_| {
            self.wrong::<()>(format!(
                "{flag} {text:?} is not a whole number of at least 1"
            ));
            NonZeroUsize::MIN
        })
    }

    fn duration(&mut self, flag: &str, text: &str) -> Duration {
        match text.parse::<GoDuration>().ok().map(GoDuration::as_std) {
            Some(duration) => duration,
            None => self.wrong(format!(
                "{flag} {text:?} is not a duration such as 30s, 5m or 1h30m"
            )),
        }
    }

    fn boolean(&mut self, flag: &str, text: &str) -> bool {
        parse_go_bool(text).unwrap_or_else(|| {
            self.wrong(format!(
                "{flag} {text:?} is neither true nor false (1, t, 0, f will do)"
            ))
        })
    }

    fn bind_address(&mut self, text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|_| {
            self.wrong::<()>(format!("--bind-address {text:?} is not an IP address"));
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        })
    }

    fn address(&mut self, flag: &str, text: &str) -> SocketAddr {
        parse_listen_address(text).unwrap_or_else(|| {
            self.wrong::<()>(format!(
                "{flag} {text:?} is not an address such as :8080 or 127.0.0.1:8080"
            ));
            SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0)
        })
    }

    fn optional_address(&mut self, flag: &str, text: &str) -> Option<SocketAddr> {
        if text == "0" || text.is_empty() {
            None
        } else {
            Some(self.address(flag, text))
        }
    }

    fn controllers(&mut self, list: &str) -> Selected {
        let mut selected = Selected {
            image_repository: false,
            image_policy: false,
        };
        for word in list.split(',').map(str::trim) {
            let (on, name) = word
                .strip_prefix('-')
                .map_or((true, word), |name| (false, name));
            match name {
                "*" if on => selected = Selected { image_repository: true, image_policy: true },
                "imagerepository" => selected.image_repository = on,
                "imagepolicy" => selected.image_policy = on,
                _ => self.wrong(format!("--controllers knows no {word:?}; it knows *, imagerepository, imagepolicy, and -name")),
            }
        }
        selected
    }

    fn gates(&mut self, list: &str) -> Gates {
        let mut gates = Gates::default();
        let pairs = list.split(',').map(str::trim);
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            let (gate, value) = pair.split_once('=').unwrap_or((pair, ""));
            let switch = match gate {
                "FluxStorage" => &mut gates.flux_storage,
                "ObjectLevelWorkloadIdentity" => &mut gates.object_level_workload_identity,
                "CacheSecretsAndConfigMaps" => &mut gates.cache_secrets_and_config_maps,
                _ => {
                    self.wrong::<()>(format!(
                        "--feature-gates knows no {gate:?}; it knows FluxStorage, CacheSecretsAndConfigMaps, ObjectLevelWorkloadIdentity"
                    ));
                    continue;
                }
            };
            match parse_go_bool(value) {
                Some(on) => *switch = on,
                None => self.wrong(format!(
                    "--feature-gates {pair:?} does not read Gate=true or Gate=false"
                )),
            }
        }
        gates
    }

    /// Tracking labels are refused: deployment tools would take tags for things of theirs, and prune them.
    fn imagetag_labels(&mut self, list: &str) -> Vec<String> {
        let mut labels = Vec::new();
        for label in list
            .split(',')
            .map(str::trim)
            .filter(|label| !label.is_empty())
        {
            let prefix = label.split_once('/').map_or("", |(prefix, _)| prefix);
            let tracks = label == "app.kubernetes.io/instance"
                || prefix == "argocd.argoproj.io"
                || prefix.ends_with(".toolkit.fluxcd.io");
            if tracks {
                self.wrong::<()>(format!("--imagetag-labels may not name the tracking label {label:?}: tools would prune tags by it"));
            } else if prefix == "tags.tagscope.dev" {
                self.wrong::<()>(format!(
                    "--imagetag-labels may not name {label:?}: tagscope sets it itself"
                ));
            } else {
                labels.push(label.to_owned());
            }
        }
        labels
    }

    fn log_encoding(&mut self, text: &str) -> LogEncoding {
        match text {
            "json" => LogEncoding::Json,
            "console" => LogEncoding::Console,
            _ => {
                self.wrong::<()>(format!(
                    "--log-encoding {text:?} is neither json nor console"
                ));
                LogEncoding::Json
            }
        }
    }

    fn log_level(&mut self, text: &str) -> LogLevel {
        match text {
            "trace" => LogLevel::Trace,
            "debug" => LogLevel::Debug,
            "info" => LogLevel::Info,
            "error" => LogLevel::Error,
            _ => {
                self.wrong::<()>(format!(
                    "--log-level {text:?} is none of trace, debug, info, error"
                ));
                LogLevel::Info
            }
        }
    }
}

/// Go's `strconv.ParseBool`.
fn parse_go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// `:8080` (every address, as Go has it), `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`.
fn parse_listen_address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = host
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(host);
    let ip = match host {
        "" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        _ => host.parse().ok()?,
    };
    Some(SocketAddr::new(ip, port))
}

fn is_dns_label(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= 63
        && text.bytes().all(|b| word(b) || b == b'-')
        && text.bytes().next().is_some_and(word)
        && text.bytes().next_back().is_some_and(word)
}

#[cfg(test)]
mod tests;
