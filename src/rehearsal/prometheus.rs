//! The part of Prometheus' HTTP API that asks for values, answering from the series of a world. Formats, texts
//! and status codes are Prometheus'. Can be told to be down, to hang or to be slow.

mod answer;
mod params;

use axum::{
    Router,
    body::Body,
    http::{Method, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use http::Request;

use self::{
    answer::{ApiError, answer, failure, matrix},
    params::Params,
};
use super::{
    promql::{MAX_POINTS, Query},
    traffic_world::{Health, World},
};

/// The longest body of a request.
const BODY_LIMIT: usize = 1 << 20;

pub(super) fn router(world: World) -> Router {
    let instant = world.clone();
    let range = world.clone();
    let ready = world;
    let alive = ready.clone();
    Router::new()
        .route(
            "/api/v1/query",
            any(move |request| serve(instant.clone(), request, query)),
        )
        .route(
            "/api/v1/query_range",
            any(move |request| serve(range.clone(), request, query_range)),
        )
        .route(
            "/-/ready",
            get(move || probe(ready.clone(), "Prometheus Server is Ready.\n")),
        )
        .route(
            "/-/healthy",
            get(move || probe(alive.clone(), "Prometheus Server is Healthy.\n")),
        )
}

/// Does what the world's Prometheus is in the mood for; returns what is answered instead of an answer.
async fn suffer(world: &World) -> Option<Response> {
    match world.health() {
        Health::Up => None,
        Health::Down => Some((StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable\n").into_response()),
        Health::Hangs => std::future::pending().await,
        Health::Slow(span) => {
            tokio::time::sleep(span.0).await;
            None
        }
    }
}

async fn probe(world: World, text: &'static str) -> Response {
    suffer(&world).await.unwrap_or_else(|| text.into_response())
}

async fn serve(
    world: World,
    request: Request<Body>,
    handle: fn(&World, &Params) -> Result<Response, ApiError>,
) -> Response {
    if let Some(response) = suffer(&world).await {
        return response;
    }
    let (parts, body) = request.into_parts();
    if !matches!(parts.method, Method::GET | Method::POST) {
        return (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n").into_response();
    }
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return failure(&ApiError::bad_data(
            "error parsing form values: http: request body too large",
        ));
    };
    let params = Params::read(parts.uri.query().unwrap_or_default(), &body);
    handle(&world, &params).unwrap_or_else(|error| failure(&error))
}

fn parsed(params: &Params) -> Result<Query, ApiError> {
    Query::parse(params.get("query"))
        .map_err(|error| ApiError::bad_data(format!("invalid parameter \"query\": {error}")))
}

fn query(world: &World, params: &Params) -> Result<Response, ApiError> {
    let time = params.time("time", Some(world.now()))?;
    let query = parsed(params)?;
    let value = world.query(&query, time)?;
    Ok(answer(&value, time))
}

fn query_range(world: &World, params: &Params) -> Result<Response, ApiError> {
    let (start, end) = (params.time("start", None)?, params.time("end", None)?);
    if end < start {
        let message = "invalid parameter \"end\": end timestamp must not be before start time";
        return Err(ApiError::bad_data(message));
    }
    let step = params.duration("step")?;
    if step <= 0 {
        let message = "invalid parameter \"step\": zero or negative query resolution step widths are not accepted. \
                       Try a positive integer";
        return Err(ApiError::bad_data(message));
    }
    if (end - start) / step > MAX_POINTS {
        let message = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query \
                       resolution (?step=XX)";
        return Err(ApiError::bad_data(message));
    }
    let query = parsed(params)?;
    let series = world.query_range(&query, start, end, step)?;
    Ok(matrix(&series))
}

#[cfg(test)]
mod tests;
