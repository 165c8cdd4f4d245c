//! What is to be done at one destination, from what it was known to have, what it has, and what the source says.
//!
//! Must not write.

use super::{AtSource, Decision, Image, Stance};
use crate::image::Digest;
use crate::registry::copy::failure::Stop;
use crate::registry::copy::job::End;

impl Image<'_> {
    pub(super) async fn decide(
        &self,
        end: &End,
        stance: Stance,
        found: Option<Digest>,
        at_source: &mut AtSource,
    ) -> Result<Decision, Stop> {
        let Self {
            run, course, wish, ..
        } = self;
        let differs = |found, expected| {
            if self.permits() {
                let before = Some(found);
                Decision::Copy { before }
            } else {
                Decision::Drifted { found, expected }
            }
        };
        Ok(match stance {
            Stance::Failed(failure) => Decision::Failed(failure),
            Stance::Absent => Decision::Copy { before: None },
            Stance::Trusted(copied) => {
                if self.is_still(&copied.source, at_source).await? {
                    Decision::Unchanged {
                        digest: copied.destination,
                        is_verified: false,
                    }
                } else {
                    // Nobody is asked for the sake of a message.
                    let is_known = at_source.raw.is_some() || !self.is_rewritten();
                    let expected = if is_known && !self.permits() {
                        Some(self.expected(at_source).await?)
                    } else {
                        None
                    };
                    differs(copied.destination, expected)
                }
            }
            Stance::Unsure { copied, .. } => {
                let Some(found) = found else {
                    // Whoever found that out before has forgotten it.
                    if copied.is_some() && course.copied(run, wish, end).is_some() {
                        run.forget_repository(end.remote.repository());
                    }
                    return Ok(Decision::Copy { before: None });
                };
                let before = copied.filter(|copied| copied.source == at_source.digest);
                let is_remembered = before.is_some();
                let expected = match before {
                    Some(copied) => copied.destination,
                    None => self.expected(at_source).await?,
                };
                if !self.is_same(&found, &expected, at_source).await? {
                    differs(found, Some(expected))
                } else if !is_remembered && self.is_sparse(end, at_source).await? {
                    let before = Some(found);
                    Decision::Copy { before }
                } else {
                    Decision::Unchanged {
                        digest: found,
                        is_verified: true,
                    }
                }
            }
        })
    }

    /// Whether the image is what was called `digest` at its source before.
    async fn is_still(&self, digest: &Digest, at_source: &mut AtSource) -> Result<bool, Stop> {
        let now = &at_source.digest;
        if digest == now || digest.algorithm() == now.algorithm() {
            return Ok(digest == now);
        }
        self.root(at_source).await?;
        let raw = at_source.raw.as_ref();
        Ok(raw.is_some_and(|raw| digest.is_of(&raw.bytes)))
    }

    /// Whether `found` is what is `expected` of the image: by name, or by its bytes where the names are of different algorithms.
    async fn is_same(
        &self,
        found: &Digest,
        expected: &Digest,
        at_source: &mut AtSource,
    ) -> Result<bool, Stop> {
        if found == expected || found.algorithm() == expected.algorithm() {
            return Ok(found == expected);
        }
        let root = self.root(at_source).await?;
        let (run, source) = (self.run, self.course.source);
        Ok(root.is_called(run, source, found).await?)
    }
}
