//! One step of traffic: from the clients through the router to the pods, and into the counters.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use super::{
    counters::{Answers, Counters},
    latency,
    skipper::{Backend, Table},
    spec::{Answer, Client, Latency, When, WorldSpec},
    split::{Splitter, number},
    totals::{Count, Totals},
};
use crate::{
    manifest::{Object, ObjectKey, Resource},
    rehearsal::{
        Span, Store,
        controllers::{environment, is_ready},
        promql::SeriesStore,
        store::json as j,
    },
};

/// How many `ExternalName` services may lead to one another.
const MAX_HOPS: usize = 4;

/// The traffic of a world.
#[derive(Debug)]
pub(super) struct Flow {
    store: Store,
    spec: WorldSpec,
    started: Instant,
    splitter: Splitter,
    counters: Counters,
    /// Tables of routes, and when each was first seen; the router uses the newest that is old enough.
    tables: VecDeque<(Instant, Table)>,
    /// Pods that serve, by uid.
    pods: BTreeMap<String, Serving>,
    scraped: Option<Instant>,
}

/// A pod that serves.
#[derive(Clone, Debug)]
struct Serving {
    since: Instant,
    image: String,
    config: BTreeMap<String, String>,
}

/// Somebody who answers requests.
#[derive(Clone, Debug)]
enum Endpoint {
    Pod {
        namespace: String,
        name: String,
        serving: Serving,
    },
    Outside(String),
}

/// Requests on their way to a service.
struct Requests<'a> {
    client: String,
    path: &'a str,
    namespace: &'a str,
    service: &'a str,
    port: &'a str,
    route: Option<&'a str>,
    count: u64,
}

impl Flow {
    pub(super) fn new(store: Store, spec: WorldSpec, started: Instant) -> Self {
        Self {
            store,
            spec,
            started,
            splitter: Splitter::default(),
            counters: Counters::default(),
            tables: VecDeque::new(),
            pods: BTreeMap::new(),
            scraped: None,
        }
    }

    pub(super) fn step(&self) -> Duration {
        self.spec.step.0
    }

    /// Deals out the requests of a span of time that has passed.
    pub(super) fn pass(&mut self, passed: Duration) -> Totals {
        self.meet_pods();
        self.follow_routes();
        let table = self
            .tables
            .front()
            .map(|(_, table)| table.clone())
            .unwrap_or_default();
        let mut totals = Totals::default();
        let age = self.started.elapsed();
        for (n, client) in self.spec.clients.clone().iter().enumerate() {
            if (When {
                from: client.from,
                until: client.until,
            })
            .holds(age)
            {
                let count = self
                    .splitter
                    .count(&format!("client {n}"), client.rate * passed.as_secs_f64());
                self.send(&format!("client {n}"), client, count, &table, &mut totals);
            }
        }
        totals
    }

    /// Takes samples if it is time to.
    pub(super) fn scrape(&mut self, series: &mut SeriesStore, time: i64) {
        // A tick may come a little early or late in real time.
        let slack = self.spec.scrape_interval.0 / 10;
        if self
            .scraped
            .is_some_and(|at| at.elapsed() + slack < self.spec.scrape_interval.0)
        {
            return;
        }
        self.scraped = Some(Instant::now());
        let pods = self.store.list("", "Pod", None);
        let running = pods.iter().filter(|pod| pod.str_at("/status/phase") == "Running");
        let names: BTreeSet<(String, String)> = running
            .map(|pod| (pod.namespace().to_owned(), pod.name().to_owned()))
            .collect();
        self.counters.scrape(series, time, names);
    }

    /// Gets to know the pods that have become ready, with the configuration that they have then.
    fn meet_pods(&mut self) {
        let pods = self.store.list("", "Pod", None);
        let live: BTreeSet<&str> = pods.iter().map(Object::uid).collect();
        self.pods.retain(|uid, _| live.contains(uid.as_str()));
        for pod in pods.iter().filter(|pod| is_ready(pod)) {
            if !self.pods.contains_key(pod.uid()) {
                let serving = Serving {
                    since: Instant::now(),
                    image: pod.str_at("/spec/containers/0/image").to_owned(),
                    config: environment(&self.store, pod),
                };
                self.pods.insert(pod.uid().to_owned(), serving);
            }
        }
    }

