//! Answers: which form was asked for, and the objects in it.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::{
    manifest::Object,
    rehearsal::{
        schema,
        store::{ApiError, Kind},
        table,
    },
};

/// The form of objects that a request accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Whole objects.
    Whole,
    /// `PartialObjectMetadata`.
    Metadata,
    /// `Table`, for kubectl.
    Table,
}

impl Form {
    /// Chooses the first form that we can give.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(accept) = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()) else {
            return Ok(Self::Whole);
        };
        for choice in accept.split(',') {
            let mut parts = choice.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            if !matches!(media, "application/json" | "*/*" | "application/*" | "") {
                continue;
            }
            let parts: Vec<&str> = parts.collect();
            let kind = parts.iter().find_map(|p| p.strip_prefix("as="));
            match kind {
                Some("Table") if parts.contains(&"v=v1") => return Ok(Self::Table),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") if parts.contains(&"v=v1") => {
                    return Ok(Self::Metadata);
                }
                Some(_) => {}
                None => return Ok(Self::Whole),
            }
        }
        Err(ApiError::not_acceptable())
    }
}

/// Makes an answer of JSON.
pub(super) fn answer(code: u16, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Makes an answer of a refusal.
pub(super) fn refusal(error: &ApiError) -> Response<Body> {
    answer(error.code, &error.status())
}

/// How the objects of one request are shown.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) kind: std::sync::Arc<Kind>,
    pub(super) version: String,
    pub(super) form: Form,
    /// `includeObject` of a table request.
    pub(super) include: Include,
    pub(super) now: jiff::Timestamp,
}

/// What a table row carries of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    pub(super) fn of(query: &str) -> Self {
        match query {
            "None" => Self::None,
            "Object" => Self::Object,
            _ => Self::Metadata,
        }
    }
}

impl View {
    /// Returns an object in the version of the request.
    pub(super) fn whole(&self, object: &Object) -> Object {
        let version = self.kind.api_version(&self.version);
        if object.str_at("/apiVersion") == version {
            return object.clone();
        }
        let mut value = object.value().clone();
        if let Some(map) = value.as_object_mut() {
            map.insert("apiVersion".to_owned(), version.into());
        }
        schema::serve(&self.kind, &self.version, &mut value);
        Object::from(value)
    }

    /// Shows one object.
    pub(super) fn one(&self, object: &Object) -> Value {
        let object = self.whole(object);
        match self.form {
            Form::Whole => object.value().clone(),
            Form::Metadata => metadata(&object),
            Form::Table => self.table(
                std::slice::from_ref(&object),
                object.resource_version(),
                &Value::Null,
            ),
        }
    }

    /// Shows a list. `page` holds `continue` and `remainingItemCount`.
    pub(super) fn list(&self, objects: &[Object], revision: u64, page: Value) -> Value {
        let objects: Vec<Object> = objects.iter().map(|o| self.whole(o)).collect();
        let revision = revision.to_string();
        let mut meta = if page.is_object() { page } else { json!({}) };
        if !self.kind.builtin && self.form == Form::Whole && meta.get("continue").is_none() {
            // As a list without a type is written.
            meta = json!({"continue": ""});
        }
        if let Some(map) = meta.as_object_mut() {
            map.insert("resourceVersion".to_owned(), revision.clone().into());
        }
        match self.form {
            Form::Table => self.table(&objects, &revision, &meta),
            Form::Metadata => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta,
                "items": objects.iter().map(metadata).collect::<Vec<_>>(),
            }),
            Form::Whole => json!({
                "kind": self.kind.list_kind, "apiVersion": self.kind.api_version(&self.version),
                "metadata": meta, "items": objects.iter().map(|o| self.item(o)).collect::<Vec<_>>(),
            }),
        }
    }

    /// Items of built-in lists carry no type of their own; those of custom resources do.
    fn item(&self, object: &Object) -> Value {
        let mut value = object.value().clone();
        if self.kind.builtin
            && let Some(map) = value.as_object_mut()
        {
            map.remove("apiVersion");
            map.remove("kind");
        }
        value
    }

    fn table(&self, objects: &[Object], revision: &str, meta: &Value) -> Value {
        let meta = if meta.is_object() {
            meta.clone()
        } else {
            json!({"resourceVersion": revision})
        };
        let (columns, cells) = table::table(&self.kind, &self.version, objects, self.now);
        let rows: Vec<Value> = objects
            .iter()
            .zip(cells)
            .map(|(object, cells)| {
                let mut row = json!({"cells": cells});
                let shown = match self.include {
                    Include::None => None,
                    Include::Metadata => Some(metadata(object)),
                    Include::Object => Some(object.value().clone()),
                };
                if let (Some(shown), Some(map)) = (shown, row.as_object_mut()) {
                    map.insert("object".to_owned(), shown);
                }
                row
            })
            .collect();
        json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta,
            "columnDefinitions": columns, "rows": rows,
        })
    }
}

fn metadata(object: &Object) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object.at("/metadata").cloned().unwrap_or_default(),
    })
}
