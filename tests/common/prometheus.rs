//! A test server that speaks Prometheus' query API. The test decides what it answers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Json, Response};
use axum::routing::get;
use serde_json::json;
use tokio::task::JoinHandle;

/// What the server says to one query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// A vector of one sample; may be NaN or infinite.
    Value(f64),
    /// A vector of no samples: there is no data.
    Empty,
    /// An error of the given HTTP code, with this text.
    Error(u16, String),
    /// No answer, ever.
    Hang,
}

type Oracle = Box<dyn Fn(&str) -> Answer + Send + Sync>;

struct Shared {
    oracle: Oracle,
    queries: Vec<String>,
}

/// A running server; it ends when it is dropped.
pub(crate) struct Prometheus {
    url: String,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

impl Prometheus {
    /// Starts one on a free loopback port; the closure gets the query's text.
    pub(crate) async fn start(
        oracle: impl Fn(&str) -> Answer + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let shared = Arc::new(Mutex::new(Shared {
            oracle: Box::new(oracle),
            queries: Vec::new(),
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new()
            .route("/api/v1/query", get(by_get).post(by_post))
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { url, shared, task })
    }

    /// Returns where it listens, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Changes what it answers from now on.
    pub(crate) fn answer(&self, oracle: impl Fn(&str) -> Answer + Send + Sync + 'static) {
        lock(&self.shared).oracle = Box::new(oracle);
    }

    /// Returns the queries that came, in order.
    pub(crate) fn queries(&self) -> Vec<String> {
        lock(&self.shared).queries.clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Finds the metric names in a query: the words before a `{` or `[` that are not inside of braces themselves.
pub(crate) fn metric_names(query: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let outside = query
        .split('}')
        .filter_map(|part| part.split('{').next().map(|head| (head, part)));
    let mut names = BTreeSet::new();
    for (head, part) in outside {
        let braced = part.len() > head.len();
        let ranged = head.match_indices('[').map(|(at, _)| head.split_at(at).0);
        for before in ranged.chain(braced.then_some(head)) {
            let name = before.rsplit(|c| !is_name(c)).next().unwrap_or_default();
            if !name.is_empty() {
                names.insert(name);
            }
        }
    }
    names
}

async fn by_get(state: State<Arc<Mutex<Shared>>>, RawQuery(query): RawQuery) -> Response {
    respond(state, query.unwrap_or_default().as_bytes()).await
}

async fn by_post(state: State<Arc<Mutex<Shared>>>, body: Bytes) -> Response {
    respond(state, &body).await
}

async fn respond(State(shared): State<Arc<Mutex<Shared>>>, form: &[u8]) -> Response {
    let query = url::form_urlencoded::parse(form).find_map(|(key, value)| (key == "query").then_some(value));
    let Some(query) = query else {
        return error(
            400,
            "invalid parameter \"query\": unknown position: parse error: no expression found in input",
        );
    };
    let answer = {
        let mut shared = lock(&shared);
        shared.queries.push(query.to_string());
        (shared.oracle)(&query)
    };
    match answer {
        Answer::Value(value) => vector(&[value]),
        Answer::Empty => vector(&[]),
        Answer::Error(code, text) => error(code, &text),
        Answer::Hang => std::future::pending().await,
    }
}

fn vector(values: &[f64]) -> Response {
    let samples: Vec<_> = values
        .iter()
        .map(|value| json!({"metric": {}, "value": [1_700_000_000.0, sample(*value)]}))
        .collect();
    Json(json!({"status": "success", "data": {"resultType": "vector", "result": samples}})).into_response()
}

/// Writes a number as Prometheus does.
fn sample(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    value.to_string()
}

fn error(code: u16, text: &str) -> Response {
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if code.is_client_error() {
        "bad_data"
    } else {
        "internal"
    };
    (
        code,
        Json(json!({"status": "error", "errorType": kind, "error": text})),
    )
        .into_response()
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
