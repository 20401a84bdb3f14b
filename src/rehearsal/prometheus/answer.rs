//! Answers and errors in Prometheus' JSON.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value as Json_, json};

use crate::rehearsal::promql::{Error, Series, Value};

/// An error of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl ApiError {
    pub(super) fn bad_data(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "bad_data",
            message: message.into(),
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::BadData { .. } => Self::bad_data(error.to_string()),
            Error::Execution(message) => Self {
                status: StatusCode::UNPROCESSABLE_ENTITY,
                kind: "execution",
                message,
            },
        }
    }
}

pub(super) fn failure(error: &ApiError) -> Response {
    let body = json!({"status": "error", "errorType": error.kind, "error": error.message});
    (error.status, Json(body)).into_response()
}

/// Answers with a value as of a time, in milliseconds.
pub(super) fn answer(value: &Value, time: i64) -> Response {
    let (kind, result) = match value {
        Value::Scalar(number) => ("scalar", point(time, *number)),
        Value::Text(text) => ("string", json!([stamp(time), text])),
        Value::Instant(samples) => {
            let sample = |s: &crate::rehearsal::promql::Sample| json!({"metric": s.labels, "value": point(time, s.value)});
            ("vector", samples.iter().map(sample).collect())
        }
        Value::Range(series) => return matrix(series),
    };
    success(kind, &result)
}

pub(super) fn matrix(series: &[Series]) -> Response {
    let one = |series: &Series| {
        let values: Vec<Json_> = series
            .points
            .iter()
            .map(|(time, value)| point(*time, *value))
            .collect();
        json!({"metric": series.labels, "values": values})
    };
    success("matrix", &series.iter().map(one).collect())
}

fn success(kind: &str, result: &Json_) -> Response {
    Json(json!({"status": "success", "data": {"resultType": kind, "result": result}})).into_response()
}

fn point(time: i64, value: f64) -> Json_ {
    json!([stamp(time), number(value)])
}

/// Writes a time in seconds; whole ones without a point.
fn stamp(time: i64) -> Json_ {
    if time % 1000 == 0 {
        return json!(time / 1000);
    }
    #[expect(clippy::cast_precision_loss, reason = "times are far below 2^52 ms")]
    let seconds = time as f64 / 1000.0;
    json!(seconds)
}

/// Writes a value as a string, as Prometheus does: never with an exponent.
fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else if value.is_nan() {
        "NaN".to_owned()
    } else {
        value.to_string()
    }
}
