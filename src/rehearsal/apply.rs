//! Ownership of fields, server-side apply, strategic merge patch.

use serde_json::Value;

use super::store::{Intent, Target};

/// Records who owns which field after an ordinary write.
pub(crate) fn record_update(_t: &Target, _i: &Intent, _old: Option<&Value>, _new: &mut Value, _now: &str) {}

/// Whether two states differ in nothing but the times in `managedFields`.
pub(crate) fn same(old: &Value, new: &Value) -> bool {
    old == new
}
