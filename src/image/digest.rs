//! A content digest, and how one is made.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256, Sha512};

use super::{Error, shown};

/// The algorithms of the OCI image specification ("digests").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// What nearly everybody uses, and all that go-containerregistry takes.
    Sha256,
    /// What the specification allows besides.
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// As digests name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// A content digest, e.g. `sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Arc<str>);

impl Digest {
    /// The SHA-256 digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self::of_bytes(Algorithm::Sha256, &Sha256::digest(content))
    }

    /// Whether `content` is what this is the digest of.
    pub fn is_of(&self, content: &[u8]) -> bool {
        let mut hasher = Hasher::new(self.algorithm());
        hasher.update(content);
        hasher.finish() == *self
    }

    /// `algorithm:hex`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How it was made.
    pub fn algorithm(&self) -> Algorithm {
        if self.0.starts_with("sha512:") {
            Algorithm::Sha512
        } else {
            Algorithm::Sha256
        }
    }

    /// The part behind the colon.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }

    fn of_bytes(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(8 + algorithm.hex_digits());
        text.push_str(algorithm.as_str());
        text.push(':');
        for byte in bytes {
            for nibble in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(nibble.into(), 16));
            }
        }
        Self(text.into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let is_one = |algorithm: Algorithm| {
            text.split_once(':').is_some_and(|(name, hex)| {
                name == algorithm.as_str()
                    && hex.len() == algorithm.hex_digits()
                    && hex
                        .bytes()
                        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            })
        };
        if Algorithm::ALL.into_iter().any(is_one) {
            Ok(Self(text.into()))
        } else {
            Err(Error::Digest(shown(text)))
        }
    }
}

/// Makes a digest of what comes in pieces. A clone goes on from where it was taken.
#[derive(Debug, Clone)]
pub struct Hasher(State);

#[derive(Debug, Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    /// Of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::default()),
        })
    }

    /// The next piece.
    pub fn update(&mut self, piece: &[u8]) {
        match &mut self.0 {
            State::Sha256(hasher) => hasher.update(piece),
            State::Sha512(hasher) => hasher.update(piece),
        }
    }

    /// The digest of all pieces.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(hasher) => Digest::of_bytes(Algorithm::Sha256, &hasher.finalize()),
            State::Sha512(hasher) => Digest::of_bytes(Algorithm::Sha512, &hasher.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_digest_of_the_whole() {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(b"ab");
        let mut fork = hasher.clone();
        hasher.update(b"c");
        fork.update(b"d");
        assert_eq!(hasher.finish(), Digest::of(b"abc"));
        assert_eq!(fork.finish(), Digest::of(b"abd"));
    }

    #[test]
    fn both_algorithms_are_told_apart() {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(b"abc");
        let digest = hasher.finish();
        assert_eq!(digest.as_str().parse::<Digest>().unwrap(), digest);
        assert_eq!(digest.algorithm(), Algorithm::Sha512);
        assert_eq!(digest.hex().len(), 128);
        assert!(digest.is_of(b"abc") && !digest.is_of(b"abd"));
        for bad in [
            "sha512:ab",
            "sha384:ab",
            "md5:ab",
            "SHA256:ab",
            "sha256:",
            ":",
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
