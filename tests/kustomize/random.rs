//! Kustomizations by seed, rendered by the real kustomize and by Serin: where both render, their objects are the
//! same; where kustomize refuses, Serin does too; and what Serin refuses as wrong is wrong for kustomize.

use std::{fs, path::Path};

use serde_json::{Value, json};
use serin::manifest::kustomize::{Fault, Overlay, build};

use crate::{
    fixture::{difference, objects, printed},
    folder::Folder,
    oracle,
};

const SEEDS: u64 = 120;

#[test]
fn random_kustomizations_are_rendered_as_kustomize_renders_them() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (first, count) = (
        number("SERIN_SEED").unwrap_or(1),
        number("SERIN_SEEDS").unwrap_or(SEEDS),
    );
    let kustomize = oracle::kustomize();
    let mut failures = Vec::new();
    let (mut both, mut refused, mut beyond) = (0, 0, 0);
    for seed in first..first + count {
        let folder = tempfile::tempdir().unwrap();
        Draw::new(seed).tree(folder.path());
        let expected = oracle::build(&kustomize, folder.path(), "overlay");
        let rendered = build(&Folder::new(folder.path()), "overlay", &Overlay::default());
        let complaint = match (expected, rendered) {
            (Some(text), Ok(built)) => {
                both += 1;
                difference(&printed(&text), &objects(&built))
            }
            (None, Ok(_)) => Some("kustomize refuses it".to_owned()),
            (expected, Err(unrendered)) => match (unrendered.fault, expected) {
                (Fault::Beyond(_), _) => {
                    beyond += 1;
                    None
                }
                (_, None) => {
                    refused += 1;
                    None
                }
                (fault, Some(_)) => Some(format!("refused: {fault}")),
            },
        };
        if let Some(complaint) = complaint {
            failures.push(format!("seed {seed}: {complaint}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // Seeds that nobody renders prove nothing.
    assert!(
        both * 3 > count && beyond * 10 < count,
        "{both} rendered, {refused} refused, {beyond} beyond"
    );
}

/// Draws from a seed.
struct Draw(u64);

impl Draw {
    fn new(seed: u64) -> Self {
        let mut draw = Self(seed);
        Self(draw.next() ^ draw.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn tree(&mut self, root: &Path) {
        let write = |path: &str, text: String| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "base/kustomization.yaml",
            self.kustomization(&json!(["objects.yaml"]), "base").to_string(),
        );
        write("base/objects.yaml", self.objects());
        write("base/file.txt", "text of a file\n".to_owned());
        let mut resources = vec!["../base"];
        if self.one_in(3) {
            write(
                "mid/kustomization.yaml",
                self.kustomization(&json!(["../base"]), "mid").to_string(),
            );
            write("mid/file.txt", "another text\n".to_owned());
            resources = vec!["../mid"];
        }
        if self.one_in(4) {
            write(
                "overlay/more.yaml",
                self.objects().replace("name: ", "name: more-"),
            );
            resources.push("more.yaml");
        }
        let mut overlay = self.kustomization(&json!(resources), "overlay");
        if self.one_in(3) {
            let mut component = self.kustomization(&json!([]), "component");
            component["kind"] = json!("Component");
            component["apiVersion"] = json!("kustomize.config.k8s.io/v1alpha1");
            write("component/kustomization.yaml", component.to_string());
            write("component/file.txt", "text of a component\n".to_owned());
            overlay["components"] = json!(["../component"]);
        }
        write("overlay/kustomization.yaml", overlay.to_string());
        write("overlay/file.txt", "text of an overlay\n".to_owned());
    }

    fn objects(&mut self) -> String {
        let mut text = String::new();
        for document in OBJECTS {
            if !self.one_in(10) {
                text.push_str("---\n");
                text.push_str(document);
                if self.one_in(3) {
                    text = text.replace(
                        "metadata: {name: web}",
                        "metadata: {name: web, labels: {tier: front}, annotations: {note: 1}}",
                    );
                }
            }
        }
        text.push_str("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: always}\ndata: {a: b}\n");
        text
    }

    fn kustomization(&mut self, resources: &Value, level: &str) -> Value {
        let mut made = json!({"resources": resources});
        let rare = if level == "base" { 6 } else { 3 };
        if self.one_in(rare) {
            made["namespace"] = json!(self.pick(&["shop", "default", "prod"]));
        }
        if self.one_in(rare) {
            made["namePrefix"] = json!(self.pick(&["p-", "q-"]));
        }
        if self.one_in(rare) {
            made["nameSuffix"] = json!(self.pick(&["-s", "-t"]));
        }
        if self.one_in(rare) {
            made["commonAnnotations"] = json!({"team": "a", "note": level});
        }
        if self.one_in(rare * 2) {
            made["commonLabels"] = json!({"team": "a"});
        }
        if self.one_in(rare) {
            made["labels"] = json!([{
                "pairs": {"env": level, "app": "web"},
                "includeSelectors": self.one_in(3),
                "includeTemplates": self.one_in(3),
            }]);
        }
        if self.one_in(rare) {
            made["images"] = self.images();
        }
        if self.one_in(rare * 2) {
            made["replicas"] = json!([{"name": self.pick(&["web", "db", "p-web"]), "count": 7}]);
        }
        if level == "base" || self.one_in(rare) {
            made["configMapGenerator"] = self.generators(level);
        }
        if self.one_in(rare * 2) {
            made["secretGenerator"] = json!([{"name": "token", "literals": ["a=b"], "options": {"disableNameSuffixHash": self.one_in(2)}}]);
        }
        if self.one_in(rare) {
            let patches: Vec<Value> = (0..=self.below(3)).map(|_| self.patch()).collect();
            made["patches"] = json!(patches);
        }
        if self.one_in(rare * 2) {
            made["replacements"] = self.replacements();
        }
        made
    }

    fn images(&mut self) -> Value {
        let name = self.pick(&["nginx", "example.com:5000/web", "ng.*", "db"]);
        let mut image = json!({"name": name});
        if self.one_in(2) {
            image["newName"] = json!("registry.example.com/other");
        }
        if self.one_in(2) {
            image["newTag"] = json!(self.pick(&["2.0", "latest"]));
        }
        if self.one_in(4) {
            image["digest"] = json!("sha256:0123abcd");
        }
        if self.one_in(4) {
            image["tagSuffix"] = json!("-slim");
        }
        json!([image])
    }

    fn generators(&mut self, level: &str) -> Value {
        let behavior = if level == "base" {
            "create"
        } else {
            self.pick(&["create", "merge", "replace", ""])
        };
        let name = if level == "base" || behavior == "merge" || behavior == "replace" {
            "settings"
        } else {
            self.pick(&["settings", "fresh", "fresh", "fresh"])
        };
        json!([{
            "name": name,
            "behavior": behavior,
            "literals": ["key=value", format!("level={level}"), "html=<&>"],
            "files": if self.one_in(2) { json!(["file.txt"]) } else { json!([]) },
            "options": {"disableNameSuffixHash": self.one_in(4), "labels": {"generated": level}},
        }])
    }

    fn patch(&mut self) -> Value {
        if self.one_in(3) {
            let operations = self.pick(OPERATIONS);
            return json!({"patch": operations, "target": self.target()});
        }
        let patch = self.pick(PATCHES);
        if self.one_in(3) {
            return json!({"patch": patch, "target": self.target()});
        }
        json!({"patch": patch})
    }

    fn target(&mut self) -> Value {
        let mut target = json!({"kind": self.pick(&["Deployment", "Service", "ConfigMap", "Deployment|StatefulSet", ".*"])});
        if self.one_in(2) {
            target["name"] = json!(self.pick(&["web", "w.*", "always", "p-web"]));
        }
        if self.one_in(5) {
            target["labelSelector"] = json!(self.pick(&["app=web", "tier!=front", "env in (base, mid)"]));
        }
        if self.one_in(6) {
            target["namespace"] = json!(self.pick(&["default", "shop"]));
        }
        target
    }

    fn replacements(&mut self) -> Value {
        let source = self.pick(&["data.a", "metadata.name"]);
        let path = self.pick(&[
            "spec.template.spec.containers.[name=web].env.[name=A].value",
            "spec.template.spec.containers.*.image",
            "metadata.annotations.copied",
            "spec.replicas",
        ]);
        json!([{
            "source": {"kind": "ConfigMap", "name": "always", "fieldPath": source},
            "targets": [{
                "select": {"kind": "Deployment"},
                "fieldPaths": [path],
                "options": {"create": self.one_in(2)},
            }],
        }])
    }
}

const OPERATIONS: &[&str] = &[
    "- {op: add, path: /metadata/annotations, value: {patched: \"yes\"}}",
    "- {op: replace, path: /spec/replicas, value: 9}",
    "- {op: add, path: /spec/template/spec/containers/-, value: {name: added, image: \"nginx:9\"}}",
    "- {op: remove, path: /spec/template/spec/containers/0/env}",
    "- {op: test, path: /metadata/name, value: web}",
    "- {op: replace, path: /metadata/name, value: renamed}",
    "[{\"op\": \"add\", \"path\": \"/data/new~1key\", \"value\": \"1\"}]",
];

const PATCHES: &[&str] = &[
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3, template: {spec: {containers: [{name: web, image: 'nginx:8', env: [{name: B, value: x}, {name: A, value: null}]}, {name: side, image: side}]}}}\n",
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: web, $patch: delete}], volumes: [{name: v, emptyDir: {}}]}}}\n",
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {new: x}}\nspec: {template: {spec: {containers: [{name: web, ports: [{containerPort: 80, name: changed}, {containerPort: 81, protocol: UDP}]}]}}}\n",
    "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80, protocol: TCP, nodePort: 30000}, {port: 443, name: tls}], selector: {$patch: replace, app: other}}\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: always}\ndata: {a: null, c: d}\n",
    "$patch: delete\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings-file}\n",
    "apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: web}\nspec: {analysis: {threshold: 1, metrics: [{name: other}]}}\n",
    "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly}\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{name: job, args: [x]}], restartPolicy: Never}}}}}\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: always}\ndata: [wrong]\n",
];

