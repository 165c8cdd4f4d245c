//! What refers to an image: signatures, attestations, bills of materials. Found by the registry's own list or the
//! fallback tag, and by the tags that cosign makes, which are looked for in the tag list and never guessed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::failure::Failure;
use super::lists::{self, Listing};
use super::run::Run;
use super::tree::{Room, Scope, Tree, expand, read, take_in};
use crate::image::{Digest, Tag};
use crate::mirror::document::{Child, Content, parse};
use crate::mirror::referrers::fallback_tag;
use crate::mirror::subset;
use crate::registry::remote::{Named, Referrers, Remote};

/// Referrers of referrers of referrers.
const MOST_LEVELS: usize = 4;
/// Of one image; more are an error.
const MOST_REFERRERS: usize = 1000;

/// Something that is copied with an image.
#[derive(Debug)]
pub(super) struct Extra {
    pub(super) tree: Tree,
    /// By digest, or by cosign's tag.
    pub(super) named: Named,
}

/// Everything that refers to the image `tree`, or to what it is made of, in an order in which it can be written.
pub(super) async fn discover(
    run: &Run<'_>,
    source: usize,
    tree: &Tree,
    scope: Scope<'_>,
) -> Result<Vec<Extra>, Failure> {
    let remote = run.source(source);
    if !lists::is_asked_for(run, &remote) {
        source_request(run);
    }
    let listing = lists::list(run, &remote, false).await?;
    let mut subjects = vec![tree.root.digest.clone()];
    // Of platforms that are left out nothing is wanted; of the others also where the destination has them.
    if let Content::Index(children) = &tree.root.document.content {
        let kept = subset::kept(children, scope.platforms).into_iter();
        subjects.extend(kept.map(|child| child.descriptor.digest.clone()));
    }
    let room = Room::default();
    subjects.extend(tree.below.iter().map(|node| node.digest.clone()));
    let mut seen: HashSet<Digest> = HashSet::new();
    let mut extras = Vec::new();
    for _ in 0..MOST_LEVELS {
        let mut found = Vec::new();
        subjects.retain(|subject| seen.insert(subject.clone()));
        let asked = subjects
            .iter()
            .map(|subject| of_subject(run, source, &remote, &listing, (subject, &room)));
        for of_one in futures::future::try_join_all(asked).await? {
            found.extend(of_one);
        }
        subjects = found
            .iter()
            .map(|extra| extra.tree.root.digest.clone())
            .collect();
        extras.extend(found);
        if extras.len() > MOST_REFERRERS {
            return Err(too_many(&remote, &tree.root.digest));
        }
        if subjects.is_empty() {
            break;
        }
    }
    Ok(extras)
}

/// One more is made at the source.
fn source_request(run: &Run<'_>) {
    run.estimated(|estimate| {
        estimate.source_requests = estimate.source_requests.saturating_add(1);
    });
}

fn too_many(remote: &Remote, subject: &Digest) -> Failure {
    let repository = remote.repository();
    Failure::lasting(format!(
        "{repository}@{subject} has more than {MOST_REFERRERS} referrers"
    ))
}

async fn of_subject(
    run: &Run<'_>,
    source: usize,
    remote: &Remote,
    listing: &Listing,
    (subject, room): (&Digest, &Room),
) -> Result<Vec<Extra>, Failure> {
    let mut extras = Vec::new();
    source_request(run);
    let listed = of_registry(run, remote, listing, subject).await?;
    if listed.len() > MOST_REFERRERS {
        return Err(too_many(remote, subject));
    }
    for child in listed {
        room.take(remote, subject, child.descriptor.size)?;
        let node = read(run, source, &child.descriptor).await?;
        let refers = node.document.subject.as_ref();
        if refers.is_none_or(|refers| refers.digest != *subject) {
            // The list is wrong; nothing that is copied would say what it belongs to.
            continue;
        }
        let tree = expand(run, source, node, Scope::ALL, (&|_| true, room)).await?;
        let named = Named::Digest(tree.root.digest.clone());
        extras.push(Extra { tree, named });
    }
    let fallback = fallback_tag(subject);
    for tag in listing.companions(subject) {
        if Some(tag) != fallback.as_ref() {
            extras.extend(of_tag(run, source, tag, room).await?);
        }
    }
    Ok(extras)
}

/// What cosign keeps under `tag`; none: it is gone.
pub(super) async fn of_tag(
    run: &Run<'_>,
    source: usize,
    tag: &Tag,
    room: &Room,
) -> Result<Option<Extra>, Failure> {
    let remote = run.source(source);
    let named = Named::Tag(tag.clone());
    source_request(run);
    let found = Box::pin(remote.manifest(&named)).await;
    let found = found.map_err(|error| {
        Failure::of(
            &format!("failed to read {}:{tag}", remote.repository()),
            &error,
        )
    })?;
    let Some(raw) = found else {
        return Ok(None);
    };
    let node = take_in(run, source, &raw)?;
    let tree = expand(run, source, node, Scope::ALL, (&|_| true, room)).await?;
    Ok(Some(Extra { tree, named }))
}

