//! `patch`: JSON Patch, merge patch, strategic merge patch, server-side apply.

use axum::body::Body;
use http::{Response, header};
use serde_json::Value;

use super::{Call, respond::answer};
use crate::rehearsal::{
    apply,
    store::{ApiError, Cause, Draft, Intent, Target, json as j},
};

/// The four kinds of patch.
#[derive(Clone, Debug)]
pub(super) enum Patch {
    Json(json_patch::Patch),
    Merge(Value),
    Strategic(Value),
    Apply(Value),
}

impl Patch {
    pub(super) fn read(call: &Call) -> Result<Self, ApiError> {
        let media = call
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim();
        match media {
            "application/json-patch+json" => serde_json::from_slice(&call.body)
                .map(Self::Json)
                .map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}"))),
            "application/merge-patch+json" => Ok(Self::Merge(object(call.json()?)?)),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic(object(call.json()?)?)),
            "application/apply-patch+yaml" => Ok(Self::Apply(object(call.json()?)?)),
            _ => Err(ApiError::unsupported_media()),
        }
    }

    /// Returns the patched form of a value, for the three kinds that need no owner.
    pub(super) fn on(&self, kind: &str, old: &Value) -> Result<Value, ApiError> {
        let mut new = old.clone();
        match self {
            Self::Json(patch) => json_patch::patch(&mut new, patch).map_err(|_| {
                // The words of a kube-apiserver, which keeps the cause to itself.
                ApiError::unprocessable(
                    "the server rejected our request due to an error in our request".to_owned(),
                )
            })?,
            Self::Merge(patch) => json_patch::merge(&mut new, patch),
            Self::Strategic(patch) => new = apply::strategic(kind, old, patch)?,
            Self::Apply(_) => return Err(ApiError::unsupported_media()),
        }
        Ok(new)
    }
}

fn object(value: Value) -> Result<Value, ApiError> {
    if value.is_object() {
        Ok(value)
    } else {
        let why = "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}";
        Err(ApiError::bad_request(why))
    }
}

/// Answers `patch`.
pub(super) fn patch(call: &Call) -> Result<Response<Body>, ApiError> {
    let target = call.target()?;
    let intent = call.intent()?;
    let patch = Patch::read(call)?;
    let intent = Intent {
        patch: true,
        ..intent
    };
    let (code, object) = match patch {
        Patch::Apply(config) => {
            check_apply(call, &config)?;
            let force = call.query.flag("force");
            call.store.transact(|s| {
                let kind = &target.kind;
                let now = s.now();
                let exists = s
                    .object(&kind.group, &kind.kind, &target.namespace, &target.name)
                    .is_some();
                if !exists && call.place.subresource.is_empty() {
                    let draft = apply::apply(&target, &intent, None, &config, force, &now)?;
                    return s.create(&target, &intent, draft).map(|o| (201, o));
                }
                s.update(&target, &intent, |old| {
                    apply::apply(&target, &intent, Some(old), &config, force, &now)
                })
                .map(|o| (200, o))
            })?
        }
        Patch::Strategic(_) if !target.kind.builtin => {
            return Err(ApiError::unsupported_patch());
        }
        patch => {
            let kind = target.kind.kind.clone();
            let update = call.store.transact(|s| {
                s.update(&target, &intent, |old| {
                    let new = patch.on(&kind, old)?;
                    check_identity(&target, old, &new)?;
                    Ok(Draft::of(new))
                })
            });
            (200, update?)
        }
    };
    Ok(answer(code, &call.view()?.one(&object)))
}

fn check_apply(call: &Call, config: &Value) -> Result<(), ApiError> {
    if call.query.text("fieldManager").is_empty() {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", &[cause]));
    }
    if j::at(config, &["metadata", "managedFields"]).is_some_and(|m| !m.is_null()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    call.check_type(config)?;
    let name = j::text(config, &["metadata", "name"]);
    if !name.is_empty() && name != call.place.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.place.name
        )));
    }
    Ok(())
}

/// A patch must not make another object of it.
fn check_identity(target: &Target, old: &Value, new: &Value) -> Result<(), ApiError> {
    let (name, url) = (j::text(new, &["metadata", "name"]), &target.name);
    if name != url {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({url})"
        )));
    }
    let (uid, present) = (
        j::text(new, &["metadata", "uid"]),
        j::text(old, &["metadata", "uid"]),
    );
    if !uid.is_empty() && uid != present {
        let cause = Cause::invalid("metadata.uid", &uid.into(), "field is immutable");
        return Err(ApiError::invalid(
            &target.kind.group,
            &target.kind.kind,
            &target.name,
            &[cause],
        ));
    }
    Ok(())
}
