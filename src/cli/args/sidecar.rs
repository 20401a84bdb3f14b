//! What the sidecar runs with, and `serin doctor` has to know too.

use clap::Args;

use super::{FluxArgs, provider};

/// The router of canaries that name none.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct RouterArgs {
    /// Router of canaries that name none
    #[arg(long, default_value = "istio", value_parser = provider, value_name = "NAME")]
    pub(in crate::cli) mesh_provider: String,
}

/// How targets are read.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct TargetArgs {
    #[command(flatten)]
    pub(in crate::cli) router: RouterArgs,

    /// Labels that may select a target's pods; the first that does is rewritten for the primary
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "app,name,app.kubernetes.io/name",
        value_name = "LIST"
    )]
    pub(in crate::cli) selector_labels: Vec<String>,

    /// Track ConfigMaps and Secrets of targets
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub(in crate::cli) enable_config_tracking: bool,
}

/// Who applies.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct ApplierArgs {
    #[command(flatten)]
    pub(in crate::cli) flux: FluxArgs,

    /// Apply the manifests of the checkout: for clusters where no Flux does
    #[arg(long)]
    pub(in crate::cli) apply: bool,
}

/// Where the sidecar keeps what it needs itself.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct StateArgs {
    /// Act only while holding a Lease [default: true in a cluster, false elsewhere]
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    pub(in crate::cli) lease: Option<bool>,

    /// Namespace of the Lease and of the state ConfigMap [default: the pod's, or --namespace, or `default`]
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) state_namespace: Option<String>,
}
