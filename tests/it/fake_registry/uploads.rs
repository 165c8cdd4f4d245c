//! Uploads: sessions, what they have got, and what becomes of it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http::{HeaderMap, Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::Shared;
use super::access::may_pull;
use super::content::{Content, algorithm_of, digest_with, hex};
use super::faults::Fault;
use super::log::Request;
use super::meter::{Intake, number};
use super::options::{LaterPatches, Mounts};
use super::replies::{Body, empty, refusal, set};
use super::state::State;

/// An upload that has begun.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) repository: String,
    /// Part of its `Location`, without which nobody gets in.
    secret: String,
    bytes: Vec<u8>,
    running: Sha256,
    pub(super) length: u64,
    patches: usize,
}

impl Session {
    fn new(repository: &str) -> Self {
        Self {
            repository: repository.to_owned(),
            secret: uuid::Uuid::new_v4().simple().to_string(),
            bytes: Vec::new(),
            running: Sha256::new(),
            length: 0,
            patches: 0,
        }
    }

    fn add(&mut self, data: &[u8], keeps_bytes: bool) {
        self.length += data.len() as u64;
        if keeps_bytes {
            self.bytes.extend_from_slice(data);
        } else {
            self.running.update(data);
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.running = Sha256::new();
        self.length = 0;
    }

    fn range(&self) -> String {
        format!("0-{}", self.length.saturating_sub(1))
    }

    /// The content, if it has this digest; else the digest that it has.
    fn finish(self, digest: &str, keeps_bytes: bool) -> Result<Content, String> {
        let algorithm = algorithm_of(digest).ok_or("no digest that is known here")?;
        let found = if keeps_bytes {
            digest_with(algorithm, &self.bytes).unwrap_or_default()
        } else {
            format!("sha256:{}", hex(&self.running.finalize()))
        };
        if found != digest {
            return Err(format!("the content has the digest {found}"));
        }
        Ok(if keeps_bytes {
            Content::Held(Bytes::from(self.bytes))
        } else {
            Content::Counted(self.length)
        })
    }
}

/// One request of an upload.
pub(super) struct Step<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) entry: &'a Request,
    pub(super) headers: &'a HeaderMap,
    pub(super) fault: Option<&'a Fault>,
    /// The repository.
    pub(super) name: &'a str,
    /// What stands behind `/blobs/uploads/`.
    pub(super) id: &'a str,
}

type Answer = io::Result<Response<Body>>;

