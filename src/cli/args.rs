//! What the user can type.

mod sidecar;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;

use super::{
    clone::CloneArgs,
    github::GitHubArgs,
    policy::PolicyArgs,
    reach::{LendArgs, LenderArgs, ReachArgs},
};
use crate::{canary::Provider, cluster::Connection, manifest::ObjectKey, plan::flux::source_resource};

pub(super) use self::sidecar::{ApplierArgs, RouterArgs, StateArgs, TargetArgs};

/// A GitOps sidecar for progressive delivery: git push starts a canary, the commit says how it went.
#[derive(Debug, Parser)]
#[command(name = "serin", version, max_term_width = 100, propagate_version = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,

    /// Log to stderr: error, warn, info, debug, trace, or a filter such as serin=debug,kube=info
    /// [default: info for run and cluster, warn for the others, error for demo]
    #[arg(
        long,
        global = true,
        env = "SERIN_LOG",
        hide_env_values = true,
        value_parser = super::logging::level,
        value_name = "LEVEL",
        help_heading = "Other options"
    )]
    pub(super) log_level: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the sidecar: watch a checkout and a cluster, roll out, report on commits
    Run(Box<RunArgs>),
    /// Print what commits would start, and why; offline
    #[command(after_help = "Exit codes: 0 the plan can be carried out, 1 something in git is wrong.")]
    Plan(PlanArgs),
    /// Print the objects under a path, as kustomize builds them; offline
    #[command(after_help = "Exit codes: 0 rendered, 1 it cannot be rendered: why is on stderr.")]
    Render(RenderArgs),
    /// Say what in this cluster will fight with a rollout, with the exact fix
    #[command(after_help = "Exit codes: 0 nothing will fight, 1 something will.")]
    Doctor(Box<DoctorArgs>),
    /// Print the outcomes of a commit
    #[command(
        after_help = "Exit codes: 0 all went well, 1 something failed, 4 not decided yet, 5 nothing was said."
    )]
    Status(Box<StatusArgs>),
    /// Serve the embedded cluster, for kubectl and for trying `serin run`
    Cluster(ClusterCommandArgs),
    /// Print the custom resource definitions
    Crd,
    /// Watch a good commit go green and a bad one go red, without a cluster
    Demo(DemoArgs),
}

/// Where the manifests are.
#[derive(Clone, Debug, Args)]
pub(super) struct GitArgs {
    /// Checkout that another process updates [default: .]
    #[arg(long, value_name = "DIR")]
    pub(super) checkout: Option<PathBuf>,

    /// Folder of the checkout that holds the manifests
    #[arg(long, default_value = "", value_name = "SUBDIR", hide_default_value = true)]
    pub(super) path: String,

    /// Branch to follow [default: the one that is checked out]
    #[arg(long, value_name = "NAME")]
    pub(super) branch: Option<String>,
}

impl GitArgs {
    /// Returns the directory of the checkout.
    pub(super) fn dir(&self) -> &Path {
        self.checkout.as_deref().unwrap_or_else(|| Path::new("."))
    }
}

/// How the cluster is reached.
#[derive(Clone, Debug, Args)]
pub(super) struct ConnectionArgs {
    /// Kubeconfig file [default: $KUBECONFIG, ~/.kube/config, or the pod's service account]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl ConnectionArgs {
    /// What the flags say.
    pub(super) fn connection(&self) -> Connection {
        Connection {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
        }
    }
}

/// Where the cluster is.
#[derive(Clone, Debug, Args)]
pub(super) struct ClusterArgs {
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,

    /// Namespace to watch, and of manifests that name none [default: all, and `default`]
    #[arg(long, short, value_name = "NAME")]
    pub(super) namespace: Option<String>,

    /// Watch all namespaces (the default)
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    pub(super) all_namespaces: bool,
}

/// Where outcomes are posted.
#[derive(Clone, Debug, Args)]
pub(super) struct StatusTargetArgs {
    /// Where outcomes are posted; may be repeated [default: notes]
    #[arg(long = "status", value_enum, value_name = "WHERE")]
    pub(super) status: Vec<StatusTarget>,

    /// Address of the forge, such as https://git.example.com [default: where the source is cloned from, or the
    /// forge's public address]
    #[arg(long, value_name = "URL")]
    pub(super) status_url: Option<String>,

    /// Repository on the forge [default: the one that the source is cloned from]
    #[arg(long, value_name = "OWNER/NAME")]
    pub(super) status_repo: Option<String>,

    /// File that holds the forge's token; read again when it changes
    #[arg(long, value_name = "FILE")]
    pub(super) status_token_file: Option<PathBuf>,

    /// Bare repository for the notes, if the checkout is not writable
    #[arg(long, value_name = "DIR")]
    pub(super) notes_repo: Option<PathBuf>,
}

