//! Why a registry could not be asked, or what was wrong with its answer.
//!
//! The texts end up in conditions, events and logs. They say what was tried, where, and what to do; they
//! carry their cause in themselves, because the causes' own texts contain whole URLs, and URLs can be
//! signed. No text ever holds a credential, a token, a query string or an unescaped byte of an answer.

use std::time::Duration;

use http::StatusCode;

/// A failed attempt to use a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection, over any scheme that may be tried.
    #[error("failed to connect to {host}: {cause}")]
    Connect {
        /// Host and port.
        host: String,
        /// What the attempts came to, one per scheme.
        cause: String,
    },
    /// The certificate is not one that is trusted for the host; plain http is not tried after this.
    #[error(
        "the certificate of {host} is not trusted: {cause}; correct it, or give the CA that signed it (ca.crt of certSecretRef)"
    )]
    Certificate {
        /// Host and port.
        host: String,
        /// The TLS library's words.
        cause: String,
    },
    /// The connection was lost before the answer was whole.
    #[error("the answer of {host} broke off: {cause}")]
    Broken {
        /// Host and port.
        host: String,
        /// The innermost cause.
        cause: String,
    },
    /// The time allowed for the whole operation is over.
    #[error("no complete answer from {host} within {allowed:?}, the time allowed")]
    TimedOut {
        /// Host and port.
        host: String,
        /// The time allowed.
        allowed: Duration,
    },
    /// 401: nobody told us who we are.
    #[error(
        "{host} asks for a credential to {} {repository}, and none matches it: name a Secret that has one{detail}",
        use_of(right)
    )]
    CredentialMissing {
        /// Host and port.
        host: String,
        /// The path inside the registry.
        repository: String,
        /// What was tried: to `pull`, `push` or `delete`.
        right: &'static str,
        /// The registry's own words, if any, beginning with a separator.
        detail: String,
    },
    /// 401: the credential does not count.
    #[error(
        "{host} refused the credential for {repository}: check user name and password in the Secret{detail}"
    )]
    CredentialRefused {
        /// Host and port.
        host: String,
        /// The path inside the registry.
        repository: String,
        /// The registry's own words, if any, beginning with a separator.
        detail: String,
    },
    /// The kind of credential at hand cannot answer what the registry asks for.
    #[error("{host} asks for {asked} authentication, which {offered} cannot answer")]
    CredentialUnfit {
        /// Host and port.
        host: String,
        /// The scheme asked for.
        asked: &'static str,
        /// The kind of credential.
        offered: &'static str,
    },
    /// 403.
    #[error(
        "{host} denies access to {repository}: the credential lacks the right to {right}{detail}"
    )]
    Forbidden {
        /// Host and port.
        host: String,
        /// The path inside the registry.
        repository: String,
        /// Which right: to `pull`, `push` or `delete`.
        right: &'static str,
        /// The registry's own words, if any, beginning with a separator.
        detail: String,
    },
    /// 404.
    #[error("{host} does not know {what}{detail}")]
    NotFound {
        /// Host and port.
        host: String,
        /// The repository or manifest.
        what: String,
        /// Whether it says by a code (`NAME_UNKNOWN`) that there is no such repository; else anything may be missing.
        is_no_repository: bool,
        /// The registry's own words, if any, beginning with a separator.
        detail: String,
    },
    /// 400: no repository there can have this name.
    #[error("{host} takes no repository by the name {repository}: correct spec.image{detail}")]
    InvalidName {
        /// Host and port.
        host: String,
        /// The path inside the registry.
        repository: String,
        /// The registry's own words, if any, beginning with a separator.
        detail: String,
    },
    /// 429, or 503 with Retry-After.
    #[error("{host} limits the rate of requests: {}", again(*retry_after))]
    RateLimited {
        /// Host and port.
        host: String,
        /// How long the host is left alone.
        retry_after: Option<Duration>,
    },
    /// Nothing was asked at all, because of what the host answered to others.
    #[error("{host} was not asked, because {cause}: to be asked again in {}", seconds(*retry_after))]
    NotAsked {
        /// Host and port.
        host: String,
        /// Why not.
        cause: &'static str,
        /// When to come back.
        retry_after: Duration,
    },
    /// Any other status that is not a success.
    #[error("{host} answered {status} to {asked}{detail}")]
    Status {
        /// Host and port.
        host: String,
        /// The status.
        status: StatusCode,
        /// Method and path.
        asked: String,
        /// The registry's own words, if any, beginning with a separator.
        detail: String,
    },
    /// A page for people where a document for programs was expected.
    #[error(
        "{host} answered with an HTML page to {asked}: it is not a registry, or a login page or proxy stands before it"
    )]
    Html {
        /// Host and port.
        host: String,
        /// Method and path.
        asked: String,
    },
    /// A document that is not what the specification says.
    #[error("{host} sent a malformed answer to {asked}: {cause}")]
    Malformed {
        /// Host and port.
        host: String,
        /// Method and path.
        asked: String,
        /// What is wrong with it.
        cause: String,
    },
    /// An answer went past one of [`super::Limits`].
    #[error("{what} of {host} for {repository} exceeds {limit} {unit}, the limit")]
    Limit {
        /// Host and port.
        host: String,
        /// The path inside the registry.
        repository: String,
        /// What was counted.
        what: &'static str,
        /// The number.
        limit: u64,
        /// What the number counts.
        unit: &'static str,
    },
    /// The pages lead back to where they have been.
    #[error("the tag list of {repository} at {host} runs in a circle: page {page} {cause}")]
    PageLoop {
        /// Host and port.
        host: String,
        /// The path inside the registry.
        repository: String,
        /// Which page, from 1.
        page: u32,
        /// What shows it.
        cause: &'static str,
    },
    /// A 401 that says nothing that can be answered.
    #[error("{host} asks for authentication in a way that cannot be answered: {cause}")]
    Challenge {
        /// Host and port.
        host: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The token server that the registry names must not be used.
    #[error("the token server that {host} names is refused: {cause}")]
    Realm {
        /// The registry's host and port.
        host: String,
        /// Which rule it breaks.
        cause: String,
    },
    /// The token server's answer is of no use.
    #[error("the token server {realm} of {host} {cause}")]
    TokenServer {
        /// The registry's host and port.
        host: String,
        /// The token server's host and port.
        realm: String,
        /// What it did.
        cause: String,
        /// Whether it refused (4xx), as it may not refuse another credential.
        is_refusal: bool,
    },
    /// A redirect that is not followed.
    #[error("{host} redirects {asked} to where it must not lead: {cause}")]
    Redirect {
        /// Host and port.
        host: String,
        /// Method and path.
        asked: String,
        /// Which rule it breaks.
        cause: String,
    },
    /// The host is reached over plain http, and a credential does not travel there.
    #[error(
        "{host} speaks plain http: the credential was not sent; set spec.insecure to true if that is acceptable, or serve https"
    )]
    PlainHttpCredential {
        /// Host and port.
        host: String,
    },
    /// The token for an upload ended before its bytes were taken: it is begun anew.
    #[error("{host} no longer takes the token that the upload to {repository} was begun with")]
    Stale {
        /// Host and port.
        host: String,
        /// The path inside the registry.
        repository: String,
    },
    /// What was to be deleted is not, for a reason that stays.
    #[error("{host} does not delete {what}: {cause}")]
    NotDeleted {
        /// Host and port.
        host: String,
        /// Repository and tag.
        what: String,
        /// Why, and what became of it.
        cause: String,
    },
    /// What was read is not what its digest or length says.
    #[error("{host} sent something else for {what} than was asked for: {cause}")]
    Integrity {
        /// Host and port of the source.
        host: String,
        /// Repository and digest.
        what: String,
        /// What does not fit.
        cause: String,
    },
    /// The upload's session is gone (404 `BLOB_UPLOAD_UNKNOWN`), or does not advance.
    #[error("{host} lost the upload of {digest} to {repository}: {cause}")]
    UploadLost {
        /// Host and port.
        host: String,
        /// The path inside the registry.
        repository: String,
        /// Which blob.
        digest: String,
        /// In which way.
        cause: String,
    },
    /// A `Location` that is not followed.
    #[error("{host} sends an upload to where it must not lead: {cause}")]
    Location {
        /// Host and port.
        host: String,
        /// Which rule it breaks.
        cause: String,
    },
    /// The HTTP client could not be set up.
    #[error("failed to set up the HTTP client: {cause}")]
    Setup {
        /// The cause.
        cause: String,
    },
}

