//! The Kubernetes API over HTTP requests: routing, negotiation, and the verbs. Decides nothing about objects;
//! that is [`super::store`]'s.

mod discovery;
mod ledger;
mod patch;
mod proto;
mod read;
mod respond;
mod route;
mod scale;
mod watch;
mod write;

use std::sync::Arc;

use axum::body::{Body, Bytes};
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;

pub use self::ledger::{Entry, Ledger};
use self::{
    respond::{Form, Include, View, answer, refusal},
    route::{Place, Query, Route, route},
};
use super::store::{ApiError, Cause, Intent, Kind, Part, Store, Target, json as j, selector::Selector};
use crate::manifest::Object;

/// The largest body that is read, as with etcd behind a kube-apiserver.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// Answers one request.
pub(super) async fn handle<B>(store: Store, ledger: Ledger, request: Request<B>) -> Response<Body>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let at = store.time();
    let route = route(parts.uri.path());
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let agent = parts
        .headers
        .get(header::USER_AGENT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let mut entry = entry(&route, &parts.method, parts.uri.path(), &query);
    entry.at = at;
    agent.clone_into(&mut entry.agent);
    let response = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => respond(&store, route, parts, query, body.to_bytes()),
        Err(_) => Err(ApiError::too_large(BODY_LIMIT)),
    };
    let response = response.unwrap_or_else(|error| refusal(&error));
    entry.code = response.status().as_u16();
    ledger.record(entry);
    response
}

fn respond(
    store: &Store,
    route: Route,
    parts: http::request::Parts,
    query: Query,
    body: Bytes,
) -> Result<Response<Body>, ApiError> {
    let json = match route {
        Route::Resource(place) => {
            if discovery::resources(store, &place.group, &place.version).is_err() {
                return Ok(no_page());
            }
            let kind = kind(store, &place)?;
            let call = Call {
                store: store.clone(),
                method: parts.method,
                headers: parts.headers,
                place,
                kind,
                query,
                body,
            };
            return dispatch(&call);
        }
        Route::Health => return Ok(Response::new(Body::from("ok"))),
        Route::OpenApiV2 => {
            // An empty document, in the encoding that kubectl asks for.
            let mut empty = Response::new(Body::empty());
            let media = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
            empty
                .headers_mut()
                .insert(header::CONTENT_TYPE, http::HeaderValue::from_static(media));
            return Ok(empty);
        }
        Route::Version => discovery::version(),
        Route::OpenApiV3(path) if path.is_empty() => discovery::openapi(store),
        Route::OpenApiV3(path) => discovery::openapi_of(store, &path)?,
        Route::CoreVersions => discovery::core_versions(),
        Route::Groups => discovery::groups(store),
        Route::Group(group) => discovery::group(store, &group)?,
        Route::GroupVersion(group, version) => discovery::resources(store, &group, &version)?,
        Route::Unknown => return Ok(no_page()),
    };
    Ok(answer(200, &json))
}

/// What is answered for paths of which nothing is known.
fn no_page() -> Response<Body> {
    let mut response = Response::new(Body::from("404 page not found\n"));
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    response
}

fn kind(store: &Store, place: &Place) -> Result<Arc<Kind>, ApiError> {
    let kind = store.read(|s| s.kinds().by_plural(&place.group, &place.plural));
    let kind = kind
        .filter(|k| k.version(&place.version).is_some())
        .ok_or_else(ApiError::no_such_path)?;
    let scope = kind.namespaced || place.namespace.is_empty();
    let single = place.name.is_empty() || !kind.namespaced || !place.namespace.is_empty();
    if scope && single {
        Ok(kind)
    } else {
        Err(ApiError::no_such_path())
    }
}

