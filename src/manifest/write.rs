//! What to write to a cluster, as a value. `cluster` is the only room that carries a write out.

use serde_json::Value;

use super::{Object, ObjectKey};

/// Field managers. One manager sends one complete intent per object: a second, partial apply by the same
/// manager removes what the first one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Manager {
    /// Objects that Serin generates.
    Serin,
    /// The replicas (or node selector) of a target.
    Scale,
    /// What `--apply` brings from git.
    Source,
}

impl Manager {
    /// Returns the name of the field manager. Never begins with `kubectl`: Flux takes those over.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Serin => "serin",
            Self::Scale => "serin-scale",
            Self::Source => "serin-source",
        }
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Server-side apply of a complete intent.
    Apply {
        /// Who owns the fields.
        manager: Manager,
        /// The intent: apiVersion, kind, metadata.name, metadata.namespace and the fields to own.
        object: Object,
        /// Takes fields over from other managers instead of failing with a conflict.
        force: bool,
    },
    /// A JSON Patch (RFC 6902) on an existing object; begins with `test` operations where entries of others
    /// must survive. A failed test is a 422 and is retried from a fresh read.
    Patch {
        /// What to patch.
        key: ObjectKey,
        /// The operations.
        patch: json_patch::Patch,
    },
    /// Creates an object; that it exists already is success (events are named by their content).
    Create {
        /// The object.
        object: Object,
    },
    /// Replaces the status subresource, guarded by the resourceVersion that was read.
    Status {
        /// Whose status.
        key: ObjectKey,
        /// The uid that was read; a new object of the same name is not touched.
        uid: String,
        /// The resourceVersion that was read.
        resource_version: String,
        /// The whole status.
        status: Value,
    },
    /// Deletes an object, if it still is the one that was read. Absent is success.
    Delete {
        /// What to delete.
        key: ObjectKey,
        /// The uid that was read.
        uid: String,
        /// Grace period, in seconds.
        grace_seconds: u32,
    },
}

impl Write {
    /// Returns the key of the object that is written.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        match self {
            Self::Apply { object, .. } | Self::Create { object } => object.key(),
            Self::Patch { key, .. } | Self::Status { key, .. } | Self::Delete { key, .. } => key.clone(),
        }
    }
}
