//! Tag lists, each read once in a run and by one account, however many jobs need it.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::failure::Failure;
use super::run::Run;
use crate::image::{Digest, Repository, Tag};
use crate::mirror::{canonical, referrers};
use crate::registry::access::Identity;
use crate::registry::remote::Remote;
use crate::registry::{Error, Kind};

/// When a copy took longer than this, registries are asked whether their tags have moved.
pub(super) const LONG: SignedDuration = SignedDuration::from_secs(30);

type Cell = Arc<OnceCell<Result<Arc<Listing>, Failure>>>;

/// The lists of a run.
#[derive(Debug, Default)]
pub(super) struct Lists(Mutex<HashMap<(Repository, Identity), Cell>>);

/// What a repository's list says.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Ascending.
    pub(super) tags: Vec<Tag>,
    /// Whether a tag that is not in it is not there.
    is_complete: bool,
    /// When it was asked for; none: nobody was asked.
    taken: Option<Timestamp>,
    /// Cosign's tags and fallback tags, by what they belong to.
    companions: HashMap<Digest, Vec<Tag>>,
}

impl Listing {
    /// Nothing is known.
    pub(super) fn unknown() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Whether anybody was asked.
    pub(super) fn is_known(&self) -> bool {
        self.taken.is_some()
    }

    /// Whether the tag is there; none: it is not known.
    pub(super) fn has(&self, tag: &Tag) -> Option<bool> {
        match self.tags.binary_search(tag) {
            Ok(_) => Some(true),
            Err(_) if self.is_complete => Some(false),
            Err(_) => None,
        }
    }

    /// Whether a tag that is not in it is not there.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether what it says was so a moment ago, so that nobody need be asked again before a tag is written.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.taken
            .is_some_and(|taken| now.duration_since(taken) <= LONG)
    }

    /// The tags that belong to `subject` by their names.
    pub(super) fn companions(&self, subject: &Digest) -> &[Tag] {
        self.companions.get(subject).map_or(&[], Vec::as_slice)
    }
}

/// Whether somebody has asked for the tags of `remote`.
pub(super) fn is_asked_for(run: &Run<'_>, remote: &Remote) -> bool {
    run.lists.0.lock().contains_key(&key(remote))
}

/// The tags of `remote`. `is_needed`: whether nothing can be done without it; else a registry that does not list is
/// asked tag by tag.
pub(super) async fn list(
    run: &Run<'_>,
    remote: &Remote,
    is_needed: bool,
) -> Result<Arc<Listing>, Failure> {
    let cell = Arc::clone(run.lists.0.lock().entry(key(remote)).or_default());
    cell.get_or_init(|| read(run, remote, is_needed))
        .await
        .clone()
}

fn key(remote: &Remote) -> (Repository, Identity) {
    let name = canonical::repository(remote.repository());
    (name.into_owned(), remote.identity())
}

async fn read(run: &Run<'_>, remote: &Remote, is_needed: bool) -> Result<Arc<Listing>, Failure> {
    let repository = remote.repository();
    let taken = run.settings.clock.now();
    // Before it is asked: what is written meanwhile may not be listed yet.
    let known = run.known.tags_at(repository);
    let mut list = match Box::pin(remote.tags()).await {
        Ok(list) => list,
        Err(error) => {
            let is_no_repository = matches!(
                error,
                Error::NotFound {
                    is_no_repository: true,
                    ..
                }
            );
            if is_no_repository && !is_needed {
                if !known.is_empty() {
                    run.forget_repository(repository);
                }
                return Ok(Arc::new(Listing {
                    is_complete: true,
                    taken: Some(taken),
                    ..Listing::default()
                }));
            }
            // Whatever is missing, it need not be the tags.
            let does_not_list = matches!(
                error.kind(),
                Kind::NotFound | Kind::Protocol | Kind::Limit | Kind::Forbidden
            );
            if does_not_list && !is_needed {
                return Ok(Listing::unknown());
            }
            let attempt = format!("failed to list the tags of {repository}");
            return Err(Failure::of(&attempt, &error));
        }
    };
    if let Some(incomplete) = &list.incomplete {
        run.problem(format!(
            "the tags of {repository} may not be all: {incomplete}"
        ));
    }
    if let Some(invalid) = &list.invalid {
        run.warning(format!("the tag list of {repository}: {invalid}"));
    }
    let is_complete = list.is_complete();
    list.tags.sort_unstable();
    let is_gone = |tag: &Tag| list.tags.binary_search(tag).is_err();
    // What else it was known to hold may be gone, too.
    if is_complete && known.iter().any(is_gone) {
        run.forget_repository(repository);
    }
    let mut companions = HashMap::<_, Vec<_>>::new();
    for tag in &list.tags {
        if let Some(subject) = referrers::subject(tag) {
            companions.entry(subject).or_default().push(tag.clone());
        }
    }
    Ok(Arc::new(Listing {
        tags: list.tags,
        is_complete,
        taken: Some(taken),
        companions,
    }))
}
