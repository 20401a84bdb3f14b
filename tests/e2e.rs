//! End to end, on the real components (`scripts/cluster-up` builds them; the `real` feature enables this).

#![allow(clippy::indexing_slicing, reason = "an absent field of a JSON value is null")]

mod common;

#[path = "e2e/clone.rs"]
mod clone;
#[path = "e2e/cloned.rs"]
mod cloned;
#[path = "e2e/comment.rs"]
mod comment;
#[path = "e2e/components.rs"]
mod components;
#[path = "e2e/crd.rs"]
mod crd;
#[path = "e2e/flux.rs"]
mod flux;
#[path = "e2e/forge.rs"]
mod forge;
#[path = "e2e/helm.rs"]
mod helm;
#[path = "e2e/manifests.rs"]
mod manifests;
#[path = "e2e/oci.rs"]
mod oci;
#[path = "e2e/revert.rs"]
mod revert;
#[path = "e2e/scene.rs"]
mod scene;
#[path = "e2e/service.rs"]
mod service;
#[path = "e2e/sidecar.rs"]
mod sidecar;
#[path = "e2e/signed.rs"]
mod signed;
#[path = "e2e/steps.rs"]
mod steps;
#[path = "e2e/trouble.rs"]
mod trouble;
