//! Stands the real registry client in for what the controllers want of a registry.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::registry::{Listed, Listing, Platforms, Question, Refusal, Registry, Validator};
use crate::image::{Digest, Tag};
use crate::registry::{Client, Deadline, Error, Found, Kind};

impl Registry for Client {
    fn list_tags(&self, question: Question) -> BoxFuture<'static, Result<Listed, Refusal>> {
        let client = self.clone();
        async move {
            let Question {
                image,
                ways,
                timeout,
                known,
            } = question;
            let known = known.as_ref().map(|Validator(known)| &**known);
            let deadline = Deadline::after(timeout);
            match client.list(&image, &ways.access, known, deadline).await? {
                Found::Unchanged => Ok(Listed::Unchanged),
                Found::Fresh(list) => Ok(Listed::Fresh(Listing {
                    incomplete: list.incomplete.map(|reason| reason.to_string()),
                    duplicates: list.duplicates,
                    invalid: list.invalid.map(|names| names.to_string()),
                    tags: list.tags,
                    validator: list.validator.map(Validator),
                })),
            }
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
                known: _,
            } = question;
            let deadline = Deadline::after(timeout);
            client
                .head_manifest(&image.tagged(tag), &ways.access, deadline)
                .await
                .map_err(of_manifest)
        }
        .boxed()
    }

    fn platforms(
        &self,
        question: Question,
        digest: Digest,
    ) -> BoxFuture<'static, Result<Platforms, Refusal>> {
        let client = self.clone();
        async move {
            let Question {
                image,
                ways,
                timeout,
                known: _,
            } = question;
            let deadline = Deadline::after(timeout);
            let platforms = client
                .platforms(&image, &digest, &ways.access, deadline)
                .await
                .map_err(of_manifest)?;
            Ok(Platforms {
                digest,
                platforms: platforms.iter().map(ToString::to_string).collect(),
            })
        }
        .boxed()
    }
}

/// Why a manifest was refused: only one that is not there is so for good.
fn of_manifest(error: Error) -> Refusal {
    let is_permanent = error.kind() == Kind::NotFound;
    Refusal {
        is_permanent,
        ..error.into()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            retry_after: error.retry_after(),
            is_permanent: matches!(
                error.kind(),
                Kind::Authentication | Kind::Forbidden | Kind::NotFound | Kind::InvalidName
            ),
            is_wait: error.is_wait(),
            message: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_manifest_only_its_absence_is_for_good() {
        let (host, detail) = (|| "registry.test".to_owned(), String::new);
        let forbidden = Error::Forbidden {
            host: host(),
            repository: "o/app".into(),
            right: "pull",
            detail: detail(),
        };
        let absent = Error::NotFound {
            host: host(),
            what: "o/app:1.0.0".into(),
            is_no_repository: false,
            detail: detail(),
        };
        for (error, listing, manifest) in [(forbidden, true, false), (absent, true, true)] {
            let told = (
                Refusal::from(error.clone()).is_permanent,
                of_manifest(error.clone()).is_permanent,
            );
            assert_eq!(told, (listing, manifest), "{error}");
        }
    }
}
