//! A router that reads Ingress objects as Skipper's documentation says: paths and their types, weights of
//! backends, predicates. Knows no cluster; a table of routes is made from the objects that it is handed.

mod predicate;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{manifest::Object, rehearsal::store::json as j};

const WEIGHTS: &str = "zalando.org/backend-weights";
const PREDICATE: &str = "zalando.org/skipper-predicate";
const CLASS: &str = "kubernetes.io/ingress.class";

/// The backends of one path of one Ingress, and when they are chosen.
#[derive(Clone, Debug, PartialEq)]
struct Group {
    host: String,
    path: Path,
    /// How many predicates, and what `Weight` adds: of two that match, the higher one is chosen.
    priority: i64,
    backends: Vec<Backend>,
}

/// Which paths are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Path {
    Any,
    Exact(String),
    Prefix(String),
}

/// A route to a backend.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Backend {
    /// The route's id, as Skipper's metrics have it.
    pub(super) route: String,
    pub(super) namespace: String,
    pub(super) service: String,
    /// Number or name of the service's port.
    pub(super) port: String,
    /// Its part of the requests; any unit.
    pub(super) share: f64,
}

/// The routes of all Ingress objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    groups: Vec<Group>,
}

impl Table {
    /// Makes the table of the Ingress objects that the router reads.
    pub(super) fn of<'a>(ingresses: impl Iterator<Item = &'a Object>, class: Option<&str>) -> Self {
        let groups = ingresses
            .filter(|ingress| is_read(ingress, class))
            .flat_map(groups)
            .collect();
        Self { groups }
    }

    /// Returns where requests for a host and path go. Skipper does not say which of several routes of the same
    /// priority it takes: here each gets its part, so that nothing can rely on one of them.
    pub(super) fn find(&self, host: &str, path: &str) -> Vec<Backend> {
        let matching = self.groups.iter().filter(|group| group.matches(host, path));
        let rank = |group: &Group| (group.path.rank(), group.priority);
        let Some(best) = matching.clone().map(rank).max() else {
            return Vec::new();
        };
        let chosen: Vec<&Group> = matching.filter(|group| rank(group) == best).collect();
        let part = |group: &&Group| {
            let sum: f64 = group.backends.iter().map(|backend| backend.share).sum();
            let backends = group.backends.clone().into_iter();
            backends
                .map(move |backend| Backend {
                    share: backend.share / sum,
                    ..backend
                })
                .collect::<Vec<_>>()
        };
        chosen.iter().flat_map(part).collect()
    }
}

impl Group {
    fn matches(&self, host: &str, path: &str) -> bool {
        let host_matches = match self.host.strip_prefix("*.") {
            Some(domain) => host.split_once('.').is_some_and(|(_, rest)| rest == domain),
            None => self.host.is_empty() || self.host == host,
        };
        host_matches && self.path.matches(path)
    }
}

