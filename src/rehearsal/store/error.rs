//! What the API server answers when it refuses: Kubernetes' `Status`, as a value.

use serde_json::{Value, json};

/// A refusal, in the words and with the reasons of a kube-apiserver.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason, such as `NotFound`.
    pub reason: &'static str,
    /// What happened.
    pub message: String,
    /// `details` of the Status; null when there are none.
    pub details: Value,
}

/// One complaint about one field, as Kubernetes lists them in a 422.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The reason, such as `FieldValueRequired`.
    pub reason: &'static str,
    /// The message, such as `Required value`.
    pub message: String,
    /// The field, such as `spec.selector`.
    pub field: String,
}

impl Cause {
    /// Makes `field: Required value: detail`.
    pub fn required(field: &str, detail: &str) -> Self {
        Self::new("FieldValueRequired", field, "Required value", detail)
    }

    /// Makes `field: Invalid value: value: detail`.
    pub fn invalid(field: &str, value: &Value, detail: &str) -> Self {
        Self::new(
            "FieldValueInvalid",
            field,
            &format!("Invalid value: {value}"),
            detail,
        )
    }

    /// Makes `field: Forbidden: detail`.
    pub fn forbidden(field: &str, detail: &str) -> Self {
        Self::new("FieldValueForbidden", field, "Forbidden", detail)
    }

    /// Makes `field: Unsupported value: value: supported values: …`.
    pub fn unsupported(field: &str, value: &Value, allowed: &[&str]) -> Self {
        let allowed: Vec<String> = allowed.iter().map(|a| format!("\"{a}\"")).collect();
        let detail = format!("supported values: {}", allowed.join(", "));
        Self::new(
            "FieldValueNotSupported",
            field,
            &format!("Unsupported value: {value}"),
            &detail,
        )
    }

    /// Makes `field: Duplicate value: value`.
    pub fn duplicate(field: &str, value: &Value) -> Self {
        Self::new(
            "FieldValueDuplicate",
            field,
            &format!("Duplicate value: {value}"),
            "",
        )
    }

    fn new(reason: &'static str, field: &str, head: &str, detail: &str) -> Self {
        let message = if detail.is_empty() {
            head.to_owned()
        } else {
            format!("{head}: {detail}")
        };
        Self {
            reason,
            message,
            field: field.to_owned(),
        }
    }
}

/// Prints `deployments.apps`, or `services` for the core group.
pub(crate) fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}

impl ApiError {
    fn of(code: u16, reason: &'static str, message: String, details: Value) -> Self {
        Self {
            code,
            reason,
            message,
            details,
        }
    }

    fn named(group: &str, plural: &str, name: &str) -> Value {
        let mut details = json!({});
        for (field, value) in [("name", name), ("kind", plural), ("group", group)] {
            if !value.is_empty() {
                super::json::set(&mut details, &[field], value);
            }
        }
        details
    }

