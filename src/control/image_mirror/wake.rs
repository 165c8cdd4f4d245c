//! Who has to look again when something else changed: a policy's candidate, an ImageRepository, a Secret, another mirror that
//! has to give way or does so no more.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Controller, NEEDED, implicit, sources};
use crate::api::ImageMirror;
use crate::cluster::crds;
use crate::cluster::index::{Found, Touched};
use crate::cluster::watch;
use crate::control::change;
use crate::control::queue::Trigger;
use crate::object::Key;

/// How often it is looked whether objects can be there by now.
const LOOK: Duration = Duration::from_secs(10);

impl Controller {
    /// Objects, as they are heard of. Where their kind is not installed, it may be later.
    pub(super) async fn follow_objects(&self, mirror: &Trigger) {
        let client = &self.world.client.0;
        if !self.is_served.load(Ordering::Acquire) {
            crds::poll_until_served(client, &NEEDED, LOOK).await;
            self.is_served.store(true, Ordering::Release);
        }
        watch::follow(
            client.clone(),
            self.context.settings.scope.clone(),
            self.context.mirrors.clone(),
            |touched| self.touched(touched, mirror),
        )
        .await;
    }

    /// Mirrors that no object asks for, of what is known from before; others come with their ImageRepositories.
    pub(super) async fn look_at_implicit(&self, mirror: &Trigger) {
        let all = implicit::all(&self.context);
        for one in &all {
            sources::noted(&self.context, one);
        }
        for one in all {
            mirror.request(one.key).await;
        }
    }

    /// Until all objects were heard of, and what they claim is known.
    pub(super) async fn wait_until_noted(&self) {
        let mut is_noted = self.is_noted.subscribe();
        // Never closed: the sender is here.
        drop(is_noted.wait_for(|is_noted| *is_noted).await);
    }

    /// Objects were heard of, or are gone.
    pub(super) async fn touched(&self, touched: Vec<Touched<ImageMirror>>, mirror: &Trigger) {
        // First who is there, then what to do: who has to give way to whom is known before either copies.
        for one in &touched {
            sources::noted(&self.context, one);
            self.noted(one);
        }
        self.is_noted.send_replace(true);
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
        if !is_same && let Some(run) = self.running.lock().get(&touched.key) {
            run.end.cancel();
        }
    }

    /// Tells those of `mirrors` that run that something else may be wanted of them.
    pub(super) fn tell_runs(&self, mirrors: Vec<Key>) -> Vec<Key> {
        let running = self.running.lock();
        for run in mirrors.iter().filter_map(|mirror| running.get(mirror)) {
            run.news.notify_one();
        }
        drop(running);
        mirrors
    }

    /// All mirrors.
    pub(super) fn all(&self) -> Vec<Key> {
        let objects = self.context.mirrors.objects().into_iter();
        let implicit = implicit::all(&self.context).into_iter();
        let keys = objects.map(|(key, _)| key);
        keys.chain(implicit.map(|one| one.key)).collect()
    }

    /// Policies would elect something else.
    pub(super) async fn follow_candidates(&self, mirror: &Trigger) {
        loop {
            for policy in self.context.store.board().candidate_changes().await {
                let mirrors = sources::mirrors_following(&self.context, &policy);
                for key in self.tell_runs(mirrors) {
                    mirror.request(key).await;
                }
            }
        }
    }

    /// ImageRepositories came, went or changed.
    pub(super) async fn follow_repositories(&self, mirror: &Trigger) {
        loop {
            for repository in self.context.inbox.repositories.take().await {
                let mirrors = sources::mirrors_of(&self.context, &repository);
                for key in self.tell_runs(mirrors) {
                    mirror.request(key).await;
                }
            }
        }
    }

    /// Secrets of mirrors came or changed.
    pub(super) async fn follow_inbox(&self, mirror: &Trigger) {
        loop {
            let mirrors = self
                .context
                .inbox
                .mirrors
                .take()
                .await
                .into_iter()
                .collect();
            for key in self.tell_runs(mirrors) {
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
