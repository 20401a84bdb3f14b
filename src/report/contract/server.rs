//! What the servers of this folder have in common: a request taken apart, and an answer put together.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::http::Client;

/// A token that may do everything.
pub(super) const TOKEN: &str = "t0ps3cret";
/// A token that may read.
pub(super) const READER: &str = "readonly";

/// A request.
pub(super) struct Call {
    pub(super) method: String,
    /// The segments of the path, decoded.
    pub(super) path: Vec<String>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

/// An answer.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.headers.push((name, format!("{value}")));
        self
    }
}

impl Call {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The segments of the path below a prefix.
    pub(super) fn below(&self, prefix: &[&str]) -> Option<Vec<&str>> {
        let below = self.path.get(prefix.len()..)?;
        let leads = self
            .path
            .iter()
            .zip(prefix)
            .all(|(segment, wanted)| segment == wanted);
        leads.then(|| below.iter().map(String::as_str).collect())
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str, default: usize) -> usize {
        self.query(name).map_or(default, |text| text.parse().unwrap())
    }

    /// A text of the body; empty if there is none.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.body
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// One page of rows, by number.
    pub(super) fn page(&self, rows: Vec<Value>, name: &str, default: usize, most: usize) -> Vec<Value> {
        let size = self.number(name, default).clamp(1, most);
        let page = self.number("page", 1).max(1);
        rows.into_iter().skip((page - 1) * size).take(size).collect()
    }
}

/// How long texts are, in characters.
pub(super) fn length(text: &str) -> usize {
    text.chars().count()
}

/// All calls, as `METHOD path`.
pub(super) type Diary = Arc<Mutex<Vec<String>>>;

/// Serves at `http://forge` (and other hosts).
pub(super) fn serve(
    hosts: &[&str],
    handle: impl Fn(&Call) -> Reply + Send + Sync + 'static,
) -> (Client, Diary) {
    let diary = Diary::default();
    let (handle, log) = (Arc::new(handle), diary.clone());
    let router = Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let (handle, log) = (handle.clone(), log.clone());
        async move {
            log.lock().unwrap().push(format!("{method} {uri}"));
            answer(&*handle, &method, &uri, headers, &body)
        }
    });
    let routers = hosts.iter().map(|&host| (host.to_owned(), router.clone()));
    (Client::in_process(routers.collect()), diary)
}

fn answer(
    handle: &dyn Fn(&Call) -> Reply,
    method: &Method,
    uri: &Uri,
    headers: HeaderMap,
    body: &[u8],
) -> Response {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
            } else {
                bytes.push(byte);
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let call = Call {
        method: method.to_string(),
        path: uri.path().split('/').skip(1).map(decode).collect(),
        query: query.into_owned().collect(),
        headers,
        body: serde_json::from_slice(body).unwrap_or(Value::Null),
    };
    if !body.is_empty() && call.header("content-type") != "application/json" {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "").into_response();
    }
    let reply = handle(&call);
    let mut response = if reply.body.is_null() {
        ().into_response()
    } else {
        axum::Json(reply.body).into_response()
    };
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap();
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// A body with one message, as most forges have it.
pub(super) fn said(status: u16, message: &str) -> Reply {
    Reply::new(status, json!({ "message": message }))
}
