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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }

    fn check(flags: &[&str]) -> Result<Serving, Vec<String>> {
        let typed = Typed::try_parse_from([&["run"], flags].concat()).unwrap();
        let mut found = Checker::default();
        let serving = Serving::check(&mut found, typed.args);
        if found.problems.is_empty() {
            Ok(serving)
        } else {
            Err(found.problems)
        }
    }

    #[test]
    fn what_is_typed_is_what_is_meant() {
        let usual = check(&[]).unwrap();
        assert_eq!(usual.manner, Manner::default());
        assert_eq!((usual.audit_log, usual.goaway_chance), (None, 0.0));
        let serving = check(&[
            "--audit-log-path=-",
            "--goaway-chance=0.02",
            "--tls-min-version=VersionTLS13",
            "--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "--request-timeout=30s",
            "--shutdown-send-retry-after",
            "--shutdown-watch-termination-grace-period=0",
        ])
        .unwrap();
        assert_eq!(serving.audit_log, Some(Target::Stdout));
        assert_eq!(serving.offer.min_version, MinVersion::Tls13);
        assert_eq!(serving.offer.cipher_suites.len(), 2);
        assert_eq!(
            serving.manner,
            Manner {
                send_retry_after: true,
                drain: Duration::from_secs(30),
                watch_grace: Duration::ZERO,
            }
        );
    }

    #[test]
    fn every_wrong_value_has_one_line() {
        let flags = [
            "--goaway-chance=0.03",
            "--goaway-chance=-1",
            "--goaway-chance=often",
            "--tls-min-version=VersionTLS11",
            "--tls-cipher-suites=TLS_RSA_WITH_RC4_128_SHA",
            "--request-timeout=0s",
            "--request-timeout=soon",
            "--http2-max-streams-per-connection=0",
            "--http2-max-streams-per-connection=many",
            "--max-watches-inflight=0",
            "--max-mutating-requests-inflight=-5",
            "--shutdown-send-retry-after=perhaps",
            "--shutdown-watch-termination-grace-period=10",
        ];
        for flag in flags {
            let problems = check(&[flag]).unwrap_err();
            let name = flag.split('=').next().unwrap();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with(name), "{problems:?}");
        }
    }
}
