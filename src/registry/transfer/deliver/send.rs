//! The requests of one try on its rung, and what their answers mean for the next.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};

use super::{ANEW, Delivery, Next, Setback, Upload};
use crate::image::Digest;
use crate::registry::answer::is_html;
use crate::registry::remote::request::{Payload, Reply};
use crate::registry::transfer::feed::Feed;
use crate::registry::upload::ladder::{Rung, Step, Verdict, judge};
use crate::registry::upload::steps::Told;
use crate::registry::upload::{Cause, location};
use crate::registry::{Error, Kind};

/// A connection that is closed on fewer bytes may have been closed because of how they were sent.
const SOON: u64 = 32 << 20;

/// What went wrong, besides the error that is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// There was an answer.
    Answer,
    /// The connection was closed.
    Closed,
    /// Something that has nothing to do with how it was sent.
    Passing,
}

impl Delivery<'_> {
    /// Sends what `feed` brings, in the way of `upload`'s rung.
    pub(super) async fn send(&self, upload: &mut Upload, feed: &Arc<Feed>) -> Result<(), Setback> {
        let size = self.blob().size;
        upload.until = size;
        if size == 0 {
            return self.send_nothing(upload, feed).await;
        }
        if upload.from < size {
            // Nothing is asked for what may never come: a source that has something else costs no upload.
            feed.ready().await;
            if let Some(error) = feed.failure() {
                return Err(Next::End.with(error));
            }
        }
        match upload.rung {
            Rung::Put => {
                let payload = stream(feed, size);
                let digest = &self.blob().digest;
                let answer = upload.session.put(&self.remote, digest, payload).await;
                self.weigh(Step::Whole, answer, upload, feed).await?;
                return Ok(());
            }
            Rung::Patch => {
                if upload.from < size {
                    self.patch(upload, feed, size).await?;
                }
            }
            Rung::Chunks => {
                let chunk = location::chunk(self.host(), upload.session.least_chunk);
                while upload.from < size {
                    let end = upload.from.saturating_add(chunk).min(size);
                    self.patch(upload, feed, end).await?;
                }
            }
        }
        let digest = &self.blob().digest;
        let answer = upload.session.end(&self.remote, digest, size).await;
        let step = Step::End {
            pieces: upload.pieces,
        };
        self.weigh(step, answer, upload, feed).await?;
        Ok(())
    }

    /// Nothing is legal content; there is one way to send it.
    async fn send_nothing(&self, upload: &mut Upload, feed: &Arc<Feed>) -> Result<(), Setback> {
        if let Some(error) = feed.failure() {
            return Err(Next::End.with(error));
        }
        let digest = &self.blob().digest;
        let answer = upload
            .session
            .put(&self.remote, digest, Payload::Empty)
            .await;
        match self.weigh(Step::Whole, answer, upload, feed).await {
            Err(Setback {
                next: Next::Rung(Cause::Answer),
                error,
            }) => Err(Next::End.with(error)),
            other => other.map(drop),
        }
    }

    /// PATCH with everything from where it is up to `end`.
    async fn patch(&self, upload: &mut Upload, feed: &Arc<Feed>, end: u64) -> Result<(), Setback> {
        let first = upload.from;
        let is_part = upload.rung == Rung::Chunks || first > 0;
        let range = is_part.then(|| (first, end.saturating_sub(1)));
        upload.until = end;
        let payload = stream(feed, end.saturating_sub(first));
        let answer = upload.session.patch(&self.remote, range, payload).await;
        let Some(reply) = self.weigh(Step::Piece, answer, upload, feed).await? else {
            return Err(ANEW.with(self.lost("it says nothing of a part".to_owned())));
        };
        upload.pieces = upload.pieces.saturating_add(1);
        let moved = upload.session.moved(&self.remote, &reply).await;
        moved.map_err(|error| Next::End.with(error))?;
        // Of a single PATCH some say nothing sensible; the digest at the end settles it.
        if upload.rung == Rung::Chunks
            && let Some(arrived) = location::arrived(&reply.headers)
            && arrived != end
        {
            let cause = format!("it has {arrived} bytes after {end} were sent");
            let next = if arrived > first && arrived < end {
                Next::Rest(arrived)
            } else if arrived <= first {
                Next::Rung(Cause::Answer)
            } else {
                ANEW
            };
            return Err(next.with(self.lost(cause)));
        }
        upload.from = end;
        upload.until = self.blob().size;
        Ok(())
    }

    /// What an answer, or none, means. A reply: it was taken. None: the blob is there nevertheless.
    pub(super) async fn weigh(
        &self,
        step: Step,
        answer: Result<Reply, Error>,
        upload: &mut Upload,
        feed: &Arc<Feed>,
    ) -> Result<Option<Reply>, Setback> {
        if let Some(error) = feed.failure() {
            return Err(Next::End.with(error));
        }
        let reached = upload.start.saturating_add(feed.taken());
        let mut is_whole = reached >= self.blob().size;
        let (verdict, trouble, error) = match answer {
            Ok(mut reply) if judge(step, reply.status, &[]) == Verdict::Taken => {
                let Some(doubt) = self.doubt(step, &mut reply, reached, upload.until).await else {
                    return Ok(Some(reply));
                };
                // Whoever it was that answered: the blob itself is asked for.
                is_whole = true;
                (unclear(step), Trouble::Answer, doubt)
            }
            Ok(reply) => {
                let told = Told::of(&self.remote, reply, &self.asked(step)).await;
                let verdict = judge(step, told.status, &told.codes);
                (verdict, Trouble::Answer, told.error)
            }
            Err(error) => {
                let (verdict, trouble) = without_answer(step, &error);
                (verdict, trouble, error)
            }
        };
        let closed = if reached < SOON {
            Next::Rung(Cause::Reset)
        } else {
            Next::Rung(Cause::Late)
        };
        Err(match verdict {
            Verdict::Taken | Verdict::Refused => Next::End.with(error),
            Verdict::OtherRung => Next::Rung(Cause::Answer).with(error),
            Verdict::Wait => Next::Wait.with(error),
            Verdict::Lost => Next::Anew { is_gone: true }.with(self.lost(format!("{error}"))),
            Verdict::Unclear => {
                let digest = &self.blob().digest;
                if is_whole && matches!(self.remote.has_blob(digest).await, Ok(true)) {
                    return Ok(None);
                }
                match (trouble, step) {
                    (Trouble::Closed, Step::Whole) => closed.with(error),
                    (Trouble::Answer | Trouble::Passing | Trouble::Closed, _) => ANEW.with(error),
                }
            }
            Verdict::AskSession => match upload.session.arrived(&self.remote).await {
                Some(arrived) if arrived > upload.from && arrived <= reached => {
                    Next::Rest(arrived).with(error)
                }
                Some(_) | None if trouble == Trouble::Closed => closed.with(error),
                Some(_) | None => ANEW.with(match trouble {
                    Trouble::Answer => self.lost(format!("{error}")),
                    Trouble::Passing | Trouble::Closed => error,
                }),
            },
        })
    }

    /// Why a success is none yet: it came before all was sent, or from somebody who is no registry, or is of something else.
    async fn doubt(
        &self,
        step: Step,
        reply: &mut Reply,
        reached: u64,
        until: u64,
    ) -> Option<Error> {
        if reached < until {
            let status = reply.status;
            let cause = format!("it answered {status} after {reached} of {until} bytes");
            return Some(self.lost(cause));
        }
        let is_page = is_html(&reply.headers, &[]) || {
            // What says of itself what it is is believed, and nothing is waited for where nothing comes.
            let is_bare = !reply.headers.contains_key(CONTENT_TYPE)
                && reply.headers.contains_key(CONTENT_LENGTH);
            is_bare
                && matches!(reply.chunk().await, Ok(Some(start)) if is_html(&reply.headers, &start))
        };
        if is_page {
            return Some(Error::Html {
                host: reply.host.clone(),
                asked: self.asked(step),
            });
        }
        if matches!(step, Step::Piece) {
            return None;
        }
        let stated = reply.headers.get("docker-content-digest")?;
        let stated: Digest = stated.to_str().ok()?.parse().ok()?;
        let wanted = &self.blob().digest;
        let is_other = stated.algorithm() == wanted.algorithm() && stated != *wanted;
        is_other.then(|| self.lost(format!("it says that it took {stated}")))
    }

    fn asked(&self, step: Step) -> String {
        let method = match step {
            Step::Whole | Step::End { .. } => "PUT",
            Step::Piece => "PATCH",
        };
        let what = if self.blob().size == 0 {
            "the empty blob"
        } else {
            "blob"
        };
        format!("{method} of {what} {}", self.blob().digest)
    }

    fn lost(&self, cause: String) -> Error {
        Error::UploadLost {
            host: self.host().to_owned(),
            repository: self.remote.repository().path().to_owned(),
            digest: self.blob().digest.to_string(),
            cause,
        }
    }
}

fn stream(feed: &Arc<Feed>, length: u64) -> Payload {
    Payload::Stream {
        body: reqwest::Body::wrap(feed.body(length)),
        length,
    }
}

/// It may have been taken, or not.
fn unclear(step: Step) -> Verdict {
    match step {
        Step::Whole | Step::End { .. } => Verdict::Unclear,
        Step::Piece => Verdict::AskSession,
    }
}

/// What it means that there was no answer.
fn without_answer(step: Step, error: &Error) -> (Verdict, Trouble) {
    let unclear = unclear(step);
    match (error, error.kind()) {
        (Error::Broken { .. }, _) => (unclear, Trouble::Closed),
        // Among them a token that has ended.
        (_, Kind::Transport | Kind::Unavailable) => (unclear, Trouble::Passing),
        (_, Kind::RateLimited) => (Verdict::Wait, Trouble::Passing),
        (_, _) => (Verdict::Refused, Trouble::Passing),
    }
}