/// Whether nothing has said yet that `remote` is without the API of referrers.
fn has_api(run: &Run<'_>, remote: &Remote) -> bool {
    let place = (remote.repository().clone(), remote.identity());
    !run.without_referrers.lock().contains(&place)
}

async fn of_registry(
    run: &Run<'_>,
    remote: &Remote,
    listing: &Listing,
    subject: &Digest,
) -> Result<Vec<Child>, Failure> {
    let repository = remote.repository();
    let attempt = || format!("failed to read the referrers of {repository}@{subject}");
    if has_api(run, remote) {
        let found = Box::pin(remote.referrers(subject)).await;
        match found.map_err(|error| Failure::of(&attempt(), &error))? {
            Referrers::Listed(found) => return Ok(found),
            // A fallback tag that is there all the same is looked at.
            Referrers::NoRepository => {}
            Referrers::NoWord => run.warning(format!(
                "{repository}: asked for referrers, it answers 404 with a page for people; only what has a tag is copied"
            )),
            Referrers::NoApi => {
                let place = (repository.clone(), remote.identity());
                run.without_referrers.lock().insert(place);
            }
        }
    }
    let Some(tag) = fallback_tag(subject).filter(|tag| listing.has(tag) == Some(true)) else {
        return Ok(Vec::new());
    };
    list_under(remote, tag, subject).await
}

/// The list that is kept under `tag`.
async fn list_under(remote: &Remote, tag: Tag, subject: &Digest) -> Result<Vec<Child>, Failure> {
    let repository = remote.repository();
    let attempt = || format!("failed to read the referrers of {repository}@{subject}");
    let named = Named::Tag(tag);
    let found = Box::pin(remote.manifest(&named)).await;
    let Some(raw) = found.map_err(|error| Failure::of(&attempt(), &error))? else {
        return Ok(Vec::new());
    };
    // Some registries have something else under such a tag: that is none of ours.
    match parse(&raw.bytes, Some(&raw.media_type)).map(|document| document.content) {
        Ok(Content::Index(children)) => Ok(children),
        Ok(Content::Manifest { .. }) | Err(_) => Ok(Vec::new()),
    }
}

/// Which of `extras`, that are named by digest, `to` has and lists. It is asked once for each subject; where it keeps no lists
/// itself, for the list under the fallback tag, and for each that this names. What it does not say is written.
pub(super) async fn there(
    run: &Run<'_>,
    to: &Remote,
    extras: impl Iterator<Item = &Extra>,
) -> HashSet<Digest> {
    let mut by_subject: BTreeMap<&Digest, Vec<&Digest>> = BTreeMap::new();
    for Extra { tree, named } in extras {
        if let (Named::Digest(digest), Some(subject)) = (named, &tree.root.document.subject) {
            by_subject.entry(&subject.digest).or_default().push(digest);
        }
    }
    let mut there = HashSet::new();
    for (subject, wanted) in by_subject {
        match of_destination(run, to, subject, &wanted).await {
            Ok(found) => there.extend(found),
            Err(failure) => {
                tracing::debug!(%failure.cause, "Referrers are written, there or not");
            }
        }
    }
    for digest in &there {
        run.known.note_manifest(to.repository(), digest);
    }
    there
}

/// Which of `wanted` refer to `subject` at `to`, and are listed there.
async fn of_destination(
    run: &Run<'_>,
    to: &Remote,
    subject: &Digest,
    wanted: &[&Digest],
) -> Result<Vec<Digest>, Failure> {
    let repository = to.repository();
    let is_wanted = |child: &Child| wanted.contains(&&child.descriptor.digest);
    let asked = |count: usize| {
        run.estimated(|estimate| {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            let requests = &mut estimate.destination_requests;
            *requests = requests.saturating_add(count);
        });
    };
    asked(1);
    let mut listed = of_registry(run, to, &Listing::default(), subject).await?;
    listed.retain(is_wanted);
    let digests = |listed: Vec<Child>| {
        let digests = listed.into_iter().map(|child| child.descriptor.digest);
        digests.collect::<Vec<_>>()
    };
    let tag = fallback_tag(subject).filter(|_| !has_api(run, to));
    let Some(tag) = tag else {
        return Ok(digests(listed));
    };
    let mut listed = list_under(to, tag, subject).await?;
    listed.retain(is_wanted);
    asked(1 + listed.len());
    let heads = listed.into_iter().map(|child| async move {
        let digest = child.descriptor.digest;
        let named = Named::Digest(digest.clone());
        let head = Box::pin(to.head(&named)).await;
        let attempt = || format!("failed to ask {repository} for {digest}");
        let head = head.map_err(|error| Failure::of(&attempt(), &error))?;
        Ok::<_, Failure>(head.map(|_| digest))
    });
    let there = futures::future::try_join_all(heads).await?;
    Ok(there.into_iter().flatten().collect())
}

/// The tags that cosign made for `subject` and that `there` does not have.
pub(super) fn new_companions<'a>(
    here: &'a Arc<Listing>,
    there: &'a Listing,
    subject: &Digest,
) -> impl Iterator<Item = &'a Tag> {
    let fallback = fallback_tag(subject);
    here.companions(subject)
        .iter()
        .filter(move |tag| Some(*tag) != fallback.as_ref() && there.has(tag) == Some(false))
}
