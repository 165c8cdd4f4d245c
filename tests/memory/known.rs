//! What a mirror's state costs for each blob that is known to be somewhere.

use tagscope::image::{Digest, Repository};
use tagscope::mirror::known::{Known, Provenance};

const BLOBS: usize = 200_000;
const REPOSITORIES: usize = 1000;
/// Of a blob, however it was learnt: 24 MB for a million.
const MOST_BYTES: usize = 24 * BLOBS;

/// Many blobs in a thousand repositories, noted one by one, and read from a file. `held`: bytes allocated now.
pub(crate) fn known_blobs_are_cheap(held: &dyn Fn() -> usize) {
    let names: Vec<Repository> = (0..REPOSITORIES)
        .map(|number| {
            format!("registry.example/team/app-{number}")
                .parse()
                .unwrap()
        })
        .collect();
    let provenance = Provenance {
        registry: "source.example".parse().unwrap(),
        account: None,
    };
    let before = held();
    let known = Known::default();
    for blob in 0..BLOBS {
        let digest = Digest::of(&blob.to_le_bytes());
        let name = names.get(blob % REPOSITORIES).unwrap();
        known.note_blob_of(name, &digest, &provenance);
    }
    let noted = held() - before;
    println!("{noted} bytes for {BLOBS} blobs, noted one by one");
    assert!(noted <= MOST_BYTES, "{noted} bytes");
    let bytes = known.encode();
    drop(known);
    assert!(bytes.len() <= MOST_BYTES, "{} bytes in a file", bytes.len());
    let before = held();
    let known = Known::decode(&bytes).unwrap();
    let read = held() - before;
    println!("{read} bytes for {BLOBS} blobs, read from a file");
    assert!(read <= MOST_BYTES, "{read} bytes");
    let registry = names.first().unwrap().registry();
    let digest = Digest::of(&7_usize.to_le_bytes());
    let holder = known.holder(registry, &digest, &provenance);
    assert_eq!(holder.as_ref(), names.get(7));
}
