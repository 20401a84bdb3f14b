//! Paths and queries of requests.

use std::collections::BTreeMap;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/healthz`, `/livez`, `/readyz`.
    Health,
    /// `/version`.
    Version,
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`, or below it a path such as `apis/apps/v1`.
    OpenApiV3(String),
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1` or `/apis/GROUP/VERSION`.
    GroupVersion(String, String),
    /// An object, a collection or a subresource.
    Resource(Place),
    /// Nothing that is served.
    Unknown,
}

/// The place of an object, a collection or a subresource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) namespace: String,
    pub(super) plural: String,
    /// Empty for a collection.
    pub(super) name: String,
    pub(super) subresource: String,
}

/// Reads a path.
pub(super) fn route(path: &str) -> Route {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    match segments.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => Route::Health,
        ["version"] => Route::Version,
        ["openapi", "v2"] => Route::OpenApiV2,
        ["openapi", "v3", rest @ ..] => Route::OpenApiV3(rest.join("/")),
        ["api"] => Route::CoreVersions,
        ["apis"] => Route::Groups,
        ["apis", group] => Route::Group((*group).to_owned()),
        ["api", version] => Route::GroupVersion(String::new(), (*version).to_owned()),
        ["apis", group, version] => Route::GroupVersion((*group).to_owned(), (*version).to_owned()),
        ["api", version, rest @ ..] => place("", version, rest),
        ["apis", group, version, rest @ ..] => place(group, version, rest),
        _ => Route::Unknown,
    }
}

fn place(group: &str, version: &str, rest: &[&str]) -> Route {
    let (namespace, rest) = match rest {
        // A namespace is itself an object, with subresources of its own.
        ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        _ => ("", rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, "", ""),
        [plural, name] => (*plural, *name, ""),
        [plural, name, subresource] => (*plural, *name, *subresource),
        _ => return Route::Unknown,
    };
    Route::Resource(Place {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        plural: plural.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
    })
}

/// The query of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        Self(
            url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// Returns a parameter; empty when it is not given.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Whether a parameter says yes.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.0
            .get(name)
            .is_some_and(|v| !matches!(v.as_str(), "false" | "0"))
    }

    /// Returns a number; none when it is not given or not a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(path: &str) -> (String, String, String, String, String) {
        match route(path) {
            Route::Resource(p) => (p.group, p.namespace, p.plural, p.name, p.subresource),
            other => panic!("{path}: {other:?}"),
        }
    }

    fn owned(parts: [&str; 5]) -> (String, String, String, String, String) {
        let [group, namespace, plural, name, subresource] = parts.map(str::to_owned);
        (group, namespace, plural, name, subresource)
    }

    #[test]
    fn paths_name_objects_collections_and_subresources() {
        for (path, parts) in [
            ("/api/v1/namespaces", ["", "", "namespaces", "", ""]),
            ("/api/v1/namespaces/x", ["", "", "namespaces", "x", ""]),
            (
                "/api/v1/namespaces/x/status",
                ["", "", "namespaces", "x", "status"],
            ),
            ("/api/v1/namespaces/x/pods", ["", "x", "pods", "", ""]),
            ("/api/v1/pods", ["", "", "pods", "", ""]),
            (
                "/apis/apps/v1/namespaces/x/deployments/d/scale",
                ["apps", "x", "deployments", "d", "scale"],
            ),
            ("/apis/g.io/v1/things/t", ["g.io", "", "things", "t", ""]),
        ] {
            assert_eq!(resource(path), owned(parts), "{path}");
        }
        assert_eq!(
            route("/apis/apps/v1"),
            Route::GroupVersion("apps".into(), "v1".into())
        );
        assert_eq!(route("/nothing/here"), Route::Unknown);
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::parse("labelSelector=a%3Db&watch=1&force=false&limit=7");
        assert_eq!(
            (query.text("labelSelector"), query.number("limit")),
            ("a=b", Some(7))
        );
        assert!(query.flag("watch") && !query.flag("force") && !query.flag("dryRun"));
    }
}