    /// Sees the routes as they are, and makes those the router's that it has had time to follow.
    fn follow_routes(&mut self) {
        let ingresses = self.store.list("networking.k8s.io", "Ingress", None);
        let table = Table::of(ingresses.iter(), self.spec.ingress_class.as_deref());
        if self.tables.back().is_none_or(|(_, last)| *last != table) {
            self.tables.push_back((Instant::now(), table));
        }
        let lag = self.spec.router_lag.0;
        while self.tables.get(1).is_some_and(|(seen, _)| seen.elapsed() >= lag) {
            self.tables.pop_front();
        }
    }

    fn send(&mut self, name: &str, client: &Client, count: u64, table: &Table, totals: &mut Totals) {
        if count == 0 {
            return;
        }
        if let Some((namespace, service)) = client.service.as_ref().and_then(|name| name.split_once('/')) {
            let (client_name, path) = (name.to_owned(), client.path.as_str());
            let requests = Requests {
                client: client_name,
                path,
                namespace,
                service,
                port: "",
                route: None,
                count,
            };
            return self.deliver(&requests, totals);
        }
        let backends = table.find(client.host.as_deref().unwrap_or_default(), &client.path);
        if backends.is_empty() {
            totals.unrouted += count;
            return;
        }
        let shares: Vec<(String, f64)> = backends.iter().map(|b| (b.route.clone(), b.share)).collect();
        let parts = self.splitter.split(name, count, &shares);
        for (
            Backend {
                route,
                namespace,
                service,
                port,
                ..
            },
            count,
        ) in backends.iter().zip(parts)
        {
            let client_name = format!("{name} {route}");
            let (path, route) = (client.path.as_str(), Some(route.as_str()));
            self.deliver(
                &Requests {
                    client: client_name,
                    path,
                    namespace,
                    service,
                    port,
                    route,
                    count,
                },
                totals,
            );
        }
    }

    fn deliver(&mut self, requests: &Requests<'_>, totals: &mut Totals) {
        if requests.count == 0 {
            return;
        }
        let service = format!("{}/{}", requests.namespace, requests.service);
        let endpoints = self.endpoints(requests.namespace, requests.service, requests.port, 0);
        if endpoints.is_empty() {
            let count = Count {
                requests: requests.count,
                unserved: requests.count,
                ..Count::default()
            };
            totals.count(&service, None, count);
            let latency = Latency {
                mean: Span(Duration::from_millis(1)),
                p99: None,
            };
            let answers = self.answers(&format!("{} unserved", requests.client), requests.count, latency);
            self.record_route(requests, "503", &answers);
            return;
        }
        let shares: Vec<(String, f64)> = endpoints.iter().map(|e| (e.name().to_owned(), 1.0)).collect();
        let parts = self
            .splitter
            .split(&format!("{} endpoints", requests.client), requests.count, &shares);
        for (endpoint, count) in endpoints.iter().zip(parts) {
            self.answer(requests, &service, endpoint, count, totals);
        }
    }

    /// Lets one endpoint answer its part of the requests.
    fn answer(
        &mut self,
        requests: &Requests<'_>,
        service: &str,
        endpoint: &Endpoint,
        count: u64,
        totals: &mut Totals,
    ) {
        if count == 0 {
            return;
        }
        let answer = self.answer_of(endpoint);
        let heap = format!("{} {}", requests.client, endpoint.name());
        let outcomes = [
            ("ok".to_owned(), 1.0 - answer.errors),
            ("error".to_owned(), answer.errors),
        ];
        let parts = self.splitter.split(&format!("{heap} outcome"), count, &outcomes);
        let errors = parts.get(1).copied().unwrap_or_default();
        totals.count(
            service,
            Some(endpoint.version()),
            Count {
                requests: count,
                errors,
                unserved: 0,
            },
        );
        let status = answer.status.to_string();
        for (status, count) in [("200", count - errors), (status.as_str(), errors)] {
            // One heap for all that a version answers: what is rare happens as often as it should, not
            // once in each corner.
            let answers = self.answers(endpoint.version(), count, answer.latency);
            self.record_route(requests, status, &answers);
            if let Endpoint::Pod { namespace, name, .. } = endpoint {
                self.record_pod(requests, (namespace, name), status, &answers);
            }
        }
    }

