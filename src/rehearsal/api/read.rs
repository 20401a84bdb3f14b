//! `get` and `list`.

use axum::body::Body;
use base64::Engine as _;
use http::Response;
use serde_json::{Value, json};

use super::{
    Call,
    respond::{View, answer},
};
use crate::{
    manifest::Object,
    rehearsal::store::{ApiError, Cause, State, Verb, json as j, selector::Selector},
};

/// Answers `get`.
pub(super) fn get(call: &Call) -> Result<Response<Body>, ApiError> {
    let object = call.object()?;
    Ok(answer(200, &call.view()?.one(&object)))
}

/// Answers `list`.
pub(super) fn list(call: &Call) -> Result<Response<Body>, ApiError> {
    let view = call.view()?;
    let selector = call.selector()?;
    let token = Token::read(call.query.text("continue"))?;
    let wanted = call.query.number("resourceVersion").unwrap_or_default();
    let exact = call.query.text("resourceVersionMatch") == "Exact";
    if call.query.text("resourceVersion").is_empty() && !call.query.text("resourceVersionMatch").is_empty() {
        let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        let cause = Cause::forbidden("resourceVersionMatch", detail);
        return Err(ApiError::invalid_options("ListOptions", cause));
    }
    let (objects, revision) = call.store.read(|state| {
        let present = state.revision();
        if wanted > present {
            return Err(ApiError::too_large_revision(wanted, present));
        }
        let at = match &token {
            Some(token) => token.revision,
            None if exact => wanted,
            None => present,
        };
        Ok((collection(call, &view, state, at)?, at))
    })?;
    let chosen: Vec<Object> = objects.into_iter().filter(|o| selector.matches(o)).collect();
    let start = token.map_or(0, |t| {
        chosen.partition_point(|o| (o.namespace(), o.name()) <= t.last())
    });
    let rest = chosen.get(start..).unwrap_or_default();
    let limit = call.query.number("limit").filter(|l| *l > 0);
    let limit = limit.and_then(|l| usize::try_from(l).ok()).unwrap_or(usize::MAX);
    let shown = rest.get(..limit.min(rest.len())).unwrap_or_default();
    let page = match shown.last() {
        Some(last) if shown.len() < rest.len() => {
            let token = Token {
                revision,
                namespace: last.namespace().to_owned(),
                name: last.name().to_owned(),
            };
            let mut page = json!({"continue": token.write()});
            if selector == Selector::default() {
                j::set(&mut page, &["remainingItemCount"], rest.len() - shown.len());
            }
            page
        }
        _ => Value::Null,
    };
    Ok(answer(200, &view.list(shown, revision, page)))
}

/// Returns the objects of a collection as they were at a revision.
fn collection(call: &Call, view: &View, state: &State, at: u64) -> Result<Vec<Object>, ApiError> {
    let kind = &view.kind;
    let namespace = call.namespace();
    if at >= state.revision() {
        return Ok(state
            .objects(&kind.group, &kind.kind, namespace)
            .cloned()
            .collect());
    }
    let mut objects: std::collections::BTreeMap<(String, String), Object> = state
        .objects(&kind.group, &kind.kind, namespace)
        .map(|o| ((o.namespace().to_owned(), o.name().to_owned()), o.clone()))
        .collect();
    let later = state
        .changes_back_to(at)
        .map_err(|lost| ApiError::gone(lost.0, state.oldest()))?;
    for change in later {
        let same = change.kind.group == kind.group && change.kind.kind == kind.kind;
        if !same || namespace.is_some_and(|n| n != change.object.namespace()) {
            continue;
        }
        let place = (
            change.object.namespace().to_owned(),
            change.object.name().to_owned(),
        );
        match (&change.previous, change.verb) {
            (Some(previous), _) => objects.insert(place, previous.clone()),
            (None, Verb::Added | Verb::Modified | Verb::Deleted) => objects.remove(&place),
        };
    }
    Ok(objects.into_values().collect())
}

/// Where the next page of a list begins.
struct Token {
    revision: u64,
    namespace: String,
    name: String,
}

impl Token {
    fn last(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }

    fn write(&self) -> String {
        let text = json!({"rv": self.revision, "ns": self.namespace, "name": self.name}).to_string();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    }

    fn read(text: &str) -> Result<Option<Self>, ApiError> {
        if text.is_empty() {
            return Ok(None);
        }
        let bad = || ApiError::bad_request("invalid continue token: continue key is not valid");
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| bad())?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let token = || {
            Some(Self {
                revision: value.get("rv")?.as_u64()?,
                namespace: text("ns")?,
                name: text("name")?,
            })
        };
        token().map(Some).ok_or_else(bad)
    }
}
