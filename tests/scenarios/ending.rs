//! How a scenario ended: what stands in the cluster, what commits say, what it cost.

use std::{collections::BTreeMap, fmt::Write as _};

use serin::rehearsal::Entry;

use crate::{play::Scene, show};

const KINDS: &[(&str, &str)] = &[
    ("apps", "Deployment"),
    ("", "Service"),
    ("networking.k8s.io", "Ingress"),
    ("", "ConfigMap"),
    ("", "Secret"),
];

/// Tells the end. The git notes must say what the forge says.
pub(crate) async fn render(scene: &Scene) -> String {
    let mut out = String::from("In the end\n");
    for (group, kind) in KINDS {
        for object in scene.stage.cluster.store().list(group, kind, None) {
            if let Some(line) = show::object(&object) {
                writeln!(out, "  {line}").unwrap();
            }
        }
    }
    out.push_str("Commits\n");
    out.push_str(&commits(scene).await);
    out
}

/// Tells what it cost clients and the API server; not a part of the end that accidents must not change.
pub(crate) fn cost(scene: &Scene) -> String {
    format!("Requests of clients\n{}{}", traffic(scene), ledger(scene))
}

fn ledger(scene: &Scene) -> String {
    let entries = scene.stage.cluster.ledger().of("serin");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for entry in &entries {
        *counts.entry(request(entry)).or_default() += 1;
    }
    let mut out = format!("Requests of the sidecar to the API server: {}\n", entries.len());
    for (request, count) in counts {
        writeln!(out, "  {count:>4}  {request}").unwrap();
    }
    out
}

fn request(entry: &Entry) -> String {
    let slash = if entry.subresource.is_empty() { "" } else { "/" };
    let code = match entry.code {
        200..300 => String::new(),
        code => format!(" ({code})"),
    };
    format!(
        "{} {}{slash}{}{code}",
        entry.verb, entry.resource, entry.subresource
    )
}

async fn commits(scene: &Scene) -> String {
    let mut out = String::new();
    let statuses = scene.recorder.statuses();
    for (id, message) in scene.transcript.commits() {
        let told = statuses.get(&id.parse().unwrap()).cloned().unwrap_or_default();
        let noted = scene.stage.statuses(&id).await.unwrap();
        // Neither of them has a page for the detail.
        let told: Vec<_> = told
            .into_values()
            .map(|status| status.with_detail(None))
            .collect();
        // No notes are kept on what is not in the repository any more.
        if !scene.is_pruned(&id) {
            assert_eq!(noted, told, "git notes and forge differ on \"{message}\"");
        }
        if told.is_empty() {
            writeln!(out, "  \"{message}\": nothing is said").unwrap();
        }
        for status in told {
            let text = scene.transcript.named(&status.description);
            writeln!(
                out,
                "  \"{message}\": {} {} \"{text}\"",
                status.context, status.state
            )
            .unwrap();
        }
    }
    out
}

fn traffic(scene: &Scene) -> String {
    let totals = scene.stage.world.totals().since(&scene.before);
    let mut out = format!(
        "  {} in all, {} lost, {} failed\n",
        totals.requests(),
        totals.lost(),
        totals.failed() - totals.lost()
    );
    for (service, count) in &totals.services {
        writeln!(
            out,
            "  {service}: {:.0} %",
            totals.share_of_service(service) * 100.0
        )
        .unwrap();
        if count.unserved > 0 {
            writeln!(out, "    {} reached nobody", count.unserved).unwrap();
        }
    }
    for version in totals.versions.keys() {
        let short = version.rsplit('/').next().unwrap_or_default();
        writeln!(
            out,
            "  answered by {short}: {:.0} %",
            totals.share_of_version(version) * 100.0
        )
        .unwrap();
    }
    out
}
