//! The `scale` subresource: replicas of a workload as an object of their own.

use axum::body::Body;
use http::{Method, Response};
use serde_json::{Value, json};

use super::{Call, patch::Patch, respond::answer};
use crate::rehearsal::{
    store::{ApiError, Cause, Draft, Part, json as j},
    table::selector_text,
};

/// Answers requests to `/scale`.
pub(super) fn scale(call: &Call) -> Result<Response<Body>, ApiError> {
    let target = call.target()?;
    if call.method == Method::GET {
        return Ok(answer(200, &shown(call.object()?.value())));
    }
    let mut intent = call.intent()?;
    intent.part = Part::Scale;
    let patch = if call.method == Method::PATCH {
        Some(Patch::read(call)?)
    } else {
        None
    };
    let put = if patch.is_none() {
        call.json()?
    } else {
        Value::Null
    };
    let object = call.store.transact(|s| {
        s.update(&target, &intent, |old| {
            let new = match &patch {
                // A Scale has no lists that a strategic merge treats specially.
                Some(Patch::Strategic(patch)) => Patch::Merge(patch.clone()).on("Scale", &shown(old))?,
                Some(patch) => patch.on("Scale", &shown(old))?,
                None => put.clone(),
            };
            let replicas = j::at(&new, &["spec", "replicas"])
                .and_then(Value::as_i64)
                .unwrap_or_default();
            if replicas < 0 {
                let cause = Cause::invalid(
                    "spec.replicas",
                    &json!(replicas),
                    "must be greater than or equal to 0",
                );
                return Err(ApiError::invalid("autoscaling", "Scale", &target.name, &[cause]));
            }
            let mut value = old.clone();
            j::set(&mut value, &["spec", "replicas"], replicas);
            for guard in ["uid", "resourceVersion"] {
                j::copy(&new, &mut value, &["metadata", guard]);
            }
            let unguarded = j::text(&value, &["metadata", "resourceVersion"]).is_empty();
            if unguarded {
                j::copy(old, &mut value, &["metadata", "resourceVersion"]);
            }
            Ok(Draft::of(value))
        })
    })?;
    Ok(answer(200, &shown(object.value())))
}

fn shown(object: &Value) -> Value {
    let mut shown = json!({"kind": "Scale", "apiVersion": "autoscaling/v1"});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        j::copy(object, &mut shown, &["metadata", field]);
    }
    let selector = selector_text(j::at(object, &["spec", "selector"]).unwrap_or(&Value::Null));
    let count = |path: &[&str]| j::at(object, path).and_then(Value::as_i64).unwrap_or_default();
    j::set(&mut shown, &["spec"], json!({}));
    if count(&["spec", "replicas"]) != 0 {
        j::set(&mut shown, &["spec", "replicas"], count(&["spec", "replicas"]));
    }
    j::set(
        &mut shown,
        &["status", "replicas"],
        count(&["status", "replicas"]),
    );
    j::set(&mut shown, &["status", "selector"], selector);
    shown
}
