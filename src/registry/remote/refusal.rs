//! What a status other than a success means, in words: which right is missing, what is not there, and what the
//! registry says to it.

use http::StatusCode;

use super::Remote;
use super::request::Reply;
use crate::registry::Error;
use crate::registry::answer::{Account, account, is_html};
use crate::registry::retry::{is_too_much, retry_after};

/// As much of an error document as is read.
pub(super) const ERROR_BYTES: u64 = 64 << 10;

/// A status other than a success, read.
#[derive(Debug)]
pub(in crate::registry) struct Refusal {
    /// The codes of the error document, in upper case: what is decided by. Never words, which anybody may have chosen.
    pub(in crate::registry) codes: Vec<String>,
    /// What it means, in words.
    pub(in crate::registry) error: Error,
}

impl Remote {
    /// The error that a status other than a success means, the body's account included. Reads the body. `asked` is
    /// method and path, without a query.
    pub(in crate::registry) async fn refuse(&self, reply: Reply, asked: &str) -> Error {
        self.read_refusal(reply, asked).await.error
    }

    /// As [`Self::refuse`], with the codes.
    pub(in crate::registry) async fn read_refusal(&self, mut reply: Reply, asked: &str) -> Refusal {
        let body = reply.body(ERROR_BYTES).await.unwrap_or_default();
        let account = account(&body, &reply.redactor);
        let codes = account.codes.clone();
        let error = self.meaning(&reply, &body, account, asked);
        Refusal { codes, error }
    }

    /// As [`Self::refuse`], of an answer that was read.
    pub(super) fn refusal(&self, reply: &Reply, body: &[u8], asked: &str) -> Error {
        self.meaning(reply, body, account(body, &reply.redactor), asked)
    }

    fn meaning(
        &self,
        reply: &Reply,
        body: &[u8],
        Account { codes, detail }: Account,
        asked: &str,
    ) -> Error {
        let host = reply.host.clone();
        let repository = self.repository.path().to_owned();
        let right = reply.right;
        let is_html = is_html(&reply.headers, body);
        let has_code = |known: &str| codes.iter().any(|code| code == known);
        let detail = if is_html {
            " with an HTML page: is it a registry?".to_owned()
        } else {
            detail
        };
        let inner = &self.client.0;
        let asked_wait = retry_after(&reply.headers, inner.settings.clock.now());
        match reply.status {
            status if is_too_much(status, asked_wait) => {
                // What is left of the pause that it began.
                let pause = inner.budgets.of(&host).pause();
                let retry_after = Some(pause).filter(|pause| !pause.is_zero()).or(asked_wait);
                Error::RateLimited { host, retry_after }
            }
            StatusCode::UNAUTHORIZED => Error::CredentialMissing {
                host,
                repository,
                right,
                detail,
            },
            StatusCode::FORBIDDEN => Error::Forbidden {
                host,
                repository,
                right,
                detail,
            },
            StatusCode::NOT_FOUND if has_code("NAME_UNKNOWN") && right == "push" => {
                let what = format!("the repository {repository}, and does not create it by itself");
                Error::NotFound {
                    host,
                    what,
                    is_no_repository: true,
                    detail,
                }
            }
            StatusCode::NOT_FOUND if !is_html => {
                let is_no_repository = has_code("NAME_UNKNOWN");
                let what = if is_no_repository {
                    format!("the repository {repository}")
                } else {
                    named(asked)
                };
                Error::NotFound {
                    host,
                    what,
                    is_no_repository,
                    detail,
                }
            }
            StatusCode::BAD_REQUEST if has_code("NAME_INVALID") => Error::InvalidName {
                host,
                repository,
                detail,
            },
            status => Error::Status {
                host,
                status,
                asked: asked.to_owned(),
                detail,
            },
        }
    }
}

/// What `asked` (method and path) is about, in words.
fn named(asked: &str) -> String {
    let path = asked.split_once(" /v2/").map_or("", |(_, path)| path);
    if let Some((repository, reference)) = path.split_once("/manifests/") {
        let mark = if reference.contains(':') { '@' } else { ':' };
        return format!("the manifest {repository}{mark}{reference}");
    }
    match path.split_once("/blobs/") {
        Some((repository, digest)) if digest.contains(':') => {
            format!("the blob {repository}@{digest}")
        }
        _ => format!("what {asked} is about"),
    }
}
