//! The status of a Canary: Flagger's fields with their meaning, and Serin's additions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Thresholds;

/// Where a rollout is. Flagger's values, no others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "flagger.md 2.2 tells the phases; their names say what they are"
)]
pub enum Phase {
    #[default]
    #[serde(rename = "")]
    New,
    Initializing,
    Initialized,
    Waiting,
    Progressing,
    WaitingPromotion,
    Promoting,
    Finalising,
    Succeeded,
    Failed,
    Terminating,
    Terminated,
}

impl Phase {
    /// Every phase, in the order of a rollout.
    pub const ALL: [Self; 12] = [
        Self::New,
        Self::Initializing,
        Self::Initialized,
        Self::Waiting,
        Self::Progressing,
        Self::WaitingPromotion,
        Self::Promoting,
        Self::Finalising,
        Self::Succeeded,
        Self::Failed,
        Self::Terminating,
        Self::Terminated,
    ];

    /// Returns the name, as in `status.phase`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "",
            Self::Initializing => "Initializing",
            Self::Initialized => "Initialized",
            Self::Waiting => "Waiting",
            Self::Progressing => "Progressing",
            Self::WaitingPromotion => "WaitingPromotion",
            Self::Promoting => "Promoting",
            Self::Finalising => "Finalising",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Terminating => "Terminating",
            Self::Terminated => "Terminated",
        }
    }

    /// Whether no run is in progress.
    #[must_use]
    pub fn at_rest(self) -> bool {
        matches!(self, Self::Initialized | Self::Succeeded | Self::Failed)
    }
}

/// `status` of a Canary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Where the rollout is.
    pub phase: Phase,
    /// Failed checks of the run; kept after a failure.
    pub failed_checks: u32,
    /// The weight that is routed to the canary, in percent.
    pub canary_weight: u32,
    /// Blue/green iterations done; Flagger may have left -1.
    pub iterations: i64,
    /// Digest of the live target that the run is for.
    pub last_applied_spec: String,
    /// Digest of the target that the primary was made from.
    pub last_promoted_spec: String,
    /// `configmap/<name>` or `secret/<name>` to digest, of the live target.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tracked_configs: BTreeMap<String, String>,
    /// The same for the primary.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub last_promoted_configs: BTreeMap<String, String>,
    /// Time of this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
    /// `Promoted` (Flagger's), `Ready`, `Reconciling`, `Stalled` (kstatus).
    pub conditions: Vec<Condition>,
    /// metadata.generation of the Canary that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Why the last run failed, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The commit that the run in progress, or the last one, is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The commit that was promoted last, if one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoted_commit: Option<String>,
    /// What came of proposing the revert of a commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revert: Option<RevertStatus>,
    /// The run in progress, or the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunStatus>,
    /// What others set back in this run, or since: at most one entry for each object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<DriftStatus>,
    /// The newest measurements, oldest first; at most 30.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub measurements: Vec<Measurement>,
    /// What was announced with this status; resent after a crash under the same names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub announced: Vec<Announced>,
    /// Commit statuses owed, of the last 5 commits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<CommitReport>,
    /// What judged when the last revision was promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
}

/// A condition, as in metav1, plus Flagger's `lastUpdateTime`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "metav1.Condition tells the fields")]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
}

/// What the machine needs to go on after a restart, beside Flagger's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunStatus {
    /// `<counter>-<revision prefix>`.
    pub id: String,
    /// Counts runs of this Canary.
    pub counter: u64,
    /// Checks that had a verdict.
    pub tick: u32,
    /// Checks that passed since the traffic last stood elsewhere.
    pub passed: u32,
    /// Whether the traffic rests on the canary because the primary is broken.
    pub held: bool,
    /// Time of the next check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_tick: Option<Timestamp>,
    /// Why the run is being rolled back; set before the first effect of the rollback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolling_back: Option<String>,
    /// What the run waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<WaitStatus>,
    /// When the run began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// uid of the target that was seen last.
    pub target_uid: String,
    /// Generation of the target that was seen last.
    pub target_generation: i64,
    /// Gates whose refusal was announced.
    pub gates_announced: Vec<String>,
    /// Whether it was announced that the revision edits its own thresholds.
    pub edit_announced: bool,
}

