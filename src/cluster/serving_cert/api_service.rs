//! The APIService's `caBundle`: decided purely, patched only when it differs.

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::{Error, Settings};

const INJECTED: [&str; 3] = [
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "cert-manager.io/inject-apiserver-ca",
];

/// What became of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    /// It has been written.
    Written,
    /// It was there already, or there is no APIService any more.
    Settled,
    /// The APIService has changed since it was looked at; the watch will show it again.
    Outdated,
}

/// The APIService `name`. Listed, because that needs no other right than to watch it does.
pub(super) async fn find(api: &Api<APIService>, name: &str) -> Result<Option<APIService>, Error> {
    let one = ListParams::default()
        .fields(&format!("metadata.name={name}"))
        .limit(1);
    let found = api
        .list(&one)
        .await
        .map_err(|error| Error::of("read the APIService", "list", "apiservices", name, error))?;
    Ok(found.items.into_iter().next())
}

/// The bundle that is believed of our Service at present; nothing where it is not ours to write.
pub(super) fn believed(found: &APIService, settings: &Settings) -> String {
    if decide(found, settings, "").is_err() {
        return String::new();
    }
    let held = found.spec.as_ref().and_then(|spec| spec.ca_bundle.clone());
    held.and_then(|held| String::from_utf8(held.0).ok())
        .unwrap_or_default()
}

/// Writes `bundle` into the APIService when it holds another one. Only if it still is as it was `found`: somebody may
/// have given it to another Service meanwhile.
pub(super) async fn publish(
    api: &Api<APIService>,
    found: &APIService,
    settings: &Settings,
    bundle: &str,
) -> Result<Published, Error> {
    let Some(patch) = decide(found, settings, bundle)? else {
        return Ok(Published::Settled);
    };
    let name = &settings.api_service;
    let patched = api
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    match patched {
        Ok(_) => Ok(Published::Written),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Published::Settled),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Published::Outdated),
        Err(error) => Err(Error::of(
            "write caBundle",
            "patch",
            "apiservices",
            name,
            error,
        )),
    }
}

/// Whether the APIService holds exactly `bundle`.
pub(super) fn holds(found: &APIService, bundle: &str) -> bool {
    let held = found.spec.as_ref().and_then(|spec| spec.ca_bundle.as_ref());
    held.is_some_and(|held| held.0 == bundle.as_bytes())
}

/// The merge patch that is needed, if any.
fn decide(found: &APIService, settings: &Settings, bundle: &str) -> Result<Option<Value>, Error> {
    let name = || settings.api_service.clone();
    let spec = found.spec.clone().unwrap_or_default();
    let service = spec.service.unwrap_or_default();
    let (theirs_namespace, theirs_name) = (
        service.namespace.unwrap_or_default(),
        service.name.unwrap_or_default(),
    );
    if theirs_namespace != settings.namespace || theirs_name != settings.service {
        return Err(Error::Foreign {
            name: name(),
            service: format!("{theirs_namespace}/{theirs_name}"),
            ours: format!("{}/{}", settings.namespace, settings.service),
        });
    }
    if INJECTED
        .iter()
        .any(|key| found.annotations().contains_key(*key))
    {
        return Err(Error::Injected { name: name() });
    }
    let skips = spec.insecure_skip_tls_verify.unwrap_or_default();
    if spec
        .ca_bundle
        .is_some_and(|held| held.0 == bundle.as_bytes())
        && !skips
    {
        return Ok(None);
    }
    let bundle = k8s_openapi::ByteString(bundle.as_bytes().to_vec());
    let seen = found.metadata.resource_version.as_deref();
    let spec = if skips {
        // kube-apiserver accepts no bundle beside it, and it would let anybody in the Service's place read everything.
        json!({"caBundle": bundle, "insecureSkipTLSVerify": null})
    } else {
        json!({"caBundle": bundle})
    };
    Ok(Some(
        json!({"metadata": {"resourceVersion": seen}, "spec": spec}),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::serving_cert::Lives;

    fn settings() -> Settings {
        Settings {
            namespace: "ns".into(),
            service: "tagscope".into(),
            api_service: "v1alpha1.tags.tagscope.dev".into(),
            lives: Lives::default(),
        }
    }

    fn api_service(spec: &Value, annotations: &Value) -> APIService {
        let spec = json!({
            "metadata": {"name": "v1alpha1.tags.tagscope.dev", "annotations": annotations, "resourceVersion": "7"},
            "spec": spec,
        });
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn what_is_believed_counts_only_where_it_is_ours() {
        let of = |more: &Value, annotations: &Value| {
            believed(&api_service(&spec(more), annotations), &settings())
        };
        let held = json!({"caBundle": "cGVt"});
        assert_eq!(of(&held, &json!({})), "pem");
        assert_eq!(of(&json!({}), &json!({})), "");
        assert_eq!(of(&json!({"caBundle": "/w=="}), &json!({})), "");
        let injected = json!({"cert-manager.io/inject-ca-from": "ns/c"});
        assert_eq!(of(&held, &injected), "");
        let foreign = json!({"caBundle": "cGVt", "service": {"namespace": "other", "name": "x"}});
        assert_eq!(of(&foreign, &json!({})), "");
    }

    fn spec(more: &Value) -> Value {
        let mut spec = json!({
            "groupPriorityMinimum": 1000, "versionPriority": 15,
            "service": {"namespace": "ns", "name": "tagscope"},
        });
        spec.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        spec
    }

    #[test]
    fn the_bundle_is_written_only_where_it_is_missing_and_ours_to_write() {
        let decided = |spec: Value, annotations: Value| {
            decide(&api_service(&spec, &annotations), &settings(), "pem")
                .map_err(|error| error.to_string())
        };
        // "cGVt" is "pem".
        let patch = json!({"metadata": {"resourceVersion": "7"}, "spec": {"caBundle": "cGVt"}});
        assert_eq!(
            decided(spec(&json!({})), json!({})),
            Ok(Some(patch.clone()))
        );
        assert_eq!(
            decided(spec(&json!({"caBundle": "b2xk"})), json!({})),
            Ok(Some(patch))
        );
        assert_eq!(
            decided(spec(&json!({"caBundle": "cGVt"})), json!({})),
            Ok(None)
        );
        assert_eq!(
            decided(spec(&json!({"insecureSkipTLSVerify": true})), json!({})),
            Ok(Some(json!({
                "metadata": {"resourceVersion": "7"},
                "spec": {"caBundle": "cGVt", "insecureSkipTLSVerify": null},
            })))
        );
        let foreign = decided(
            spec(&json!({"service": {"namespace": "other", "name": "tagscope"}})),
            json!({}),
        );
        assert_eq!(
            foreign.unwrap_err(),
            "failed to write caBundle: APIService v1alpha1.tags.tagscope.dev names the Service other/tagscope, \
             not ns/tagscope"
        );
        let injected = decided(
            spec(&json!({})),
            json!({"cert-manager.io/inject-ca-from": "ns/c"}),
        );
        assert!(injected.unwrap_err().contains("injected by cert-manager"));
    }
}
