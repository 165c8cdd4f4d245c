//! Whether a destination that has an index has what the index names, too.
//!
//! An index that names what is not there has the digest of the whole one: by its digest alone a copy of some platforms
//! would pass for a copy of all. Must not write.

use futures::future::join_all;

use super::super::job::End;
use super::super::tree::is_index;
use super::{AtSource, Image};
use crate::mirror::document::Content;
use crate::mirror::subset;
use crate::registry::copy::failure::Stop;
use crate::registry::remote::Named;

impl Image<'_> {
    /// Whether `end`, which has the index by its digest, lacks a manifest that is wanted of it. Nothing is asked where it is known to
    /// be whole, or is no index.
    pub(super) async fn is_sparse(
        &self,
        end: &End,
        at_source: &mut AtSource,
    ) -> Result<bool, Stop> {
        let to = end.remote.repository();
        let may_be_index = at_source.media_type.is_empty() || is_index(&at_source.media_type);
        if !may_be_index || self.run.known.has_manifest(to, &at_source.digest) {
            return Ok(false);
        }
        let root = self.root(at_source).await?;
        let Content::Index(children) = &root.document.content else {
            return Ok(false);
        };
        let platforms = self.scope().platforms;
        let kept = if platforms.is_empty() {
            children.iter().collect()
        } else {
            subset::kept(children, platforms)
        };
        let unknown = kept
            .into_iter()
            .map(|child| &child.descriptor.digest)
            .filter(|digest| !self.run.known.has_manifest(to, digest));
        let asked = unknown.map(|digest| {
            let named = Named::Digest(digest.clone());
            async move { self.head(end, &named).await }
        });
        for found in join_all(asked).await {
            if found?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
