//! Why a directory cannot be rendered.

use serde::Serialize;

use crate::{
    error::{Class, Classified},
    manifest::Problem,
};

pub(super) type Outcome<T> = Result<T, Fault>;

/// Why a directory cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase", tag = "fault", content = "problem")]
pub enum Fault {
    /// Something is wrong: kustomize refuses it too.
    #[error("{0}")]
    Wrong(Problem),
    /// Serin does not render this; kustomize may.
    #[error("{0}")]
    Beyond(Problem),
    /// It is more than the limits allow.
    #[error("{0}")]
    TooMuch(Problem),
}

impl Fault {
    /// Returns what is wrong, and where.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        let (Self::Wrong(problem) | Self::Beyond(problem) | Self::TooMuch(problem)) = self;
        problem
    }
}

impl Classified for Fault {
    fn class(&self) -> Class {
        Class::UserMustFix
    }

    fn hint(&self) -> Option<String> {
        self.problem().hint()
    }
}
