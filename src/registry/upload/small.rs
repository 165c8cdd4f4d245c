//! A blob of a few bytes, which are at hand: written in one request if the registry takes that, else on the next rung.

use bytes::Bytes;

use super::ladder::{Ladder, Rung, Step, Verdict, judge};
use super::steps::Told;
use super::{Cause, Session};
use crate::image::Digest;
use crate::registry::Error;
use crate::registry::remote::Remote;
use crate::registry::remote::request::{Payload, Reply};

/// Of one blob.
const TRIES: u32 = 3;

impl Remote {
    /// Writes `bytes`, unless they are there.
    pub(in crate::registry) async fn put_small_blob(&self, bytes: &Bytes) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        if self.has_blob(&digest).await? {
            return Ok(digest);
        }
        let mut ladder = Ladder::from(self.inner().uploads.rung(self.api_host()));
        let mut tried = 1;
        let mut learnt = None;
        loop {
            let mut session = self.begin(&digest).await?;
            let sent = self.send_small(&mut session, ladder.current(), &digest, bytes);
            let (verdict, error) = match sent.await {
                Ok(()) => {
                    if let Some(cause) = learnt {
                        let memory = &self.inner().uploads;
                        memory.learn(self.api_host(), ladder.current(), cause);
                    }
                    return Ok(digest);
                }
                Err(failed) => failed,
            };
            self.cancel_upload(session).await;
            match verdict {
                Verdict::OtherRung if ladder.step() => {
                    learnt = Some(Cause::Answer);
                    continue;
                }
                Verdict::Taken | Verdict::OtherRung | Verdict::Refused => return Err(error),
                Verdict::Unclear | Verdict::AskSession | Verdict::Lost | Verdict::Wait => {}
            }
            if matches!(self.has_blob(&digest).await, Ok(true)) {
                return Ok(digest);
            }
            if tried >= TRIES || error.retry_after().is_some() {
                return Err(error);
            }
            tried += 1;
        }
    }

    async fn send_small(
        &self,
        session: &mut Session,
        rung: Rung,
        digest: &Digest,
        bytes: &Bytes,
    ) -> Result<(), (Verdict, Error)> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let payload = Payload::Whole(bytes.clone());
        let range = match rung {
            Rung::Put => {
                let reply = session.put(self, digest, payload).await;
                self.weigh_small(Step::Whole, reply, digest).await?;
                return Ok(());
            }
            Rung::Patch => None,
            Rung::Chunks => Some((0, size.saturating_sub(1))),
        };
        let reply = session.patch(self, range, payload).await;
        let reply = self.weigh_small(Step::Piece, reply, digest).await?;
        let moved = session.moved(self, &reply).await;
        moved.map_err(|error| (Verdict::Refused, error))?;
        let reply = session.end(self, digest, size).await;
        let step = Step::End { pieces: 1 };
        self.weigh_small(step, reply, digest).await.map(drop)
    }

    async fn weigh_small(
        &self,
        step: Step,
        reply: Result<Reply, Error>,
        digest: &Digest,
    ) -> Result<Reply, (Verdict, Error)> {
        let reply = reply.map_err(|error| (Verdict::Unclear, error))?;
        match judge(step, reply.status, &[]) {
            Verdict::Taken => Ok(reply),
            _ => {
                let asked = format!("the upload of {digest}");
                let Told {
                    status,
                    codes,
                    error,
                } = Told::of(self, reply, &asked).await;
                Err((judge(step, status, &codes), error))
            }
        }
    }
}