impl Step<'_> {
    pub(super) async fn answer(&self, intake: &mut Intake) -> Answer {
        if matches!(self.fault, Some(Fault::SessionLost)) {
            self.shared.state.lock().sessions.remove(self.id);
        }
        if self.entry.method == Method::POST && self.id.is_empty() {
            return self.begin(intake).await;
        }
        let is_known = {
            let state = self.shared.state.lock();
            let session = state.sessions.get(self.id);
            session.is_some_and(|session| {
                session.repository == self.name
                    && self.entry.asked("_state").as_deref() == Some(&session.secret)
            })
        };
        if !is_known {
            intake.drain().await?;
            return Ok(lost());
        }
        match self.entry.method {
            Method::GET | Method::HEAD => Ok(self.progress(StatusCode::NO_CONTENT)),
            Method::DELETE => {
                self.shared.state.lock().sessions.remove(self.id);
                Ok(empty(StatusCode::NO_CONTENT))
            }
            Method::PATCH => self.patch(intake).await,
            Method::PUT => self.put(intake).await,
            _ => Ok(refusal(405, "UNSUPPORTED", "no such method")),
        }
    }

    /// How far the session is.
    fn progress(&self, status: StatusCode) -> Response<Body> {
        let state = self.shared.state.lock();
        match state.sessions.get(self.id) {
            None => lost(),
            Some(session) => self.session_answer(&state, self.id, session, status),
        }
    }

    fn session_answer(
        &self,
        state: &State,
        id: &str,
        session: &Session,
        status: StatusCode,
    ) -> Response<Body> {
        let mut answer = empty(status);
        let place = format!(
            "/v2/{}/blobs/uploads/{id}?_state={}",
            self.name, session.secret
        );
        let listener = self.entry.listener;
        let scheme = if listener.is_tls() { "https" } else { "http" };
        let place = match state.options.uploads_to {
            Some(host) => format!("{}/store{place}", self.shared.store_origin(listener, host)),
            None if state.options.absolute_locations => {
                format!("{scheme}://{}{place}", self.entry.host)
            }
            None => place,
        };
        set(&mut answer, LOCATION.as_str(), &place);
        set(&mut answer, RANGE.as_str(), &session.range());
        set(&mut answer, "docker-upload-uuid", id);
        answer
    }

    async fn begin(&self, intake: &mut Intake) -> Answer {
        if let Some(answer) = self.mount() {
            intake.drain().await?;
            return Ok(answer);
        }
        let one_shot = self.entry.asked("digest");
        let (creates, takes_one_shot, keeps_bytes) = {
            let state = self.shared.state.lock();
            (
                state.options.creates_repositories || state.repositories.contains_key(self.name),
                state.options.takes_one_shot,
                state.options.keeps_bytes,
            )
        };
        if !creates {
            intake.drain().await?;
            return Ok(refusal(404, "NAME_UNKNOWN", "no such repository"));
        }
        let mut session = Session::new(self.name);
        if let (Some(digest), true) = (one_shot, takes_one_shot) {
            while let Some(data) = intake.next().await? {
                session.add(&data, keeps_bytes);
            }
            return Ok(self.commit(session, &digest, keeps_bytes));
        }
        intake.drain().await?;
        let id = uuid::Uuid::new_v4().to_string();
        let mut state = self.shared.state.lock();
        state.repository(self.name);
        let mut answer = self.session_answer(&state, &id, &session, StatusCode::ACCEPTED);
        if let Some(bytes) = state.options.chunk_min {
            set(&mut answer, "oci-chunk-min-length", &bytes.to_string());
        }
        if !matches!(self.fault, Some(Fault::SessionLost)) {
            state.sessions.insert(id, session);
        }
        Ok(answer)
    }

    /// What becomes of the wish to mount; none: an upload begins.
    fn mount(&self) -> Option<Response<Body>> {
        let digest = self.entry.asked("mount")?;
        let from = self.entry.asked("from");
        let mut state = self.shared.state.lock();
        let mounts = match self.fault {
            Some(Fault::MountForbidden(status)) => Mounts::Refused(*status),
            Some(Fault::MountAcceptedButMissing) => return Some(self.committed(&digest)),
            _ => state.options.mounts,
        };
        let mounted = match mounts {
            Mounts::Refused(status) => {
                return Some(refusal(status, "DENIED", "not to be mounted"));
            }
            Mounts::Ignored => return None,
            Mounts::Done => {
                let from = from?;
                if !may_pull(&state, self.headers, &from) {
                    return None;
                }
                state.repositories.get(&from)?.blobs.get(&digest)?.clone()
            }
        };
        let repository = state.repository(self.name);
        repository.blobs.insert(digest.clone(), mounted);
        Some(self.committed(&digest))
    }

    fn committed(&self, digest: &str) -> Response<Body> {
        let mut answer = empty(StatusCode::CREATED);
        let place = format!("/v2/{}/blobs/{digest}", self.name);
        set(&mut answer, LOCATION.as_str(), &place);
        set(&mut answer, "docker-content-digest", digest);
        answer
    }

    fn commit(&self, session: Session, digest: &str, keeps_bytes: bool) -> Response<Body> {
        let mut state = self.shared.state.lock();
        if session.length == 0 && !state.options.takes_empty_blobs {
            return refusal(400, "SIZE_INVALID", "blobs are not empty here");
        }
        match session.finish(digest, keeps_bytes) {
            Err(message) => refusal(400, "DIGEST_INVALID", &message),
            Ok(content) => {
                let repository = state.repository(self.name);
                repository.blobs.insert(digest.to_owned(), content);
                self.committed(digest)
            }
        }
    }

    async fn patch(&self, intake: &mut Intake) -> Answer {
        if let Some(refused) = self.refused_patch() {
            intake.drain().await?;
            return Ok(refused);
        }
        let added = self.add(intake).await?;
        if let Err(refused) = added {
            return Ok(refused);
        }
        let chunk_status = {
            let mut state = self.shared.state.lock();
            if let Some(session) = state.sessions.get_mut(self.id) {
                session.patches += 1;
            }
            state.options.chunk_status
        };
        let mut answer = self.progress(StatusCode::ACCEPTED);
        let odd = match (self.fault, chunk_status) {
            (Some(Fault::PatchStatus(status)), _) => Some(*status),
            (_, Some(status)) if self.headers.contains_key(CONTENT_RANGE) => Some(status),
            _ => None,
        };
        if let Some(status) = odd {
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            set(&mut answer, RANGE.as_str(), "0-0");
        }
        Ok(answer)
    }

    fn refused_patch(&self) -> Option<Response<Body>> {
        let mut state = self.shared.state.lock();
        let options = state.options.clone();
        let session = state.sessions.get_mut(self.id)?;
        let length = number(self.headers, CONTENT_LENGTH);
        if options.needs_length && length.is_none() {
            return Some(refusal(411, "CONTENT_LENGTH_INVALID", "how long?"));
        }
        let is_chunk = self.headers.contains_key(CONTENT_RANGE);
        let status = match is_chunk {
            true => options.refuses_chunks,
            false => options.refuses_plain_patch,
        };
        if let Some(status) = status {
            return Some(refusal(status, "UNSUPPORTED", "not in this way"));
        }
        if let (true, Some(limit), Some(length)) = (is_chunk, options.chunk_limit, length)
            && length > limit
        {
            return Some(refusal(413, "SIZE_INVALID", "too much at once"));
        }
        if session.patches > 0 {
            match options.later_patches {
                LaterPatches::Added => {}
                LaterPatches::Overwrite => session.clear(),
                LaterPatches::Refused(status) => {
                    return Some(refusal(status, "UNSUPPORTED", "one PATCH only"));
                }
            }
        }
        // A short chunk is the last one.
        let is_after_short = options
            .chunk_min
            .is_some_and(|min| is_chunk && session.length % min.max(1) != 0);
        if is_after_short {
            return Some(refusal(
                400,
                "SIZE_INVALID",
                "the chunk before was too short",
            ));
        }
        None
    }

    async fn put(&self, intake: &mut Intake) -> Answer {
        let Some(digest) = self.entry.asked("digest") else {
            intake.drain().await?;
            return Ok(refusal(400, "DIGEST_INVALID", "which digest?"));
        };
        let options = self.shared.state.lock().options.clone();
        let length = number(self.headers, CONTENT_LENGTH);
        let is_long = options
            .put_limit
            .filter(|(limit, _)| length.is_some_and(|length| length > *limit));
        let has_body = length != Some(0) && (length.is_some() || !intake.is_empty());
        let refused = if options.needs_length && has_body && length.is_none() {
            Some((411, "CONTENT_LENGTH_INVALID"))
        } else if let Some((_, status)) = is_long {
            Some((status, "SIZE_INVALID"))
        } else {
            options
                .refuses_put_body
                .filter(|_| has_body)
                .map(|status| (status, "UNSUPPORTED"))
        };
        if let Some((status, code)) = refused {
            intake.drain().await?;
            return Ok(refusal(status, code, "not in one PUT"));
        }
        if let Err(refused) = self.add(intake).await? {
            return Ok(refused);
        }
        let session = self.shared.state.lock().sessions.remove(self.id);
        Ok(match session {
            None => lost(),
            Some(session) => self.commit(session, &digest, options.keeps_bytes),
        })
    }

    /// Takes the body into the session, if it is the part that its Content-Range says.
    async fn add(&self, intake: &mut Intake) -> io::Result<Result<(), Response<Body>>> {
        let (start, keeps_bytes, resumes) = {
            let state = self.shared.state.lock();
            let session = state.sessions.get(self.id);
            (
                session.map_or(0, |session| session.length),
                state.options.keeps_bytes,
                state.options.resumes_uploads,
            )
        };
        let range = self.headers.get(CONTENT_RANGE);
        let range = range.and_then(|value| value.to_str().ok());
        let stated = range.map(chunk);
        if stated.is_some_and(|stated| stated.is_none_or(|(first, _)| first != start)) {
            intake.drain().await?;
            return Ok(Err(self.progress(StatusCode::RANGE_NOT_SATISFIABLE)));
        }
        let mut added = 0;
        loop {
            let next = intake.next().await;
            let mut state = self.shared.state.lock();
            match next {
                Err(error) => {
                    if !resumes {
                        state.sessions.remove(self.id);
                    }
                    return Err(error);
                }
                Ok(None) => break,
                Ok(Some(data)) => {
                    let Some(session) = state.sessions.get_mut(self.id) else {
                        return Ok(Err(lost()));
                    };
                    session.add(&data, keeps_bytes);
                    added += data.len() as u64;
                }
            }
        }
        if let Some(Some((first, last))) = stated
            && last
                .checked_sub(first)
                .is_none_or(|length| length + 1 != added)
        {
            self.shared.state.lock().sessions.remove(self.id);
            return Ok(Err(refusal(
                400,
                "SIZE_INVALID",
                "Content-Range and body disagree",
            )));
        }
        Ok(Ok(()))
    }
}

fn lost() -> Response<Body> {
    refusal(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown to registry")
}

/// First and last byte of a chunk: `0-99`, or `bytes 0-99/*` as some write it.
fn chunk(text: &str) -> Option<(u64, u64)> {
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let text = text.split_once('/').map_or(text, |(range, _)| range);
    let (first, last) = text.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}
