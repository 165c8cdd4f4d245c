//! The names that objects carry: annotations, labels, finalizers, field managers. Constants only.

/// The API group of the kinds that are shared with Flux.
pub const IMAGE_GROUP: &str = "image.toolkit.fluxcd.io";

/// The storage version of the kinds that are shared with Flux.
pub const IMAGE_VERSION: &str = "v1";

/// The API group of the served kinds.
pub const TAGS_GROUP: &str = "tags.tagscope.dev";

/// The version of the served kinds.
pub const TAGS_VERSION: &str = "v1alpha1";

/// The API group of the kinds that copy images.
pub const MIRROR_GROUP: &str = "mirror.tagscope.dev";

/// The version of the kinds that copy images.
pub const MIRROR_VERSION: &str = "v1alpha1";

/// Annotation whose every change of value asks for a reconciliation at once.
///
/// The value is opaque: it is copied as it is into `status.lastHandledReconcileAt` and never parsed,
/// because its writers do not agree on a form.
pub const RECONCILE_REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// Annotation of an ImagePolicy: the one tag that it elects, as long as the list holds it.
pub const HOLD: &str = "tags.tagscope.dev/hold";

/// Annotation of an ImagePolicy: how long a tag has to be known before it is elected, a Go duration.
pub const MINIMUM_AGE: &str = "tags.tagscope.dev/minimum-age";

/// Annotation of an ImagePolicy: `forbid` keeps an election from going down because tags vanished.
pub const DOWNGRADE: &str = "tags.tagscope.dev/downgrade";

/// Annotation of an ImagePolicy: the platforms that a tag's index has to have, all of them (comma list of `os/arch[/variant]`).
pub const PLATFORMS: &str = "tags.tagscope.dev/platforms";

/// Annotation of an ImagePolicy: the ImageMirror (`[namespace/]name`) that must have verified a tag before it is elected.
pub const REQUIRE_MIRRORED: &str = "tags.tagscope.dev/require-mirrored";

/// Annotation of an ImageRepository: the namespaces (a comma list, or `*`) whose ImageMirrors may read the source with the
/// ImageRepository's own credentials.
pub const MIRROR_ALLOW_FROM: &str = "mirror.tagscope.dev/allow-from";

/// Finalizer on all of Flux's own kinds.
pub const FINALIZER: &str = "finalizers.fluxcd.io";

/// Label of a served tag: the name of its ImageRepository, cut to fit a label value.
pub const LABEL_REPOSITORY: &str = "tags.tagscope.dev/repository";

/// Label of a served tag that at least one policy elects; the value is [`LABEL_SELECTED_TRUE`].
pub const LABEL_SELECTED: &str = "tags.tagscope.dev/selected";

/// The only value of [`LABEL_SELECTED`].
pub const LABEL_SELECTED_TRUE: &str = "true";

/// Name of Flux's controller of these kinds: the reporting component of events and the field owner of
/// statuses, which existing alerts and tooling filter on.
pub const CONTROLLER_NAME: &str = "image-reflector-controller";

/// The namespace of an install, unless `RUNTIME_NAMESPACE` says otherwise.
pub const DEFAULT_NAMESPACE: &str = "tagscope-system";

/// The Service in front of the aggregated API, and so the first part of its serving certificate's name.
pub const SERVICE_NAME: &str = "tagscope";

/// The APIService that the aggregated API is registered with.
pub const API_SERVICE_NAME: &str = "v1alpha1.tags.tagscope.dev";

/// The Secret of the runtime namespace that holds the self-managed certificate authority.
pub const CA_SECRET_NAME: &str = "tagscope-ca";
