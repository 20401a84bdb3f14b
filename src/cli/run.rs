//! `serin run`: the sidecar.

use std::{net::SocketAddr, path::Path, process::ExitCode, sync::Arc};

use tokio::{net::TcpListener, sync::watch};

use super::{
    Failure,
    args::{RunArgs, StatusTarget, StatusTargetArgs, Unrelated},
    github::GitHubArgs,
    origin::Origin,
    reach::{Lending, ReachArgs},
};
use crate::{
    canary::Defaults,
    clock::Clock,
    cluster::{self, Cluster, LeaseOptions},
    error::Classified as _,
    http::{Client, Egress, Rules, SecretFile},
    repo::Touched,
    report::{Forge, ForgeKind, Settings as Forges},
    runtime::{NotifyOptions, Runtime, Source, SourceOptions},
};

pub(super) fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    super::runtime()?.block_on(serve(args))
}

async fn serve(args: RunArgs) -> Result<ExitCode, Failure> {
    let clock = Clock::system();
    let origin = Origin::open(&args).await?;
    let connection = args.cluster.connection.connection();
    let on_failure = args.policy.on_failure(&args.to, &args.clone)?;
    let verifier = args.policy.verifier(&*origin.repository)?;
    let (client, in_cluster, api_host) = cluster::connect(&connection).await?;
    let http = Client::new(egress(&args, in_cluster, api_host.as_deref()).await);
    let commits = crate::report::Origin {
        source: Arc::clone(&origin.repository),
        mirror_of: args.lend.status_mirror_of.clone(),
    };
    let operator = Client::new(Egress::Open);
    let mut settings = forges(&args.to, &args.reach, &args.github, origin.checkout.as_deref())?;
    // What a Flux source fetches is known only once it is read: until then the flags say where the forge is.
    settings.clone_url = origin.repository.url().unwrap_or_default();
    settings.origin = Some(commits.clone());
    settings.branch.clone_from(&args.git.branch);
    let (cluster, changes) = Cluster::new(client, args.cluster.namespace.clone());
    let lending = Lending {
        cluster: cluster.clone(),
        clock,
        client: operator.clone(),
        branch: args.git.branch.clone(),
        origin: commits,
    };
    let lent = args.lend.lent(&mut settings, &lending)?;
    let mut forges = settings.forges(&operator, clock)?;
    forges
        .forges
        .extend(lent.iter().map(|forge| Arc::clone(forge) as Arc<dyn Forge>));
    for error in &forges.warnings {
        let hint = error.hint().unwrap_or_default();
        tracing::warn!(%error, hint, "No git notes: outcomes are told by events only.");
    }
    let state_namespace = state_namespace(&args, in_cluster);
    let name = origin.repository.name();
    let mut source = Source::new(
        origin.repository,
        origin.hints,
        forges.forges,
        SourceOptions {
            name: args.source_name.clone().unwrap_or(name),
            namespace: args
                .cluster
                .namespace
                .clone()
                .unwrap_or_else(|| "default".to_owned()),
            state_namespace: state_namespace.clone(),
            defaults: defaults(&args),
            cluster_name: args.cluster_name.clone(),
            apply: args.applier.apply,
            apply_deadline: args.apply_deadline,
            status_unrelated: args.status_unrelated == Unrelated::Success,
            on_failure,
            verifier,
        },
        clock,
    )
    .with_lent(lent);
    if args.lend.pull_request_comment {
        source = source.with_comments(clock);
    }
    if let Some(options) = origin.flux {
        source = source.with_flux(options);
    }
    source = source.notified(NotifyOptions {
        secret: args.notify_secret_file.clone().map(SecretFile::Path),
        following: origin.following,
    });
    let _touched = args
        .touch_file
        .as_deref()
        .map(|file| touched(file, &source))
        .transpose()?;
    let runtime = Runtime {
        cluster,
        changes,
        clock,
        http,
        defaults: defaults(&args),
        lease: args
            .state
            .lease
            .unwrap_or(in_cluster)
            .then(|| lease(state_namespace)),
        source: Some(source),
    };
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        Failure::user(
            format!("cannot listen on {}: {error}", args.listen),
            "choose another address by --listen",
        )
    })?;
    tracing::info!(
        checkout = %origin.checkout.unwrap_or_default().display(),
        repo = args.clone.url()?.map(|url| url.to_string()).unwrap_or_default(),
        flux = args.applier.flux.source.as_ref().map(ToString::to_string).unwrap_or_default(),
        cluster = api_host.as_deref().unwrap_or_default(),
        listen = %listener.local_addr().unwrap_or(args.listen),
        apply = args.applier.apply,
        "Serin starts."
    );
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        interrupted().await;
        tracing::info!("Shutting down.");
        stop.send_replace(true);
        std::future::pending::<()>().await;
    });
    runtime
        .run(stopped, |router| {
            let service = router.into_make_service_with_connect_info::<SocketAddr>();
            tokio::spawn(async move { axum::serve(listener, service).await });
        })
        .await;
    if let Some(stop) = origin.stop {
        stop.now();
    }
    Ok(ExitCode::SUCCESS)
}

