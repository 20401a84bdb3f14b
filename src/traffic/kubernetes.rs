//! No router: the Services alone. Traffic is never split; the canary gets none before it is promoted.

use super::Refusal;
use crate::{
    canary::Canary,
    manifest::{ObjectKey, Snapshot, Write},
    rollout::{Routes, Seen},
};

pub(super) fn inputs(_canary: &Canary) -> Vec<ObjectKey> {
    Vec::new()
}

pub(super) fn observe(_canary: &Canary, _known: &Snapshot) -> Seen<Routes> {
    Seen::Present(Routes::Weight(0))
}

#[expect(clippy::unnecessary_wraps, reason = "all adapters have one shape")]
pub(super) fn desired(_weight: u8, _canary: &Canary, _known: &Snapshot) -> Result<Vec<Write>, Refusal> {
    Ok(Vec::new())
}
