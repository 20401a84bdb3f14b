//! What the world looks like to the machine. Facts are made by `workload`, `traffic`, `metrics` and `hooks`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{AskId, Level, Revision};
use crate::canary::Verdict;

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum Seen<T> {
    /// Not read yet: no step that needs it is taken.
    #[default]
    Unknown,
    /// Read, and not there.
    Absent,
    /// Read, and there.
    Present(T),
}

impl<T> Seen<T> {
    /// Returns what is there, if it is.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Unknown | Self::Absent => None,
        }
    }

    /// Whether it was not read yet.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

/// Everything the machine decides from, beside its state and the time.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Facts {
    /// The target.
    pub target: Seen<Target>,
    /// The primary: the `-primary` workload, or the `-primary` Service of a Service target.
    pub primary: Seen<Primary>,
    /// Whether the generated services (`-primary`, `-canary`; for a Service target the `-canary` mirror) are
    /// as desired.
    pub services: Seen<bool>,
    /// Whether the apex Service leads to the primary. Always true for a Service target: its apex is the user's.
    pub apex: Seen<bool>,
    /// What the router routes now. `Absent`: the route has to be made.
    pub routes: Seen<Routes>,
    /// Answers to what was asked; answers to ids that nobody waits for are ignored.
    pub answers: BTreeMap<AskId, Answer>,
    /// The Canary is being deleted.
    pub deleted: bool,
    /// Why what is live must not be rolled out, where only verified commits may be.
    pub unverified: Option<String>,
    /// Levels that others keep setting back, and until when they are not written again.
    pub withheld: BTreeMap<Level, Timestamp>,
}

/// The target, live.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// metadata.uid.
    pub uid: String,
    /// metadata.generation.
    pub generation: i64,
    /// What it would run.
    pub live: Live,
    /// Whether its pods are ready. A target scaled to zero is not.
    pub readiness: Readiness,
    /// Whether it is scaled up. Always true for a Service target.
    pub scaled_up: bool,
}

/// The revision of the live target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Live {
    /// All of it is known.
    Revision(Revision),
    /// Part of it cannot be known, such as a required ConfigMap that does not exist; says what.
    Blocked(String),
}

/// The primary, live.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Primary {
    /// The revision that it was made from, by its annotation. None for one that Flagger made.
    pub made_from: Option<Revision>,
    /// Whether its template equals what would be made from the live target now (used to adopt).
    pub matches_target: bool,
    /// Whether its pods are ready.
    pub readiness: Readiness,
}

/// Whether pods are ready.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Readiness {
    /// Enough of them are.
    Ready,
    /// Not yet; says why.
    NotReady(String),
    /// The workload controller has given up; says why.
    Stuck(String),
}

impl Readiness {
    /// Whether enough pods are ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }

    /// Returns why pods are not ready.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Ready => "",
            Self::NotReady(why) | Self::Stuck(why) => why,
        }
    }
}

/// What the router routes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Routes {
    /// This percentage goes to the canary, the rest to the primary.
    Weight(u8),
    /// The route is there, but not as it must be (an edited rule, a foreign weight); it is written again.
    Broken(String),
    /// The route cannot be made: the user must fix what is said here, such as an Ingress without our backend.
    Unroutable(String),
}

/// The answer to something asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// How it went.
    pub verdict: Verdict,
    /// The value of a metric.
    pub value: Option<f64>,
    /// The text for the event if the verdict is not `Passed`, in Flagger's words where it has some.
    pub text: String,
}
