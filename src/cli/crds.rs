//! `tagscope crds`: the CustomResourceDefinitions, for `kubectl apply -f -`.

use super::{Outcome, print};
use crate::api;

pub(super) fn run() -> Outcome {
    let documents: String = api::crds()
        .iter()
        .map(api::render)
        .collect::<Result<_, _>>()?;
    print(&documents)
}
