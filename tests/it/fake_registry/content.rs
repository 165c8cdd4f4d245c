//! Bytes and their digests: what a repository keeps, and what is made of a seed whenever somebody asks.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures::stream;
use sha2::{Digest as _, Sha256, Sha512};

use super::replies::{Body, body_of, whole_body};

/// Larger contents are made anew for each reader.
const MAX_HELD: u64 = 8 << 20;
const PIECE: u64 = 64 << 10;

/// What stands behind a digest.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// The bytes.
    Held(Bytes),
    /// What [`bytes_of`] gives, never all of it at once.
    Made { seed: u64, size: u64 },
    /// Hashed and let go ([`super::Options::keeps_bytes`]).
    Counted(u64),
}

impl Content {
    pub(super) fn made(seed: u64, size: u64) -> Self {
        if size > MAX_HELD {
            return Self::Made { seed, size };
        }
        Self::Held(bytes_of(seed, size))
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Made { size, .. } | Self::Counted(size) => *size,
        }
    }

    /// The bytes, where they are held.
    pub(super) fn held(&self) -> Option<&Bytes> {
        match self {
            Self::Held(bytes) => Some(bytes),
            Self::Made { .. } | Self::Counted(_) => None,
        }
    }

    /// What is sent for `range`, which lies inside.
    pub(super) fn body(&self, range: Range<u64>) -> Option<Body> {
        match self {
            Self::Held(bytes) => Some(whole_body(bytes.slice(
                usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap(),
            ))),
            Self::Made { seed, .. } => Some(body_of(pieces(*seed, range))),
            Self::Counted(_) => None,
        }
    }

    /// Its digest by `algorithm`; none: unknown algorithm, or the bytes are gone.
    pub(super) fn digest(&self, algorithm: &str) -> Option<String> {
        match self {
            Self::Held(bytes) => digest_with(algorithm, bytes),
            Self::Made { seed, size } => {
                let pieces = (0..*size)
                    .step_by(usize::try_from(PIECE).unwrap())
                    .map(|at| piece(*seed, at, PIECE.min(size - at)));
                match algorithm {
                    "sha256" => {
                        let mut hasher = Sha256::new();
                        pieces.for_each(|piece| hasher.update(&piece));
                        Some(format!("sha256:{}", hex(&hasher.finalize())))
                    }
                    "sha512" => {
                        let mut hasher = Sha512::new();
                        pieces.for_each(|piece| hasher.update(&piece));
                        Some(format!("sha512:{}", hex(&hasher.finalize())))
                    }
                    _ => None,
                }
            }
            Self::Counted(_) => None,
        }
    }
}

fn pieces(
    seed: u64,
    range: Range<u64>,
) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + Sync + 'static {
    stream::iter(
        range
            .clone()
            .step_by(usize::try_from(PIECE).unwrap())
            .map(move |at| Ok(piece(seed, at, PIECE.min(range.end - at)))),
    )
}

/// `size` bytes that depend on `seed` alone; those of a smaller size are their beginning.
pub(crate) fn bytes_of(seed: u64, size: u64) -> Bytes {
    piece(seed, 0, size)
}

fn piece(seed: u64, offset: u64, length: u64) -> Bytes {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap() + 16);
    let skipped = usize::try_from(offset % 8).unwrap();
    let mut at = offset / 8;
    while bytes.len() < usize::try_from(length).unwrap() + skipped {
        bytes.extend_from_slice(&mixed(seed, at).to_le_bytes());
        at += 1;
    }
    let end = skipped + usize::try_from(length).unwrap();
    Bytes::from(bytes).slice(skipped..end)
}

/// A number that looks like chance.
fn mixed(seed: u64, at: u64) -> u64 {
    let mut x = seed
        .wrapping_mul(0xD134_2543_DE82_EF95)
        .wrapping_add(at.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The sha256 digest of `content`.
pub(crate) fn digest_of(content: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(content)))
}

/// The digest of `content` by `algorithm`, when that is known here.
pub(super) fn digest_with(algorithm: &str, content: &[u8]) -> Option<String> {
    match algorithm {
        "sha256" => Some(digest_of(content)),
        "sha512" => Some(format!("sha512:{}", hex(&Sha512::digest(content)))),
        _ => None,
    }
}

/// The algorithm of a digest; none: it is not one.
pub(super) fn algorithm_of(digest: &str) -> Option<&str> {
    let (algorithm, encoded) = digest.split_once(':')?;
    let length = match algorithm {
        "sha256" => 64,
        "sha512" => 128,
        _ => return None,
    };
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (encoded.len() == length && encoded.bytes().all(is_hex)).then_some(algorithm)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from_digit(nibble.into(), 16).unwrap())
        .collect()
}
