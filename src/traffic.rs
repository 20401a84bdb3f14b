//! Routers, one file each, all of one shape: what must be read (`inputs`), what the routes are now
//! (`observe`), and what is to be written for a weight (`desired`). Pure: decides no weight, and writes
//! nothing itself.

mod kubernetes;
mod skipper;

use crate::{
    canary::{Canary, Provider},
    error::{Class, Classified},
    manifest::{ObjectKey, Snapshot, Write},
    rollout::{Routes, Seen},
};

/// Why a weight cannot be routed now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Something that is needed was not read.
    #[error("{0} was not read yet")]
    NotRead(ObjectKey),
    /// The user must fix what is said here.
    #[error("{0}")]
    Unroutable(String),
}

impl Classified for Refusal {
    fn class(&self) -> Class {
        match self {
            Self::NotRead(_) => Class::WaitForChange,
            Self::Unroutable(_) => Class::UserMustFix,
        }
    }
}

/// What an adapter answers.
struct Adapter {
    inputs: fn(&Canary) -> Vec<ObjectKey>,
    observe: fn(&Canary, &Snapshot) -> Seen<Routes>,
    desired: fn(u8, &Canary, &Snapshot) -> Result<Vec<Write>, Refusal>,
}

/// Returns the adapter of a router, if there is one.
fn adapter(provider: Provider) -> Option<Adapter> {
    match provider {
        Provider::Kubernetes => Some(Adapter {
            inputs: kubernetes::inputs,
            observe: kubernetes::observe,
            desired: kubernetes::desired,
        }),
        Provider::Skipper => Some(Adapter {
            inputs: skipper::inputs,
            observe: skipper::observe,
            desired: skipper::desired,
        }),
        Provider::Apisix
        | Provider::Appmesh
        | Provider::AppmeshV1beta2
        | Provider::Contour
        | Provider::GatewayapiV1
        | Provider::GatewayapiV1beta1
        | Provider::Gloo
        | Provider::Istio
        | Provider::Knative
        | Provider::Kuma
        | Provider::Linkerd
        | Provider::Nginx
        | Provider::Osm
        | Provider::SmiV1alpha1
        | Provider::SmiV1alpha2
        | Provider::SmiV1alpha3
        | Provider::Traefik => None,
    }
}

/// Returns the keys that must be read. Call again with what was read, until no new keys come.
#[must_use]
pub fn inputs(canary: &Canary, _known: &Snapshot) -> Vec<ObjectKey> {
    adapter(canary.spec.provider)
        .map(|adapter| (adapter.inputs)(canary))
        .unwrap_or_default()
}

/// Returns what is routed now. `Absent`: the route has to be made.
#[must_use]
pub fn observe(canary: &Canary, known: &Snapshot) -> Seen<Routes> {
    match adapter(canary.spec.provider) {
        Some(adapter) => (adapter.observe)(canary, known),
        None => Seen::Present(Routes::Unroutable(not_implemented(canary))),
    }
}

/// Returns what is to be written so that this percentage of traffic goes to the canary; nothing when it does.
pub fn desired(weight: u8, canary: &Canary, known: &Snapshot) -> Result<Vec<Write>, Refusal> {
    match adapter(canary.spec.provider) {
        Some(adapter) => (adapter.desired)(weight, canary, known),
        None => Err(Refusal::Unroutable(not_implemented(canary))),
    }
}

fn not_implemented(canary: &Canary) -> String {
    let name = canary.spec.provider.name();
    format!("provider {name} is not implemented yet: use kubernetes or skipper")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capability_table_names_the_adapters_that_exist() {
        for provider in Provider::ALL {
            assert_eq!(
                adapter(provider).is_some(),
                provider.implemented(),
                "{}",
                provider.name()
            );
        }
    }
}
