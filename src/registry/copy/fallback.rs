//! The list of a manifest's referrers, kept under a tag where the registry does not keep it (distribution specification,
//! "Referrers Tag Schema"). It is only ever added to, and what others write at the same time is not lost knowingly.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::failure::{Failure, Stop};
use super::run::Run;
use crate::image::Digest;
use crate::mirror::canonical;
use crate::mirror::outcome::Written;
use crate::mirror::referrers::fallback_tag;
use crate::registry::remote::{Named, Put, RawManifest, Remote};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Others write, too: so often is it tried to be among what is there in the end.
const TRIES: usize = 4;

/// Puts `referrer` on the list of `subject` in `to`; it came with the image `with`.
pub(super) async fn keep(
    run: &Run<'_>,
    to: &Remote,
    subject: &Digest,
    referrer: &RawManifest,
    with: &Digest,
) -> Result<(), Stop> {
    let Some(tag) = fallback_tag(subject) else {
        return Ok(());
    };
    let place = canonical::repository(to.repository()).into_owned();
    let key = (place, subject.clone());
    let lock = Arc::clone(run.changing.lock().entry(key).or_default());
    let _turn = lock.lock().await;
    let attempt = format!("failed to list a referrer as {}:{tag}", to.repository());
    let named = Named::Tag(tag.clone());
    let entry = entry(referrer).map_err(|cause| Failure::lasting(format!("{attempt}: {cause}")))?;
    for _ in 0..TRIES {
        let found = Box::pin(to.manifest(&named)).await;
        let found = found.map_err(|error| Failure::of(&attempt, &error))?;
        let bytes = match merged(found.as_ref().map(|found| &*found.bytes), &entry) {
            Ok(Some(bytes)) => bytes,
            // By us or by others: what is there belongs to one more image.
            Ok(None) => {
                if let Some(found) = found {
                    run.wrote(Written {
                        to: to.repository().clone(),
                        tag,
                        digest: found.digest.clone(),
                        before: Some(found.digest),
                        with: Some(with.clone()),
                    });
                }
                return Ok(());
            }
            Err(cause) => {
                // Some registries have something of their own there.
                run.problem(format!("{attempt}: {cause}, which is left alone"));
                return Ok(());
            }
        };
        let index = RawManifest {
            digest: Digest::of(&bytes),
            media_type: INDEX.to_owned(),
            bytes: bytes.into(),
        };
        let put = Box::pin(to.put_manifest(&named, &index)).await;
        match put.map_err(|error| Failure::of(&attempt, &error))? {
            Put::Done { was_there, .. } => run.wrote(Written {
                to: to.repository().clone(),
                tag: tag.clone(),
                before: match found {
                    _ if was_there => Some(index.digest.clone()),
                    found => found.map(|found| found.digest),
                },
                digest: index.digest,
                with: Some(with.clone()),
            }),
            Put::Missing { detail, .. } | Put::Immutable { detail, .. } => {
                return Err(Failure::lasting(format!("{attempt}: {detail}")).into());
            }
        }
    }
    Err(Failure {
        is_temporary: true,
        ..Failure::lasting(format!("{attempt}: others write it, too, and it got lost"))
    }
    .into())
}

/// How a list names `referrer`.
fn entry(referrer: &RawManifest) -> Result<Value, String> {
    let manifest: Value =
        serde_json::from_slice(&referrer.bytes).map_err(|error| error.to_string())?;
    let mut entry = Map::new();
    entry.insert("mediaType".to_owned(), json!(referrer.media_type));
    entry.insert("digest".to_owned(), json!(referrer.digest.as_str()));
    entry.insert("size".to_owned(), json!(referrer.bytes.len()));
    let of_config = || manifest.get("config")?.get("mediaType");
    let kind = manifest.get("artifactType").or_else(of_config);
    if let Some(kind @ Value::String(_)) = kind {
        entry.insert("artifactType".to_owned(), kind.clone());
    }
    if let Some(annotations @ Value::Object(_)) = manifest.get("annotations") {
        entry.insert("annotations".to_owned(), annotations.clone());
    }
    Ok(Value::Object(entry))
}

/// The index with `entry`; none: it has it.
fn merged(index: Option<&[u8]>, entry: &Value) -> Result<Option<Vec<u8>>, String> {
    let mut index = match index {
        None => json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}),
        Some(bytes) => serde_json::from_slice(bytes).map_err(|error| error.to_string())?,
    };
    let is_index = index
        .get("mediaType")
        .is_none_or(|media_type| media_type == INDEX);
    let manifests = index.get_mut("manifests").and_then(Value::as_array_mut);
    let Some(manifests) = manifests.filter(|_| is_index) else {
        return Err("what is there is no index".to_owned());
    };
    let digest = entry.get("digest");
    if manifests.iter().any(|known| known.get("digest") == digest) {
        return Ok(None);
    }
    manifests.push(entry.clone());
    let bytes = serde_json::to_vec(&index).map_err(|error| error.to_string())?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn referrer(name: &str) -> RawManifest {
        let bytes = json!({
            "config": {"mediaType": "application/vnd.example.config"},
            "annotations": {"name": name},
        });
        let bytes = bytes.to_string().into_bytes();
        RawManifest {
            digest: Digest::of(&bytes),
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            bytes: bytes.into(),
        }
    }

    #[test]
    fn a_list_is_begun_and_added_to_and_nothing_is_in_it_twice() {
        let [one, two] = ["one", "two"].map(|name| entry(&referrer(name)).unwrap());
        let begun = merged(None, &one).unwrap().unwrap();
        assert_eq!(merged(Some(&begun), &one), Ok(None));
        let both = merged(Some(&begun), &two).unwrap().unwrap();
        let index: Value = serde_json::from_slice(&both).unwrap();
        assert_eq!(index["manifests"], json!([one, two]));
        assert_eq!(index["mediaType"], INDEX);
        assert_eq!(
            index["manifests"][0]["artifactType"],
            "application/vnd.example.config"
        );
        assert_eq!(index["manifests"][1]["annotations"], json!({"name": "two"}));
    }

    #[test]
    fn what_is_no_index_is_left_alone() {
        let one = entry(&referrer("one")).unwrap();
        for other in [
            "{}",
            "[]",
            r#"{"manifests": 1}"#,
            "{",
            r#"{"mediaType": "x", "manifests": []}"#,
        ] {
            assert!(merged(Some(other.as_bytes()), &one).is_err(), "{other}");
        }
    }
}
