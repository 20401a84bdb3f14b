//! The `flagger_*` metrics, under the names, labels and values that Flagger's dashboards know. Series of a
//! Canary that is gone go with it.

use std::sync::{
    Mutex,
    atomic::{AtomicI64, AtomicU64},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{
    canary::{Canary, Phase, Status, Strategy},
    rollout::{Answer, AskId, Level},
};

type Float = Gauge<f64, AtomicU64>;
type Int = Gauge<i64, AtomicI64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Info {
    version: &'static str,
    mesh_provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InNamespace {
    namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    name: String,
    namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Workload {
    workload: String,
    namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Analysis {
    name: String,
    namespace: String,
    metric: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    name: String,
    namespace: String,
    deployment_strategy: &'static str,
    analysis_status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SetBack {
    name: String,
    namespace: String,
    level: &'static str,
}

/// All metrics of this process.
pub(super) struct Telemetry {
    registry: Registry,
    total: Family<InNamespace, Int>,
    status: Family<Named, Int>,
    weight: Family<Workload, Int>,
    analysis: Family<Analysis, Float>,
    duration: Family<Named, Histogram, fn() -> Histogram>,
    successes: Family<Ended, Counter>,
    failures: Family<Ended, Counter>,
    set_back: Family<SetBack, Counter>,
    known: Mutex<std::collections::BTreeMap<Key, Known>>,
}

type Key = (String, String);

struct Known {
    target: String,
    metrics: Vec<String>,
}

impl Telemetry {
    pub(super) fn new(mesh_provider: &str) -> Self {
        let buckets: fn() -> Histogram =
            || Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        let mut telemetry = Self {
            registry: Registry::default(),
            total: Family::default(),
            status: Family::default(),
            weight: Family::default(),
            analysis: Family::default(),
            duration: Family::new_with_constructor(buckets),
            successes: Family::default(),
            failures: Family::default(),
            set_back: Family::default(),
            known: Mutex::default(),
        };
        telemetry.register(mesh_provider);
        telemetry
    }

    fn register(&mut self, mesh_provider: &str) {
        let info: Family<Info, Int> = Family::default();
        let labels = Info {
            version: env!("CARGO_PKG_VERSION"),
            mesh_provider: mesh_provider.to_owned(),
        };
        info.get_or_create(&labels).set(1);
        let registry = self.registry.sub_registry_with_prefix("flagger");
        registry.register("info", "Version and mesh provider", info);
        registry.register("canary_total", "Number of canaries", self.total.clone());
        registry.register(
            "canary_status",
            "0 running, 1 successful, 2 failed",
            self.status.clone(),
        );
        registry.register(
            "canary_weight",
            "Traffic weight of a workload",
            self.weight.clone(),
        );
        registry.register(
            "canary_metric_analysis",
            "Last value of a metric",
            self.analysis.clone(),
        );
        registry.register(
            "canary_duration_seconds",
            "Duration of one reconcile",
            self.duration.clone(),
        );
        registry.register(
            "canary_successes",
            "Rollouts that were promoted",
            self.successes.clone(),
        );
        registry.register(
            "canary_failures",
            "Rollouts that were rolled back",
            self.failures.clone(),
        );
        self.registry.sub_registry_with_prefix("serin").register(
            "set_back",
            "How often somebody else set back what a rollout wrote",
            self.set_back.clone(),
        );
    }

    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }

    pub(super) fn observed(&self, canary: &Canary, before: &Status, after: &Status) {
        let namespace = canary.namespace.clone();
        let target = canary.spec.target.name.clone();
        self.know(canary);
        let value = match after.phase {
            Phase::Progressing => 0,
            Phase::Failed => 2,
            _ => 1,
        };
        self.status
            .get_or_create(&Named {
                name: target.clone(),
                namespace: namespace.clone(),
            })
            .set(value);
        let weight = i64::from(after.canary_weight);
        let primary = Workload {
            workload: format!("{target}-primary"),
            namespace: namespace.clone(),
        };
        self.weight.get_or_create(&primary).set(100 - weight);
        self.weight
            .get_or_create(&Workload {
                workload: target.clone(),
                namespace: namespace.clone(),
            })
            .set(weight);
        if before.phase != after.phase && matches!(after.phase, Phase::Succeeded | Phase::Failed) {
            let ended = Ended {
                name: target,
                namespace,
                deployment_strategy: match canary.spec.analysis.strategy {
                    Strategy::Weights(_) => "canary",
                    Strategy::Iterations(_) => "blue-green",
                },
                analysis_status: if canary.spec.skip_analysis {
                    "skipped"
                } else {
                    "completed"
                },
            };
            let counters = if after.phase == Phase::Failed {
                &self.failures
            } else {
                &self.successes
            };
            counters.get_or_create(&ended).inc();
        }
    }

    pub(super) fn measured(&self, canary: &Canary, id: &AskId, answer: &Answer) {
        let (Some(metric), Some(value)) = (id.name.strip_prefix("metric/"), answer.value) else {
            return;
        };
        let labels = Analysis {
            name: canary.spec.target.name.clone(),
            namespace: canary.namespace.clone(),
            metric: metric.to_owned(),
        };
        self.analysis.get_or_create(&labels).set(value);
        if let Ok(mut known) = self.known.lock()
            && let Some(known) = known.get_mut(&(canary.namespace.clone(), canary.name.clone()))
            && !known.metrics.iter().any(|name| name == metric)
        {
            known.metrics.push(metric.to_owned());
        }
    }

    /// Somebody else set back what a rollout wrote.
    pub(super) fn set_back(&self, canary: &Canary, level: Level) {
        self.set_back
            .get_or_create(&set_back(&canary.spec.target.name, &canary.namespace, level))
            .inc();
    }

    pub(super) fn took(&self, canary: &Canary, seconds: f64) {
        let labels = Named {
            name: canary.spec.target.name.clone(),
            namespace: canary.namespace.clone(),
        };
        self.duration.get_or_create(&labels).observe(seconds);
    }

    fn know(&self, canary: &Canary) {
        let Ok(mut known) = self.known.lock() else { return };
        let key = (canary.namespace.clone(), canary.name.clone());
        let target = canary.spec.target.name.clone();
        known.entry(key).or_insert_with(|| Known {
            target,
            metrics: Vec::new(),
        });
        self.count(&known, &canary.namespace);
    }

    fn count(&self, known: &std::collections::BTreeMap<Key, Known>, namespace: &str) {
        let count = known.keys().filter(|(of, _)| of == namespace).count();
        let labels = InNamespace {
            namespace: namespace.to_owned(),
        };
        self.total
            .get_or_create(&labels)
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Removes the series of a Canary that is gone.
    pub(super) fn forget(&self, namespace: &str, name: &str) {
        let Ok(mut known) = self.known.lock() else { return };
        let Some(gone) = known.remove(&(namespace.to_owned(), name.to_owned())) else {
            return;
        };
        let (namespace, target) = (namespace.to_owned(), gone.target);
        self.count(&known, &namespace);
        let named = Named {
            name: target.clone(),
            namespace: namespace.clone(),
        };
        self.status.remove(&named);
        for level in Level::ALL {
            self.set_back.remove(&set_back(&target, &namespace, level));
        }
        self.duration.remove(&named);
        for workload in [target.clone(), format!("{target}-primary")] {
            self.weight.remove(&Workload {
                workload,
                namespace: namespace.clone(),
            });
        }
        for metric in gone.metrics {
            self.analysis.remove(&Analysis {
                name: target.clone(),
                namespace: namespace.clone(),
                metric,
            });
        }
    }
}

fn set_back(target: &str, namespace: &str, level: Level) -> SetBack {
    SetBack {
        name: target.to_owned(),
        namespace: namespace.to_owned(),
        level: level.name(),
    }
}
