//! What the sidecar must be allowed to do, by what it is run with. As in `deploy/`, which a test holds it against. Pure.

use std::collections::BTreeSet;

use super::super::args::DoctorArgs;
use crate::{
    canary::{Canary, Defaults, Provider},
    cluster::Access,
    manifest::{Object, ObjectKey, Resource},
    plan::{
        doctor::Ward,
        flux::{Applier, Release},
        target_of,
    },
};

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["get", "list", "watch", "create", "patch"];
const BRING: &[&str] = &["create", "patch"];
const OWN: &[&str] = &["get", "create", "patch"];

/// What the sidecar is run with, as far as rights depend on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sidecar {
    pub(super) track_configs: bool,
    pub(super) apply: bool,
    pub(super) flux: Option<ObjectKey>,
    /// The source that Flux is asked to fetch.
    pub(super) nudged: Option<ObjectKey>,
    pub(super) lease: bool,
    /// None: not known, and not examined.
    pub(super) state_namespace: Option<String>,
    /// The Secret and the Provider that credentials come from.
    pub(super) lenders: Vec<ObjectKey>,
}

impl Sidecar {
    pub(super) fn of(args: &DoctorArgs) -> Self {
        let named = |resource, text: &Option<String>| {
            let (namespace, name) = text.as_deref()?.split_once('/')?;
            Some(ObjectKey::new(resource, namespace, name))
        };
        let account = args
            .service_account
            .as_deref()
            .and_then(|account| account.split_once('/'));
        let lenders = [
            named(Resource::SECRET, &args.status_secret),
            named(Resource::PROVIDER, &args.status_provider),
        ];
        Self {
            track_configs: args.targets.enable_config_tracking,
            apply: args.applier.apply,
            flux: args.applier.flux.source.clone(),
            nudged: args
                .applier
                .flux
                .source
                .clone()
                .filter(|_| args.applier.flux.nudge),
            lease: args.state.lease != Some(false),
            state_namespace: args
                .state
                .state_namespace
                .clone()
                .or_else(|| account.map(|(namespace, _)| namespace.to_owned())),
            lenders: lenders.into_iter().flatten().collect(),
        }
    }

    /// Everything that it needs.
    pub(super) fn needs(&self, ward: &Ward) -> Vec<Access> {
        let mut needs = Vec::new();
        let canaries: BTreeSet<&str> = canaries(ward).map(Object::namespace).collect();
        for namespace in canaries {
            self.beside_canaries(ward, namespace, &mut needs);
        }
        if let Some(namespace) = &self.state_namespace {
            if self.lease {
                ask(&mut needs, namespace, Resource::LEASE, "", OWN);
            }
            ask(&mut needs, namespace, Resource::CONFIG_MAP, "", OWN);
        }
        if let Some(source) = &self.flux {
            self.of_flux(ward, source, &mut needs);
        }
        for lender in &self.lenders {
            let resource = lender.resource().unwrap_or(Resource::SECRET);
            let from = needs.len();
            ask(&mut needs, &lender.namespace, resource, "", READ);
            for access in needs.iter_mut().skip(from) {
                access.name.clone_from(&lender.name);
            }
        }
        needs
    }

    fn beside_canaries(&self, ward: &Ward, namespace: &str, needs: &mut Vec<Access>) {
        ask(needs, namespace, Resource::CANARY, "", READ);
        ask(needs, namespace, Resource::CANARY, "", &["patch"]);
        ask(needs, namespace, Resource::CANARY, "status", &["get", "update"]);
        ask(needs, namespace, Resource::METRIC_TEMPLATE, "", READ);
        for resource in [Resource::DEPLOYMENT, Resource::SERVICE, Resource::CONFIG_MAP] {
            ask(needs, namespace, resource, "", WRITE);
        }
        if self.track_configs {
            ask(needs, namespace, Resource::SECRET, "", WRITE);
        }
        if routes_by_ingress(ward, namespace, &ward.defaults) {
            ask(needs, namespace, Resource::INGRESS, "", WRITE);
        }
        ask(needs, namespace, Resource::EVENT, "", &["create"]);
        if self.apply {
            ask(needs, namespace, Resource::CANARY, "", &["create"]);
            for resource in [Resource::METRIC_TEMPLATE, Resource::ALERT_PROVIDER] {
                ask(needs, namespace, resource, "", BRING);
            }
        }
    }

