//! How the registry is when it is well: who may do what, and what it offers.

use std::time::Duration;

/// Who may read and write.
#[derive(Debug, Clone, Default)]
pub(crate) enum Auth {
    /// Everybody.
    #[default]
    Open,
    /// This user.
    Basic { username: String, password: String },
    /// Who has a token, which this user is given, and anybody (to pull) if `anonymous`.
    Bearer {
        username: String,
        password: String,
        identity_token: Option<String>,
        anonymous: bool,
    },
}

/// How lists are cut into pages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paging {
    /// Tags in a page when `n` is not given; none: all.
    pub(crate) default_size: Option<usize>,
    /// The largest `n`; a larger one is refused with `refusal`, or cut down.
    pub(crate) max_size: Option<usize>,
    /// Status and code of the refusal.
    pub(crate) refusal: Option<(u16, &'static str)>,
    /// Whether `n` is refused altogether.
    pub(crate) refuses_any_size: bool,
    /// How the next page is named.
    pub(crate) links: Links,
    /// Whether `n` is not looked at.
    pub(crate) ignores_size: bool,
    /// Whether `last` is ignored, so that every page is the first.
    pub(crate) ignores_last: bool,
}

/// How the next page is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Links {
    /// `</v2/…?n=…&last=…>; rel="next"`.
    #[default]
    Relative,
    /// With scheme and host.
    Absolute,
    /// With a host that is not there.
    WrongHost,
    /// With the first part of the repository's path lost.
    LostPrefix,
    /// Relative, its place in a `next_page` that means nothing to others.
    Opaque,
    /// With scheme and host, its place in a long `last` that means nothing to others.
    AbsoluteOpaque,
    /// Relative, and on the last page one with `n=0`.
    ZeroAtEnd,
    /// Not at all.
    Missing,
}

/// Whether lists have ETags, and of which kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ETags {
    /// None.
    #[default]
    None,
    /// `"…"`.
    Strong,
    /// `W/"…"`.
    Weak,
    /// What is no ETag by the grammar.
    Unquoted,
    /// A kilobyte of it.
    Long,
}

/// What becomes of `mount` and `from`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mounts {
    /// 201 where the other repository has the blob (and the token covers it), 202 and a session elsewhere.
    #[default]
    Done,
    /// Always 202 and a session.
    Ignored,
    /// This status.
    Refused(u16),
}

/// What becomes of the second and later PATCH of an upload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum LaterPatches {
    /// Added.
    #[default]
    Added,
    /// They take the place of what was there.
    Overwrite,
    /// This status.
    Refused(u16),
}

