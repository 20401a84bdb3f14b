//! `create`, `update`, `delete`, `deletecollection`.

use axum::body::Body;
use http::Response;
use serde_json::{Value, json};

use super::{
    Call,
    respond::{Form, answer},
};
use crate::{
    manifest::Object,
    rehearsal::store::{ApiError, Cause, Delete, Deleted, Draft, Propagation, Target, json as j},
};

/// Answers `create`.
pub(super) fn create(call: &Call) -> Result<Response<Body>, ApiError> {
    if !call.place.subresource.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    let mut target = call.target()?;
    let body = call.body_of(&target)?;
    j::text(&body, &["metadata", "name"]).clone_into(&mut target.name);
    let intent = call.intent()?;
    let object = call
        .store
        .transact(|s| s.create(&target, &intent, Draft::of(body)))?;
    Ok(answer(201, &call.view()?.one(&object)))
}

/// Kinds that a PUT creates.
const CREATED_BY_PUT: [&str; 4] = ["Lease", "Service", "Endpoints", "Event"];

/// Answers `update`.
pub(super) fn update(call: &Call) -> Result<Response<Body>, ApiError> {
    let target = call.target()?;
    let body = call.body_of(&target)?;
    let name = j::text(&body, &["metadata", "name"]);
    if name != target.name {
        let message = if name.is_empty() {
            format!(
                "the name of the object ({} based on URL) was undeterminable: name must be provided",
                target.name
            )
        } else {
            format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                target.name
            )
        };
        return Err(ApiError::bad_request(message));
    }
    let intent = call.intent()?;
    let creates = target.kind.builtin
        && CREATED_BY_PUT.contains(&target.kind.kind.as_str())
        && call.place.subresource.is_empty()
        && j::text(&body, &["metadata", "resourceVersion"]).is_empty();
    let (code, object) = call.store.transact(|s| {
        let kind = &target.kind;
        if creates
            && s.object(&kind.group, &kind.kind, &target.namespace, &target.name)
                .is_none()
        {
            return s.create(&target, &intent, Draft::of(body)).map(|o| (201, o));
        }
        s.update(&target, &intent, |_| Ok(Draft::of(body)))
            .map(|o| (200, o))
    })?;
    Ok(answer(code, &call.view()?.one(&object)))
}

/// Answers `delete`.
pub(super) fn delete(call: &Call) -> Result<Response<Body>, ApiError> {
    let target = call.target()?;
    let options = options(call)?;
    let deleted = call.store.transact(|s| s.delete(&target, &options))?;
    let shows =
        target.kind.builtin && matches!(target.kind.kind.as_str(), "Pod" | "Service" | "ServiceAccount");
    match deleted {
        Deleted::Waiting(object) => Ok(answer(200, &call.view()?.one(&object))),
        Deleted::Gone(object) if shows => Ok(answer(200, &call.view()?.one(&object))),
        Deleted::Gone(object) => Ok(answer(200, &gone(&target, &object))),
    }
}

fn gone(target: &Target, object: &Object) -> Value {
    let mut details = json!({"name": object.name(), "kind": target.kind.plural, "uid": object.uid()});
    if !target.kind.group.is_empty() {
        j::set(&mut details, &["group"], target.kind.group.as_str());
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

/// Answers `deletecollection`.
pub(super) fn delete_collection(call: &Call) -> Result<Response<Body>, ApiError> {
    let target = call.target()?;
    let options = options(call)?;
    let selector = call.selector()?;
    let mut view = call.view()?;
    view.form = Form::Whole;
    let namespace = call.namespace().map(str::to_owned);
    let (objects, revision) = call.store.transact(|s| {
        let kind = target.kind.clone();
        let chosen: Vec<Object> = s
            .objects(&kind.group, &kind.kind, namespace.as_deref())
            .filter(|o| selector.matches(o))
            .cloned()
            .collect();
        let deleted = chosen.into_iter().filter_map(|object| {
            let one = Target {
                namespace: object.namespace().to_owned(),
                name: object.name().to_owned(),
                ..target.clone()
            };
            s.delete(&one, &options).ok().map(|d| d.object().clone())
        });
        let deleted: Vec<Object> = deleted.collect();
        (deleted, s.revision())
    });
    Ok(answer(200, &view.list(&objects, revision, Value::Null)))
}

fn options(call: &Call) -> Result<Delete, ApiError> {
    let body = if call.body.is_empty() {
        json!({})
    } else {
        call.json()?
    };
    let text = |path: &[&str]| Some(j::text(&body, path).to_owned()).filter(|t| !t.is_empty());
    let policy =
        text(&["propagationPolicy"]).unwrap_or_else(|| call.query.text("propagationPolicy").to_owned());
    let propagation = match policy.as_str() {
        "" | "Background" => Propagation::Background,
        "Foreground" => Propagation::Foreground,
        "Orphan" => Propagation::Orphan,
        other => {
            let allowed = ["Foreground", "Background", "Orphan", "nil"];
            let cause = Cause::unsupported("propagationPolicy", &json!(other), &allowed);
            return Err(ApiError::invalid_options("DeleteOptions", cause));
        }
    };
    let grace = j::at(&body, &["gracePeriodSeconds"]).and_then(Value::as_i64);
    Ok(Delete {
        uid: text(&["preconditions", "uid"]),
        resource_version: text(&["preconditions", "resourceVersion"]),
        grace_seconds: grace.or_else(|| call.query.text("gracePeriodSeconds").parse().ok()),
        propagation,
        dry_run: call.dry_run()? || !j::items(&body, &["dryRun"]).is_empty(),
    })
}
