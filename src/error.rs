//! Fault classes: what to do about an error, decided once. Requeue, event, exit code and commit status derive
//! from the class and never from the text.

use std::time::Duration;

/// What an error asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again after this long; the fault is expected to pass (a conflict, a timeout, a server that is down).
    Retry(Duration),
    /// Nothing to do until an input changes (a target that does not exist yet).
    WaitForChange,
    /// A person must change something; the message says what.
    UserMustFix,
    /// A fault in Serin itself.
    Bug,
}

/// An error that knows its class and, when a person can act, a hint.
pub trait Classified: std::error::Error {
    /// Returns what this error asks for.
    fn class(&self) -> Class;

    /// Returns what a person can do about it: one sentence, lower case, no trailing dot.
    fn hint(&self) -> Option<String> {
        None
    }
}
