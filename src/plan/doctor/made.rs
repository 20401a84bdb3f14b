//! The objects that a rollout makes, by their names.

use crate::{
    canary::{Canary, Provider},
    manifest::{ObjectKey, Resource},
};

/// The Service that clients use; a Canary of a Service leaves it to the user.
pub(super) fn apex(canary: &Canary) -> Option<ObjectKey> {
    let made = canary.spec.target.kind.scales();
    made.then(|| service(canary, &canary.spec.service.name))
}

/// The copy of the user's Ingress that holds the weights.
pub(super) fn copy(canary: &Canary) -> Option<ObjectKey> {
    let ingress = canary.spec.ingress.as_deref();
    let ingress = ingress.filter(|_| canary.spec.provider == Provider::Skipper)?;
    let name = format!("{ingress}-canary");
    Some(ObjectKey::new(Resource::INGRESS, &canary.namespace, &name))
}

/// All the others.
pub(super) fn generated(canary: &Canary) -> Vec<ObjectKey> {
    let mut made = vec![
        service(canary, &canary.primary_service()),
        service(canary, &canary.canary_service()),
    ];
    if canary.spec.target.kind.scales() {
        made.push(ObjectKey::new(
            Resource::DEPLOYMENT,
            &canary.namespace,
            &canary.primary_name(),
        ));
    }
    made.extend(copy(canary));
    made
}

fn service(canary: &Canary, name: &str) -> ObjectKey {
    ObjectKey::new(Resource::SERVICE, &canary.namespace, name)
}