    fn of_flux(&self, ward: &Ward, source: &ObjectKey, needs: &mut Vec<Access>) {
        let resource = source.resource().unwrap_or(Resource::GIT_REPOSITORY);
        ask(needs, &source.namespace, resource, "", READ);
        if self.nudged.is_some() {
            ask(needs, &source.namespace, resource, "", &["patch"]);
        }
        let appliers = ward.objects.values().filter(|object| {
            object.key().resource() == Some(Resource::KUSTOMIZATION) && Applier::of(object, source).is_some()
        });
        let mut namespaces: BTreeSet<&str> = appliers.map(Object::namespace).collect();
        namespaces.insert(&source.namespace);
        for namespace in namespaces {
            ask(needs, namespace, Resource::KUSTOMIZATION, "", READ);
        }
        for namespace in releases(ward) {
            ask(needs, &namespace, Resource::HELM_RELEASE, "", READ);
        }
    }
}

/// The namespaces of the HelmReleases that targets are of.
fn releases(ward: &Ward) -> BTreeSet<String> {
    let targets = canaries(ward).filter_map(|canary| ward.objects.get(&target_of(canary)?));
    targets
        .filter_map(Release::of_target)
        .map(|release| release.namespace)
        .collect()
}

fn canaries(ward: &Ward) -> impl Iterator<Item = &Object> {
    let of_kind = ward.objects.iter();
    of_kind
        .filter(|(key, _)| key.resource() == Some(Resource::CANARY))
        .map(|(_, object)| object)
}

/// Whether some canary of a namespace splits traffic by an Ingress.
fn routes_by_ingress(ward: &Ward, namespace: &str, defaults: &Defaults) -> bool {
    let mut there = canaries(ward).filter(|object| object.namespace() == namespace);
    there.any(|object| {
        Canary::parse(object, defaults).is_ok_and(|canary| canary.spec.provider == Provider::Skipper)
    })
}

