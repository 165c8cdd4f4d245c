//! Tests against a real kube-apiserver, etcd and registry.

mod crds;
