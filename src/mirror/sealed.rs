//! Bytes that are kept, and read again as if somebody else had written them: a name, a version, a length, a checksum, and
//! then what they are about. Shared by what is known and by the ledger.
//!
//! Whole numbers are little-endian, texts have their length before them.

use sha2::{Digest as _, Sha256};

use super::known::Error;
use crate::image::{Algorithm, Digest, Registry};

/// What the first bytes say it is.
pub(super) type Magic = [u8; 16];

/// The longest text that is written.
pub(super) const TEXT_BYTES: usize = 1024;

/// `body` behind its name, version, length and checksum.
pub(super) fn seal(magic: &Magic, version: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + 64);
    bytes.extend_from_slice(magic);
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&Sha256::digest(body));
    bytes.extend_from_slice(body);
    bytes
}

/// What follows the checksum, if it is whole; `strange`: what is said of bytes with another name.
pub(super) fn open<'a>(
    bytes: &'a [u8],
    magic: &Magic,
    version: u32,
    strange: &'static str,
) -> Result<Reader<'a>, Error> {
    let mut reader = Reader(bytes);
    if reader.array::<16>()? != *magic {
        return Err(Error(strange));
    }
    if reader.u32()? != version {
        return Err(Error("it is of another version"));
    }
    let length = u64::from_le_bytes(reader.array()?);
    let checksum = reader.array::<32>()?;
    if usize::try_from(length) != Ok(reader.0.len()) {
        return Err(Error("it is cut off, or something follows it"));
    }
    if *Sha256::digest(reader.0) != checksum {
        return Err(Error("its checksum is wrong"));
    }
    Ok(reader)
}

pub(super) fn put_count(body: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    body.extend_from_slice(&count.to_le_bytes());
}

pub(super) fn put_text(body: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    body.extend_from_slice(&length.to_le_bytes());
    body.extend_from_slice(text.as_bytes());
}

pub(super) fn put_digest(body: &mut Vec<u8>, digest: &Digest) {
    body.push(match digest.algorithm() {
        Algorithm::Sha256 => 0,
        Algorithm::Sha512 => 1,
    });
    let digits = digest.hex().as_bytes();
    for pair in digits.chunks(2) {
        let byte = pair.iter().fold(0, |byte, digit| {
            byte << 4 | char::from(*digit).to_digit(16).unwrap_or_default()
        });
        body.push(u8::try_from(byte).unwrap_or_default());
    }
}

pub(super) const CUT_OFF: Error = Error("it is cut off");

/// What is still to be read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CUT_OFF)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(CUT_OFF)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Error> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        if length > TEXT_BYTES {
            return Err(Error("a text is too long"));
        }
        std::str::from_utf8(self.take(length)?).map_err(|_| Error("a text is none"))
    }

    pub(super) fn registry(&mut self) -> Result<Registry, Error> {
        let text = self.text()?;
        text.parse().map_err(|_| Error("a registry is none"))
    }

    pub(super) fn digest(&mut self) -> Result<Digest, Error> {
        let (algorithm, length) = match self.array()? {
            [0] => (Algorithm::Sha256, 32),
            [1] => (Algorithm::Sha512, 64),
            _ => return Err(Error("a digest is of an unknown kind")),
        };
        let mut text = format!("{}:", algorithm.as_str());
        for byte in self.take(length)? {
            for nibble in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(nibble.into(), 16));
            }
        }
        text.parse().map_err(|_| Error("a digest is none"))
    }
}