fn ask(
    needs: &mut Vec<Access>,
    namespace: &str,
    resource: Resource,
    subresource: &'static str,
    verbs: &[&'static str],
) {
    needs.extend(verbs.iter().map(|verb| Access {
        namespace: namespace.to_owned(),
        resource,
        subresource,
        name: String::new(),
        verb,
    }));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::manifest::documents;

    fn ward() -> Ward {
        let mut ward = Ward::default();
        let canary = json!({"apiVersion": "flagger.app/v1beta1", "kind": "Canary",
            "metadata": {"name": "podinfo", "namespace": "test"},
            "spec": {"provider": "skipper", "service": {"port": 80}, "analysis": {"iterations": 3},
                "ingressRef": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "podinfo"},
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"}}});
        let kustomization = json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "apps", "namespace": "flux-system"},
            "spec": {"sourceRef": {"kind": "GitRepository", "name": "apps"}}});
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "podinfo",
            "namespace": "test", "labels": {"helm.toolkit.fluxcd.io/namespace": "shop", "helm.toolkit.fluxcd.io/name": "podinfo"}}});
        ward.admit([canary, kustomization, target].map(Object::from));
        ward
    }

    fn everything() -> Sidecar {
        Sidecar {
            track_configs: true,
            apply: true,
            flux: None,
            nudged: None,
            lease: true,
            state_namespace: Some("flux-system".to_owned()),
            lenders: vec![ObjectKey::new(Resource::SECRET, "flux-system", "serin-forge")],
        }
    }

    /// Group, resource, verb and name of every rule that a file of `deploy/` grants.
    fn granted(file: &str) -> BTreeSet<(String, String, String, String)> {
        let path = format!("{}/deploy/{file}", env!("CARGO_MANIFEST_DIR"));
        let found = documents(&std::fs::read(path).unwrap(), file);
        let texts = |rule: &Value, field: &str| -> Vec<String> {
            let values = rule
                .get(field)
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            values
                .iter()
                .map(|value| value.as_str().unwrap().to_owned())
                .collect()
        };
        let mut granted = BTreeSet::new();
        for document in found.objects {
            for rule in document
                .object
                .at("/rules")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let mut names = texts(rule, "resourceNames");
                if names.is_empty() {
                    names.push(String::new());
                }
                for group in texts(rule, "apiGroups") {
                    for resource in texts(rule, "resources") {
                        for verb in texts(rule, "verbs") {
                            for name in &names {
                                granted.insert((group.clone(), resource.clone(), verb.clone(), name.clone()));
                            }
                        }
                    }
                }
            }
        }
        granted
    }

    fn asked(sidecar: &Sidecar) -> BTreeSet<(String, String, String, String)> {
        let needs = sidecar.needs(&ward());
        let asked = needs.into_iter().map(|access| {
            let resource = match access.subresource {
                "" => access.resource.plural.to_owned(),
                part => format!("{}/{part}", access.resource.plural),
            };
            (
                access.resource.group.to_owned(),
                resource,
                access.verb.to_owned(),
                access.name,
            )
        });
        asked.collect()
    }

    /// What `deploy/` grants beyond what is asked for: room for what is to come.
    fn spare(rule: &(String, String, String, String)) -> bool {
        let (_, resource, verb, _) = rule;
        resource == "alertproviders" || (resource == "canaries/status" && verb == "patch")
    }

    #[test]
    fn what_is_asked_for_is_what_deploy_grants() {
        let source = ObjectKey::new(Resource::GIT_REPOSITORY, "flux-system", "apps");
        let flux = Sidecar {
            apply: false,
            flux: Some(source.clone()),
            nudged: Some(source),
            lenders: Vec::new(),
            ..everything()
        };
        for (file, sidecar) in [("serin.yaml", everything()), ("flux.yaml", flux)] {
            let (granted, asked) = (granted(file), asked(&sidecar));
            let missing: Vec<_> = asked.difference(&granted).collect();
            assert!(missing.is_empty(), "{file} does not grant {missing:?}");
            let other = |rule: &&(String, String, String, String)| rule.1 == "ocirepositories" || spare(rule);
            let surplus: Vec<_> = granted.difference(&asked).filter(|rule| !other(rule)).collect();
            assert!(
                surplus.is_empty(),
                "{file} grants what nobody asks for: {surplus:?}"
            );
        }
    }

    #[test]
    fn less_is_asked_of_a_sidecar_that_does_less() {
        let all = asked(&everything());
        let has = |asked: &BTreeSet<(String, String, String, String)>, resource: &str, verb: &str| {
            asked.iter().any(|rule| rule.1 == resource && rule.2 == verb)
        };
        assert!(
            has(&all, "ingresses", "patch") && has(&all, "secrets", "create") && has(&all, "leases", "patch")
        );
        let little = Sidecar {
            track_configs: false,
            apply: false,
            lease: false,
            lenders: Vec::new(),
            ..everything()
        };
        let little = asked(&little);
        assert!(
            !has(&little, "secrets", "get")
                && !has(&little, "leases", "get")
                && !has(&little, "canaries", "create")
        );
        assert!(has(&little, "configmaps", "create") && !has(&little, "kustomizations", "get"));
        let nothing = Sidecar::default().needs(&Ward::default());
        assert!(nothing.is_empty(), "{nothing:?}");
    }
}
