//! The fields that kustomize's transformations are about unless `configurations` say more.

use super::{
    config::{Backward, Config},
    fields::FieldSpec,
};

/// Where the pods of the kinds that have some are described.
const PODS: &[(&str, &str)] = &[
    ("Pod", "spec"),
    ("PodTemplate", "template/spec"),
    ("Deployment", "spec/template/spec"),
    ("ReplicaSet", "spec/template/spec"),
    ("DaemonSet", "spec/template/spec"),
    ("StatefulSet", "spec/template/spec"),
    ("Job", "spec/template/spec"),
    ("CronJob", "spec/jobTemplate/spec/template/spec"),
];

/// The kinds whose service accounts, claims and priority classes are followed.
const SOME_PODS: &[(&str, &str)] = &[
    ("Pod", "spec"),
    ("StatefulSet", "spec/template/spec"),
    ("Deployment", "spec/template/spec"),
    ("ReplicationController", "spec/template/spec"),
    ("CronJob", "spec/jobTemplate/spec/template/spec"),
    ("Job", "spec/template/spec"),
    ("DaemonSet", "spec/template/spec"),
];

const CONFIG_MAP_IN_POD: &[&str] = &[
    "volumes/configMap/name",
    "containers/env/valueFrom/configMapKeyRef/name",
    "initContainers/env/valueFrom/configMapKeyRef/name",
    "containers/envFrom/configMapRef/name",
    "initContainers/envFrom/configMapRef/name",
    "volumes/projected/sources/configMap/name",
];

const SECRET_IN_POD: &[&str] = &[
    "volumes/secret/secretName",
    "containers/env/valueFrom/secretKeyRef/name",
    "initContainers/env/valueFrom/secretKeyRef/name",
    "containers/envFrom/secretRef/name",
    "initContainers/envFrom/secretRef/name",
    "imagePullSecrets/name",
    "volumes/projected/sources/secret/name",
];

const SELECTORS_IN_POD: &[&str] = &[
    "affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    "affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    "affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    "affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    "topologySpreadConstraints/labelSelector/matchLabels",
];

/// Where `$(NAME)` of a deprecated `vars` may stand in a pod.
const VARS_IN_POD: &[&str] = &[
    "containers/args",
    "containers/command",
    "containers/env/value",
    "containers/volumeMounts/mountPath",
    "initContainers/args",
    "initContainers/command",
    "initContainers/env/value",
    "initContainers/volumeMounts/mountPath",
    "volumes/nfs/server",
];

pub(super) fn config() -> Config {
    Config {
        name_prefix: vec![spec("", "", "metadata/name", false)],
        name_suffix: vec![spec("", "", "metadata/name", false)],
        namespace: vec![
            spec("", "Namespace", "metadata/name", true),
            spec(
                "apiregistration.k8s.io",
                "APIService",
                "spec/service/namespace",
                true,
            ),
            spec(
                "apiextensions.k8s.io",
                "CustomResourceDefinition",
                "spec/conversion/webhook/clientConfig/service/namespace",
                false,
            ),
        ],
        common_labels: common_labels(),
        labels: Vec::new(),
        template_labels: metadata_labels(),
        common_annotations: common_annotations(),
        name_reference: name_references(),
        var_reference: var_references(),
        images: ["spec", "spec/template/spec"]
            .iter()
            .flat_map(|pod| {
                [
                    "containers[]/image",
                    "initContainers[]/image",
                    "volumes[]/image/reference",
                ]
                .map(|path| spec("", "", &format!("{pod}/{path}"), true))
            })
            .collect(),
        replicas: ["Deployment", "ReplicationController", "ReplicaSet", "StatefulSet"]
            .map(|kind| spec("", kind, "spec/replicas", true))
            .into(),
    }
}

fn spec(group: &str, kind: &str, path: &str, create: bool) -> FieldSpec {
    FieldSpec {
        group: group.to_owned(),
        version: String::new(),
        kind: kind.to_owned(),
        path: path.to_owned(),
        create,
    }
}

fn v1(spec: FieldSpec) -> FieldSpec {
    FieldSpec {
        version: "v1".to_owned(),
        ..spec
    }
}

fn metadata_labels() -> Vec<FieldSpec> {
    let template = "spec/template/metadata/labels";
    let mut specs = vec![
        spec("", "", "metadata/labels", true),
        v1(spec("", "ReplicationController", template, true)),
        spec("", "Deployment", template, true),
        spec("", "ReplicaSet", template, true),
        spec("", "DaemonSet", template, true),
        spec("apps", "StatefulSet", template, true),
        spec(
            "apps",
            "StatefulSet",
            "spec/volumeClaimTemplates[]/metadata/labels",
            true,
        ),
        spec("batch", "Job", template, true),
    ];
    specs.push(spec("batch", "CronJob", "spec/jobTemplate/metadata/labels", true));
    specs.push(spec(
        "batch",
        "CronJob",
        "spec/jobTemplate/spec/template/metadata/labels",
        true,
    ));
    specs
}

