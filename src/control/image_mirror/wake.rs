//! Who has to look again when something else changed: a policy's candidate, an ImageRepository, a Secret, another mirror that
//! has to give way or does so no more.

use super::{Controller, sources};
use crate::api::ImageMirror;
use crate::cluster::index::{Found, Touched};
use crate::control::change;
use crate::control::queue::Trigger;
use crate::object::Key;

impl Controller {
    /// Objects were heard of, or are gone.
    pub(super) async fn touched(&self, touched: Vec<Touched<ImageMirror>>, mirror: &Trigger) {
        // First who is there, then what to do: who has to give way to whom is known before either copies.
        for one in &touched {
            sources::noted(&self.context, one);
            self.noted(one);
        }
        for one in touched {
            if change::concerns_requirers(&one) {
                self.context.store.board().touch_mirror(&one.key);
            }
            if change::asks(&one) {
                mirror.request(one.key).await;
            }
        }
    }

    /// An object was heard of, or is gone: what is under way by another spec is ended.
    fn noted(&self, touched: &Touched<ImageMirror>) {
        let is_same = match (&touched.before, &touched.after) {
            (Found::Object(before), Found::Object(after)) => is_same(before, after),
            (Found::Object(_) | Found::Unreadable | Found::Absent, _) => false,
        };
        if !is_same && let Some(token) = self.running.lock().get(&touched.key) {
            token.cancel();
        }
    }

    /// All mirrors.
    pub(super) fn all(&self) -> Vec<Key> {
        let all = self.context.mirrors.objects().into_iter();
        all.map(|(key, _)| key).collect()
    }

    /// Policies would elect something else.
    pub(super) async fn follow_candidates(&self, mirror: &Trigger) {
        loop {
            for policy in self.context.store.board().candidate_changes().await {
                for key in sources::mirrors_following(&self.context, &policy) {
                    mirror.request(key).await;
                }
            }
        }
    }

    /// ImageRepositories came, went or changed.
    pub(super) async fn follow_repositories(&self, mirror: &Trigger) {
        loop {
            for repository in self.context.inbox.repositories.take().await {
                for key in sources::mirrors_of(&self.context, &repository) {
                    mirror.request(key).await;
                }
            }
        }
    }

    /// Secrets of mirrors came or changed.
    pub(super) async fn follow_inbox(&self, mirror: &Trigger) {
        loop {
            for key in self.context.inbox.mirrors.take().await {
                mirror.request(key).await;
            }
        }
    }
}

/// Whether both are one object with one spec.
pub(super) fn is_same(one: &ImageMirror, other: &ImageMirror) -> bool {
    let of = |object: &ImageMirror| {
        let meta = &object.metadata;
        let is_going = meta.deletion_timestamp.is_some();
        (meta.uid.clone(), meta.generation, is_going)
    };
    of(one) == of(other)
}
