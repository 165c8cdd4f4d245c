//! The controllers over fakes: every flow from an object to its status, its Events and what the store serves.

mod bench;
mod elect;
mod fake_images;
mod fake_kube;
mod lifecycle;
mod scan;