/// Looks at the file that somebody touches.
fn touched(file: &Path, source: &Source) -> Result<Touched, Failure> {
    Touched::watch(file, source.trigger()).map_err(|error| {
        Failure::user(
            format!("cannot watch `{}`: {error}", file.display()),
            "give --touch-file a file in a folder that exists",
        )
    })
}

/// Waits for SIGINT or SIGTERM.
pub(super) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        tokio::signal::ctrl_c().await.ok();
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}

fn defaults(args: &RunArgs) -> Defaults {
    Defaults {
        mesh_provider: args.targets.router.mesh_provider.clone(),
        metrics_server: args.metrics_server.clone(),
        selector_labels: args.targets.selector_labels.clone(),
        include_label_prefix: args.include_label_prefix.clone(),
        ingress_class: None,
        track_configs: args.targets.enable_config_tracking,
        no_cross_namespace_refs: args.no_cross_namespace_refs,
        drain: args.drain,
        judge_by: args.policy.judge_by(),
    }
}

/// In a cluster, addresses from custom resources may not reach what only this pod can; elsewhere they may,
/// unless the user has drawn the line by `--allow-egress`.
async fn egress(args: &RunArgs, in_cluster: bool, api_host: Option<&str>) -> Egress {
    if !in_cluster && args.allow_egress.is_empty() {
        return Egress::Open;
    }
    let mut denied = Vec::new();
    if let Some(host) = api_host
        && let Ok(found) = tokio::net::lookup_host((host.trim_matches(['[', ']']), 443)).await
    {
        denied.extend(found.map(|address| address.ip()));
    }
    Egress::Restricted(Rules {
        allow: args.allow_egress.clone(),
        api_server: denied,
    })
}

/// What the flags say about where outcomes are posted.
pub(super) fn forges(
    args: &StatusTargetArgs,
    reach: &ReachArgs,
    github: &GitHubArgs,
    checkout: Option<&Path>,
) -> Result<Forges, Failure> {
    let kind = |target: &StatusTarget| match target {
        StatusTarget::Notes => ForgeKind::Notes,
        StatusTarget::GitHub => ForgeKind::GitHub,
        StatusTarget::GitLab => ForgeKind::GitLab,
        StatusTarget::Gitea => ForgeKind::Gitea,
        StatusTarget::Bitbucket => ForgeKind::Bitbucket,
        StatusTarget::BitbucketServer => ForgeKind::BitbucketServer,
        StatusTarget::AzureDevOps => ForgeKind::AzureDevOps,
        StatusTarget::None => ForgeKind::None,
    };
    let mut forges = Forges {
        kinds: args.status.iter().map(kind).collect(),
        url: args.status_url.clone(),
        repository: args.status_repo.clone(),
        token_file: args.status_token_file.clone(),
        token_variable: reach.status_token_env.clone(),
        route: reach.route()?,
        checkout: checkout.map(Path::to_owned),
        notes_repo: args.notes_repo.clone(),
        ..Forges::default()
    };
    github.add_to(&mut forges);
    Ok(forges)
}

fn state_namespace(args: &RunArgs, in_cluster: bool) -> String {
    let pod = || std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace").ok();
    let given = args.state.state_namespace.clone();
    given
        .or_else(|| in_cluster.then(pod).flatten().map(|name| name.trim().to_owned()))
        .or_else(|| args.cluster.namespace.clone())
        .unwrap_or_else(|| "default".to_owned())
}

fn lease(namespace: String) -> LeaseOptions {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let identity = format!("{}-{}", host.trim(), std::process::id());
    LeaseOptions {
        namespace,
        identity,
        duration: std::time::Duration::from_secs(15),
    }
}
