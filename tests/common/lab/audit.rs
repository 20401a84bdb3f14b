//! Reads the API server's audit log: who asked for what, how often.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// One request, at the stage that is known of it so far.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditEvent {
    #[serde(rename = "auditID")]
    pub(crate) id: String,
    pub(crate) verb: String,
    #[serde(rename = "requestURI")]
    pub(crate) uri: String,
    pub(crate) user: AuditUser,
    #[serde(default)]
    pub(crate) user_agent: String,
    #[serde(default)]
    pub(crate) object_ref: AuditObject,
    #[serde(default)]
    pub(crate) response_status: AuditResponse,
    pub(crate) request_received_timestamp: String,
}

/// Who sent a request.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AuditUser {
    pub(crate) username: String,
}

/// What a request was about; empty for non-resource paths.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AuditObject {
    pub(crate) api_group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// How a request was answered.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AuditResponse {
    pub(crate) code: u16,
}

impl AuditEvent {
    /// Names what was asked for: `deployments`, `deployments/scale`, or the path where it is no resource.
    pub(crate) fn resource(&self) -> String {
        let object = &self.object_ref;
        match (object.resource.as_str(), object.subresource.as_str()) {
            ("", _) => self.uri.split('?').next().unwrap_or_default().to_owned(),
            (resource, "") => resource.to_owned(),
            (resource, subresource) => format!("{resource}/{subresource}"),
        }
    }
}

/// Counts requests of one user by verb and resource: the ledger of what a run costs.
pub(crate) fn ledger(events: &[AuditEvent], user: &str) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    for event in events.iter().filter(|event| event.user.username == user) {
        *counts.entry((event.verb.clone(), event.resource())).or_default() += 1;
    }
    counts
}

/// Reads the log; a request with several stages (a watch) counts once. A last line still being written is left.
pub(crate) fn read(log: &Path) -> anyhow::Result<Vec<AuditEvent>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("{} cannot be read", log.display()))?;
    let mut seen = BTreeSet::new();
    let mut events = Vec::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let event: AuditEvent =
            serde_json::from_str(line).with_context(|| format!("{} holds `{line}`", log.display()))?;
        if seen.insert(event.id.clone()) {
            events.push(event);
        }
    }
    Ok(events)
}
