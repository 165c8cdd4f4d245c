//! `tagscope mirror SRC DST`: the flags, and what they mean together. Two that contradict each other are one error that says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use super::super::Failure;
use super::super::policy_args::PolicyArgs;
use super::order::{Asker, End, Order};
use super::selection::{Error, Wish};
use crate::api::GoDuration;
use crate::api::image_policy::TagFilter;
use crate::clock::{Clock as _, SystemClock};
use crate::image::{Digest, Platform, Reference, Repository, Tag};
use crate::mirror::overwrite::Overwrite;
use crate::mirror::subset::Mode;
use crate::regexp::Regexp;
use crate::registry::copy::Wanted;
use crate::registry::{Pem, TlsMaterial};

/// A longer file holds no certificates.
const CERTIFICATE_BYTES: u64 = 1 << 20;

/// What documents say in the place of flags; a test holds it to [`Flags`].
pub(super) const OF_FLAGS_ALONE: [&str; 21] = [
    "source",
    "destination",
    "all_tags",
    "tags",
    "extract",
    "semver",
    "alphabetical",
    "numerical",
    "latest",
    "exclude",
    "platform",
    "rewritten",
    "sparse",
    "referrers",
    "overwrite",
    "mutable",
    "verify_interval",
    "src_insecure",
    "dest_insecure",
    "src_ca",
    "dest_ca",
];

/// What of the source is copied, and how; all of it is said by documents where there are some.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "as many as there are flags")]
pub(super) struct Flags {
    /// Image to copy: a repository, with a tag (latest when it has none) or a digest
    #[arg(value_name = "SRC", required_unless_present = "file")]
    source: Option<String>,
    /// Repository to copy to, with a tag where it is to have another one
    #[arg(value_name = "DST", required_unless_present = "file")]
    destination: Option<String>,

    /// Copy all tags
    #[arg(long, help_heading = "Which tags")]
    all_tags: bool,
    /// Copy the tags that match this pattern
    #[arg(
        long,
        value_name = "REGEX",
        conflicts_with = "all_tags",
        help_heading = "Which tags"
    )]
    tags: Option<String>,
    /// Judge by what this template makes of the match, e.g. '$ts'
    #[arg(
        long,
        value_name = "TEMPLATE",
        requires = "tags",
        help_heading = "Which tags"
    )]
    extract: Option<String>,
    #[command(flatten, next_help_heading = "Which tags")]
    policy: PolicyArgs,
    /// Copy only the latest so many, by the policy (--semver, --alphabetical or --numerical)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), requires = "policy")]
    latest: Option<u32>,
    /// Leave out tags that match this pattern (repeatable)
    #[arg(long, value_name = "REGEX")]
    exclude: Vec<String>,

    /// Copy only this platform of an image, e.g. linux/arm64 (repeatable)
    #[arg(
        long,
        value_name = "OS/ARCH[/VARIANT]",
        help_heading = "What of an image"
    )]
    platform: Vec<Platform>,
    /// Write the index without the other platforms: it has another digest then (the default)
    #[arg(
        long,
        requires = "platform",
        conflicts_with = "sparse",
        help_heading = "What of an image"
    )]
    rewritten: bool,
    /// Leave the index as it is; it names what is not there, which some registries refuse
    #[arg(long, requires = "platform", help_heading = "What of an image")]
    sparse: bool,
    /// Copy signatures, attestations, SBOMs and other referrers with each image
    #[arg(long, help_heading = "What of an image")]
    referrers: bool,

    /// When a tag is overwritten that is there with another content
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        help_heading = "At the destination"
    )]
    overwrite: Option<When>,
    /// More tags that may be overwritten with --overwrite=mutable (repeatable)
    #[arg(long, value_name = "REGEX", help_heading = "At the destination")]
    mutable: Vec<String>,
    /// Ask the destination for what is known to be there when that is older than this; 0 asks every time [default: 24h]
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = length_of_time,
        allow_hyphen_values = true,
        help_heading = "At the destination"
    )]
    verify_interval: Option<GoDuration>,

    /// Accept plain http from the source, also for its credentials
    #[arg(long, help_heading = "Connections")]
    src_insecure: bool,
    /// Accept plain http from the destination, also for its credentials
    #[arg(long, help_heading = "Connections")]
    dest_insecure: bool,
    /// Trust the certificate authorities in this file (PEM) besides the system's, for the source
    #[arg(long, value_name = "FILE", help_heading = "Connections")]
    src_ca: Option<PathBuf>,
    /// Trust the certificate authorities in this file (PEM) besides the system's, for the destination
    #[arg(long, value_name = "FILE", help_heading = "Connections")]
    dest_ca: Option<PathBuf>,
}

