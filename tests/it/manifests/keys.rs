//! Keys: those that the development authority makes, and none among the sources.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tagscope::api::names;

use super::{not_checked, root};

#[test]
fn the_development_authority_vouches_for_the_service() {
    if Command::new("openssl").arg("version").output().is_err() {
        not_checked("certs/dev-ca.sh", "openssl");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let make = || {
        let made = Command::new(root().join("certs/dev-ca.sh"))
            .arg(dir.path())
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        (read("ca.crt"), read("tls.crt"))
    };
    let (authority, first) = make();
    let (again, second) = make();
    assert_eq!(authority, again, "the authority is kept");
    assert_ne!(first, second, "the serving certificate is made anew");

    let (_, authority) = x509_parser::pem::parse_x509_pem(&authority).unwrap();
    let (_, serving) = x509_parser::pem::parse_x509_pem(&second).unwrap();
    let (authority, serving) = (
        authority.parse_x509().unwrap(),
        serving.parse_x509().unwrap(),
    );
    assert!(authority.is_ca() && !serving.is_ca());
    assert_eq!(serving.issuer(), authority.subject());
    // Version 3: rustls refuses anything older.
    assert_eq!(serving.version().0, 2);
    let names_of = serving
        .subject_alternative_name()
        .unwrap()
        .unwrap()
        .value
        .general_names
        .iter();
    let names_of: Vec<String> = names_of.map(ToString::to_string).collect();
    for name in [
        &*format!("{}.{}.svc", names::SERVICE_NAME, names::DEFAULT_NAMESPACE),
        "localhost",
    ] {
        assert!(
            names_of.contains(&format!("DNSName({name})")),
            "{names_of:?}"
        );
    }

    #[cfg(unix)]
    for key in ["ca.key", "tls.key"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(dir.path().join(key))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{key} is for its owner alone");
    }
}

#[test]
fn no_key_is_kept_with_the_sources() {
    let marker = ["PRIVATE", "KEY-----"].join(" ");
    let mut dirs: Vec<PathBuf> = ["apiservice", "certs", "deploy", "examples"]
        .iter()
        .map(|top| root().join(top))
        .collect();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                assert!(
                    !fs::read_to_string(&path).unwrap().contains(&marker),
                    "{}",
                    path.display()
                );
            }
        }
    }
}