fn common_labels() -> Vec<FieldSpec> {
    let selector = "spec/selector/matchLabels";
    let mut specs = vec![
        v1(spec("", "Service", "spec/selector", true)),
        v1(spec("", "ReplicationController", "spec/selector", true)),
        spec("", "Deployment", selector, true),
        spec("", "ReplicaSet", selector, true),
        spec("", "DaemonSet", selector, true),
        spec("apps", "StatefulSet", selector, true),
        spec("batch", "Job", selector, false),
        spec(
            "batch",
            "CronJob",
            "spec/jobTemplate/spec/selector/matchLabels",
            false,
        ),
        spec("policy", "PodDisruptionBudget", selector, false),
    ];
    for kind in ["Deployment", "StatefulSet"] {
        for path in SELECTORS_IN_POD {
            specs.push(spec("apps", kind, &format!("spec/template/spec/{path}"), false));
        }
    }
    for path in ["spec", "spec/ingress/from", "spec/egress/to"] {
        let path = format!("{path}/podSelector/matchLabels");
        specs.push(spec("networking.k8s.io", "NetworkPolicy", &path, false));
    }
    specs.extend(metadata_labels());
    specs
}

fn common_annotations() -> Vec<FieldSpec> {
    let template = "spec/template/metadata/annotations";
    vec![
        spec("", "", "metadata/annotations", true),
        v1(spec("", "ReplicationController", template, true)),
        spec("", "Deployment", template, true),
        spec("", "ReplicaSet", template, true),
        spec("", "DaemonSet", template, true),
        spec("", "StatefulSet", template, true),
        spec("batch", "Job", template, true),
        spec("batch", "CronJob", "spec/jobTemplate/metadata/annotations", true),
        spec(
            "batch",
            "CronJob",
            "spec/jobTemplate/spec/template/metadata/annotations",
            true,
        ),
    ]
}

fn in_pods(pods: &[(&str, &str)], paths: &[&str]) -> Vec<FieldSpec> {
    pods.iter()
        .flat_map(|(kind, pod)| paths.iter().map(move |path| (kind, format!("{pod}/{path}"))))
        .map(|(kind, path)| spec("", kind, &path, false))
        .collect()
}

/// Which fields name objects of which kinds, in the order in which kustomize follows them.
fn name_references() -> Vec<Backward> {
    const RBAC: &str = "rbac.authorization.k8s.io";
    let field = |group: &str, kind: &str, path: &str| spec(group, kind, path, false);
    let target = |group: &str, version: &str, kind: &str, fields: Vec<FieldSpec>| Backward {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        fields,
    };
    let scaled = || vec![field("", "HorizontalPodAutoscaler", "spec/scaleTargetRef/name")];
    let bound = |kind: &str| field(RBAC, kind, "roleRef/name");
    let mut accounts = vec![
        field(RBAC, "RoleBinding", "subjects"),
        field(RBAC, "ClusterRoleBinding", "subjects"),
    ];
    accounts.extend(in_pods(SOME_PODS, &["serviceAccountName"]));
    vec![
        target(
            "storage.k8s.io",
            "v1",
            "StorageClass",
            vec![
                field("", "PersistentVolume", "spec/storageClassName"),
                field("", "PersistentVolumeClaim", "spec/storageClassName"),
                field(
                    "",
                    "StatefulSet",
                    "spec/volumeClaimTemplates/spec/storageClassName",
                ),
            ],
        ),
        target("", "v1", "ServiceAccount", accounts),
        target(RBAC, "", "Role", vec![bound("RoleBinding")]),
        target(
            RBAC,
            "",
            "ClusterRole",
            vec![bound("RoleBinding"), bound("ClusterRoleBinding")],
        ),
        target("", "v1", "ConfigMap", config_maps()),
        target("", "v1", "Secret", secrets()),
        target("", "v1", "Service", services()),
        target(
            "scheduling.k8s.io",
            "v1",
            "PriorityClass",
            in_pods(SOME_PODS, &["priorityClassName"]),
        ),
        target(
            "",
            "v1",
            "PersistentVolume",
            vec![
                field("", "PersistentVolumeClaim", "spec/volumeName"),
                field("", "ClusterRole", "rules/resourceNames"),
            ],
        ),
        target(
            "",
            "v1",
            "PersistentVolumeClaim",
            in_pods(SOME_PODS, &["volumes/persistentVolumeClaim/claimName"]),
        ),
        target("", "", "Deployment", scaled()),
        target("", "", "StatefulSet", scaled()),
        target("", "", "ReplicaSet", scaled()),
        target("", "", "ReplicationController", scaled()),
        target(
            "admissionregistration.k8s.io",
            "",
            "ValidatingAdmissionPolicy",
            vec![field(
                "admissionregistration.k8s.io",
                "ValidatingAdmissionPolicyBinding",
                "spec/policyName",
            )],
        ),
    ]
}

