//! What Serin serves: `/metrics`, `/healthz`, `/readyz`, and `POST /notify`.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    http::header,
    response::IntoResponse,
    routing::{get, post},
};

use super::{Shared, notify};

const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The routes.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "OK" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/notify", post(notify::receive))
        .with_state(shared)
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, METRICS)], shared.telemetry.render())
}

/// Ready once the canaries were listed (and, with a source, its first revision was handled). A standby that
/// waits for the lease is ready too: it does its work.
async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    match shared.not_ready() {
        None => (StatusCode::OK, "OK\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}
