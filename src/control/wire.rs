//! Stands the real registry client in for what the controllers want of a registry.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::registry::{Listing, Question, Refusal, Registry};
use crate::image::{Digest, Tag};
use crate::registry::{Client, Deadline, Error};

impl Registry for Client {
    fn list_tags(&self, question: Question) -> BoxFuture<'static, Result<Listing, Refusal>> {
        let client = self.clone();
        async move {
            let Question {
                image,
                ways,
                timeout,
            } = question;
            let deadline = Deadline::after(timeout);
            let list = client.list_tags(&image, &ways.access, deadline).await?;
            Ok(Listing {
                incomplete: list.incomplete.map(|reason| reason.to_string()),
                duplicates: list.duplicates,
                invalid: list.invalid.map(|names| names.to_string()),
                tags: list.tags,
            })
        }
        .boxed()
    }

    fn digest(&self, question: Question, tag: Tag) -> BoxFuture<'static, Result<Digest, Refusal>> {
        let client = self.clone();
        async move {
            let Question {
                image,
                ways,
                timeout,
            } = question;
            let deadline = Deadline::after(timeout);
            Ok(client
                .head_manifest(&image.tagged(tag), &ways.access, deadline)
                .await?)
        }
        .boxed()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            retry_after: error.retry_after(),
            message: error.to_string(),
        }
    }
}