fn config_maps() -> Vec<FieldSpec> {
    let mut fields = in_pods(PODS, CONFIG_MAP_IN_POD);
    fields.push(spec("", "Node", "spec/configSource/configMap", false));
    fields.push(spec("", "Role", "rules/resourceNames", false));
    fields.push(spec("", "ClusterRole", "rules/resourceNames", false));
    let annotation = r"metadata/annotations/nginx.ingress.kubernetes.io\/fastcgi-params-configmap";
    fields.push(spec("", "Ingress", annotation, false));
    fields
}

fn secrets() -> Vec<FieldSpec> {
    let mut fields = in_pods(PODS, SECRET_IN_POD);
    let more = [
        ("Ingress", "spec/tls/secretName"),
        (
            "Ingress",
            r"metadata/annotations/ingress.kubernetes.io\/auth-secret",
        ),
        (
            "Ingress",
            r"metadata/annotations/nginx.ingress.kubernetes.io\/auth-secret",
        ),
        (
            "Ingress",
            r"metadata/annotations/nginx.ingress.kubernetes.io\/auth-tls-secret",
        ),
        ("ServiceAccount", "imagePullSecrets/name"),
        ("StorageClass", "parameters/secretName"),
        ("StorageClass", "parameters/adminSecretName"),
        ("StorageClass", "parameters/userSecretName"),
        ("StorageClass", "parameters/secretRef"),
        ("Role", "rules/resourceNames"),
        ("ClusterRole", "rules/resourceNames"),
        ("PersistentVolume", "spec/azureFile/secretName"),
    ];
    fields.extend(more.map(|(kind, path)| spec("", kind, path, false)));
    let knative = "spec/template/spec/containers/env/valueFrom/secretKeyRef/name";
    fields.push(v1(spec("serving.knative.dev", "Service", knative, false)));
    fields
}

fn services() -> Vec<FieldSpec> {
    let hooks = "admissionregistration.k8s.io";
    vec![
        spec("apps", "StatefulSet", "spec/serviceName", false),
        spec("", "Ingress", "spec/rules/http/paths/backend/serviceName", false),
        spec("", "Ingress", "spec/backend/serviceName", false),
        spec("", "Ingress", "spec/rules/http/paths/backend/service/name", false),
        spec("", "Ingress", "spec/defaultBackend/service/name", false),
        spec("apiregistration.k8s.io", "APIService", "spec/service/name", false),
        spec(
            hooks,
            "ValidatingWebhookConfiguration",
            "webhooks/clientConfig/service",
            false,
        ),
        spec(
            hooks,
            "MutatingWebhookConfiguration",
            "webhooks/clientConfig/service",
            false,
        ),
    ]
}

fn var_references() -> Vec<FieldSpec> {
    let pods: Vec<(&str, &str)> = PODS
        .iter()
        .copied()
        .filter(|(kind, _)| *kind != "PodTemplate")
        .collect();
    let mut specs = in_pods(&pods, VARS_IN_POD);
    specs.retain(|spec| !(spec.kind == "CronJob" && spec.path.ends_with("nfs/server")));
    let more = [
        ("CronJob", "spec/jobTemplate/spec/template/volumes/nfs/server"),
        ("Deployment", "spec/template/metadata/annotations"),
        ("Ingress", "spec/rules/host"),
        ("Ingress", "spec/tls/hosts"),
        ("Ingress", "spec/tls/secretName"),
        ("Service", "spec/ports/port"),
        ("Service", "spec/ports/targetPort"),
        ("StatefulSet", "spec/volumeClaimTemplates/spec/nfs/server"),
        ("PersistentVolume", "spec/nfs/server"),
        ("", "metadata/labels"),
        ("", "metadata/annotations"),
    ];
    specs.extend(more.map(|(kind, path)| spec("", kind, path, false)));
    specs
        .retain(|spec| !(spec.kind == "StatefulSet" && spec.path == "spec/template/spec/volumes/nfs/server"));
    specs
}