/// Where outcomes are posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StatusTarget {
    /// Git notes under refs/notes/serin: git log --notes=serin
    Notes,
    /// Commit statuses on GitHub
    #[value(name = "github")]
    GitHub,
    /// Commit statuses on GitLab
    #[value(name = "gitlab")]
    GitLab,
    /// Commit statuses on Gitea or Forgejo
    #[value(alias = "forgejo")]
    Gitea,
    /// Build statuses on Bitbucket Cloud
    Bitbucket,
    /// Build statuses on Bitbucket Data Center
    #[value(alias = "bitbucketserver")]
    BitbucketServer,
    /// Commit statuses on Azure DevOps
    #[value(name = "azuredevops")]
    AzureDevOps,
    /// Nowhere
    None,
}

/// What of Flux is followed.
#[derive(Clone, Debug, Args)]
pub(super) struct FluxArgs {
    /// Source of Flux: its artifacts are read, unless there is a --checkout; what its Kustomizations have
    /// applied decides when a commit is live. A GitRepository, or KIND/NAMESPACE/NAME
    #[arg(long = "flux", id = "flux", value_parser = flux_source, value_name = "NAMESPACE/NAME", conflicts_with = "apply")]
    pub(super) source: Option<ObjectKey>,

    /// Ask Flux to fetch its source when the checkout has a commit before it
    #[arg(long = "flux-nudge", requires = "flux")]
    pub(super) nudge: bool,
}

/// What is said on a commit that touches no canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Unrelated {
    /// Nothing
    Silent,
    /// Context `serin` is success
    Success,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) git: GitArgs,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
    #[command(flatten)]
    pub(super) to: StatusTargetArgs,

    #[command(flatten)]
    pub(super) applier: ApplierArgs,

    /// Time for a commit's change to become live before its status is an error
    #[arg(long, default_value = "30m", value_parser = duration, value_name = "DURATION")]
    pub(super) apply_deadline: Duration,

    /// What is said on a commit that touches no canary; `success` lets a required check pass
    #[arg(long, value_enum, default_value = "silent", value_name = "WHAT")]
    pub(super) status_unrelated: Unrelated,

    /// Safety poll of the checkout
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "DURATION")]
    pub(super) poll: Duration,

    /// Address of /metrics, /healthz, /readyz and /notify
    #[arg(long, default_value = "127.0.0.1:8080", value_parser = address, value_name = "ADDR")]
    pub(super) listen: SocketAddr,

    #[command(flatten)]
    pub(super) targets: TargetArgs,

    /// Prometheus API of canaries that name none
    #[arg(long, default_value = "http://prometheus:9090", value_name = "URL")]
    pub(super) metrics_server: String,

    /// Prefixes of labels and annotations that reach the primary; * is all
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub(super) include_label_prefix: Vec<String>,

    /// Refuse references to other namespaces
    #[arg(long)]
    pub(super) no_cross_namespace_refs: bool,

    /// Time between routing away from a workload and scaling it down
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "DURATION")]
    pub(super) drain: Duration,

    /// Name of this cluster: part of the contexts of commit statuses
    #[arg(long, value_name = "NAME")]
    pub(super) cluster_name: Option<String>,

    #[command(flatten)]
    pub(super) state: StateArgs,

    /// Name of this source: its state is in ConfigMap serin-NAME [default: the directory's name]
    #[arg(long, value_name = "NAME")]
    pub(super) source_name: Option<String>,

    /// Networks that addresses from custom resources may reach although they are loopback, link-local or the
    /// API server; may be repeated. In a cluster such addresses are refused; elsewhere only once this is given
    #[arg(long, value_parser = network, value_name = "CIDR")]
    pub(super) allow_egress: Vec<IpNet>,

    /// File that holds the secret of push webhooks to /notify; without it only this machine may call
    #[arg(long, value_name = "FILE")]
    pub(super) notify_secret_file: Option<PathBuf>,

    /// File that somebody touches to say that there is something new, as git-sync does
    #[arg(long, value_name = "FILE")]
    pub(super) touch_file: Option<PathBuf>,

    // The last: their headings hold for all that follows.
    #[command(flatten)]
    pub(super) clone: CloneArgs,

    #[command(flatten)]
    pub(super) reach: ReachArgs,
    #[command(flatten)]
    pub(super) lend: LendArgs,
    #[command(flatten)]
    pub(super) github: GitHubArgs,
    #[command(flatten)]
    pub(super) policy: PolicyArgs,
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) git: GitArgs,

    /// Commits: A..B, or one commit for what it changed
    #[arg(default_value = "HEAD", value_name = "A..B")]
    pub(super) range: String,

    /// Namespace of manifests that name none
    #[arg(long, short, default_value = "default", value_name = "NAME")]
    pub(super) namespace: String,

    #[command(flatten)]
    pub(super) router: RouterArgs,

    /// Print for people or for programs
    #[arg(long, value_enum, default_value = "human", value_name = "FORMAT")]
    pub(super) output: Format,
}

#[derive(Debug, Args)]
pub(super) struct RenderArgs {
    /// Checkout whose commits are read; its work tree is not
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(super) checkout: PathBuf,

    /// Directory to render, from the top of the repository
    #[arg(default_value = ".", value_name = "PATH")]
    pub(super) path: String,

