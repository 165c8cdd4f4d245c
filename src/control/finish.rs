//! The end of every reconcile: one status patch if anything changed, then the Event if it is news, then the log, whose
//! lines are the ones that Flux's controller writes: people search for them.

use serde::Serialize;

use super::queue::Next;
use super::{ClientHandle, Context, Lead, Settings};
use crate::cluster::event::{Events, Report, Severity};
use crate::cluster::index::Index;
use crate::cluster::patch::{self, Kind};
use crate::cluster::{Error, with_causes};
use crate::object::Key;

/// Who writes, and to whom: the controllers of Flux's kinds, or the one of ours, which goes on where Flux's are only looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Desk<'a> {
    pub(super) client: &'a ClientHandle,
    pub(super) lead: &'a Lead,
    pub(super) events: &'a Events,
    pub(super) settings: &'a Settings,
}

/// Writes `after` in `before`'s place and publishes `report`, and answers `next`, or what else has to follow when
/// writing failed. What could not be written is not published either: it will be, when it is. Without a report the
/// log line tells `in_short` what came of it.
pub(super) async fn finish<K: Kind, S: Serialize + Sync>(
    context: &Context,
    index: &Index<K>,
    whose: (&Key, &K),
    statuses: (&S, &S),
    told: (Option<Report>, Option<&str>),
    next: Next,
) -> Next {
    let desk = Desk {
        client: &context.client,
        lead: &context.lead,
        events: &context.events,
        settings: &context.settings,
    };
    desk.finish(index, whose, statuses, told, next).await
}

impl Desk<'_> {
    /// As [`finish`].
    pub(super) async fn finish<K: Kind, S: Serialize + Sync>(
        self,
        index: &Index<K>,
        (key, object): (&Key, &K),
        (before, after): (&S, &S),
        (report, in_short): (Option<Report>, Option<&str>),
        next: Next,
    ) -> Next {
        if !self.lead.is_held() {
            tracing::debug!("Another process leads by now, and nothing is written");
            return Next::RETRY;
        }
        let manager = &self.settings.controller_name;
        match patch::status(&self.client.0, key, object, before, after, manager).await {
            Ok(written) => {
                if let Some(written) = written {
                    index.learn(key, written);
                }
                tell(self.events, report, in_short);
                next
            }
            Err(error) => failed(self.settings, &error),
        }
    }
}

/// What follows when a write of ours failed. What was found is known already, and telling it again costs little: nobody
/// waits for it longer than for anything else that may be mended at any moment.
pub(super) fn failed_to_write(context: &Context, error: &Error) -> Next {
    failed(&context.settings, error)
}

fn failed(settings: &Settings, error: &Error) -> Next {
    let soon = Next::retry_within(settings.requeue_dependency);
    match error {
        // It went meanwhile; its deletion is on the way to us, or was here already.
        Error::NotFound { .. } => Next::Await,
        Error::Conflict { .. } => {
            tracing::debug!(
                error = with_causes(error),
                "Somebody else wrote the object in between"
            );
            soon
        }
        Error::Forbidden { .. }
        | Error::Refused { .. }
        | Error::Encode { .. }
        | Error::Request { .. } => {
            tracing::error!(error = with_causes(error), "Failed to write the object");
            soon
        }
    }
}

fn tell(events: &Events, report: Option<Report>, in_short: Option<&str>) {
    let Some(report) = report else {
        if let Some(in_short) = in_short {
            tracing::info!("{in_short}");
        } else {
            tracing::debug!("Reconciled, and nothing is new");
        }
        return;
    };
    let Report {
        severity,
        ref reason,
        ref message,
        ..
    } = report;
    match severity {
        Severity::Normal => tracing::info!(reason, "{message}"),
        Severity::Warning => tracing::error!(error = reason, "{message}"),
    }
    events.publish(report);
}
