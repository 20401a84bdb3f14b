//! What is wrong with the cluster as a whole: another Flagger, definitions, rights.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Denied, Finding, Severity, Ward};
use crate::manifest::{Object, Resource};

/// A field of the status that Flagger's own definition does not have.
const OURS: &str = "/spec/versions";

pub(super) fn examine(ward: &Ward, found: &mut Vec<Finding>) {
    found.extend(definition(ward));
    found.extend(
        ward.of(Resource::DEPLOYMENT)
            .filter_map(|object| flagger(ward, object)),
    );
    found.extend(rights(&ward.denied));
}

fn definition(ward: &Ward) -> Option<Finding> {
    let definitions = ward.definitions.as_ref()?;
    let problem = match &definitions.canary {
        None => "the custom resources are not installed",
        Some(installed) if !has_our_fields(installed) => {
            "the installed definition drops what Serin keeps in the status: it is Flagger's, or older than this Serin"
        }
        Some(_) => return None,
    };
    Some(Finding {
        severity: Severity::Fight,
        code: "crd",
        object: "CustomResourceDefinition/canaries.flagger.app".to_owned(),
        problem: problem.to_owned(),
        fix: "serin crd | kubectl apply --server-side --force-conflicts -f -".to_owned(),
    })
}

fn has_our_fields(installed: &Object) -> bool {
    let versions = installed.value().pointer(OURS).and_then(Value::as_array);
    let mut versions = versions.into_iter().flatten();
    versions.any(|version| {
        let status = version.pointer("/schema/openAPIV3Schema/properties/status");
        let has = |field: &str| {
            status.is_some_and(|status| status.pointer(&format!("/properties/{field}")).is_some())
        };
        version.get("storage") == Some(&Value::Bool(true)) && has("run") && has("commits") && has("drift")
    })
}

/// A Flagger that runs, and watches a namespace that has canaries.
fn flagger(ward: &Ward, deployment: &Object) -> Option<Finding> {
    let containers = deployment
        .value()
        .pointer("/spec/template/spec/containers")?
        .as_array()?;
    let container = containers.iter().find(|container| {
        let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
        let name = image.rsplit('/').next().unwrap_or_default();
        name.split([':', '@']).next() == Some("flagger")
    })?;
    if deployment
        .value()
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        == Some(0)
    {
        return None;
    }
    let only = limit(container);
    let mut canaries = ward.of(Resource::CANARY);
    if let Some(only) = only
        && !canaries.any(|canary| canary.namespace() == only)
    {
        return None;
    }
    let (name, namespace) = (deployment.name(), deployment.namespace());
    Some(Finding {
        severity: Severity::Fight,
        code: "flagger",
        object: deployment.key().to_string(),
        problem: "a Flagger runs, and acts on the same Canaries".to_owned(),
        fix: format!(
            "kubectl -n {namespace} scale deployment {name} --replicas=0\n(and take it out of git, or limit it by -namespace)"
        ),
    })
}

/// The namespace that a Flagger is limited to.
fn limit(container: &Value) -> Option<&str> {
    let texts = ["command", "args"]
        .into_iter()
        .filter_map(|field| container.get(field)?.as_array());
    let mut texts = texts.flatten().filter_map(Value::as_str);
    let given = texts.find_map(|text| text.trim_start_matches('-').strip_prefix("namespace="));
    given.filter(|namespace| !namespace.is_empty())
}

/// Verbs by group, resource and name.
type Rules<'a> = BTreeMap<(&'a str, &'a str, &'a str), BTreeSet<&'a str>>;

/// One finding per namespace, with the rule that is missing.
fn rights(denied: &[Denied]) -> Vec<Finding> {
    let mut rules: BTreeMap<&str, Rules<'_>> = BTreeMap::new();
    for one in denied {
        let rule = rules.entry(&one.namespace).or_default();
        let verbs = rule.entry((&one.group, &one.resource, &one.name)).or_default();
        verbs.insert(&one.verb);
    }
    let finding = |(namespace, rule): (&str, Rules<'_>)| {
        let lines = rule.iter().map(|((group, resource, name), verbs)| {
            let verbs: Vec<&str> = verbs.iter().copied().collect();
            let group = if group.is_empty() { "\"\"" } else { group };
            let names = match *name {
                "" => String::new(),
                name => format!("  resourceNames: [{name}]\n"),
            };
            format!(
                "- apiGroups: [{group}]\n  resources: [{resource}]\n{names}  verbs: [{}]",
                verbs.join(", ")
            )
        });
        let lines: Vec<String> = lines.collect();
        Finding {
            severity: Severity::Fight,
            code: "rbac",
            object: format!("Namespace/{namespace}"),
            problem: "Serin may not do here what it needs".to_owned(),
            fix: format!(
                "add to the rules of a Role or ClusterRole that is bound to Serin in this namespace (deploy/ has one):\n{}",
                lines.join("\n")
            ),
        }
    };
    rules.into_iter().map(finding).collect()
}