/// When a tag that differs is overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum When {
    /// Never: it is reported as drift (the default)
    Never,
    /// Only latest, names without a digit, and what --mutable names
    Mutable,
    /// Always
    Always,
}

impl Flags {
    /// What was asked for. Nobody is asked anything yet.
    pub(super) fn order(&self) -> Result<Order, Failure> {
        let (Some(source), Some(destination)) = (&self.source, &self.destination) else {
            return Err(usage("SRC and DST are missing"));
        };
        let source = Name::parse(source, false).map_err(|error| in_argument("SRC", error))?;
        let destination =
            Name::parse(destination, true).map_err(|error| in_argument("DST", error))?;
        let selects = self.selecting_flag();
        if let (Some(flag), Some(identifier)) = (selects, source.identifier()) {
            return Err(usage(format!(
                "{flag} selects tags of a repository, but SRC names one image ({identifier}): leave one of them out"
            )));
        }
        if let (Some(flag), Some(tag)) = (selects, &destination.tag) {
            return Err(usage(format!(
                "{flag} may select several tags, and all of them cannot be {tag}: leave the tag out of DST"
            )));
        }
        if let Some(digest) = &destination.digest {
            return Err(usage(format!(
                "DST cannot have a digest ({digest}): an image has the one of its content, wherever it is"
            )));
        }
        let (wanted, asker) = self.wanted(&source, &destination, selects.is_some())?;
        let renamed = match &wanted {
            Wanted::Tags(_) => destination.tag.clone(),
            Wanted::Digest(..) | Wanted::Selected(_) => None,
        };
        let is_same = source.repository == destination.repository;
        let is_moved = match &wanted {
            Wanted::Tags(tags) => renamed
                .as_ref()
                .is_some_and(|renamed| !tags.contains(renamed)),
            Wanted::Digest(_, tag) => tag.is_some(),
            Wanted::Selected(_) => false,
        };
        if is_same && !is_moved {
            return Err(usage(format!(
                "SRC and DST are the same: {}",
                source.repository
            )));
        }
        let mode = if self.sparse {
            Mode::Sparse
        } else {
            Mode::Rewritten
        };
        Ok(Order {
            mirror: None,
            asker,
            source: End {
                insecure: self.src_insecure,
                tls: authorities("--src-ca", self.src_ca.as_deref())?,
                ..End::plain(source.repository)
            },
            destinations: vec![End {
                insecure: self.dest_insecure,
                tls: authorities("--dest-ca", self.dest_ca.as_deref())?,
                ..End::plain(destination.repository)
            }],
            wanted,
            renamed,
            platforms: self.platform.clone(),
            mode,
            referrers: self.referrers,
            overwrite: self.overwrite()?,
            bandwidth: None,
            prune: None,
            verify_after: self.verify_interval.map_or(
                crate::api::image_mirror::DEFAULT_VERIFY_INTERVAL,
                GoDuration::as_std,
            ),
        })
    }

