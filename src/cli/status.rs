//! `serin status`: what was said of a commit.

use std::{process::ExitCode, sync::Arc};

use serde_json::json;

use super::{
    Failure, Output,
    args::{Format, StatusArgs},
};
use crate::{
    clock::Clock,
    cluster::{self, Cluster},
    http::{Client, Egress},
    repo::{Checkout, Options},
    report::{CommitState, CommitStatus, Forge},
    runtime::Lender,
};

/// Exit codes: 0 all went well, 1 something failed, 4 not decided yet, 5 nothing was said.
pub(super) fn run(args: &StatusArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let options = Options {
        branch: args.git.branch.clone(),
        path: args.git.path.clone(),
    };
    let checkout = Checkout::open(args.git.dir(), options)?;
    let revision = checkout.resolve(&args.revision)?;
    let runtime = super::runtime()?;
    let _inside = runtime.enter();
    let http = Client::new(Egress::Open);
    let mut settings = super::run::forges(&args.from, &args.reach, &args.github, Some(checkout.dir()))?;
    settings.clone_url = checkout.url();
    let lenders = args.lenders.lenders(&mut settings)?;
    let mut forges = settings.readers(&http, Clock::system())?;
    if !lenders.is_empty() {
        let lent = lent(args, &lenders, settings.clone_url.as_deref(), &http);
        forges.extend(runtime.block_on(lent)?);
    }
    let mut found = Vec::new();
    for forge in &forges {
        let statuses = runtime.block_on(forge.read(&revision.id))?;
        found.extend(
            statuses
                .into_iter()
                .map(|status| (forge.name().to_owned(), status)),
        );
    }
    found.retain(|(_, status)| is_ours(&status.context));
    match args.output {
        Format::Json => output.line(&to_json(&revision.id.to_string(), &found)),
        Format::Human => print(&revision.to_string(), &found, output),
    }
    Ok(ExitCode::from(code(&found)))
}

/// The forges whose settings the cluster keeps, as they are now.
async fn lent(
    args: &StatusArgs,
    lenders: &[Lender],
    source: Option<&str>,
    http: &Client,
) -> Result<Vec<Arc<dyn Forge>>, Failure> {
    let (client, _, _) = cluster::connect(&args.cluster.connection()).await?;
    let (cluster, _changes) = Cluster::new(client, None);
    let mut forges = Vec::new();
    for lender in lenders {
        let lent = lender.look(source, &cluster).await?;
        forges.push(lent.forge(http, Clock::system(), None, None)?);
    }
    Ok(forges)
}

fn is_ours(context: &str) -> bool {
    context == "serin" || context.starts_with("serin/")
}

fn print(revision: &str, found: &[(String, CommitStatus)], output: &mut Output) {
    if found.is_empty() {
        output.note(&format!("nothing was said of {revision}"));
        return;
    }
    output.line(revision);
    let width = found
        .iter()
        .map(|(_, status)| status.context.len())
        .max()
        .unwrap_or_default();
    for (_, status) in found {
        let text = format!(
            "  {:<8} {:<width$}  {}",
            status.state.name(),
            status.context,
            status.description
        );
        output.line(text.trim_end());
        if let Some(url) = &status.target_url {
            output.line(&format!("  {:<8} {:<width$}  {url}", "", ""));
        }
    }
}

fn to_json(commit: &str, found: &[(String, CommitStatus)]) -> String {
    let statuses: Vec<_> = found
        .iter()
        .map(|(forge, status)| {
            json!({"forge": forge, "context": status.context, "state": status.state.name(),
                "description": status.description, "targetUrl": status.target_url})
        })
        .collect();
    let value = json!({"commit": commit, "statuses": statuses});
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

fn code(found: &[(String, CommitStatus)]) -> u8 {
    let any = |wanted: &[CommitState]| found.iter().any(|(_, status)| wanted.contains(&status.state));
    match () {
        () if found.is_empty() => 5,
        () if any(&[CommitState::Failure, CommitState::Error]) => 1,
        () if any(&[CommitState::Pending]) => 4,
        () => 0,
    }
}