/// What came of proposing the revert of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevertStatus {
    /// Full id of the commit that failed.
    pub commit: String,
    /// Where the revert is proposed, or why it is not.
    pub message: String,
    /// Whether it is proposed.
    pub proposed: bool,
}

/// Something that the rollout wrote, and somebody else set back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftStatus {
    /// Run in which, or after which, it was seen first.
    pub run: String,
    /// The object, such as `Deployment/test/podinfo`.
    pub object: String,
    /// The field, such as `spec.replicas`.
    pub field: String,
    /// The field manager that did it.
    pub manager: String,
    /// What of Flux it was done for, such as `Kustomization/flux-system/apps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_by: Option<String>,
    /// When it was seen first.
    pub at: Timestamp,
}

/// A named wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitStatus {
    /// Name of the wait.
    pub kind: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself; none for a wait that only a change ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// What is not as it should be, in words.
    #[serde(default)]
    pub message: String,
}

/// How one check of one metric or hook went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// Name of the metric or hook.
    pub name: String,
    /// Run that it belongs to.
    pub run: String,
    /// Check of that run.
    pub tick: u32,
    /// Weight that was routed to the canary, in percent.
    pub weight: u32,
    /// How it went.
    pub verdict: Verdict,
    /// The value, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What it means, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When the answer came.
    pub at: Timestamp,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// In range, or the hook agreed.
    Passed,
    /// Out of range, or the hook refused.
    Failed,
    /// The server answered, and had no value.
    NoData,
    /// The server answered, and the value is not a number.
    NotANumber,
    /// No answer in time.
    TimedOut,
    /// The server could not be reached, or answered with an error.
    Unavailable,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 6] = [
        Self::Passed,
        Self::Failed,
        Self::NoData,
        Self::NotANumber,
        Self::TimedOut,
        Self::Unavailable,
    ];

    /// Returns the name, as in the status.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "Passed",
            Self::Failed => "Failed",
            Self::NoData => "NoData",
            Self::NotANumber => "NotANumber",
            Self::TimedOut => "TimedOut",
            Self::Unavailable => "Unavailable",
        }
    }

    /// Whether this counts as a failed check. An error does not: it holds the run until the deadline.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::NoData | Self::NotANumber)
    }

    /// Whether this is an error of the one that was asked.
    #[must_use]
    pub fn is_error(self) -> bool {
        matches!(self, Self::TimedOut | Self::Unavailable)
    }
}

/// An event that was announced.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announced {
    /// Whether it is a `Warning` (else `Normal`).
    pub warning: bool,
    /// Reason of the event.
    pub reason: String,
    /// Text of the event.
    pub text: String,
    /// Run that it belongs to.
    pub run: String,
    /// Check of that run.
    pub tick: u32,
    /// When.
    pub at: Timestamp,
}

/// What is to be said about a commit, and whether it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitReport {
    /// Full id of the commit.
    pub commit: String,
    /// `pending`, `success`, `failure` or `error`.
    pub state: String,
    /// Text of the commit status.
    pub description: String,
    /// Digest of what each forge has been told, if it was; `<forge>=<digest>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivered: Vec<String>,
}

impl Status {
    /// Reads a status leniently: Flagger, or another version of Serin, may have left it, and a field that
    /// cannot be read is better lost than a rollout that cannot be continued.
    #[must_use]
    pub fn parse(value: &Value) -> Self {
        if let Ok(status) = Self::deserialize(value) {
            return status;
        }
        let readable = |(name, value): &(&String, &Value)| {
            let alone = Value::from_iter([((*name).clone(), (*value).clone())]);
            Self::deserialize(&alone).is_ok()
        };
        let fields = value.as_object().into_iter().flatten().filter(readable);
        let rest: Value = fields
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Self::deserialize(&rest).unwrap_or_default()
    }