const OBJECTS: &[&str] = &[
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      serviceAccountName: web\n      containers:\n      - name: web\n        image: nginx:1.0\n        env:\n        - {name: A, value: yes}\n        - {name: C, valueFrom: {configMapKeyRef: {name: settings, key: a}}}\n        envFrom: [{secretRef: {name: token}}]\n        ports: [{containerPort: 80}, {containerPort: 443, protocol: TCP}]\n      - name: db\n        image: example.com:5000/web@sha256:ff\n      volumes:\n      - {name: c, configMap: {name: settings, defaultMode: 0400}}\n      - {name: d, configMap: {name: always}}\n",
    "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  selector: {app: web}\n  ports: [{port: 80, protocol: TCP, targetPort: 80}, {port: 443, name: tls}]\n",
    "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\nimagePullSecrets: [{name: token}]\n",
    "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  serviceName: web\n  selector: {matchLabels: {app: db}}\n  template:\n    metadata: {labels: {app: db}}\n    spec: {containers: [{name: db, image: db}]}\n  volumeClaimTemplates: [{metadata: {name: data}}]\n",
    "apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: web}\nspec:\n  targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}\n  analysis: {threshold: 5, interval: 1m, metrics: [{name: m, image: nginx}]}\n",
    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec:\n  rules: [{http: {paths: [{path: /, backend: {service: {name: web, port: {number: 80}}}}]}}]\n",
    "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec: {scaleTargetRef: {kind: Deployment, name: web}, maxReplicas: 3}\n",
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n",
    "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: web}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: web}\nsubjects: [{kind: ServiceAccount, name: web}, {kind: ServiceAccount, name: default, namespace: x}]\n",
    "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: web}\nrules: [{apiGroups: [''], resources: [configmaps], resourceNames: [settings, always], verbs: [get]}]\n",
    "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: web}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: web}\nsubjects: [{kind: ServiceAccount, name: web, namespace: default}]\n",
    "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: web}\nrules: []\n",
    "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly}\nspec:\n  schedule: '@daily'\n  jobTemplate: {spec: {template: {spec: {serviceAccountName: web, containers: [{name: job, image: nginx, args: [a, b]}]}}}}\n",
    "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web}\nspec: {selector: {matchLabels: {app: web}}}\n",
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: web}\nspec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: x}}}]}]}\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings-file}\ndata: {x: y}\n",
];
