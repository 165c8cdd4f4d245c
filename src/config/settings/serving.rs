//! How the aggregated API is served, as meant.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::checker::Checker;
use crate::apiserver::chain::Manner;
use crate::config::args::serving::Serving as Args;
use crate::serve::{MinVersion, Offer, cipher_suites};
use crate::telemetry::audit::Target;

/// Above it connections would hardly live.
const LIKELIEST_GOAWAY: f64 = 0.02;

/// How the aggregated API is served.
#[derive(Debug, Clone, PartialEq)]
pub struct Serving {
    /// What of TLS is offered.
    pub offer: Offer,
    /// Writing requests served at once.
    pub max_mutating_requests_inflight: NonZeroUsize,
    /// Watches open at once.
    pub max_watches_inflight: NonZeroUsize,
    /// Requests at once on one HTTP/2 connection.
    pub http2_streams: u32,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How likely a request is to end its connection.
    pub goaway_chance: f64,
    /// How it comes to an end.
    pub manner: Manner,
    /// Where the audit log goes.
    pub audit_log: Option<Target>,
}

impl Serving {
    pub(super) fn check(found: &mut Checker, args: Args) -> Self {
        let Args {
            tls_min_version,
            tls_cipher_suites,
            max_mutating_requests_inflight,
            max_watches_inflight,
            http2_max_streams_per_connection,
            request_timeout,
            goaway_chance,
            shutdown_watch_termination_grace_period,
            shutdown_send_retry_after,
            audit_log_path,
        } = args;
        let http2_streams: u32 = found.number(
            "--http2-max-streams-per-connection",
            &http2_max_streams_per_connection,
        );
        if http2_streams == 0 && !found.has("--http2-max-streams-per-connection") {
            found.wrong::<()>("--http2-max-streams-per-connection must be at least 1");
        }
        let request_timeout = found.duration("--request-timeout", &request_timeout);
        if request_timeout.is_zero() && !found.has("--request-timeout") {
            found.wrong::<()>("--request-timeout must be more than zero");
        }
        let mutating = "--max-mutating-requests-inflight";
        let grace = "--shutdown-watch-termination-grace-period";
        Self {
            offer: Offer {
                min_version: min_version(found, &tls_min_version),
                cipher_suites: suites(found, &tls_cipher_suites),
            },
            max_mutating_requests_inflight: found
                .at_least_one(mutating, &max_mutating_requests_inflight),
            max_watches_inflight: found
                .at_least_one("--max-watches-inflight", &max_watches_inflight),
            http2_streams,
            request_timeout,
            goaway_chance: chance(found, &goaway_chance),
            manner: Manner {
                send_retry_after: found
                    .boolean("--shutdown-send-retry-after", &shutdown_send_retry_after),
                drain: request_timeout,
                watch_grace: found.duration(grace, &shutdown_watch_termination_grace_period),
            },
            audit_log: match audit_log_path.as_str() {
                "" => None,
                "-" => Some(Target::Stdout),
                path => Some(Target::File(path.into())),
            },
        }
    }
}

fn min_version(found: &mut Checker, text: &str) -> MinVersion {
    match text {
        "VersionTLS12" => MinVersion::Tls12,
        "VersionTLS13" => MinVersion::Tls13,
        _ => found.wrong(format!(
            "--tls-min-version {text:?} is neither VersionTLS12 nor VersionTLS13"
        )),
    }
}

fn suites(found: &mut Checker, list: &str) -> Vec<String> {
    let known = cipher_suites();
    let names: Vec<String> = list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    for name in &names {
        if !known.contains(name) {
            let known = known.join(", ");
            found.wrong::<()>(format!(
                "--tls-cipher-suites knows no {name:?}; it knows {known}"
            ));
        }
    }
    names
}

fn chance(found: &mut Checker, text: &str) -> f64 {
    match text.parse() {
        Ok(chance) if (0.0..=LIKELIEST_GOAWAY).contains(&chance) => chance,
        _ => found.wrong(format!(
            "--goaway-chance {text:?} is not a number from 0 to {LIKELIEST_GOAWAY}"
        )),
    }
}
