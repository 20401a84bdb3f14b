//! The counters that a router and instrumented applications would expose, and taking samples of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{latency::BOUNDS, split::number};
use crate::rehearsal::promql::{Labels, SeriesStore};

/// A histogram: how many answers in each bucket (not summed up), and how long they took together.
#[derive(Clone, Debug, Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len()],
    seconds: f64,
}

/// Histograms by metric and labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    histograms: BTreeMap<(&'static str, Labels), Histogram>,
    /// Pods that are scraped; their series end with them.
    pods: BTreeSet<(String, String)>,
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
    pub(super) fn scrape(&mut self, store: &mut SeriesStore, time: i64, pods: BTreeSet<(String, String)>) {
        let gone: BTreeSet<(String, String)> = self.pods.difference(&pods).cloned().collect();
        self.pods = pods;
        for (namespace, pod) in &self.pods {
            store.push(&up(namespace, pod), time, 1.0);
        }
        for (namespace, pod) in &gone {
            store.end(&up(namespace, pod), time);
        }
        for ((metric, labels), histogram) in &self.histograms {
            let ended = pod_of(labels).is_some_and(|pod| gone.contains(&pod));
            each(metric, labels, histogram, |labels, value| {
                if ended {
                    store.end(labels, time);
                } else {
                    store.push(labels, time, value);
                }
            });
        }
        self.histograms
            .retain(|(_, labels), _| pod_of(labels).is_none_or(|pod| !gone.contains(&pod)));
        store.trim(time);
    }
}

fn pod_of(labels: &Labels) -> Option<(String, String)> {
    Some((labels.get("namespace")?.clone(), labels.get("pod")?.clone()))
}

fn up(namespace: &str, pod: &str) -> Labels {
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

/// Calls back for each series that a histogram exposes.
fn each(metric: &str, labels: &Labels, histogram: &Histogram, mut give: impl FnMut(&Labels, f64)) {
    let mut series = labels.clone();
    series.insert("__name__".to_owned(), format!("{metric}_bucket"));
    let mut count = 0;
    for ((_, bound), in_bucket) in BOUNDS.iter().zip(histogram.buckets) {
        count += in_bucket;
        series.insert("le".to_owned(), (*bound).to_owned());
        give(&series, number(count));
    }
    series.remove("le");
    series.insert("__name__".to_owned(), format!("{metric}_count"));
    give(&series, number(count));
    series.insert("__name__".to_owned(), format!("{metric}_sum"));
    give(&series, histogram.seconds);
}