    /// Commit
    #[arg(long, default_value = "HEAD", value_name = "REV")]
    pub(super) revision: String,

    /// Print YAML documents, or JSON with the place of each object and the files they depend on
    #[arg(long, value_enum, default_value = "human", value_name = "FORMAT")]
    pub(super) output: Format,
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,

    /// Checkout to examine beside the cluster
    #[arg(long, value_name = "DIR")]
    pub(super) checkout: Option<PathBuf>,

    /// Folder of the checkout that holds the manifests
    #[arg(long, default_value = "", value_name = "SUBDIR", hide_default_value = true)]
    pub(super) path: String,

    /// Service account of the sidecar, whose rights are examined [default: who asks]
    #[arg(long, value_parser = service_account, value_name = "NAMESPACE/NAME")]
    pub(super) service_account: Option<String>,

    /// Print for people or for programs
    #[arg(long, value_enum, default_value = "human", value_name = "FORMAT")]
    pub(super) output: Format,

    // What follows stands under this heading.
    #[command(flatten, next_help_heading = "How the sidecar is run")]
    pub(super) targets: TargetArgs,

    #[command(flatten)]
    pub(super) applier: ApplierArgs,

    #[command(flatten)]
    pub(super) state: StateArgs,

    /// Secret that the sidecar has the forge's token from
    #[arg(long, value_parser = service_account, value_name = "NAMESPACE/NAME")]
    pub(super) status_secret: Option<String>,

    /// Notification Provider of Flux that the sidecar reuses
    #[arg(long, value_parser = service_account, value_name = "NAMESPACE/NAME")]
    pub(super) status_provider: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub(super) git: GitArgs,
    #[command(flatten)]
    pub(super) from: StatusTargetArgs,
    #[command(flatten)]
    pub(super) cluster: ConnectionArgs,

    /// Commit
    #[arg(default_value = "HEAD", value_name = "REV")]
    pub(super) revision: String,

    /// Print for people or for programs
    #[arg(long, value_enum, default_value = "human", value_name = "FORMAT")]
    pub(super) output: Format,

    // The last: its heading holds for all that follows.
    #[command(flatten)]
    pub(super) reach: ReachArgs,
    #[command(flatten)]
    pub(super) lenders: LenderArgs,
    #[command(flatten)]
    pub(super) github: GitHubArgs,
}

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Human,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
pub(super) struct ClusterCommandArgs {
    /// Address to serve the Kubernetes API on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:6443", value_parser = address, value_name = "ADDR")]
    pub(super) listen: SocketAddr,

    /// Kubeconfig file to write
    #[arg(long, value_name = "FILE")]
    pub(super) write_kubeconfig: Option<PathBuf>,

    /// A world of clients and images (YAML); its Prometheus API is served at --prometheus
    #[arg(long, value_name = "FILE")]
    pub(super) world: Option<PathBuf>,

    /// Address to serve the Prometheus API of the world on
    #[arg(long, value_parser = address, value_name = "ADDR", requires = "world")]
    pub(super) prometheus: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Keep the repository of the demo in this (new or empty) folder
    #[arg(long, value_name = "DIR")]
    pub(super) keep: Option<PathBuf>,
}

/// Parses a Go duration.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    crate::canary::duration::parse(text).map_err(|error| error.to_string())
}

/// Parses an address to listen on; `:8080` is all addresses, as elsewhere.
fn address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') {
        format!("0.0.0.0{text}")
    } else {
        text.to_owned()
    };
    full.parse()
        .map_err(|_| "give ADDRESS:PORT, such as 127.0.0.1:8080 or :8080".to_owned())
}

/// Parses `NAMESPACE/NAME` or `KIND/NAMESPACE/NAME`.
fn flux_source(text: &str) -> Result<ObjectKey, String> {
    let wrong = || "give NAMESPACE/NAME of a GitRepository, or OCIRepository/NAMESPACE/NAME".to_owned();
    let parts: Vec<&str> = text.split('/').collect();
    let (kind, namespace, name) = match parts.as_slice() {
        [namespace, name] => ("GitRepository", *namespace, *name),
        [kind, namespace, name] => (*kind, *namespace, *name),
        _ => return Err(wrong()),
    };
    let resource = source_resource(kind).ok_or_else(wrong)?;
    if namespace.is_empty() || name.is_empty() {
        return Err(wrong());
    }
    Ok(ObjectKey::new(resource, namespace, name))
}

fn service_account(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => Ok(text.to_owned()),
        _ => Err("give NAMESPACE/NAME, such as flux-system/serin".to_owned()),
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse()
        .map_err(|_| "give a network, such as 10.0.0.0/8 or fd00::/8".to_owned())
}

/// Checks the name of a router. One that is not implemented yet is fine as a default: the canaries that it
/// falls to say so.
fn provider(text: &str) -> Result<String, String> {
    if Provider::parse(text).is_some() {
        return Ok(text.to_owned());
    }
    let known: Vec<&str> = Provider::ALL.into_iter().map(Provider::name).collect();
    Err(format!("no such router; use one of {}", known.join(", ")))
}
