//! A validated Canary. Every value here is in range; what a later version implements is named, not dropped.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::{Edited, Provider};
use crate::manifest::ObjectKey;

/// A Canary: who it is and what it asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// uid; empty for a Canary from git.
    pub uid: String,
    /// metadata.generation; 0 for a Canary from git.
    pub generation: i64,
    /// What it asks for.
    pub spec: Spec,
}

/// What a Canary asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Who shifts the traffic.
    pub provider: Provider,
    /// What is rolled out.
    pub target: TargetRef,
    /// The three services.
    pub service: ServiceSpec,
    /// Name of the Ingress that provider skipper (and nginx) clones.
    pub ingress: Option<String>,
    /// How a revision is judged.
    pub analysis: Analysis,
    /// How long the canary may be not ready, and errors of metrics may last.
    pub progress_deadline: Duration,
    /// Time between routing away from a workload and scaling it down.
    pub drain: Duration,
    /// Promote without analysis (it still waits for the primary).
    pub skip_analysis: bool,
    /// Do nothing.
    pub suspend: bool,
    /// Address of the Prometheus API.
    pub metrics_server: String,
    /// Track ConfigMaps and Secrets.
    pub track_configs: bool,
    /// Labels in the order in which the selector label is looked for.
    pub selector_labels: Vec<String>,
    /// Prefixes of labels and annotations that reach the primary.
    pub include_label_prefix: Vec<String>,
    /// What is asked for and not implemented yet.
    pub not_implemented: Vec<NotImplemented>,
    /// What is accepted with a remark, for events and conditions.
    pub warnings: Vec<String>,
    /// Thresholds that it edits itself, against those of the promoted revision.
    pub edited: Option<Edited>,
}

/// A field that Serin accepts and keeps but does not implement yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotImplemented {
    /// Path of the field, such as `spec.analysis.mirror`.
    pub field: String,
    /// Whether it gates, shifts or scales (then the Canary is stalled), or only informs (then it is a warning).
    pub gates: bool,
}

/// What is rolled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRef {
    /// Kind.
    pub kind: TargetKind,
    /// Name, in the Canary's namespace.
    pub name: String,
}

/// Kinds of target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKind {
    /// apps/v1 Deployment.
    Deployment,
    /// apps/v1 DaemonSet.
    DaemonSet,
    /// v1 Service.
    Service,
}

impl TargetKind {
    /// Returns the kind's name, as in events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::DaemonSet => "DaemonSet",
            Self::Service => "Service",
        }
    }

    /// Whether the target itself is scaled up and down. A Service target's workloads are not touched.
    #[must_use]
    pub fn scales(self) -> bool {
        self != Self::Service
    }
}

/// The services that clients reach the workload by.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    /// Name of the apex Service; `-primary` and `-canary` are derived from it.
    pub name: String,
    /// Port, 1-65535.
    pub port: u16,
    /// Name of the port.
    pub port_name: String,
    /// Target port, a number or a name.
    pub target_port: Option<Value>,
    /// appProtocol of the port.
    pub app_protocol: Option<String>,
    /// Adds all other container ports.
    pub port_discovery: bool,
    /// clusterIP None.
    pub headless: bool,
    /// trafficDistribution of the services.
    pub traffic_distribution: Option<String>,
    /// Extra metadata of the apex Service.
    pub apex: ExtraMetadata,
    /// Extra metadata of the `-primary` Service.
    pub primary: ExtraMetadata,
    /// Extra metadata of the `-canary` Service.
    pub canary: ExtraMetadata,
}

/// Labels and annotations that a Canary adds to a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraMetadata {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// How a revision is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// Time between checks, at least 1 s.
    pub interval: Duration,
    /// Failed checks that end the run, at least 1.
    pub threshold: u32,
    /// What changes from check to check.
    pub strategy: Strategy,
    /// Metric checks, in the order of the spec.
    pub metrics: Vec<Metric>,
    /// Hooks, in the order of the spec.
    pub hooks: Vec<Hook>,
    /// Percent of the primary's replicas that must be available, 0-100.
    pub primary_ready_threshold: u8,
    /// Percent of the canary's replicas that must be available, 0-100.
    pub canary_ready_threshold: u8,
}

/// What changes from check to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Traffic by weight: at least one step, strictly ascending, each 1-100.
    Weights(Vec<u8>),
    /// Blue/green: this many checks, at least 1, before all traffic moves at once.
    Iterations(u32),
}

impl Strategy {
    /// Returns how many checks must pass.
    #[must_use]
    pub fn checks(&self) -> u32 {
        match self {
            Self::Weights(steps) => u32::try_from(steps.len()).unwrap_or(u32::MAX),
            Self::Iterations(count) => *count,
        }
    }
}

/// A metric check.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Name, unique in the Canary.
    pub name: String,
    /// Window of the query.
    pub interval: Duration,
    /// The values that pass.
    pub range: Range,
    /// Where the value comes from.
    pub query: Query,
    /// Values of `{{ variables.x }}`.
    pub variables: BTreeMap<String, String>,
}

/// The values that pass, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Range {
    /// Least value.
    pub min: Option<f64>,
    /// Greatest value.
    pub max: Option<f64>,
}

/// Where a metric's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// The router's success rate, in percent.
    SuccessRate,
    /// The router's request duration, in milliseconds.
    Duration,
    /// A query template in the Canary itself, for the Prometheus of the Canary.
    Inline(String),
    /// A MetricTemplate.
    Template(TemplateRef),
}

/// Names a MetricTemplate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl TemplateRef {
    /// Returns the key of the MetricTemplate.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(
            crate::manifest::Resource::METRIC_TEMPLATE,
            &self.namespace,
            &self.name,
        )
    }
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Name, unique in the Canary.
    pub name: String,
    /// When it is called.
    pub kind: HookKind,
    /// Address.
    pub url: String,
    /// Time for one try.
    pub timeout: Duration,
    /// Further tries after the first.
    pub retries: u32,
    /// Skips the verification of the server's certificate.
    pub disable_tls: bool,
    /// Sent along.
    pub metadata: BTreeMap<String, String>,
}

/// When a webhook is called. Others that Flagger knows are in [`Spec::not_implemented`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookKind {
    /// At every check.
    Rollout,
    /// After the last check: approves the promotion.
    ConfirmPromotion,
}

impl Canary {
    /// Returns the key of the Canary.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(crate::manifest::Resource::CANARY, &self.namespace, &self.name)
    }

    /// Returns the key of the target.
    #[must_use]
    pub fn target_key(&self) -> ObjectKey {
        use crate::manifest::Resource;
        let resource = match self.spec.target.kind {
            TargetKind::Deployment => Resource::DEPLOYMENT,
            TargetKind::DaemonSet => Resource::DAEMON_SET,
            TargetKind::Service => Resource::SERVICE,
        };
        ObjectKey::new(resource, &self.namespace, &self.spec.target.name)
    }

    /// Returns the name of the `-primary` workload.
    #[must_use]
    pub fn primary_name(&self) -> String {
        format!("{}-primary", self.spec.target.name)
    }

    /// Returns the name of the `-primary` Service.
    #[must_use]
    pub fn primary_service(&self) -> String {
        format!("{}-primary", self.spec.service.name)
    }

    /// Returns the name of the `-canary` Service.
    #[must_use]
    pub fn canary_service(&self) -> String {
        format!("{}-canary", self.spec.service.name)
    }
}
