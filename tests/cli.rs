//! The command line: the built binary in a hermetic home; and what holds for the tree as a whole.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::format_push_string,
    reason = "tests"
)]

#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/cluster.rs"]
mod cluster;
#[path = "cli/crd.rs"]
mod crd;
#[path = "cli/demo.rs"]
mod demo;
#[path = "cli/docs.rs"]
mod docs;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/environment.rs"]
mod environment;
#[path = "cli/hazards.rs"]
mod hazards;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/plan.rs"]
mod plan;
#[path = "cli/render.rs"]
mod render;
#[path = "cli/repo.rs"]
mod repo;
#[path = "cli/rooms.rs"]
mod rooms;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/secrets.rs"]
mod secrets;
#[path = "cli/sidecar.rs"]
mod sidecar;
#[path = "cli/signed.rs"]
mod signed;
#[path = "cli/status.rs"]
mod status;
#[path = "common/web.rs"]
mod web;