    /// The first flag that selects among tags.
    fn selecting_flag(&self) -> Option<&'static str> {
        [
            (self.all_tags, "--all-tags"),
            (self.tags.is_some(), "--tags"),
            (
                self.policy.flag().is_some(),
                self.policy.flag().unwrap_or_default(),
            ),
        ]
        .into_iter()
        .find_map(|(is_given, flag)| is_given.then_some(flag))
    }

    fn wanted(
        &self,
        source: &Name,
        destination: &Name,
        is_selection: bool,
    ) -> Result<(Wanted, Asker), Failure> {
        let named = |wanted| Ok((wanted, Asker::default()));
        if !is_selection && !self.exclude.is_empty() {
            return Err(usage(
                "--exclude leaves tags out of several: say which with --all-tags, --tags or --semver",
            ));
        }
        if let Some(digest) = &source.digest {
            let tag = destination.tag.clone().or_else(|| source.tag.clone());
            return named(Wanted::Digest(digest.clone(), tag));
        }
        if !is_selection {
            let tag = source.tag.clone().map_or_else(|| "latest".parse(), Ok);
            return named(Wanted::Tags(vec![tag.map_err(Failure::usage)?]));
        }
        let policy = self.policy.choice();
        if self.extract.is_some() && (self.tags.is_none() || policy.is_none()) {
            return Err(usage(
                "--extract is what a policy judges of a match: it goes with --tags and one of --semver, --alphabetical and --numerical",
            ));
        }
        if policy.is_some() && self.all_tags {
            return Err(usage(format!(
                "--all-tags copies every tag, and {} only some: leave one of them out",
                self.policy.flag().unwrap_or_default()
            )));
        }
        if self.policy.is_alphabetical() && self.latest.is_none() {
            return Err(usage(
                "--alphabetical only says which tags are the latest: say how many with --latest",
            ));
        }
        let filter = self.tags.as_ref().map(|pattern| TagFilter {
            pattern: pattern.clone(),
            extract: self.extract.clone().unwrap_or_default(),
        });
        let selected = Wish {
            exclude: &self.exclude,
            filter: filter.as_ref(),
            policy: policy.as_ref(),
            limit: self.latest,
        };
        let flag = self.policy.flag().unwrap_or_default();
        let asker = Asker {
            place: String::new(),
            words: selected.words(),
        };
        selected
            .selection()
            .map(|selection| (Wanted::Selected(selection), asker))
            .map_err(|error| match error {
                Error::Exclude { .. } => in_argument("--exclude", error),
                Error::Filter(_) => in_argument("--tags", error),
                Error::Policy(_) => in_argument(flag, error),
            })
    }

    fn overwrite(&self) -> Result<Overwrite, Failure> {
        let patterns = self
            .mutable
            .iter()
            .map(|pattern| Regexp::new(pattern).map_err(|error| in_argument("--mutable", error)));
        let patterns: Vec<Regexp> = patterns.collect::<Result<_, _>>()?;
        match self.overwrite {
            Some(When::Mutable) => Ok(Overwrite::MutableTagsOnly(patterns)),
            Some(When::Never | When::Always) | None if !patterns.is_empty() => Err(usage(
                "--mutable names tags that may be overwritten with --overwrite=mutable, and only with it",
            )),
            Some(When::Always) => Ok(Overwrite::Always),
            Some(When::Never) | None => Ok(Overwrite::Never),
        }
    }
}

/// A name with whatever it says.
#[derive(Debug)]
struct Name {
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl Name {
    /// Of a destination, `registry:5000` is a registry, too: nobody pushes to Docker Hub under a number by accident.
    fn parse(text: &str, is_destination: bool) -> Result<Self, anyhow::Error> {
        let name = text.split_once('@').map_or(text, |(name, _)| name);
        let tag = match name.rsplit_once(':') {
            Some((_, tag)) if !tag.contains('/') => Some(tag),
            Some(_) | None => None,
        };
        // `localhost:5000` would be an image of Docker Hub with the tag 5000.
        let port: Option<u16> = tag.and_then(|tag| tag.parse().ok());
        let is_port = port.is_some();
        let is_host = name.starts_with("localhost:")
            || name.contains('.')
            || is_destination && port.is_some_and(|port| port >= 80);
        if !name.contains('/') && is_port && is_host {
            return Err(anyhow!(
                "{text:?} names a registry, but no repository in it: write {text}/<path>"
            ));
        }
        let reference: Reference = text.parse()?;
        Ok(Self {
            tag: tag.map(str::parse).transpose()?,
            digest: match &reference {
                Reference::Digest(_, digest) => Some(digest.clone()),
                Reference::Tag(..) => None,
            },
            repository: reference.repository().clone(),
        })
    }

    fn identifier(&self) -> Option<String> {
        let digest = self.digest.as_ref().map(ToString::to_string);
        digest.or_else(|| self.tag.as_ref().map(ToString::to_string))
    }
}

/// A duration that is not negative.
fn length_of_time(text: &str) -> Result<GoDuration, String> {
    let duration: GoDuration = text.parse().map_err(|error| format!("{error}"))?;
    if duration < GoDuration::ZERO {
        return Err("it is negative; 0 asks every time".to_owned());
    }
    Ok(duration)
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::usage(anyhow!(text.into()))
}

fn in_argument(argument: &'static str, error: impl Into<anyhow::Error>) -> Failure {
    Failure::usage(error.into().context(argument))
}

fn authorities(
    flag: &'static str,
    file: Option<&Path>,
) -> Result<Option<Arc<TlsMaterial>>, Failure> {
    let Some(file) = file else { return Ok(None) };
    let read = || -> Result<TlsMaterial, anyhow::Error> {
        let text = super::read_bounded(std::fs::File::open(file)?, CERTIFICATE_BYTES)?;
        let pem = Pem {
            name: &file.to_string_lossy(),
            text: &text,
        };
        Ok(TlsMaterial::read(Some(pem), None, SystemClock.now())?)
    };
    let read = read().with_context(|| format!("failed to use {} of {flag}", file.display()));
    Ok(Some(Arc::new(read.map_err(Failure::usage)?)))
}
