//! What flags may look like, one function for each shape.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use super::{Election, LogEncoding, LogLevel};
use crate::api::duration::GoDuration;
use crate::apiserver::selector::labels::Selector;
use crate::cluster::connect::Rate;
use crate::cluster::event::Address;

/// How much longer than one period client-go may wait between two tries.
const JITTER: f64 = 1.2;

/// Parses flag values and gathers what is wrong; a wrong value is replaced by something harmless, because
/// [`super::Settings::check`] returns nothing at all when there is a problem.
#[derive(Default)]
pub(super) struct Checker {
    pub(super) problems: Vec<String>,
}

pub(super) struct Selected {
    pub(super) image_repository: bool,
    pub(super) image_policy: bool,
    pub(super) image_mirror: bool,
}

/// The flags that do nothing here, as they were typed.
pub(super) struct WithoutEffect {
    pub(super) log_json: Option<String>,
    pub(super) storage_value_log_file_size: Option<String>,
    pub(super) storage_compression_threshold: Option<String>,
    pub(super) gc_interval: Option<String>,
    pub(super) watch_configs_label_selector: Option<String>,
    pub(super) token_cache_max_size: Option<String>,
    pub(super) token_cache_max_duration: Option<String>,
    pub(super) ssh_kex_algos: Vec<String>,
    pub(super) ssh_hostkey_algos: Vec<String>,
    pub(super) is_flux_storage: bool,
}

impl Checker {
    pub(super) fn wrong<T: Default>(&mut self, problem: impl Into<String>) -> T {
        self.problems.push(problem.into());
        T::default()
    }

