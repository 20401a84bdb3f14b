//! The lists that a strategic merge patch merges entry by entry, and the fields that tell their entries apart,
//! as the definitions of Kubernetes 1.21 have it, which kustomize carries. Lists of other kinds are replaced.

use super::scope;

/// A type: its fields that are such lists, or lead to one. `name[a,b]` is a list whose entries are told apart by
/// `a` and `b`, `name[]` one of plain values, `name[*]` one that is replaced; after a colon stands the type.
const TYPES: &[(&str, &str)] = &[
    (
        "Container",
        "env[name] ports[containerPort,protocol] volumeDevices[devicePath] volumeMounts[mountPath]",
    ),
    ("CronJobSpec", "jobTemplate:JobTemplateSpec"),
    ("CsiNodeSpec", "drivers[name]"),
    (
        "EphemeralContainer",
        "env[name] volumeDevices[devicePath] volumeMounts[mountPath]",
    ),
    ("EphemeralVolumeSource", "volumeClaimTemplate:ClaimTemplate"),
    ("ClaimTemplate", "metadata:ObjectMeta"),
    ("JobTemplateSpec", "metadata:ObjectMeta spec:PodOwnerSpec"),
    ("NodeSpec", "podCIDRs[]"),
    ("ObjectMeta", "finalizers[] ownerReferences[uid]"),
    (
        "PodSpec",
        "containers[name]:Container ephemeralContainers[name]:EphemeralContainer hostAliases[ip] \
         imagePullSecrets[name] initContainers[name]:Container \
         topologySpreadConstraints[topologyKey,whenUnsatisfiable] volumes[name]:Volume",
    ),
    ("PodOwnerSpec", "template:PodTemplateSpec"),
    ("PodTemplateSpec", "metadata:ObjectMeta spec:PodSpec"),
    ("ServiceSpec", "ports[port,protocol]"),
    ("StatefulSetSpec", "template:PodTemplateSpec"),
    ("Volume", "ephemeral:EphemeralVolumeSource"),
];

/// The kinds that have such lists elsewhere than in their metadata.
const KINDS: &[(&str, &str, &str)] = &[
    (
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        "webhooks[name]",
    ),
    (
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        "webhooks[name]",
    ),
    (
        "admissionregistration.k8s.io/v1beta1",
        "MutatingWebhookConfiguration",
        "webhooks[name]",
    ),
    (
        "admissionregistration.k8s.io/v1beta1",
        "ValidatingWebhookConfiguration",
        "webhooks[name]",
    ),
    ("apps/v1", "DaemonSet", "spec:PodOwnerSpec"),
    ("apps/v1", "Deployment", "spec:PodOwnerSpec"),
    ("apps/v1", "ReplicaSet", "spec:PodOwnerSpec"),
    ("apps/v1", "StatefulSet", "spec:StatefulSetSpec"),
    ("batch/v1", "CronJob", "spec:CronJobSpec"),
    ("batch/v1", "Job", "spec:PodOwnerSpec"),
    ("batch/v1beta1", "CronJob", "spec:CronJobSpec"),
    ("storage.k8s.io/v1", "CSINode", "spec:CsiNodeSpec"),
    ("storage.k8s.io/v1beta1", "CSINode", "spec:CsiNodeSpec"),
    ("v1", "ComponentStatus", "conditions[type]"),
    ("v1", "Node", "spec:NodeSpec"),
    ("v1", "Pod", "spec:PodSpec"),
    ("v1", "PodTemplate", "template:PodTemplateSpec"),
    ("v1", "ReplicationController", "spec:PodOwnerSpec"),
    ("v1", "Service", "spec:ServiceSpec"),
    ("v1", "ServiceAccount", "secrets[name]"),
];

/// What is known of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Schema {
    fields: &'static str,
    keys: Option<&'static str>,
    is_builtin: bool,
}

impl Schema {
    /// What is known of the objects of a kind.
    pub(super) fn of(api_version: &str, kind: &str) -> Self {
        let found = KINDS
            .iter()
            .find(|(version, known, _)| *version == api_version && *known == kind);
        Self {
            fields: found.map_or("", |(.., fields)| fields),
            keys: None,
            is_builtin: scope::is_builtin(api_version, kind),
        }
    }

    /// What is known of a field.
    pub(super) fn field(self, name: &str) -> Self {
        if self.is_builtin && name == "metadata" {
            return Self::named("ObjectMeta", None);
        }
        for field in self.fields.split_whitespace() {
            let (head, kind) = field.split_once(':').unwrap_or((field, ""));
            let (own, keys) = match head.split_once('[') {
                Some((own, keys)) => (own, keys.strip_suffix(']')),
                None => (head, None),
            };
            if own == name {
                return Self::named(kind, keys);
            }
        }
        Self::default()
    }

    fn named(kind: &str, keys: Option<&'static str>) -> Self {
        let found = TYPES.iter().find(|(name, _)| *name == kind);
        Self {
            fields: found.map_or("", |(_, fields)| fields),
            keys,
            is_builtin: false,
        }
    }

    /// What is known of the entries of a list.
    pub(super) fn entries(self) -> Self {
        Self { keys: None, ..self }
    }

    /// The fields that tell the entries of a list apart; none where the list is replaced, and an empty name
    /// where its entries are plain values.
    pub(super) fn keys(self) -> Option<Vec<&'static str>> {
        Some(self.keys?.split(',').collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_found_on_their_way() {
        let pod = Schema::of("apps/v1", "Deployment")
            .field("spec")
            .field("template")
            .field("spec");
        assert_eq!(pod.field("containers").keys(), Some(vec!["name"]));
        let container = pod.field("containers").entries();
        assert_eq!(
            container.field("ports").keys(),
            Some(vec!["containerPort", "protocol"])
        );
        assert_eq!(container.field("args").keys(), None);
        let meta = Schema::of("v1", "ConfigMap").field("metadata");
        assert_eq!(meta.field("finalizers").keys(), Some(vec![""]));
        let canary = Schema::of("flagger.app/v1beta1", "Canary").field("metadata");
        assert_eq!(canary.field("finalizers").keys(), None);
        assert!(
            TYPES
                .iter()
                .all(|(_, fields)| fields.split_whitespace().all(|field| {
                    let kind = field.split_once(':').map_or("", |(_, kind)| kind);
                    kind.is_empty() || TYPES.iter().any(|(name, _)| *name == kind)
                }))
        );
    }
}
