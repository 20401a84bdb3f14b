//! Reads a Canary of either API version into types that cannot be wrong. Says everything that is wrong at
//! once. Decides nothing about a rollout.

mod analysis;
pub(super) mod reader;
mod service;

#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

pub use reader::Fault;
use reader::{Faults, Field};

use super::{
    Defaults, Provider,
    spec::{Canary, NotImplemented, Spec, TargetKind, TargetRef},
};
use crate::{
    error::{Class, Classified},
    manifest::{Object, Resource},
};

const DEFAULT_PROGRESS_DEADLINE: i64 = 600;

/// What is wrong in a custom resource; at least one fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SpecError {
    /// The object, as `Canary/test/podinfo`.
    pub object: String,
    /// Everything that is wrong, in the order of the object.
    pub faults: Vec<Fault>,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not valid: ", self.object)?;
        for (i, fault) in self.faults.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl SpecError {
    /// Makes the error of one field.
    #[must_use]
    pub fn new(object: &Object, field: &str, problem: &str, hint: &str) -> Self {
        Self {
            object: object.key().to_string(),
            faults: vec![Fault {
                field: field.to_owned(),
                problem: problem.to_owned(),
                hint: hint.to_owned(),
            }],
        }
    }
}

impl Classified for SpecError {
    fn class(&self) -> Class {
        Class::UserMustFix
    }

    fn hint(&self) -> Option<String> {
        let hints: Vec<_> = self.faults.iter().map(|fault| fault.hint.as_str()).collect();
        (!hints.is_empty()).then(|| hints.join("; "))
    }
}

/// What is accepted with a remark.
#[derive(Default)]
struct Remarks {
    not_implemented: Vec<NotImplemented>,
    warnings: Vec<String>,
}

impl Remarks {
    fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// Records a field that is set and that a later version implements.
    fn not_implemented(&mut self, field: &Field<'_>, gates: bool) {
        if field.is_set() {
            self.not_implemented.push(NotImplemented {
                field: field.path().to_owned(),
                gates,
            });
        }
    }
}

impl Canary {
    /// Reads a Canary, v1beta1 or v1alpha3, from a cluster or from git.
    pub fn parse(object: &Object, defaults: &Defaults) -> Result<Self, SpecError> {
        let faults = Faults::default();
        let key = object.key();
        if key.kind != Resource::CANARY.kind || key.group != Resource::CANARY.group {
            faults.push("kind", "is not a flagger.app Canary", "give a Canary");
        }
        let name = Field::root(object.at("/metadata/name"), "metadata.name", &faults).required_str();
        let canary = Self {
            namespace: object.namespace().to_owned(),
            name: name.to_owned(),
            uid: object.uid().to_owned(),
            generation: object.generation(),
            spec: spec(
                &Field::root(object.at("/spec"), "spec", &faults),
                object,
                defaults,
            ),
        };
        finish(canary, object, faults)
    }
}

/// Returns what was read unless something is wrong with it.
pub(super) fn finish<T>(read: T, object: &Object, faults: Faults) -> Result<T, SpecError> {
    let faults = faults.into_inner();
    if faults.is_empty() {
        return Ok(read);
    }
    Err(SpecError {
        object: object.key().to_string(),
        faults,
    })
}

fn spec(spec: &Field<'_>, object: &Object, defaults: &Defaults) -> Spec {
    let mut remarks = Remarks::default();
    if !spec.is_present() {
        spec.fault("is missing", "add `spec`");
    }
    let provider = provider(&spec.get("provider"), defaults, &mut remarks);
    let target = target(&spec.get("targetRef"), &mut remarks);
    for name in ["autoscalerRef", "revertOnDeletion"] {
        remarks.not_implemented(&spec.get(name), true);
    }
    let service_field = spec.get("service");
    if provider.implemented() {
        for field in service::without_effect(&service_field) {
            remarks.warn(format!("{field} has no effect with provider {}", provider.name()));
        }
    }
    let (analysis_field, skip_analysis) = analysis_of(spec, &mut remarks);
    let around = analysis::Around {
        namespace: object.namespace(),
        provider,
        skip: skip_analysis,
        defaults,
    };
    let analysis = analysis::read(&analysis_field, &around, &mut remarks);
    let deadline = spec.get("progressDeadlineSeconds").within(1, i64::from(i32::MAX));
    Spec {
        provider,
        service: service::read(&service_field, &target.name),
        target,
        ingress: ingress(&spec.get("ingressRef"), provider),
        analysis,
        progress_deadline: Duration::from_secs(deadline.unwrap_or(DEFAULT_PROGRESS_DEADLINE).unsigned_abs()),
        drain: if provider == Provider::Kubernetes {
            Duration::ZERO
        } else {
            defaults.drain
        },
        skip_analysis,
        suspend: spec.get("suspend").bool(),
        metrics_server: metrics_server(&spec.get("metricsServer"), defaults),
        track_configs: defaults.track_configs,
        selector_labels: defaults.selector_labels.clone(),
        include_label_prefix: defaults.include_label_prefix.clone(),
        not_implemented: remarks.not_implemented,
        warnings: remarks.warnings,
        edited: None,
    }
}

