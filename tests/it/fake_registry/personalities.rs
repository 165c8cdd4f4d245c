//! Registries as they are met: their traits set together, from what is reported of them.

use super::FakeRegistry;
use super::options::{LaterPatches, Links, Mounts, Options, Paging};

/// Whose manners the registry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Personality {
    /// What the distribution specification has, and the default.
    Plain,
    Ecr,
    Ghcr,
    Acr,
    Gar,
    Quay,
    Hub,
    Artifactory,
    Nexus,
    Gitlab,
}

impl Personality {
    /// All of them.
    pub(crate) const ALL: [Self; 10] = [
        Self::Plain,
        Self::Ecr,
        Self::Ghcr,
        Self::Acr,
        Self::Gar,
        Self::Quay,
        Self::Hub,
        Self::Artifactory,
        Self::Nexus,
        Self::Gitlab,
    ];

    /// Sizes that registries have in megabytes are in tens of kilobytes here: a test's layers are small.
    fn traits(self) -> (Options, Paging) {
        let plain = Options::default();
        let pages = |default: Option<usize>, max: Option<usize>, links: Links| Paging {
            default_size: default,
            max_size: max,
            links,
            ..Paging::default()
        };
        match self {
            Self::Plain => (plain, Paging::default()),
            Self::Ecr => (
                Options {
                    creates_repositories: false,
                    takes_one_shot: false,
                    chunk_status: Some(201),
                    chunk_min: Some(50_000),
                    says_subject: true,
                    manifest_etags: false,
                    refuses_tag_deletion: Some(405),
                    redirects_blobs_to: Some("localhost"),
                    ..plain
                },
                Paging {
                    refusal: Some((400, "UNSUPPORTED")),
                    ..pages(Some(100), Some(1000), Links::AbsoluteOpaque)
                },
            ),
            Self::Ghcr => (
                Options {
                    takes_one_shot: false,
                    chunk_limit: Some(40_000),
                    later_patches: LaterPatches::Overwrite,
                    has_referrers: false,
                    refuses_tag_deletion: Some(405),
                    refuses_digest_deletion: Some(405),
                    redirects_blobs_to: Some("localhost"),
                    ..plain
                },
                pages(Some(100), Some(1000), Links::ZeroAtEnd),
            ),
            Self::Acr => (
                Options {
                    takes_one_shot: false,
                    put_limit: Some((20_000, 413)),
                    needs_length: true,
                    takes_empty_blobs: false,
                    resumes_uploads: false,
                    redirects_blobs_to: Some("localhost"),
                    ..plain
                },
                pages(Some(100), Some(1000), Links::Relative),
            ),
            Self::Gar => (
                Options {
                    mounts: Mounts::Ignored,
                    later_patches: LaterPatches::Refused(400),
                    lists_digests: true,
                    ..plain
                },
                Paging {
                    ignores_size: true,
                    ..Paging::default()
                },
            ),
            Self::Quay => (
                plain,
                Paging {
                    refusal: Some((400, "TOO_MANY_TAGS_REQUESTED")),
                    ..pages(Some(50), Some(100), Links::Opaque)
                },
            ),
            Self::Hub => (
                Options {
                    takes_one_shot: false,
                    has_referrers: false,
                    refuses_tag_deletion: Some(405),
                    redirects_blobs_to: Some("localhost"),
                    ..plain
                },
                Paging::default(),
            ),
            Self::Artifactory => (
                Options {
                    has_referrers: false,
                    mounts: Mounts::Ignored,
                    ..plain
                },
                pages(None, None, Links::LostPrefix),
            ),
            Self::Nexus => (
                Options {
                    has_referrers: false,
                    takes_sparse_indexes: false,
                    mounts: Mounts::Ignored,
                    ..plain
                },
                pages(None, None, Links::Missing),
            ),
            Self::Gitlab => (
                Options {
                    takes_tags_for_digests: true,
                    has_referrers: false,
                    ..plain
                },
                pages(Some(100), Some(1000), Links::Relative),
            ),
        }
    }
}

impl FakeRegistry {
    /// Takes the manners of `personality`, whatever was set before.
    pub(crate) fn become_a(&self, personality: Personality) {
        let (options, paging) = personality.traits();
        let mut state = self.shared.state.lock();
        state.options = options;
        state.paging = paging;
    }
}
