//! `tagscope crds`: the CustomResourceDefinitions, for `kubectl apply -f -`.

use super::{Outcome, print};
use crate::api::crd;

pub(super) fn run() -> Outcome {
    print(&crd::stream()?)
}
