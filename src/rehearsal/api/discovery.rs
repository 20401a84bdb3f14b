//! Discovery: which groups, versions and resources are served.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::rehearsal::store::{ApiError, Kind, Store};

/// The version that the server claims: that of the real one which the conformance cases run against.
pub(super) fn version() -> Value {
    json!({
        "major": "1", "minor": "35", "gitVersion": "v1.35.4+serin", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "linux/amd64",
    })
}

/// Answers `/api`.
pub(super) fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// Answers `/apis`.
pub(super) fn groups(store: &Store) -> Value {
    let groups: Vec<Value> = versions(store)
        .into_iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| describe(&group, &versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// Answers `/apis/GROUP`.
pub(super) fn group(store: &Store, name: &str) -> Result<Value, ApiError> {
    let versions = versions(store).remove(name).ok_or_else(ApiError::no_such_path)?;
    let mut group = describe(name, &versions);
    if let Some(map) = group.as_object_mut() {
        map.insert("kind".to_owned(), "APIGroup".into());
        map.insert("apiVersion".to_owned(), "v1".into());
    }
    Ok(group)
}

fn describe(group: &str, versions: &[String]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|v| json!({"groupVersion": format!("{group}/{v}"), "version": v}))
        .collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

fn versions(store: &Store) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    store.read(|state| {
        for kind in state.kinds().all() {
            let versions = groups.entry(kind.group.clone()).or_default();
            for version in kind.versions.iter().filter(|v| v.served) {
                if !versions.contains(&version.name) {
                    versions.push(version.name.clone());
                }
            }
        }
    });
    groups
}

/// Answers `/api/v1` and `/apis/GROUP/VERSION`.
pub(super) fn resources(store: &Store, group: &str, version: &str) -> Result<Value, ApiError> {
    let mut resources = Vec::new();
    store.read(|state| {
        for kind in state.kinds().all().filter(|k| k.group == group) {
            if let Some(served) = kind.version(version) {
                resources.push(resource(kind));
                if served.status {
                    resources.push(subresource(kind, "status", &kind.kind, None));
                }
                if served.scale {
                    resources.push(subresource(kind, "scale", "Scale", Some("autoscaling")));
                }
            }
        }
    });
    if resources.is_empty() {
        return Err(ApiError::no_such_path());
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Ok(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources,
    }))
}

fn resource(kind: &Kind) -> Value {
    let mut resource = json!({
        "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    });
    if let Some(map) = resource.as_object_mut() {
        if !kind.short_names.is_empty() {
            map.insert("shortNames".to_owned(), json!(kind.short_names));
        }
        if !kind.categories.is_empty() {
            map.insert("categories".to_owned(), json!(kind.categories));
        }
    }
    resource
}

fn subresource(kind: &Kind, name: &str, returns: &str, group: Option<&str>) -> Value {
    let mut resource = json!({
        "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
        "kind": returns, "verbs": ["get", "patch", "update"],
    });
    if let (Some(group), Some(map)) = (group, resource.as_object_mut()) {
        map.insert("group".to_owned(), group.into());
        map.insert("version".to_owned(), "v1".into());
    }
    resource
}

/// Answers `/openapi/v3`.
pub(super) fn openapi(store: &Store) -> Value {
    let mut paths = serde_json::Map::new();
    for (group, versions) in versions(store) {
        for version in versions {
            let path = if group.is_empty() {
                format!("api/{version}")
            } else {
                format!("apis/{group}/{version}")
            };
            let url = format!("/openapi/v3/{path}?hash=serin");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// Answers `/openapi/v3/PATH`: enough for kubectl to see that the server validates fields, and the schemas of
/// custom resources.
pub(super) fn openapi_of(store: &Store, path: &str) -> Result<Value, ApiError> {
    let parts: Vec<&str> = path.split('/').collect();
    let (group, version) = match parts.as_slice() {
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        _ => return Err(ApiError::no_such_path()),
    };
    let mut paths = serde_json::Map::new();
    let mut schemas = serde_json::Map::new();
    store.read(|state| {
        for kind in state.kinds().all().filter(|k| k.group == group) {
            let Some(served) = kind.version(version) else {
                continue;
            };
            let gvk = json!({"group": group, "version": version, "kind": kind.kind});
            paths.insert(url(kind, version), operations(&gvk));
            let mut schema = served
                .schema
                .as_ref()
                .map_or(json!({"type": "object"}), |s| (**s).clone());
            if let Some(map) = schema.as_object_mut() {
                map.insert("x-kubernetes-group-version-kind".to_owned(), json!([gvk]));
            }
            schemas.insert(format!("{group}.{version}.{}", kind.kind), schema);
        }
    });
    Ok(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.35.4"},
        "paths": paths, "components": {"schemas": schemas},
    }))
}

fn url(kind: &Kind, version: &str) -> String {
    let base = if kind.group.is_empty() {
        "/api".to_owned()
    } else {
        format!("/apis/{}", kind.group)
    };
    let namespace = if kind.namespaced {
        "namespaces/{namespace}/"
    } else {
        ""
    };
    format!("{base}/{version}/{namespace}{}/{{name}}", kind.plural)
}

fn operations(gvk: &Value) -> Value {
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
    let operation = |action: &str| {
        json!({
            "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation")],
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk,
        })
    };
    json!({"patch": operation("patch"), "put": operation("put")})
}
