//! How images are copied, as meant.

use std::num::NonZeroUsize;

use super::checker::Checker;
use crate::api::Bandwidth;
use crate::config::args::mirrors::Mirrors as Args;
use crate::image::Repository;
use crate::mirror::template::Template;
use crate::object::Key;

/// How images are copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrors {
    /// Mirrors that run at once.
    pub workers: NonZeroUsize,
    /// Most requests of one class at once at one registry; `None`: as many as are good.
    pub concurrency: Option<NonZeroUsize>,
    /// The most bytes per second of all of them; `None`: no limit.
    pub bandwidth: Option<Bandwidth>,
    /// The implicit mirror of every ImageRepository, by imagerepo-mirror's flags.
    pub implicit: Option<Implicit>,
}

/// What imagerepo-mirror's flags ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Implicit {
    /// `host[:port][/path]`.
    pub registry: String,
    /// The Secret with its credentials; `None`: the docker configuration of whoever runs the program.
    pub secret: Option<Key>,
    /// Whether imagerepo-mirror's Lease is held, too (`--enable-leader-election`).
    pub holds_lease: bool,
}

/// Of the other flags what the implicit mirror depends on.
pub(super) struct Beside<'a> {
    pub(super) runtime_namespace: &'a str,
    pub(super) elects: bool,
    pub(super) runs: bool,
    pub(super) is_sharded: bool,
}

impl Mirrors {
    pub(super) fn check(found: &mut Checker, args: Args, beside: &Beside<'_>) -> Self {
        let Args {
            mirror_workers,
            mirror_bandwidth,
            destination_registry,
            destination_secret,
            workers,
            tag_workers,
        } = args;
        // The default of ours is imagerepo-mirror's: whoever types the one has not typed the other.
        let workers = match workers {
            Some(workers) => found.at_least_one("--workers", &workers),
            None => found.at_least_one("--mirror-workers", &mirror_workers),
        };
        let concurrency = tag_workers.map(|number| found.at_least_one("--tag-workers", &number));
        let bandwidth = if mirror_bandwidth.is_empty() {
            None
        } else {
            match mirror_bandwidth.parse() {
                Ok(bandwidth) => Some(bandwidth),
                Err(error) => found.wrong(format!("--mirror-bandwidth {error}")),
            }
        };
        Self {
            workers,
            concurrency,
            bandwidth,
            implicit: implicit(found, destination_registry, &destination_secret, beside),
        }
    }
}

fn implicit(
    found: &mut Checker,
    registry: String,
    secret: &str,
    beside: &Beside<'_>,
) -> Option<Implicit> {
    let Beside {
        runtime_namespace,
        elects,
        runs,
        is_sharded,
    } = *beside;
    if registry.is_empty() {
        if !secret.is_empty() {
            found.wrong::<()>("--destination-secret needs --destination-registry beside it");
        }
        return None;
    }
    if let Err(error) = is_registry(&registry) {
        found.wrong::<()>(format!("--destination-registry: {error}"));
    }
    if !runs {
        found.wrong::<()>(
            "--destination-registry needs the controller imagemirror, which --controllers leaves out",
        );
    }
    if is_sharded {
        found.wrong::<()>(
            "--destination-registry cannot go with --watch-label-selector: no shard can tell whether its images meet another one's \
             in the registry; write ImageMirror objects instead",
        );
    }
    Some(Implicit {
        registry,
        secret: found.secret("--destination-secret", secret, runtime_namespace),
        holds_lease: elects,
    })
}

/// By the rules of an ImageMirror's destinations, with any source.
fn is_registry(registry: &str) -> Result<(), String> {
    let any: Result<Repository, _> = "registry.invalid/any/image".parse();
    let (Ok(any), Ok(template)) = (any, Template::parse(TEMPLATE)) else {
        return Ok(());
    };
    let made = template.apply(registry, &any);
    made.map(drop).map_err(|error| error.to_string())
}

/// What imagerepo-mirror calls an image at its destination: the last segment of its name.
const TEMPLATE: &str = "{name}";

impl Checker {
    /// `[namespace/]name`; without a namespace in `namespace`.
    fn secret(&mut self, flag: &str, text: &str, namespace: &str) -> Option<Key> {
        if text.is_empty() {
            return None;
        }
        let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
        if super::checker::is_dns_label(namespace) && super::checker::is_dns_subdomain(name) {
            Some(Key::new(namespace, name))
        } else {
            self.wrong(format!(
                "{flag} {text:?} is not a Secret's name, with its namespace and a slash before it where that is not {namespace:?}"
            ))
        }
    }
}
