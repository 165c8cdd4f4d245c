//! Uploads: how one is begun (or a blob mounted in its place), and on which rung of the ladder a host takes the bytes.
//!
//! The ladder (distribution specification, "pushing blobs"): POST and one PUT with the length; else POST, one PATCH without
//! a Content-Range, and an empty PUT; else chunks with Content-Range, of at least `OCI-Chunk-Min-Length`. Which rung a host
//! takes is remembered for a day. `Location` is hostile: resolved against the request, its query kept and `digest`
//! added, and followed to another host only without a credential and never nearer than the registry.

use super::Error;
use super::remote::Remote;
use crate::image::{Digest, Repository};

/// An upload that has begun.
#[derive(Debug)]
pub struct Session {
    _private: (),
}

/// What became of the wish to begin.
#[derive(Debug)]
pub enum Begun {
    /// The blob was mounted: nothing is to be sent.
    Mounted,
    /// Send it.
    Session(Session),
}

impl Remote {
    /// Begins an upload of `blob`; with `mount_from`, asks in the same request to take it from that repository of the same
    /// registry instead (a refusal to mount begins an ordinary upload, with one more request only where the registry
    /// answered with an error).
    pub async fn begin_upload(
        &self,
        _blob: &Digest,
        _mount_from: Option<&Repository>,
    ) -> Result<Begun, Error> {
        todo!()
    }

    /// Gives a session up (`DELETE`), best effort.
    pub async fn cancel_upload(&self, _session: Session) {
        todo!()
    }
}
