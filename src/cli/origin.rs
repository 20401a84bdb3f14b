//! Where `serin run` has its commits from: a checkout, a clone of its own, the artifacts of a Flux source, or a checkout beside Flux.

use std::{path::PathBuf, sync::Arc};

use futures::FutureExt as _;

use super::{Failure, args::RunArgs, run::interrupted};
use crate::{
    error::{Class, Classified as _},
    repo::{
        Artifacts, Checkout, Hints, Options, Pace, Repository, Trigger,
        git::{RemoteUrl, Stop},
        webhook::Following,
    },
    runtime::FluxOptions,
};

/// Where commits come from.
pub(super) struct Origin {
    pub(super) repository: Arc<dyn Repository>,
    pub(super) hints: Hints,
    /// The checkout or clone, for notes.
    pub(super) checkout: Option<PathBuf>,
    /// What calls of forges are about.
    pub(super) following: Following,
    /// Ends what a shutdown must not wait for.
    pub(super) stop: Option<Stop>,
    pub(super) flux: Option<FluxOptions>,
}

impl Origin {
    /// Opens what the flags name. A checkout that is not there yet is waited for.
    pub(super) async fn open(args: &RunArgs) -> Result<Self, Failure> {
        let trigger = Trigger::default();
        let flux = args.applier.flux.source.clone().map(|source| FluxOptions {
            source,
            artifacts: None,
            trigger: trigger.clone(),
            nudge: args.applier.flux.nudge,
        });
        if let Some(url) = args.clone.url()? {
            return Self::clone(args, &url, flux).await;
        }
        match flux {
            Some(options) if args.git.checkout.is_none() => Self::artifacts(args, options, trigger),
            flux => Self::checkout(args, flux).await,
        }
    }

    fn artifacts(args: &RunArgs, mut options: FluxOptions, trigger: Trigger) -> Result<Self, Failure> {
        if args.applier.flux.nudge {
            return Err(Failure::user(
                "--flux-nudge needs a checkout: Flux's own artifacts never have a commit before Flux",
                "add --checkout DIR",
            ));
        }
        let artifacts = Arc::new(Artifacts::new(&options.source.name, &args.git.path)?);
        options.artifacts = Some(Arc::clone(&artifacts));
        Ok(Self {
            repository: artifacts,
            hints: Hints::Trigger(trigger),
            checkout: None,
            following: Following::default(),
            stop: None,
            flux: Some(options),
        })
    }

    async fn checkout(args: &RunArgs, flux: Option<FluxOptions>) -> Result<Self, Failure> {
        let checkout = wait_for(args).await?;
        Ok(Self {
            checkout: Some(checkout.dir().to_owned()),
            repository: Arc::new(checkout),
            hints: Hints::Files { poll: args.poll },
            following: Following {
                branch: args.git.branch.clone(),
                repository: None,
            },
            stop: None,
            flux,
        })
    }

    async fn clone(args: &RunArgs, url: &RemoteUrl, flux: Option<FluxOptions>) -> Result<Self, Failure> {
        let clone = args.clone.open(url, &args.git).await?;
        Ok(Self {
            checkout: Some(clone.dir().to_owned()),
            stop: Some(clone.stop()),
            hints: Hints::Remote(Pace::new(args.clone.repo_interval, url.as_str())),
            following: Following {
                branch: args.git.branch.clone(),
                repository: Some(url.path().to_owned()),
            },
            repository: clone,
            flux,
        })
    }
}

/// Opens the checkout. One that is not there yet (before git-sync's first sync) is waited for.
async fn wait_for(args: &RunArgs) -> Result<Checkout, Failure> {
    let options = Options {
        branch: args.git.branch.clone(),
        path: args.git.path.clone(),
    };
    let ended = || Failure::user("interrupted before there was a checkout", "");
    let mut interrupted = std::pin::pin!(interrupted());
    loop {
        // Signals are heard from here on, before anybody is told that we wait.
        if interrupted.as_mut().now_or_never().is_some() {
            return Err(ended());
        }
        match Checkout::open(args.git.dir(), options.clone()) {
            Err(error) if matches!(error.class(), Class::Retry(_)) => {
                let hint = error.hint().unwrap_or_default();
                tracing::warn!(%error, hint, "No checkout yet; waiting for it.");
            }
            opened => return Ok(opened?),
        }
        tokio::select! {
            () = tokio::time::sleep(args.poll) => {}
            () = interrupted.as_mut() => return Err(ended()),
        }
    }
}
