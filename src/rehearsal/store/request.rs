//! What a write is about: which object, which part of it, by whom, and the draft of what it would store.

use std::sync::Arc;

use serde_json::Value;

use super::{ApiError, Cause, Kind};

/// Which object a request is about, in which version.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) kind: Arc<Kind>,
    pub(crate) version: String,
    pub(crate) namespace: String,
    /// Empty for a create with `generateName`.
    pub(crate) name: String,
}

impl Target {
    pub(crate) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.kind.group, &self.kind.plural, &self.name)
    }

    pub(super) fn invalid(&self, causes: &[Cause]) -> ApiError {
        ApiError::invalid(&self.kind.group, &self.kind.kind, &self.name, causes)
    }
}

/// Which part of an object a request may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Main,
    Status,
    Scale,
}

impl Part {
    pub(crate) fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
            Self::Scale => "scale",
        }
    }
}

/// Who writes what, and how strictly the body is read.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) manager: String,
    pub(crate) part: Part,
    pub(crate) dry_run: bool,
    /// Unknown fields are an error instead of being dropped.
    pub(crate) strict: bool,
    /// The body is a patch: what it makes unreadable is a fault of the patch.
    pub(crate) patch: bool,
}

impl Intent {
    pub(crate) fn update(manager: &str, part: Part) -> Self {
        Self {
            manager: manager.to_owned(),
            part,
            dry_run: false,
            strict: false,
            patch: false,
        }
    }
}

/// What a write would store, before admission.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) value: Value,
    /// Ownership was computed by server-side apply and is in `metadata.managedFields`.
    pub(crate) applied: bool,
}

impl Draft {
    pub(crate) fn of(value: Value) -> Self {
        Self {
            value,
            applied: false,
        }
    }
}