/// What the registry offers. The default is what the distribution specification has.
#[derive(Debug, Clone)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is one trait of a registry"
)]
pub(crate) struct Options {
    /// Whether what a manifest names must be there when it is pushed.
    pub(crate) checks_references: bool,
    /// Whether the children of an index need not be.
    pub(crate) takes_sparse_indexes: bool,
    /// Whether `OCI-Subject` answers a pushed subject.
    pub(crate) says_subject: bool,
    /// Whether `PUT …/manifests/<digest>?tag=a&tag=b` tags, and says so in `OCI-Tag`.
    pub(crate) takes_many_tags: bool,
    /// Whether there is a referrers API.
    pub(crate) has_referrers: bool,
    /// Referrers in a page.
    pub(crate) referrers_page: Option<usize>,
    /// Whether `artifactType` filters them.
    pub(crate) filters_referrers: bool,
    /// Tags that are there are never written again, not even with the same digest, but answered with this status.
    pub(crate) immutable_tags: Option<u16>,
    /// The status that refuses to delete a tag: 400 as those that take it for a bad digest, 403 as who may not, others as
    /// those that cannot. A manifest that is deleted by digest takes all of its tags with it.
    pub(crate) refuses_tag_deletion: Option<u16>,
    /// The status that refuses to delete a manifest by digest.
    pub(crate) refuses_digest_deletion: Option<u16>,
    /// The status that refuses HEAD of a manifest.
    pub(crate) refuses_manifest_head: Option<u16>,
    /// Whether manifests have ETags, `If-None-Match` answers 304 and `If-Match` guards a push.
    pub(crate) manifest_etags: bool,
    /// Whether the tag `sha256-<hex>` is taken for the digest `sha256:<hex>`.
    pub(crate) takes_tags_for_digests: bool,
    /// Whether lists say digests as Google's do.
    pub(crate) lists_digests: bool,
    /// Whether a push makes the repository; otherwise 404 `NAME_UNKNOWN`.
    pub(crate) creates_repositories: bool,
    /// Mounts.
    pub(crate) mounts: Mounts,
    /// Whether `POST …?digest=` with the bytes is a whole upload.
    pub(crate) takes_one_shot: bool,
    /// The largest body of a PUT, and the status beyond.
    pub(crate) put_limit: Option<(u64, u16)>,
    /// The status of any PUT with a body.
    pub(crate) refuses_put_body: Option<u16>,
    /// The status of any PATCH without Content-Range.
    pub(crate) refuses_plain_patch: Option<u16>,
    /// The status of any PATCH with Content-Range.
    pub(crate) refuses_chunks: Option<u16>,
    /// The largest PATCH with Content-Range; 413 beyond.
    pub(crate) chunk_limit: Option<u64>,
    /// `OCI-Chunk-Min-Length`, and 400 for less, unless it is the last.
    pub(crate) chunk_min: Option<u64>,
    /// Later PATCHes of one upload.
    pub(crate) later_patches: LaterPatches,
    /// The status of a PATCH with Content-Range, its `Range` ever `0-0`.
    pub(crate) chunk_status: Option<u16>,
    /// Whether a body without Content-Length is refused with 411.
    pub(crate) needs_length: bool,
    /// Whether a blob may be empty.
    pub(crate) takes_empty_blobs: bool,
    /// Whether an upload survives a connection that broke in its middle.
    pub(crate) resumes_uploads: bool,
    /// Whether `Range` is looked at.
    pub(crate) has_ranges: bool,
    /// Blobs are sent by the store, at this host name (`127.0.0.1` or `localhost`): 307.
    pub(crate) redirects_blobs_to: Option<&'static str>,
    /// Uploads go to the store, at this host name.
    pub(crate) uploads_to: Option<&'static str>,
    /// Whether the `Location` of an upload has scheme and host.
    pub(crate) absolute_locations: bool,
    /// How long a token is good.
    pub(crate) token_lifetime: Duration,
    /// `expires_in`, when it is not the truth.
    pub(crate) token_says: Option<i64>,
    /// Of the actions asked for, those that a token is given.
    pub(crate) token_grants: Option<Vec<&'static str>>,
    /// Whether uploaded bytes are kept; otherwise they are hashed (sha256 only) and let go.
    pub(crate) keeps_bytes: bool,
    /// How long each request to the registry takes besides.
    pub(crate) latency: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            checks_references: true,
            takes_sparse_indexes: false,
            says_subject: true,
            takes_many_tags: false,
            has_referrers: true,
            referrers_page: None,
            filters_referrers: true,
            immutable_tags: None,
            refuses_tag_deletion: None,
            refuses_digest_deletion: None,
            refuses_manifest_head: None,
            manifest_etags: true,
            takes_tags_for_digests: false,
            lists_digests: false,
            creates_repositories: true,
            mounts: Mounts::Done,
            takes_one_shot: true,
            put_limit: None,
            refuses_put_body: None,
            refuses_plain_patch: None,
            refuses_chunks: None,
            chunk_limit: None,
            chunk_min: None,
            later_patches: LaterPatches::Added,
            chunk_status: None,
            needs_length: false,
            takes_empty_blobs: true,
            resumes_uploads: true,
            has_ranges: true,
            redirects_blobs_to: None,
            uploads_to: None,
            absolute_locations: false,
            token_lifetime: Duration::from_mins(5),
            token_says: None,
            token_grants: None,
            keeps_bytes: true,
            latency: Duration::ZERO,
        }
    }
}