fn provider(field: &Field<'_>, defaults: &Defaults, remarks: &mut Remarks) -> Provider {
    let own = field.str().filter(|name| !name.is_empty());
    let name = own.unwrap_or(&defaults.mesh_provider);
    let Some(provider) = Provider::parse(name) else {
        let all: Vec<_> = Provider::ALL.into_iter().map(Provider::name).collect();
        let problem = if own.is_some() {
            format!("`{name}` is no provider")
        } else {
            format!("is not given, and `{name}` of --mesh-provider is no provider")
        };
        field.fault(problem, format!("use one of {}", all.join(", ")));
        return Provider::Kubernetes;
    };
    if !provider.implemented() {
        remarks.not_implemented.push(NotImplemented {
            field: format!("{}={name}", field.path()),
            gates: true,
        });
    }
    provider
}

fn target(field: &Field<'_>, remarks: &mut Remarks) -> TargetRef {
    if !field.is_present() {
        field.fault("is missing", "add `targetRef` with apiVersion, kind and name");
        return TargetRef {
            kind: TargetKind::Deployment,
            name: String::new(),
        };
    }
    TargetRef {
        kind: target_kind(field, remarks),
        name: field.get("name").required_str().to_owned(),
    }
}

fn target_kind(field: &Field<'_>, remarks: &mut Remarks) -> TargetKind {
    let (version, kind) = (field.get("apiVersion"), field.get("kind"));
    let (api_version, name) = (version.required_str(), kind.required_str());
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let (found, groups) = match name {
        "Deployment" => (TargetKind::Deployment, ["apps", "extensions"]),
        "DaemonSet" => (TargetKind::DaemonSet, ["apps", "extensions"]),
        // Older Canaries write `core/v1`.
        "Service" => (TargetKind::Service, ["", "core"]),
        "" => return TargetKind::Deployment,
        _ => {
            kind.fault(
                format!("`{name}` is no kind of target"),
                "use Deployment, DaemonSet or Service",
            );
            return TargetKind::Deployment;
        }
    };
    let later = match (found, group) {
        (TargetKind::Service, "serving.knative.dev") => Some(&version),
        (TargetKind::DaemonSet, _) => Some(&kind),
        _ => None,
    };
    if let Some(field) = later {
        remarks.not_implemented.push(NotImplemented {
            field: format!("{}={}", field.path(), field.str().unwrap_or_default()),
            gates: true,
        });
    } else if !groups.contains(&group) && !api_version.is_empty() {
        let hint = if found == TargetKind::Service {
            "v1"
        } else {
            "apps/v1"
        };
        version.fault(format!("`{api_version}` has no {name}"), format!("use `{hint}`"));
    }
    found
}

/// Finds the analysis, by its new or old name. Without one, revisions are promoted unchecked.
fn analysis_of<'a>(spec: &Field<'a>, remarks: &mut Remarks) -> (Field<'a>, bool) {
    let skip = spec.get("skipAnalysis").bool();
    let named = ["analysis", "canaryAnalysis"].map(|name| spec.get(name));
    let [new, old] = named;
    match (new.is_present(), old.is_present()) {
        (true, _) => (new, skip),
        (false, true) => (old, skip),
        (false, false) => {
            if !skip {
                remarks.warn("spec.analysis is missing, so revisions are promoted without analysis");
            }
            (new, true)
        }
    }
}

fn ingress(field: &Field<'_>, provider: Provider) -> Option<String> {
    if field.is_present() {
        return Some(field.get("name").required_str().to_owned());
    }
    if matches!(provider, Provider::Skipper | Provider::Nginx) {
        field.fault(
            format!("is missing, and provider {} needs it", provider.name()),
            "add `ingressRef` with the name of the Ingress that leads to the service",
        );
    }
    None
}

fn metrics_server(field: &Field<'_>, defaults: &Defaults) -> String {
    if field.is_set() {
        return field.url().unwrap_or_default();
    }
    defaults.metrics_server.clone()
}
