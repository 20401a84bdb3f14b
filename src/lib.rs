//! Serin: a GitOps sidecar for progressive delivery.
//!
//! Data walks one way through these rooms: a commit (`repo`) holds objects (`manifest`) that belong to a
//! rollout (`canary`, `plan`), which a pure machine (`rollout`) drives; `workload`, `traffic`, `metrics` and
//! `hooks` translate for one kind, router, vendor or hook each; `cluster` alone writes to Kubernetes; `report`
//! says it on the commit; `runtime` turns the crank. `rehearsal` is a cluster in this process.
//! Which room may import which is held by `tests/cli.rs` (`rooms`).

pub mod canary;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod error;
pub mod hooks;
pub mod http;
pub mod manifest;
pub mod metrics;
pub mod plan;
pub mod rehearsal;
pub mod repo;
pub mod report;
pub mod rollout;
pub mod runtime;
pub mod traffic;
pub mod workload;