/// What who has the right does with a repository.
fn use_of(right: &str) -> &'static str {
    match right {
        "push" => "write to",
        "delete" => "delete from",
        _ => "read",
    }
}

fn again(retry_after: Option<Duration>) -> String {
    match retry_after {
        Some(wait) => format!("it is left alone for {}", seconds(wait)),
        None => "it does not say for how long".to_owned(),
    }
}

/// Begun seconds count: what is told is never too short.
fn seconds(time: Duration) -> String {
    format!("{}s", time.as_millis().div_ceil(1000))
}

/// What an [`Error`] means for whoever has to act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A credential is missing, wrong, unfit, or may not be sent.
    Authentication,
    /// The credential is good, but not for this.
    Forbidden,
    /// No such repository, tag or manifest.
    NotFound,
    /// No repository can have this name there.
    InvalidName,
    /// Too many requests; see [`Error::retry_after`].
    RateLimited,
    /// The registry is ill: 5xx.
    Unavailable,
    /// The network is: no connection, broken connection, no time.
    Transport,
    /// The certificate is not trusted.
    Certificate,
    /// The content is not what its digest says.
    Integrity,
    /// The answer is not that of a registry.
    Protocol,
    /// A limit of ours was hit.
    Limit,
    /// The registry sent us where we do not go.
    Unsafe,
    /// Our own settings are wrong.
    Configuration,
}

