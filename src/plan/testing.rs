//! Manifests for the tests of this room.

pub(crate) fn config(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  key: \"{value}\"\n")
}

/// A Deployment `podinfo` that reads the ConfigMap `settings`.
pub(crate) fn deployment(tag: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: podinfo\nspec:\n  replicas: {replicas}\n  \
         selector:\n    matchLabels: {{app: podinfo}}\n  template:\n    metadata:\n      labels: {{app: podinfo}}\n    \
         spec:\n      containers:\n      - name: podinfo\n        image: podinfo:{tag}\n        envFrom:\n        \
         - configMapRef: {{name: settings}}\n"
    )
}

/// A Canary for a target of this kind, both named `podinfo`.
pub(crate) fn canary(kind: &str, step_weight: u32) -> String {
    let api = if kind == "Service" { "core/v1" } else { "apps/v1" };
    format!(
        "apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata:\n  name: podinfo\nspec:\n  provider: skipper\n  \
         targetRef:\n    apiVersion: {api}\n    kind: {kind}\n    name: podinfo\n  ingressRef:\n    \
         apiVersion: networking.k8s.io/v1\n    kind: Ingress\n    name: podinfo\n  service:\n    port: 9898\n  \
         analysis:\n    interval: 10s\n    threshold: 5\n    maxWeight: 50\n    stepWeight: {step_weight}\n"
    )
}

pub(crate) fn service(port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: podinfo\nspec:\n  selector: {{app: podinfo}}\n  \
         ports:\n  - port: {port}\n"
    )
}

/// A Flux Kustomization in `flux-system`, of the source `flux-system`. More of its spec, indented by two, follows.
pub(crate) fn flux(name: &str, path: &str, more: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: {name}\n  \
         namespace: flux-system\nspec:\n  path: {path}\n  sourceRef: {{kind: GitRepository, name: flux-system}}\n{more}"
    )
}

/// A HelmRelease in the namespace `default`.
pub(crate) fn release(name: &str, version: &str, more: &str) -> String {
    format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: {name}\n  namespace: default\n\
         spec:\n  chart:\n    spec:\n      chart: podinfo\n      version: {version}\n      \
         sourceRef: {{kind: HelmRepository, name: podinfo}}\n{more}"
    )
}
