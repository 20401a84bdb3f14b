//! What the running sidecar has seen to be set back. It puts such things back, so that `managedFields` may no longer tell
//! who does it: the Canary's status does.

use jiff::{SignedDuration, Timestamp};

use super::{Finding, Severity, Ward, flux};
use crate::{
    canary::{DriftStatus, Status},
    manifest::{Object, Resource},
};

/// Tells what no other finding is about.
pub(super) fn examine(ward: &Ward, found: &mut Vec<Finding>) {
    for canary in ward.of(Resource::CANARY) {
        for entry in entries(canary) {
            let known = found.iter().any(|finding| finding.object == entry.object);
            if !known && !is_over(ward, &entry) {
                found.push(finding(ward, canary, &entry));
            }
        }
    }
}

fn entries(canary: &Object) -> Vec<DriftStatus> {
    canary
        .at("/status")
        .map(|status| Status::parse(status).drift)
        .unwrap_or_default()
}

/// Who keeps scaling a target back, as far as the sidecar knows.
pub(super) fn scales_back(ward: &Ward, canary: &Object, target: &Object) -> Option<String> {
    let object = target.key().to_string();
    let mut entries = entries(canary).into_iter();
    let entry = entries.find(|entry| entry.object == object && entry.field == "spec.replicas")?;
    let lasts = insists(ward, &entry) && !is_over(ward, &entry);
    lasts.then(|| said(&entry))
}

fn said(entry: &DriftStatus) -> String {
    let who = match &entry.applied_by {
        _ if entry.manager.is_empty() => return format!("somebody deleted it ({})", when(entry)),
        Some(owner) => format!("{} ({owner})", entry.manager),
        None => entry.manager.clone(),
    };
    format!("{who} changed {} ({})", entry.field, when(entry))
}

fn when(entry: &DriftStatus) -> String {
    let second = entry.at.round(jiff::Unit::Second).unwrap_or(entry.at);
    format!("first seen at {second}")
}

/// Whether it will be done again, by a controller.
fn insists(ward: &Ward, entry: &DriftStatus) -> bool {
    match entry.manager.as_str() {
        "" => false,
        // Without correction of drift, it acts with an upgrade only.
        "helm-controller" => entry.applied_by.as_deref().is_none_or(|owner| {
            let release = find(ward, owner);
            release.is_none_or(|release| release.str_at("/spec/driftDetection/mode") == "enabled")
        }),
        manager => !manager.starts_with("kubectl"),
    }
}

fn find<'a>(ward: &'a Ward, name: &str) -> Option<&'a Object> {
    let mut objects = ward.objects.iter();
    objects
        .find(|(key, _)| key.to_string() == name)
        .map(|(_, object)| object)
}

/// Whether who did it has been at work since Serin put it back, and has left it alone.
fn is_over(ward: &Ward, entry: &DriftStatus) -> bool {
    let (Some(object), Some(owner)) = (
        find(ward, &entry.object),
        entry.applied_by.as_deref().and_then(|owner| find(ward, owner)),
    ) else {
        return false;
    };
    let (Some(put_back), Some(began)) = (put_back(object), flux::began(owner)) else {
        return false;
    };
    // Both times are cut to seconds.
    began.duration_since(put_back) >= SignedDuration::from_secs(1)
}

/// When Serin wrote an object last.
fn put_back(object: &Object) -> Option<Timestamp> {
    let entries = object.at("/metadata/managedFields")?.as_array()?;
    let ours = entries.iter().filter(|entry| {
        entry
            .get("manager")
            .and_then(serde_json::Value::as_str)
            .is_some_and(|manager| manager.starts_with("serin"))
    });
    ours.filter_map(|entry| entry.get("time")?.as_str()?.parse().ok())
        .max()
}

fn finding(ward: &Ward, canary: &Object, entry: &DriftStatus) -> Finding {
    let severity = if insists(ward, entry) {
        Severity::Fight
    } else {
        Severity::Note
    };
    Finding {
        severity,
        code: "drift",
        object: entry.object.clone(),
        problem: format!("{}: Serin put it back", said(entry)),
        fix: fix(ward, canary, entry),
    }
}

fn fix(ward: &Ward, canary: &Object, entry: &DriftStatus) -> String {
    let Some(object) = find(ward, &entry.object) else {
        return "Serin makes it again; nothing is to be done, unless it is deleted again".to_owned();
    };
    if entry.manager.starts_with("kubectl") {
        return format!(
            "nothing is to be done, unless it is changed again; to have it your way for a while:\n\
             kubectl -n {} patch canary {} --type=merge -p '{{\"spec\":{{\"suspend\":true}}}}'",
            canary.namespace(),
            canary.name()
        );
    }
    if entry.field == "spec.replicas" {
        return flux::fix_of_replicas(ward, object)
            .unwrap_or_else(|| format!("keep {} from scaling it: the rollout does", entry.manager));
    }
    super::let_go(&object.key(), &format!("the {}", object.key().kind))
}
