//! The state of a rollout, and what a step of the machine gives.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use crate::canary::{Announced, Measurement, Phase};

/// What a target would run: the digest of its template (or Service spec) and of the configs it refers to.
/// Cheap to clone. Equality is always on the whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(Arc<Parts>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Parts {
    template: String,
    configs: BTreeMap<String, String>,
}

impl Revision {
    /// Makes a revision from the digest of the template and the digests of the tracked configs
    /// (`configmap/<name>` or `secret/<name>`).
    #[must_use]
    pub fn new(template: impl Into<String>, configs: BTreeMap<String, String>) -> Self {
        Self(Arc::new(Parts {
            template: template.into(),
            configs,
        }))
    }

    /// Returns the digest of the template, `v1:<64 hex>`.
    #[must_use]
    pub fn template(&self) -> &str {
        &self.0.template
    }

    /// Returns the digests of the tracked configs.
    #[must_use]
    pub fn configs(&self) -> &BTreeMap<String, String> {
        &self.0.configs
    }
}

/// The whole state.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct State {
    /// What decides.
    pub control: Control,
    /// What is only told.
    pub record: Record,
}

/// The part of the state that decides. Small, and comparable, so that it can be explored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Control {
    /// Where the rollout is.
    pub phase: Phase,
    /// Percentage of traffic that belongs to the canary.
    pub weight: u8,
    /// Checks that passed since the traffic last stood elsewhere; blue/green calls them iterations.
    pub passed: u32,
    /// Blue/green iteration that was announced last.
    pub iteration: u32,
    /// Failed checks of the run; kept after a failure.
    pub failed_checks: u32,
    /// Counts runs.
    pub counter: u64,
    /// Checks of the run that had a verdict.
    pub tick: u32,
    /// Time of the next check; none before the first weight.
    pub next_tick: Option<Timestamp>,
    /// The traffic rests on the canary because the primary is broken.
    pub held: bool,
    /// The revision that the run is, or the last run was, for.
    pub applied: Option<Revision>,
    /// The revision that the primary runs.
    pub promoted: Option<Revision>,
    /// Why the run is being rolled back. Written before the first effect of the rollback.
    pub rolling_back: Option<Rollback>,
    /// What the rollout waits for.
    pub wait: Option<Wait>,
    /// uid of the target that was seen last.
    pub target_uid: String,
    /// Generation of the target that was seen last.
    pub target_generation: i64,
    /// Names of the gates whose refusal was announced.
    pub gates_announced: Vec<String>,
    /// It was announced that the run's revision edits its own thresholds.
    pub edit_announced: bool,
    /// Announcements of the last step that had some, to be sent after its status is written.
    pub announced: Vec<Announced>,
}

impl Control {
    /// Returns the id of the run: `<counter>-<prefix of the revision>`.
    #[must_use]
    pub fn run_id(&self) -> String {
        let template = self.applied.as_ref().map_or("", Revision::template);
        let digest = template.split_once(':').map_or(template, |(_, hex)| hex);
        format!("{}-{}", self.counter, digest.chars().take(8).collect::<String>())
    }
}

/// The part of the state that is told and decides nothing.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Record {
    /// Why the last run failed.
    pub reason: Option<String>,
    /// The newest measurements, oldest first; at most [`Record::MEASUREMENTS`].
    pub measurements: Vec<Measurement>,
    /// When the run began.
    pub started_at: Option<Timestamp>,
}

impl Record {
    /// How many measurements are kept.
    pub const MEASUREMENTS: usize = 30;
}

/// Why a run is rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rollback {
    /// Too many failed checks; the text names the last one.
    FailedChecks(String),
    /// The canary, or an answer, did not come in time; says what.
    Deadline(String),
    /// The target went back to the promoted revision.
    Reverted,
    /// The target moved to a revision that no verified commit declares; says why.
    Unverified(String),
}

/// A wait: it has a name, a beginning, and a deadline or explicitly none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wait {
    /// Which.
    pub kind: WaitKind,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself.
    pub deadline: Option<Timestamp>,
    /// What is not as it should be, in words.
    pub message: String,
}

/// The waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WaitKind {
    /// The target does not exist. No deadline.
    TargetMissing,
    /// A config that the target needs does not exist. No deadline.
    ConfigMissing,
    /// The primary is absent and the target is not what it was made from. No deadline.
    PrimaryMissing,
    /// The primary's pods are not ready. A deadline in Promoting, none elsewhere.
    PrimaryNotReady,
    /// The canary's pods are not ready. Deadline: `progressDeadlineSeconds`.
    CanaryNotReady,
    /// The router cannot do what is asked; the user must fix it. Deadline while a run is in progress.
    Unroutable,
    /// Metrics or hooks gave errors instead of verdicts. Deadline: `progressDeadlineSeconds`.
    NoVerdict,
    /// A confirm-promotion hook refuses. No deadline.
    PromotionApproval,
    /// Data planes finish what was routed. Deadline: the drain.
    Drain,
    /// No verified commit declares what is live. No deadline.
    NotVerified,
}

impl WaitKind {
    /// Every wait.
    pub const ALL: [Self; 10] = [
        Self::TargetMissing,
        Self::ConfigMissing,
        Self::PrimaryMissing,
        Self::PrimaryNotReady,
        Self::CanaryNotReady,
        Self::Unroutable,
        Self::NoVerdict,
        Self::PromotionApproval,
        Self::Drain,
        Self::NotVerified,
    ];

    /// Returns the name, as in status and conditions.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TargetMissing => "TargetMissing",
            Self::ConfigMissing => "ConfigMissing",
            Self::PrimaryMissing => "PrimaryMissing",
            Self::PrimaryNotReady => "PrimaryNotReady",
            Self::CanaryNotReady => "CanaryNotReady",
            Self::Unroutable => "Unroutable",
            Self::NoVerdict => "NoVerdict",
            Self::PromotionApproval => "PromotionApproval",
            Self::Drain => "Drain",
            Self::NotVerified => "NotVerified",
        }
    }

    /// Finds a wait by its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether a person, or another system, must act before this wait ends (kstatus: `Stalled`).
    #[must_use]
    pub fn stalls(self) -> bool {
        matches!(
            self,
            Self::TargetMissing
                | Self::ConfigMissing
                | Self::PrimaryMissing
                | Self::Unroutable
                | Self::NotVerified
        )
    }
}

/// Names something asked: an answer under another id is ignored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId {
    /// Run, by [`Control::run_id`].
    pub run: String,
    /// Check of that run.
    pub tick: u32,
    /// `metric/<name>` or `hook/<name>`.
    pub name: String,
}

/// What a step wants done. Levels (all but `Ask`) are desired states: doing one twice equals doing it once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The generated services exist and are as desired.
    Services,
    /// The primary exists and is made from this revision of the target, configs first. Gives up (the target
    /// has `Moved`) unless the live target is of this revision.
    Primary(Revision),
    /// The apex Service leads to the primary.
    Apex,
    /// This percentage of traffic goes to the canary.
    Route(u8),
    /// The target runs.
    ScaleUp,
    /// The target does not run.
    ScaleDown,
    /// Measure or call, and bring the answer as a fact under this id.
    Ask(AskId),
}

/// What a step gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The new state. Written, if it differs, after all effects succeeded.
    pub state: State,
    /// What to do now, in this order.
    pub effects: Vec<Effect>,
    /// When to step again if nothing happens before.
    pub wake_at: Option<Timestamp>,
}
