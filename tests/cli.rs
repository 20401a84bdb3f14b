//! The command line: the built binary in a hermetic home; and what holds for the tree as a whole.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "cli/rooms.rs"]
mod rooms;
