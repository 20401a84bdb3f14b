//! What the flags of `serin run` say about canaries that do not say it themselves.

use std::time::Duration;

use super::{JudgeBy, Provider};

/// Settings that apply to every canary. Flags of Flagger's controller that mean the same have its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// `--mesh-provider`: for canaries without `provider`; a name, because it may be one Serin lacks.
    pub mesh_provider: String,
    /// `--metrics-server`: address of the Prometheus API for canaries without `metricsServer`.
    pub metrics_server: String,
    /// `--selector-labels`: the first of these that is in the target's selector is rewritten for the primary.
    pub selector_labels: Vec<String>,
    /// `--include-label-prefix`: labels and annotations of the target that reach the primary; `*` is all.
    pub include_label_prefix: Vec<String>,
    /// `--ingress-class`.
    pub ingress_class: Option<String>,
    /// `--enable-config-tracking`.
    pub track_configs: bool,
    /// `--no-cross-namespace-refs`: a templateRef to another namespace is refused.
    pub no_cross_namespace_refs: bool,
    /// `--drain`: between routing away and scaling down. Always 0 for provider kubernetes.
    pub drain: Duration,
    /// `--judge-by`: whose thresholds count for a revision that edits them.
    pub judge_by: JudgeBy,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            mesh_provider: Provider::Istio.name().to_owned(),
            metrics_server: "http://prometheus:9090".to_owned(),
            selector_labels: ["app", "name", "app.kubernetes.io/name"]
                .map(str::to_owned)
                .to_vec(),
            include_label_prefix: Vec::new(),
            ingress_class: None,
            track_configs: true,
            no_cross_namespace_refs: false,
            drain: Duration::from_secs(5),
            judge_by: JudgeBy::default(),
        }
    }
}
