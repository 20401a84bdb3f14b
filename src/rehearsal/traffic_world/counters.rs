//! The counters that a router and instrumented applications would expose, and taking samples of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{latency::BOUNDS, split::number};
use crate::rehearsal::promql::{Labels, SeriesId, SeriesStore};

/// A histogram: how many answers in each bucket (not summed up), and how long they took together.
#[derive(Clone, Debug, Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len()],
    seconds: f64,
    /// Its series: the buckets, the count, the sum; known after the first sample.
    series: Vec<SeriesId>,
}

/// Namespace and name of a pod.
type Pod = (String, String);

/// Histograms by metric and labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    histograms: BTreeMap<(&'static str, Labels), Histogram>,
    /// Pods that are scraped, and their `up`; their series end with them.
    pods: BTreeMap<Pod, SeriesId>,
}

/// Answers of one kind: how many fell into each bucket, and how long they took together.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) buckets: Vec<u64>,
    pub(super) seconds: f64,
}

impl Counters {
    /// Adds answers to a histogram.
    pub(super) fn add(&mut self, metric: &'static str, labels: &[(&str, &str)], answers: &Answers) {
        if answers.buckets.iter().all(|count| *count == 0) {
            return;
        }
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let histogram = self.histograms.entry((metric, labels)).or_default();
        for (bucket, count) in histogram.buckets.iter_mut().zip(&answers.buckets) {
            *bucket += count;
        }
        histogram.seconds += answers.seconds;
    }

    /// Takes a sample of everything. Series of pods that are gone end.
    pub(super) fn scrape(&mut self, store: &mut SeriesStore, time: i64, pods: BTreeSet<Pod>) {
        let before = std::mem::take(&mut self.pods);
        let gone: BTreeMap<Pod, SeriesId> = before
            .iter()
            .filter(|(pod, _)| !pods.contains(*pod))
            .map(|(pod, id)| (pod.clone(), *id))
            .collect();
        for pod in pods {
            let id = before.get(&pod).copied().unwrap_or_else(|| store.id(&up(&pod)));
            store.push_to(id, time, 1.0);
            self.pods.insert(pod, id);
        }
        self.histograms.retain(|(_, labels), histogram| {
            let ended = !gone.is_empty() && pod_of(labels).is_some_and(|pod| gone.contains_key(&pod));
            if ended {
                histogram.series.iter().for_each(|id| store.end(*id, time));
            }
            !ended
        });
        for id in gone.values() {
            store.end(*id, time);
        }
        for ((metric, labels), histogram) in &mut self.histograms {
            histogram.sample(store, metric, labels, time);
        }
        store.trim(time);
    }
}

impl Histogram {
    fn sample(&mut self, store: &mut SeriesStore, metric: &str, labels: &Labels, time: i64) {
        if self.series.is_empty() {
            self.series = series_of(metric, labels)
                .iter()
                .map(|labels| store.id(labels))
                .collect();
        }
        let mut count = 0;
        let mut values: Vec<f64> = Vec::with_capacity(self.series.len());
        for in_bucket in self.buckets {
            count += in_bucket;
            values.push(number(count));
        }
        values.extend([number(count), self.seconds]);
        for (id, value) in self.series.iter().zip(values) {
            store.push_to(*id, time, value);
        }
    }
}

/// Returns the labels of the series that a histogram exposes: the buckets, the count, the sum.
fn series_of(metric: &str, labels: &Labels) -> Vec<Labels> {
    let named = |suffix: &str, bound: Option<&str>| {
        let mut series = labels.clone();
        series.insert("__name__".to_owned(), format!("{metric}_{suffix}"));
        series.extend(bound.map(|bound| ("le".to_owned(), bound.to_owned())));
        series
    };
    let buckets = BOUNDS.iter().map(|(_, bound)| named("bucket", Some(bound)));
    buckets
        .chain([named("count", None), named("sum", None)])
        .collect()
}

fn pod_of(labels: &Labels) -> Option<Pod> {
    Some((labels.get("namespace")?.clone(), labels.get("pod")?.clone()))
}

fn up((namespace, pod): &Pod) -> Labels {
    [
        ("__name__", "up"),
        ("job", "kubernetes-pods"),
        ("namespace", namespace),
        ("pod", pod),
        ("kubernetes_namespace", namespace),
        ("kubernetes_pod_name", pod),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}