    /// Whether something is wrong with `flag` already.
    pub(super) fn has(&self, flag: &str) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.starts_with(flag))
    }

    pub(super) fn number<T: std::str::FromStr + Default>(&mut self, flag: &str, text: &str) -> T {
        text.parse().unwrap_or_else(|_| {
            self.wrong(format!("{flag} {text:?} is not a whole number in range"))
        })
    }

    pub(super) fn at_least_one(&mut self, flag: &str, text: &str) -> NonZeroUsize {
        text.parse().unwrap_or_else(|_| {
            self.wrong::<()>(format!(
                "{flag} {text:?} is not a whole number of at least 1"
            ));
            NonZeroUsize::MIN
        })
    }

    pub(super) fn duration(&mut self, flag: &str, text: &str) -> Duration {
        match text.parse::<GoDuration>().ok().map(GoDuration::as_std) {
            Some(duration) => duration,
            None => self.wrong(format!(
                "{flag} {text:?} is not a duration such as 30s, 5m or 1h30m"
            )),
        }
    }

    pub(super) fn boolean(&mut self, flag: &str, text: &str) -> bool {
        parse_go_bool(text).unwrap_or_else(|| {
            self.wrong(format!(
                "{flag} {text:?} is neither true nor false (1, t, 0, f will do)"
            ))
        })
    }

    pub(super) fn bind_address(&mut self, text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|_| {
            self.wrong::<()>(format!("--bind-address {text:?} is not an IP address"));
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        })
    }

    pub(super) fn address(&mut self, flag: &str, text: &str) -> SocketAddr {
        parse_listen_address(text).unwrap_or_else(|| {
            self.wrong::<()>(format!(
                "{flag} {text:?} is not an address such as :8080 or 127.0.0.1:8080"
            ));
            SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0)
        })
    }

    pub(super) fn optional_address(&mut self, flag: &str, text: &str) -> Option<SocketAddr> {
        if text == "0" || text.is_empty() {
            None
        } else {
            Some(self.address(flag, text))
        }
    }

    pub(super) fn controllers(&mut self, list: &str) -> Selected {
        let mut selected = Selected {
            image_repository: false,
            image_policy: false,
            image_mirror: false,
        };
        for word in list.split(',').map(str::trim) {
            let (on, name) = word
                .strip_prefix('-')
                .map_or((true, word), |name| (false, name));
            match name {
                "*" if on => {
                    selected = Selected {
                        image_repository: true,
                        image_policy: true,
                        image_mirror: true,
                    }
                }
                "imagerepository" => selected.image_repository = on,
                "imagepolicy" => selected.image_policy = on,
                "imagemirror" => selected.image_mirror = on,
                _ => self.wrong(format!("--controllers knows no {word:?}; it knows *, imagerepository, imagepolicy, imagemirror, and -name")),
            }
        }
        selected
    }

    /// The grammar of Kubernetes' label selectors; what is typed is what is sent.
    pub(super) fn label_selector(&mut self, flag: &str, text: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        match Selector::parse(text) {
            Ok(_) => Some(text.to_owned()),
            Err(error) => self.wrong(format!("{flag} {text:?} is not a label selector: {error}")),
        }
    }

    pub(super) fn namespace(&mut self, flag: &str, text: &str) {
        if !is_dns_label(text) {
            self.wrong::<()>(format!("{flag} {text:?} is not a namespace's name"));
        }
    }

    /// Never quoted: it may hold a password.
    pub(super) fn events_address(&mut self, text: &str) -> Option<Address> {
        if text.is_empty() {
            return None;
        }
        match text.parse() {
            Ok(address) => Some(address),
            Err(error) => self.wrong(format!(
                "--events-addr is not an address such as http://notification-controller.flux-system.svc.cluster.local./: {error}"
            )),
        }
    }

    /// `None` for 0.
    pub(super) fn rate(&mut self, flag: &str, text: &str) -> Option<f64> {
        match text.parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate >= 0.0 => (rate > 0.0).then_some(rate),
            Ok(_) | Err(_) => self.wrong(format!("{flag} {text:?} is not a number of at least 0")),
        }
    }

    pub(super) fn kube_api(&mut self, qps: &str, burst: &str) -> Option<Rate> {
        let burst: i32 = self.number("--kube-api-burst", burst);
        let burst = u32::try_from(burst).unwrap_or_default().max(1);
        match qps.parse::<f64>() {
            Ok(qps) if qps.is_finite() => (qps > 0.0).then_some(Rate { qps, burst }),
            Ok(_) | Err(_) => self.wrong(format!("--kube-api-qps {qps:?} is not a number")),
        }
    }

    /// The limits are client-go's. The namespace is for the caller to fill in.
    pub(super) fn election(
        &mut self,
        is_on: &str,
        [lease_duration, renew_deadline, retry_period]: [&str; 3],
        release_on_cancel: &str,
    ) -> Election {
        let election = Election {
            is_on: self.boolean("--enable-leader-election", is_on),
            namespace: String::new(),
            lease_duration: self.duration("--leader-election-lease-duration", lease_duration),
            renew_deadline: self.duration("--leader-election-renew-deadline", renew_deadline),
            retry_period: self.duration("--leader-election-retry-period", retry_period),
            release_on_cancel: self
                .boolean("--leader-election-release-on-cancel", release_on_cancel),
        };
        if election.lease_duration < Duration::from_secs(1)
            || election.lease_duration <= election.renew_deadline
        {
            self.wrong::<()>("--leader-election-lease-duration must be at least 1s and more than --leader-election-renew-deadline");
        }
        if election.retry_period.is_zero()
            || election.renew_deadline <= election.retry_period.mul_f64(JITTER)
        {
            self.wrong::<()>("--leader-election-renew-deadline must be more than 1.2 times --leader-election-retry-period, and that more than zero");
        }
        election
    }

    /// Those that were given. Their values are looked at as Flux looks at them: manifests that it refuses stay refused.
    pub(super) fn without_effect(&mut self, flags: &WithoutEffect) -> Vec<&'static str> {
        let WithoutEffect {
            log_json,
            storage_value_log_file_size,
            storage_compression_threshold,
            gc_interval,
            watch_configs_label_selector,
            token_cache_max_size,
            token_cache_max_duration,
            ssh_kex_algos,
            ssh_hostkey_algos,
            is_flux_storage,
        } = flags;
        let mut given = Vec::new();
        let mut note = |flag, is_given: bool| {
            if is_given {
                given.push(flag);
            }
        };
        let flag = "--log-json";
        note(flag, log_json.is_some());
        if let Some(text) = log_json {
            self.boolean(flag, text);
        }
        let flag = "--storage-value-log-file-size";
        note(flag, storage_value_log_file_size.is_some());
        if let Some(text) = storage_value_log_file_size {
            self.number::<i64>(flag, text);
        }
        let flag = "--storage-compression-threshold";
        note(flag, storage_compression_threshold.is_some());
        if let Some(text) = storage_compression_threshold {
            let threshold: i64 = self.number(flag, text);
            if *is_flux_storage && threshold <= 0 {
                self.wrong::<()>(format!(
                    "{flag} must be more than 0 with the gate FluxStorage"
                ));
            }
        }
        let flag = "--gc-interval";
        note(flag, gc_interval.is_some());
        if let Some(text) = gc_interval {
            self.number::<u16>(flag, text);
        }
        let flag = "--watch-configs-label-selector";
        note(flag, watch_configs_label_selector.is_some());
        if let Some(text) = watch_configs_label_selector {
            self.label_selector(flag, text);
        }
        let flag = "--token-cache-max-size";
        note(flag, token_cache_max_size.is_some());
        if let Some(text) = token_cache_max_size {
            self.number::<u32>(flag, text);
        }
        let flag = "--token-cache-max-duration";
        note(flag, token_cache_max_duration.is_some());
        if let Some(text) = token_cache_max_duration {
            self.duration(flag, text);
        }
        note("--ssh-kex-algos", !ssh_kex_algos.is_empty());
        note("--ssh-hostkey-algos", !ssh_hostkey_algos.is_empty());
        given
    }

    /// Tracking labels are refused: deployment tools would take tags for things of theirs, and prune them.
    pub(super) fn imagetag_labels(&mut self, list: &str) -> Vec<String> {
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

    pub(super) fn log_encoding(&mut self, text: &str) -> LogEncoding {
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

    pub(super) fn log_level(&mut self, text: &str) -> LogLevel {
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
pub(super) fn parse_go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// `:8080` (every address, as Go has it), `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`.
pub(super) fn parse_listen_address(text: &str) -> Option<SocketAddr> {
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

pub(super) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

pub(super) fn is_dns_label(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= 63
        && text.bytes().all(|b| word(b) || b == b'-')
        && text.bytes().next().is_some_and(word)
        && text.bytes().next_back().is_some_and(word)
}