    fn answer_of(&self, endpoint: &Endpoint) -> Answer {
        let nothing = BTreeMap::new();
        let (served, config) = match endpoint {
            Endpoint::Pod { serving, .. } => (serving.since.elapsed(), &serving.config),
            Endpoint::Outside(_) => (self.started.elapsed(), &nothing),
        };
        let age = self.started.elapsed();
        let mut answers = self.spec.answers.iter();
        answers
            .find(|answer| answer.fits(age, served, endpoint.version(), config))
            .cloned()
            .unwrap_or_default()
    }

    fn answers(&mut self, heap: &str, count: u64, latency: Latency) -> Answers {
        let buckets = self
            .splitter
            .split(&format!("{heap} latency"), count, &latency::shares(latency));
        Answers {
            buckets,
            seconds: number(count) * latency.mean.seconds(),
        }
    }

    /// Counts as Skipper does.
    fn record_route(&mut self, requests: &Requests<'_>, code: &str, answers: &Answers) {
        let Some(route) = requests.route else { return };
        let labels = [
            ("code", code),
            ("job", "skipper-ingress"),
            ("method", "GET"),
            ("route", route),
        ];
        self.counters
            .add("skipper_response_duration_seconds", &labels, answers);
        self.counters
            .add("skipper_serve_route_duration_seconds", &labels, answers);
    }

    /// Counts as an instrumented application does.
    fn record_pod(&mut self, requests: &Requests<'_>, pod: (&str, &str), status: &str, answers: &Answers) {
        let labels = [
            ("job", "kubernetes-pods"),
            ("kubernetes_namespace", pod.0),
            ("kubernetes_pod_name", pod.1),
            ("method", "GET"),
            ("namespace", pod.0),
            ("path", requests.path),
            ("pod", pod.1),
            ("status", status),
        ];
        self.counters
            .add("http_request_duration_seconds", &labels, answers);
    }

    /// Returns who answers for a service now.
    fn endpoints(&self, namespace: &str, service: &str, port: &str, hops: usize) -> Vec<Endpoint> {
        let key = ObjectKey::new(Resource::SERVICE, namespace, service);
        let Some(object) = self.store.get(&key).filter(|_| hops < MAX_HOPS) else {
            return Vec::new();
        };
        if object.str_at("/spec/type") == "ExternalName" {
            let name = object.str_at("/spec/externalName").trim_end_matches('.');
            return match in_cluster(name) {
                Some((service, namespace)) => self.endpoints(namespace, service, "", hops + 1),
                None if name.is_empty() => Vec::new(),
                None => vec![Endpoint::Outside(name.to_owned())],
            };
        }
        let number = port.parse::<u16>().ok().map(Value::from);
        let is_port = |p: &Value| {
            j::text(p, &["name"]) == port || p.get("port").is_some_and(|n| Some(n) == number.as_ref())
        };
        if !port.is_empty() && !j::items(object.value(), &["spec", "ports"]).iter().any(is_port) {
            return Vec::new();
        }
        let endpoints = self.store.get(&ObjectKey {
            kind: "Endpoints".to_owned(),
            ..key
        });
        let subsets = endpoints.iter().flat_map(|e| j::items(e.value(), &["subsets"]));
        let addresses = subsets.flat_map(|subset| j::items(subset, &["addresses"]));
        addresses
            .filter_map(|address| self.endpoint(namespace, address))
            .collect()
    }

    fn endpoint(&self, namespace: &str, address: &Value) -> Option<Endpoint> {
        let name = j::text(address, &["targetRef", "name"]);
        if name.is_empty() {
            return Some(Endpoint::Outside(j::text(address, &["ip"]).to_owned()));
        }
        let serving = self.pods.get(j::text(address, &["targetRef", "uid"]))?.clone();
        Some(Endpoint::Pod {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            serving,
        })
    }
}

/// Returns service and namespace of a name such as `web.test.svc.cluster.local`.
fn in_cluster(name: &str) -> Option<(&str, &str)> {
    name.strip_suffix(".svc.cluster.local")
        .or_else(|| name.strip_suffix(".svc"))?
        .split_once('.')
}

impl Endpoint {
    fn name(&self) -> &str {
        match self {
            Self::Pod { name, .. } => name,
            Self::Outside(host) => host,
        }
    }

    fn version(&self) -> &str {
        match self {
            Self::Pod { serving, .. } => &serving.image,
            Self::Outside(host) => host,
        }
    }
}
