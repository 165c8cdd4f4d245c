//! Certificate files that change, vanish, or do not belong together.

use super::*;
use crate::clock::{Clock as _, SystemClock};

struct Directory {
    root: tempfile::TempDir,
}

impl Directory {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    fn files(&self) -> Files {
        Files {
            certificate: self.root.path().join("tls.crt"),
            key: self.root.path().join("tls.key"),
        }
    }

    fn write(&self, certificate: &str, key: &str) {
        std::fs::write(self.files().certificate, certificate).unwrap();
        std::fs::write(self.files().key, key).unwrap();
    }

    fn load(&self) -> Result<Follower, Error> {
        Follower::load(self.files(), Certificates::empty(), Arc::new(SystemClock))
    }
}

fn pair(days: i64) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after =
        std::time::SystemTime::from(SystemClock.now() + SignedDuration::from_hours(24 * days))
            .into();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn every_defect_names_its_file() {
    let directory = Directory::new();
    let path = directory.root.path().display().to_string();
    let (certificate, key) = pair(30);
    let (_, other) = pair(30);

    assert_eq!(
        directory.load().unwrap_err().to_string(),
        format!("failed to read {path}/tls.crt")
    );
    std::fs::write(directory.files().certificate, &certificate).unwrap();
    assert_eq!(
        directory.load().unwrap_err().to_string(),
        format!("failed to read {path}/tls.key")
    );

    let big = "x".repeat(usize::try_from(FILE_BYTES).unwrap() + 1);
    let cases = [
        (
            "no pem",
            &*key,
            format!("failed to use {path}/tls.crt: it holds no readable PEM certificate"),
        ),
        (
            &*certificate,
            "no pem",
            format!("failed to use {path}/tls.key: it holds no readable PEM private key"),
        ),
        (
            &*certificate,
            &*other,
            format!(
                "failed to use {path}/tls.crt with {path}/tls.key: the private key does not belong to the certificate"
            ),
        ),
        (
            &*big,
            &*key,
            format!("failed to read {path}/tls.crt: it is larger than 1048576 bytes"),
        ),
    ];
    for (certificate, key, expected) in cases {
        directory.write(certificate, key);
        assert_eq!(directory.load().unwrap_err().to_string(), expected);
    }
    directory.write(&certificate, &key);
    assert!(directory.load().is_ok());
}

#[test]
fn a_new_pair_is_taken_over_and_a_broken_one_is_not() {
    let directory = Directory::new();
    let (certificate, key) = pair(30);
    directory.write(&certificate, &key);
    let mut follower = directory.load().unwrap();
    let first = follower.certificates.not_after();
    assert!(!follower.look().unwrap(), "nothing changed");

    let (newer, newer_key) = pair(60);
    directory.write(&newer, &key);
    assert!(
        matches!(follower.look(), Err(Error::Mismatch { .. })),
        "half of an exchange"
    );
    assert_eq!(follower.certificates.not_after(), first);

    directory.write(&newer, &newer_key);
    assert!(follower.look().unwrap());
    assert!(follower.certificates.not_after() > first);
}
