//! The state machine of a rollout: phases, weights, checks, gates, rollback. Pure: time is an argument, and
//! everything it wants done is an [`Effect`]. It has no client, no clock, no async and no randomness.

mod codec;
mod conclude;
mod conditions;
mod facts;
mod progress;
mod rest;
mod standing;
mod state;
mod step;
mod turn;

pub use facts::{Answer, Facts, Live, Primary, Readiness, Routes, Seen, Target};
pub use standing::{Level, Standing};
pub use state::{AskId, Control, Effect, Record, Revision, Rollback, State, Step, Wait, WaitKind};
pub use step::step;
