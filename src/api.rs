//! The contracts with Kubernetes: the kinds that users write, the kinds that are served, and the words
//! (conditions, durations, annotations) that both share with the ecosystem.
//!
//! Types and pure helpers only: nothing here talks to a cluster, waits, or logs. The kinds of
//! `image.toolkit.fluxcd.io` are Flux's; every field, default and rule of theirs is kept, so that manifests,
//! dashboards and the `flux` CLI work unchanged.

pub mod access;
pub mod bandwidth;
pub mod condition;
pub mod crd;
pub mod duration;
pub mod image_mirror;
pub mod image_policy;
pub mod image_repository;
pub mod names;
pub mod reference;
pub mod tag_query;
pub mod tags;

pub use bandwidth::Bandwidth;
pub use crd::{crds, render};
pub use duration::GoDuration;
pub use image_mirror::{ImageMirror, ImageMirrorSpec, ImageMirrorStatus};
pub use image_policy::{ImagePolicy, ImagePolicySpec, ImagePolicyStatus};
pub use image_repository::{ImageRepository, ImageRepositorySpec, ImageRepositoryStatus};