impl Path {
    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => {
                let prefix = prefix.trim_end_matches('/');
                path.strip_prefix(prefix)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    /// The longer path is looked up first.
    fn rank(&self) -> (usize, bool) {
        match self {
            Self::Any => (0, false),
            Self::Exact(path) => (path.len(), true),
            Self::Prefix(path) => (path.len(), false),
        }
    }
}

fn is_read(ingress: &Object, class: Option<&str>) -> bool {
    let own = match ingress.str_at("/spec/ingressClassName") {
        "" => ingress.annotation(CLASS).unwrap_or_default(),
        name => name,
    };
    ingress.at("/metadata/deletionTimestamp").is_none()
        && class.is_none_or(|class| own.is_empty() || own == class)
}

fn groups(ingress: &Object) -> Vec<Group> {
    let Some(extra) = predicate::read(ingress.annotation(PREDICATE).unwrap_or_default()) else {
        return Vec::new();
    };
    // What cannot be read is as if it were not there.
    let weights = ingress
        .annotation(WEIGHTS)
        .and_then(|text| serde_json::from_str(text).ok());
    let weights: Option<BTreeMap<String, f64>> = weights;
    let mut groups = Vec::new();
    for rule in j::items(ingress.value(), &["spec", "rules"]) {
        let host = j::text(rule, &["host"]);
        let entries = j::items(rule, &["http", "paths"]);
        let key = |entry: &Value| {
            (
                j::text(entry, &["path"]).to_owned(),
                j::text(entry, &["pathType"]).to_owned(),
            )
        };
        let mut keys: Vec<(String, String)> = entries.iter().map(key).collect();
        keys.sort();
        keys.dedup();
        for wanted in keys {
            let backends = entries.iter().filter(|entry| key(entry) == wanted);
            let backends =
                backends.map(|entry| backend(ingress, host, &wanted.0, j::at(entry, &["backend"])));
            let priority = extra + i64::from(!host.is_empty());
            groups.push(Group {
                host: host.to_owned(),
                path: path(&wanted),
                priority,
                backends: weigh(backends.collect(), weights.as_ref()),
            });
        }
    }
    if let Some(default) = ingress.at("/spec/defaultBackend") {
        let backends = vec![backend(ingress, "", "", Some(default))];
        groups.push(Group {
            host: String::new(),
            path: Path::Any,
            priority: extra - 1,
            backends,
        });
    }
    groups
}

fn path((path, kind): &(String, String)) -> Path {
    match (path.as_str(), kind.as_str()) {
        ("", _) => Path::Any,
        (path, "Exact") => Path::Exact(path.to_owned()),
        (path, _) => Path::Prefix(path.to_owned()),
    }
}

fn backend(ingress: &Object, host: &str, path: &str, backend: Option<&Value>) -> Backend {
    let null = Value::Null;
    let backend = backend.unwrap_or(&null);
    let service = j::text(backend, &["service", "name"]);
    let port = match j::at(backend, &["service", "port", "number"]) {
        Some(number) => number.to_string(),
        None => j::text(backend, &["service", "port", "name"]).to_owned(),
    };
    let parts = [ingress.namespace(), ingress.name(), host, path, service].map(words);
    let [namespace, name, host, path, service_word] = parts;
    Backend {
        route: format!("kube_{namespace}__{name}__{host}__{path}__{service_word}"),
        namespace: ingress.namespace().to_owned(),
        service: service.to_owned(),
        port,
        share: 1.0,
    }
}

/// Replaces what cannot be part of a word.
fn words(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .collect()
}

/// Gives the backends of one path their parts: a weight that is missing is 0; if all are, all are equal.
fn weigh(mut backends: Vec<Backend>, weights: Option<&BTreeMap<String, f64>>) -> Vec<Backend> {
    let mut seen = std::collections::BTreeSet::new();
    backends.retain(|backend| seen.insert(backend.service.clone()));
    let weight = |backend: &Backend| {
        weights
            .and_then(|w| w.get(&backend.service))
            .copied()
            .unwrap_or_default()
            .max(0.0)
    };
    let some = backends.iter().any(|backend| weight(backend) > 0.0);
    if some && backends.len() > 1 {
        for backend in &mut backends {
            backend.share = weight(backend);
        }
        backends.retain(|backend| backend.share > 0.0);
    }
    backends
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ingress(name: &str, annotations: &Value, services: &[&str]) -> Object {
        let path = |service: &&str| json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": 80}}}});
        let paths: Vec<Value> = services.iter().map(path).collect();
        Object::from(json!({
            "metadata": {"name": name, "namespace": "test", "annotations": annotations},
            "spec": {"rules": [{"host": "app.example.com", "http": {"paths": paths}}]},
        }))
    }

    fn found(ingresses: &[Object]) -> Vec<(String, f64)> {
        let backends = Table::of(ingresses.iter(), None).find("app.example.com", "/home");
        backends
            .into_iter()
            .map(|backend| (backend.service, backend.share))
            .collect()
    }

    fn shares(of: &[(&str, f64)]) -> Vec<(String, f64)> {
        of.iter()
            .map(|(name, share)| ((*name).to_owned(), *share))
            .collect()
    }

    fn weighted(weights: &str, services: &[&str]) -> Vec<(String, f64)> {
        found(&[ingress("web", &json!({WEIGHTS: weights}), services)])
    }

    #[test]
    fn weights_are_ratios() {
        assert_eq!(
            weighted(r#"{"a": 80, "b": 20}"#, &["a", "b"]),
            shares(&[("a", 0.8), ("b", 0.2)])
        );
        assert_eq!(
            weighted(r#"{"a": 0.5, "b": 1.5}"#, &["a", "b"]),
            shares(&[("a", 0.25), ("b", 0.75)])
        );
    }

    #[test]
    fn a_missing_weight_is_none_and_no_weights_are_equal_parts() {
        assert_eq!(weighted(r#"{"a": 3}"#, &["a", "b"]), shares(&[("a", 1.0)]));
        assert_eq!(
            weighted(r#"{"a": 1, "c": 1}"#, &["a", "b", "c"]),
            shares(&[("a", 0.5), ("c", 0.5)])
        );
        assert_eq!(weighted("{}", &["a", "b"]), shares(&[("a", 0.5), ("b", 0.5)]));
        assert_eq!(
            weighted("not json", &["a", "b"]),
            shares(&[("a", 0.5), ("b", 0.5)])
        );
        assert_eq!(
            weighted(r#"{"a": 0}"#, &["a"]),
            shares(&[("a", 1.0)]),
            "the only one has all"
        );
    }

    #[test]
    fn the_heavier_ingress_takes_all_until_it_is_false() {
        let apex = ingress("web", &json!({}), &["web"]);
        let canary = |predicate: &str| {
            let weights = r#"{"web-primary": 90, "web-canary": 10}"#;
            ingress(
                "web-canary",
                &json!({PREDICATE: predicate, WEIGHTS: weights}),
                &["web-primary", "web-canary"],
            )
        };
        let split = shares(&[("web-primary", 0.9), ("web-canary", 0.1)]);
        assert_eq!(found(&[apex.clone(), canary("Weight(100)")]), split);
        assert_eq!(
            found(&[apex.clone(), canary("Weight(100) && Method(\"GET\")")]),
            split
        );
        assert_eq!(found(&[apex.clone(), canary("False()")]), shares(&[("web", 1.0)]));
        assert_eq!(
            found(&[apex.clone(), canary("False() && Weight(100)")]),
            shares(&[("web", 1.0)])
        );
        assert_eq!(found(&[apex, canary("")]).len(), 3, "a tie is nobody's");
    }

    #[test]
    fn routes_are_named_as_skipper_does() {
        let table = Table::of([ingress("web-canary", &json!({}), &["web-canary"])].iter(), None);
        let route = &table.find("app.example.com", "/")[0].route;
        assert_eq!(route, "kube_test__web_canary__app_example_com_____web_canary");
    }

    #[test]
    fn hosts_paths_and_classes_choose() {
        let entry = |path: &str, kind: &str, service: &str| json!({"path": path, "pathType": kind, "backend": {"service": {"name": service, "port": {"number": 80}}}});
        let object = Object::from(json!({
            "metadata": {"name": "web", "namespace": "test"},
            "spec": {
                "ingressClassName": "skipper",
                "defaultBackend": {"service": {"name": "rest", "port": {"number": 80}}},
                "rules": [
                    {"host": "*.example.com", "http": {"paths": [
                        entry("/", "Prefix", "root"), entry("/api", "Prefix", "api"), entry("/api/v1", "Exact", "one"),
                    ]}},
                ],
            },
        }));
        let table = Table::of([&object].into_iter(), Some("skipper"));
        let service = |host: &str, path: &str| table.find(host, path)[0].service.clone();
        assert_eq!(service("a.example.com", "/api/v1"), "one");
        assert_eq!(service("a.example.com", "/api/v1/x"), "api");
        assert_eq!(service("a.example.com", "/apis"), "root");
        assert_eq!(service("example.com", "/"), "rest");
        assert_eq!(
            Table::of([&object].into_iter(), Some("other")).find("a.example.com", "/"),
            Vec::new()
        );
    }
}
