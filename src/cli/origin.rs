//! Where `serin run` has its commits from: a checkout, the artifacts of a Flux source, or a checkout beside Flux.

use std::{path::PathBuf, sync::Arc};

use super::{Failure, args::RunArgs, run::interrupted};
use crate::{
    error::{Class, Classified as _},
    repo::{Artifacts, Checkout, Hints, Options, Repository, Trigger},
    runtime::FluxOptions,
};

/// Where commits come from.
pub(super) struct Origin {
    pub(super) repository: Arc<dyn Repository>,
    pub(super) hints: Hints,
    /// The checkout, for notes.
    pub(super) checkout: Option<PathBuf>,
    pub(super) flux: Option<FluxOptions>,
}

impl Origin {
    /// Opens what the flags name. A checkout that is not there yet is waited for.
    pub(super) async fn open(args: &RunArgs) -> Result<Self, Failure> {
        let trigger = Trigger::default();
        let flux = args.flux.source.clone().map(|source| FluxOptions {
            source,
            artifacts: None,
            trigger: trigger.clone(),
            nudge: args.flux.nudge,
        });
        match flux {
            Some(options) if args.git.checkout.is_none() => Self::artifacts(args, options, trigger),
            flux => Self::checkout(args, flux).await,
        }
    }

    fn artifacts(args: &RunArgs, mut options: FluxOptions, trigger: Trigger) -> Result<Self, Failure> {
        if args.flux.nudge {
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
            flux: Some(options),
        })
    }

    async fn checkout(args: &RunArgs, flux: Option<FluxOptions>) -> Result<Self, Failure> {
        let checkout = wait_for(args).await?;
        Ok(Self {
            checkout: Some(checkout.dir().to_owned()),
            repository: Arc::new(checkout),
            hints: Hints::Files { poll: args.poll },
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
    loop {
        match Checkout::open(args.git.dir(), options.clone()) {
            Err(error) if matches!(error.class(), Class::Retry(_)) => {
                let hint = error.hint().unwrap_or_default();
                tracing::warn!(%error, hint, "No checkout yet; waiting for it.");
            }
            opened => return Ok(opened?),
        }
        tokio::select! {
            () = tokio::time::sleep(args.poll) => {}
            () = interrupted() => return Err(Failure::user("interrupted before there was a checkout", "")),
        }
    }
}