    /// Makes a 404 for an object.
    pub fn not_found(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(group, plural));
        Self::of(404, "NotFound", message, Self::named(group, plural, name))
    }

    /// Makes the 404 for a path that is not served.
    pub fn no_such_path() -> Self {
        let message = "the server could not find the requested resource".to_owned();
        Self::of(404, "NotFound", message, json!({}))
    }

    /// Makes a 409 for a name that is taken.
    pub fn already_exists(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", qualified(group, plural));
        Self::of(409, "AlreadyExists", message, Self::named(group, plural, name))
    }

    /// Makes a 409 for a write that was guarded by another state.
    pub fn conflict(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            qualified(group, plural)
        );
        Self::of(409, "Conflict", message, Self::named(group, plural, name))
    }

    /// Makes a 409 for a write whose resourceVersion is not the present one.
    pub fn stale(group: &str, plural: &str, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(group, plural, name, why)
    }

    /// Makes a 422 that lists what is wrong. `kind` is the kind, as in `Deployment.apps "x" is invalid`.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let complaints: Vec<String> = causes
            .iter()
            .map(|c| format!("{}: {}", c.field, c.message))
            .collect();
        let complaints = if complaints.len() == 1 {
            complaints.concat()
        } else {
            format!("[{}]", complaints.join(", "))
        };
        let message = format!("{} \"{name}\" is invalid: {complaints}", qualified(group, kind));
        let mut details = Self::named(group, kind, name);
        let causes: Vec<Value> = causes
            .iter()
            .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
            .collect();
        super::json::set(&mut details, &["causes"], causes);
        Self::of(422, "Invalid", message, details)
    }

    /// Makes a 422 without a list of fields (a JSON Patch whose test failed).
    pub fn unprocessable(message: String) -> Self {
        Self::of(422, "Invalid", message, json!({}))
    }

    /// Makes a 409 for a server-side apply that other managers object to.
    pub fn apply_conflict(message: String, causes: &[Value]) -> Self {
        Self::of(409, "Conflict", message, json!({"causes": causes}))
    }

    /// Makes a 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::of(400, "BadRequest", message.into(), Value::Null)
    }

    /// Makes a 403 for an object.
    pub fn forbidden(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {why}", qualified(group, plural));
        Self::of(403, "Forbidden", message, Self::named(group, plural, name))
    }

    /// Makes a 410: the resourceVersion that was asked for is no longer in the history.
    pub fn gone(requested: u64, oldest: u64) -> Self {
        Self::of(
            410,
            "Expired",
            format!("too old resource version: {requested} ({oldest})"),
            Value::Null,
        )
    }

    /// Makes a 504: the resourceVersion that was asked for is not reached yet.
    pub fn too_large_revision(requested: u64, present: u64) -> Self {
        let message = format!("Too large resource version: {requested}, current: {present}");
        let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        Self::of(
            504,
            "Timeout",
            message,
            json!({"causes": [cause], "retryAfterSeconds": 1}),
        )
    }

    /// Makes a 405.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Self::of(405, "MethodNotAllowed", message, json!({}))
    }

    /// Makes a 413.
    pub fn too_large(limit: usize) -> Self {
        Self::of(
            413,
            "RequestEntityTooLarge",
            format!("limit is {limit}"),
            Value::Null,
        )
    }

    /// Makes a 415 for a patch of a kind that the resource does not take.
    pub fn unsupported_patch() -> Self {
        let message = "the body of the request was in an unknown format - accepted media types include: \
                       application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
        Self::of(415, "UnsupportedMediaType", message.to_owned(), Value::Null)
    }

    /// Makes a 415.
    pub fn unsupported_media() -> Self {
        Self::of(
            415,
            "UnsupportedMediaType",
            "415: Unsupported Media Type".to_owned(),
            json!({}),
        )
    }

    /// Makes a 406.
    pub fn not_acceptable() -> Self {
        let message = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                       application/vnd.kubernetes.protobuf, application/json;stream=watch, \
                       application/vnd.kubernetes.protobuf;stream=watch";
        Self::of(406, "NotAcceptable", message.to_owned(), json!({}))
    }

    /// Makes a 422 about options of a request.
    pub fn invalid_options(kind: &str, cause: Cause) -> Self {
        Self::invalid("meta.k8s.io", kind, "", &[cause])
    }

    /// Makes a 500 without a reason, as errors that no one classified are sent.
    pub fn unclassified(message: impl Into<String>) -> Self {
        Self::of(500, "", message.into(), Value::Null)
    }

    /// Makes a 500.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::of(500, "InternalError", message.into(), Value::Null)
    }

    /// Returns the `Status` object that is sent.
    #[must_use]
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            super::json::set(&mut status, &["reason"], self.reason);
        }
        if !self.details.is_null() {
            super::json::set(&mut status, &["details"], self.details.clone());
        }
        status
    }
}
