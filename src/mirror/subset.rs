//! An index with only some of its platforms, byte for byte what it was otherwise.

use std::collections::HashSet;

use super::document::{self, Child, Content, Error};
use crate::image::{Digest, Platform};

mod scan;
#[cfg(test)]
mod tests;

/// How platforms are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// The index is rewritten without them: a new digest, and everything it names is there.
    #[default]
    Rewritten,
    /// The index stays as it is, and names what is not there; some registries refuse that.
    Sparse,
}

/// Which of an index's children are kept, in their order; all where `platforms` is empty.
///
/// An image is kept when its platform, normalised, is among them. An attestation is kept with what it attests. What
/// does not say what it runs on, an index within the index above all, is kept: nothing shows that it is for others only.
pub fn kept<'a>(children: &'a [Child], platforms: &[Platform]) -> Vec<&'a Child> {
    if platforms.is_empty() {
        return children.iter().collect();
    }
    let is_wanted = |child: &Child| match &child.platform {
        Some(platform) => platforms.contains(platform),
        None => true,
    };
    let images = children
        .iter()
        .filter(|child| child.attests.is_none() && is_wanted(child));
    let images: HashSet<&Digest> = images.map(|child| &child.descriptor.digest).collect();
    let is_kept = |child: &&Child| match &child.attests {
        Some(image) => images.contains(image),
        None => is_wanted(child),
    };
    children.iter().filter(is_kept).collect()
}

/// The index `bytes` without the children that are not in `keep`; every other byte as it was.
///
/// # Errors
/// It is no index, nothing would be left, or something in `keep` is not in it.
pub fn rewrite(bytes: &[u8], keep: &[Digest]) -> Result<Vec<u8>, Error> {
    let document = document::parse(bytes, None)?;
    let Content::Index(children) = document.content else {
        return Err(Error(
            "the document is no index: there are no platforms to choose from".to_owned(),
        ));
    };
    let keep: HashSet<&Digest> = keep.iter().collect();
    let listed: HashSet<&Digest> = children
        .iter()
        .map(|child| &child.descriptor.digest)
        .collect();
    if let Some(missing) = keep.difference(&listed).min() {
        return Err(Error(format!("the index does not list {missing}")));
    }
    let is_kept: Vec<bool> = children
        .iter()
        .map(|child| keep.contains(&child.descriptor.digest))
        .collect();
    if !is_kept.contains(&true) {
        return Err(Error("nothing of the index would be kept".to_owned()));
    }
    let spans = scan::entries(bytes).filter(|spans| spans.len() == children.len());
    let spans = spans.ok_or_else(|| Error("the index cannot be taken apart".to_owned()))?;
    Ok(without(bytes, &spans, &is_kept))
}

/// Copies `bytes` without some of the entries at `spans`. An entry goes with what parts it from the one before it; where
/// the first goes, so does what parts it from the next that stays.
fn without(bytes: &[u8], spans: &[(usize, usize)], is_kept: &[bool]) -> Vec<u8> {
    let piece = |start: usize, end: usize| bytes.get(start..end).unwrap_or_default();
    let mut rest = Vec::with_capacity(bytes.len());
    let first = spans.first().map_or(bytes.len(), |(start, _)| *start);
    rest.extend_from_slice(piece(0, first));
    let (mut before, mut is_first) = (first, true);
    for ((start, end), is_kept) in spans.iter().zip(is_kept) {
        if *is_kept {
            let from = if is_first { *start } else { before };
            rest.extend_from_slice(piece(from, *end));
            is_first = false;
        }
        before = *end;
    }
    rest.extend_from_slice(piece(before, bytes.len()));
    rest
}