impl Error {
    /// What it means.
    pub fn kind(&self) -> Kind {
        match self {
            Self::CredentialMissing { .. }
            | Self::CredentialRefused { .. }
            | Self::CredentialUnfit { .. }
            | Self::PlainHttpCredential { .. } => Kind::Authentication,
            Self::Forbidden { .. } | Self::NotDeleted { .. } => Kind::Forbidden,
            Self::NotFound { .. } => Kind::NotFound,
            Self::InvalidName { .. } => Kind::InvalidName,
            Self::RateLimited { .. } | Self::NotAsked { .. } => Kind::RateLimited,
            Self::Status { status, .. } if status.is_server_error() => Kind::Unavailable,
            Self::Connect { .. }
            | Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::Stale { .. }
            | Self::UploadLost { .. } => Kind::Transport,
            Self::Integrity { .. } => Kind::Integrity,
            Self::Certificate { .. } => Kind::Certificate,
            Self::Status { .. }
            | Self::Html { .. }
            | Self::Malformed { .. }
            | Self::Challenge { .. }
            | Self::TokenServer { .. } => Kind::Protocol,
            Self::Limit { .. } | Self::PageLoop { .. } => Kind::Limit,
            Self::Realm { .. } | Self::Redirect { .. } | Self::Location { .. } => Kind::Unsafe,
            Self::Setup { .. } => Kind::Configuration,
        }
    }

    /// How long to leave the registry alone, when it asked for that; an hour at most, whatever it says.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => {
                retry_after.map(|wait| wait.min(Duration::from_hours(1)))
            }
            Self::NotAsked { retry_after, .. } => Some((*retry_after).min(Duration::from_hours(1))),
            _ => None,
        }
    }

    /// Whether nothing was asked, so that nothing is known anew: come back after [`Self::retry_after`].
    pub fn is_wait(&self) -> bool {
        matches!(self, Self::NotAsked { .. })
    }
}
