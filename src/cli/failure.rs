//! How a command ends when it cannot do what was asked: what, why, what to do, and an exit code.

use std::process::ExitCode;

use super::output::Output;
use crate::error::{Class, Classified};

/// The end of a command.
#[derive(Debug)]
pub(super) struct Failure {
    message: String,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    pub(super) fn user(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: Some(hint.into()),
            code: 1,
        }
    }

    pub(super) fn bug(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            code: 70,
        }
    }

    pub(super) fn print(&self, output: &mut Output) -> ExitCode {
        output.note(&format!("error: {}", self.message));
        if let Some(hint) = self.hint.as_ref().filter(|hint| !hint.is_empty()) {
            output.note(&format!("hint: {hint}"));
        }
        ExitCode::from(self.code)
    }
}

impl<E: Classified> From<E> for Failure {
    fn from(error: E) -> Self {
        let code = match error.class() {
            Class::Retry(_) => 3,
            Class::WaitForChange | Class::UserMustFix => 1,
            Class::Bug => 70,
        };
        Self {
            message: error.to_string(),
            hint: error.hint(),
            code,
        }
    }
}
