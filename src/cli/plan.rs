//! `serin plan`: what commits would start, and why. Offline.

use std::process::ExitCode;

use super::{
    Failure, Output,
    args::{Format, PlanArgs},
};
use crate::{
    canary::Defaults,
    plan::{self, Cache, Settings, Ties},
    repo::{Checkout, Options},
};

/// Exit codes: 0 the plan can be carried out, 1 a manifest is wrong.
pub(super) fn run(args: &PlanArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let options = Options {
        branch: args.git.branch.clone(),
        path: args.git.path.clone(),
    };
    let checkout = Checkout::open(args.git.dir(), options)?;
    let (from, to) = checkout.range(&args.range)?;
    let settings = Settings {
        namespace: args.namespace.clone(),
        defaults: Defaults {
            mesh_provider: args.router.mesh_provider.clone(),
            ..Defaults::default()
        },
        ties: Ties::default(),
    };
    let plan = plan::plan(&checkout, &Cache::default(), &settings, from.as_ref(), &to)?;
    match args.output {
        Format::Human => output.data(&plan::render_human(&plan)),
        Format::Json => output.line(&serde_json::to_string_pretty(&plan).unwrap_or_default()),
    }
    Ok(if plan.errors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
