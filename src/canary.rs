//! The custom resources (Canary, MetricTemplate, AlertProvider) in both API versions, validated into types
//! that cannot be wrong. Flags are an argument ([`Defaults`]), so that `plan` and `lint` work offline.

pub mod crd;
mod defaults;
pub mod duration;
pub mod generated;
mod judge;
mod metric_template;
mod parse;
mod provider;
pub mod reason;
mod spec;
mod status;
pub mod template;

pub use defaults::Defaults;
pub use judge::{Edited, JudgeBy, Thresholds, promotes};
pub use metric_template::{MetricProvider, MetricTemplate};
pub use parse::{Fault, SpecError};
pub use provider::Provider;
pub use spec::{
    Analysis, Canary, ExtraMetadata, Hook, HookKind, Metric, NotImplemented, Query, Range, ServiceSpec, Spec,
    Strategy, TargetKind, TargetRef, TemplateRef,
};
pub use status::{
    Announced, CommitReport, Condition, DriftStatus, Measurement, Phase, RevertStatus, RunStatus, Status,
    Verdict, WaitStatus,
};