fn dispatch(call: &Call) -> Result<Response<Body>, ApiError> {
    let version = call.kind.version(&call.place.version);
    match call.place.subresource.as_str() {
        "" => {}
        "status" if version.is_some_and(|v| v.status) => {}
        "scale" if version.is_some_and(|v| v.scale) => return scale::scale(call),
        _ if call.kind.builtin => return Err(ApiError::no_such_path()),
        _ => {
            return Err(ApiError::not_found(
                &call.kind.group,
                &call.kind.plural,
                &call.place.name,
            ));
        }
    }
    let named = !call.place.name.is_empty();
    match (call.method.as_str(), named) {
        ("GET", true) => read::get(call),
        ("GET", false) if call.query.flag("watch") => watch::watch(call),
        ("GET", false) => read::list(call),
        ("POST", false) => write::create(call),
        ("PUT", true) => write::update(call),
        ("PATCH", true) => patch::patch(call),
        ("DELETE", true) if call.place.subresource.is_empty() => write::delete(call),
        ("DELETE", false) => write::delete_collection(call),
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// One request to a resource.
struct Call {
    store: Store,
    method: Method,
    headers: HeaderMap,
    place: Place,
    kind: Arc<Kind>,
    query: Query,
    body: Bytes,
}

impl Call {
    fn target(&self) -> Result<Target, ApiError> {
        if self.kind.namespaced && self.place.namespace.is_empty() && self.method == Method::POST {
            return Err(ApiError::method_not_allowed());
        }
        Ok(Target {
            kind: self.kind.clone(),
            version: self.place.version.clone(),
            namespace: self.place.namespace.clone(),
            name: self.place.name.clone(),
        })
    }

    /// Returns the object that the path names.
    fn object(&self) -> Result<Object, ApiError> {
        let (kind, place) = (&self.kind, &self.place);
        let object = self.store.read(|s| {
            s.object(&kind.group, &kind.kind, &place.namespace, &place.name)
                .cloned()
        });
        object.ok_or_else(|| ApiError::not_found(&kind.group, &kind.plural, &place.name))
    }

    /// Returns the namespace of a collection; none for all.
    fn namespace(&self) -> Option<&str> {
        Some(self.place.namespace.as_str()).filter(|n| !n.is_empty())
    }

    fn selector(&self) -> Result<Selector, ApiError> {
        let kind = if self.kind.builtin {
            self.kind.kind.as_str()
        } else {
            ""
        };
        Selector::parse(
            self.query.text("labelSelector"),
            self.query.text("fieldSelector"),
            kind,
        )
    }

    fn view(&self) -> Result<View, ApiError> {
        Ok(View {
            kind: self.kind.clone(),
            version: self.place.version.clone(),
            form: Form::of(&self.headers)?,
            include: Include::of(self.query.text("includeObject")),
            now: self.store.time(),
        })
    }

    fn dry_run(&self) -> Result<bool, ApiError> {
        match self.query.text("dryRun") {
            "" => Ok(false),
            "All" => Ok(true),
            other => {
                let options = match self.method.as_str() {
                    "POST" => "CreateOptions",
                    "PUT" => "UpdateOptions",
                    "PATCH" => "PatchOptions",
                    _ => "DeleteOptions",
                };
                let cause = Cause::unsupported("dryRun", &serde_json::json!([other]), &["All"]);
                Err(ApiError::invalid_options(options, cause))
            }
        }
    }

    fn intent(&self) -> Result<Intent, ApiError> {
        let agent = self
            .headers
            .get(header::USER_AGENT)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        let manager = match self.query.text("fieldManager") {
            "" => agent
                .split('/')
                .next()
                .filter(|a| !a.is_empty())
                .unwrap_or("unknown"),
            manager => manager,
        };
        Ok(Intent {
            manager: manager.chars().take(128).collect(),
            part: if self.place.subresource == "status" {
                Part::Status
            } else {
                Part::Main
            },
            dry_run: self.dry_run()?,
            strict: self.query.text("fieldValidation") == "Strict",
            patch: false,
        })
    }

    /// Reads the body as JSON, or else as YAML.
    fn json(&self) -> Result<Value, ApiError> {
        serde_json::from_slice(&self.body).or_else(|error| {
            let media = self
                .headers
                .get(header::CONTENT_TYPE)
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default();
            if media.contains("yaml")
                && let Ok(text) = std::str::from_utf8(&self.body)
                && let Ok(value) = serde_saphyr::from_str(text)
            {
                return Ok(value);
            }
            if media.contains("protobuf") || media.contains("cbor") {
                return proto::read(&self.body).ok_or_else(ApiError::unsupported_media);
            }
            Err(ApiError::bad_request(format!(
                "the body of the request is not valid JSON: {error}"
            )))
        })
    }

    /// Reads the body as an object for a place.
    fn body_of(&self, target: &Target) -> Result<Value, ApiError> {
        let mut body = self.json()?;
        if !body.is_object() {
            return Err(ApiError::bad_request("the body of the request is not an object"));
        }
        self.check_type(&body)?;
        for field in ["name", "namespace", "generateName"] {
            if j::at(&body, &["metadata", field]).is_some_and(|v| !v.is_string() && !v.is_null()) {
                let (kind, version) = (&target.kind.kind, &target.version);
                return Err(ApiError::bad_request(format!(
                    "{kind} in version {version:?} cannot be handled as a {kind}: metadata.{field} is not a string"
                )));
            }
        }
        let namespace = j::text(&body, &["metadata", "namespace"]);
        if target.kind.namespaced && !namespace.is_empty() && namespace != target.namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        if target.kind.namespaced {
            j::set(&mut body, &["metadata", "namespace"], target.namespace.as_str());
        }
        Ok(body)
    }

    /// Checks that a body names the type of its place; kinds may be left out.
    fn check_type(&self, body: &Value) -> Result<(), ApiError> {
        let expected = (self.kind.api_version(&self.place.version), self.kind.kind.clone());
        let got = (j::text(body, &["apiVersion"]), j::text(body, &["kind"]));
        let (version, kind) = (&self.place.version, &expected.1);
        if !got.0.is_empty() && got.0 != expected.0 {
            let why = format!("no kind {:?} is registered for version {:?}", got.1, got.0);
            return Err(ApiError::bad_request(format!(
                "{} in version {:?} cannot be handled as a {kind}: {why}",
                got.1, got.0
            )));
        }
        if !got.1.is_empty() && got.1 != expected.1 {
            return Err(ApiError::bad_request(format!(
                "{} in version {version:?} cannot be handled as a {kind}: unknown conversion",
                got.1
            )));
        }
        Ok(())
    }
}

fn entry(route: &Route, method: &Method, path: &str, query: &Query) -> Entry {
    let named = matches!(route, Route::Resource(p) if !p.name.is_empty());
    let verb = match (route, method.as_str(), named) {
        (Route::Resource(_), "GET", false) if query.flag("watch") => "watch",
        (Route::Resource(_), "GET", false) => "list",
        (Route::Resource(_), "POST", _) => "create",
        (Route::Resource(_), "PUT", _) => "update",
        (_, "PATCH", _) => "patch",
        (Route::Resource(_), "DELETE", false) => "deletecollection",
        (_, "DELETE", _) => "delete",
        (_, "POST", _) => "post",
        (_, "PUT", _) => "put",
        _ => "get",
    };
    let mut place = match route {
        Route::Resource(place) => place.clone(),
        _ => Place {
            plural: path.to_owned(),
            ..Place::default()
        },
    };
    if place.name.is_empty()
        && let Some(name) = query
            .text("fieldSelector")
            .split(',')
            .find_map(|f| f.strip_prefix("metadata.name="))
    {
        name.clone_into(&mut place.name);
    }
    Entry {
        at: jiff::Timestamp::UNIX_EPOCH,
        agent: String::new(),
        verb,
        resource: super::store::qualified(&place.group, &place.plural),
        namespace: place.namespace,
        name: place.name,
        subresource: place.subresource,
        code: 0,
    }
}

#[cfg(test)]
mod tests;