    /// Returns the status as it is written.
    #[must_use]
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_microsecond(seconds * 1_000_000 + 25).unwrap()
    }

    pub(in crate::canary) fn full() -> Status {
        Status {
            phase: Phase::WaitingPromotion,
            failed_checks: 2,
            canary_weight: 40,
            iterations: 0,
            last_applied_spec: "v1:ab".into(),
            last_promoted_spec: "v1:cd".into(),
            tracked_configs: BTreeMap::from([("configmap/a".into(), "v1:ef".into())]),
            last_promoted_configs: BTreeMap::from([("secret/b".into(), "v1:01".into())]),
            last_transition_time: Some(at(1)),
            conditions: vec![Condition {
                kind: "Promoted".into(),
                status: "Unknown".into(),
                reason: "WaitingPromotion".into(),
                message: "Waiting for approval.".into(),
                observed_generation: Some(3),
                last_update_time: Some(at(2)),
                last_transition_time: Some(at(3)),
            }],
            observed_generation: Some(3),
            reason: Some("request-success-rate 90.00% < 99%".into()),
            commit: Some("main@sha1:0123".into()),
            promoted_commit: Some("4567".into()),
            revert: Some(RevertStatus {
                commit: "0123".into(),
                message: "revert proposed: https://git.example.com/7".into(),
                proposed: true,
            }),
            run: Some(RunStatus {
                id: "3-ab".into(),
                counter: 3,
                next_tick: Some(at(4)),
                wait: Some(WaitStatus {
                    kind: "PromotionApproval".into(),
                    since: at(5),
                    deadline: None,
                    message: "gate closed".into(),
                }),
                gates_announced: vec!["gate".into()],
                ..RunStatus::default()
            }),
            drift: vec![DriftStatus {
                run: "3-ab".into(),
                object: "Deployment/test/podinfo".into(),
                field: "spec.replicas".into(),
                manager: "kustomize-controller".into(),
                applied_by: Some("Kustomization/flux-system/apps".into()),
                at: at(8),
            }],
            measurements: vec![Measurement {
                name: "latency".into(),
                run: "3-ab".into(),
                tick: 2,
                weight: 40,
                verdict: Verdict::Failed,
                value: Some(0.5),
                message: "too slow".into(),
                at: at(6),
            }],
            announced: vec![Announced {
                warning: true,
                reason: "CheckFailed".into(),
                text: "Halt".into(),
                run: "3-ab".into(),
                tick: 2,
                at: at(7),
            }],
            commits: vec![CommitReport {
                commit: "0123".into(),
                state: "pending".into(),
                description: "weight 40%".into(),
                delivered: vec!["notes=ab".into()],
            }],
            thresholds: Some(Thresholds {
                spec: serde_json::Map::from_iter([("analysis".into(), json!({"threshold": 2}))]),
                templates: BTreeMap::from([("test/errors".into(), json!({"query": "up"}))]),
            }),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for status in [Status::default(), full()] {
            assert_eq!(Status::parse(&status.to_value()), status);
        }
    }

    #[test]
    fn a_status_that_flagger_left_is_understood() {
        let left = json!({
            "phase": "WaitingPromotion", "failedChecks": 1, "canaryWeight": 0, "iterations": -1,
            "lastAppliedSpec": "85d557f47b", "lastPromotedSpec": "6dc5d5b6b4",
            "trackedConfigs": { "configmap/podinfo": "1a2b3c4d5e6f7a8b" },
            "lastTransitionTime": null, "sessionAffinityCookie": "c=abcdefghij",
            "conditions": [{
                "type": "Promoted", "status": "Unknown", "reason": "WaitingPromotion",
                "message": "Waiting for approval.", "lastUpdateTime": "2026-07-14T10:00:00Z",
                "lastTransitionTime": "2026-07-14T10:00:00Z"
            }]
        });
        let status = Status::parse(&left);
        assert_eq!((status.phase, status.iterations), (Phase::WaitingPromotion, -1));
        assert_eq!(status.last_promoted_spec, "6dc5d5b6b4");
        assert_eq!(status.conditions.len(), 1);
        assert_eq!(status.last_transition_time, None);
    }

    #[test]
    fn an_unreadable_field_does_not_cost_the_others() {
        let odd =
            json!({ "phase": "Dancing", "failedChecks": "3", "canaryWeight": 20, "trackedConfigs": null });
        let status = Status::parse(&odd);
        assert_eq!(
            (status.phase, status.failed_checks, status.canary_weight),
            (Phase::New, 0, 20)
        );
        assert_eq!(Status::parse(&json!(null)), Status::default());
    }
}
