//! End to end, on the real components (`scripts/cluster-up` builds them; the `real` feature enables this).

mod common;

#[path = "e2e/components.rs"]
mod components;
