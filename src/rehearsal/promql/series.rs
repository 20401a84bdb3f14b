//! The samples of every series, in memory, for a bounded time.

use std::{collections::BTreeMap, sync::Arc};

/// The label that holds a metric's name.
pub(super) const NAME: &str = "__name__";

/// Labels of a series; the metric's name is the label `__name__`.
pub type Labels = BTreeMap<String, String>;

/// A time in milliseconds, and a value.
pub type Point = (i64, f64);

/// A series and its samples, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The labels.
    pub labels: Labels,
    /// The samples.
    pub points: Vec<Point>,
}

/// A sample that says that a series has ended; a NaN that no arithmetic makes.
const STALE: u64 = 0x7ff0_0000_0000_0002;

fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE
}

/// Samples by metric and labels. Samples of a series are appended in the order of their times.
#[derive(Clone, Debug)]
pub struct SeriesStore {
    metrics: BTreeMap<String, BTreeMap<Arc<Labels>, Vec<Point>>>,
    retention: i64,
}

impl SeriesStore {
    /// Makes a store that keeps samples for a time, in milliseconds.
    #[must_use]
    pub fn new(retention: i64) -> Self {
        Self {
            metrics: BTreeMap::new(),
            retention,
        }
    }

    /// Adds a sample. One that is not newer than the newest of its series is dropped, as Prometheus does.
    pub fn push(&mut self, labels: &Labels, time: i64, value: f64) {
        let name = labels.get(NAME).cloned().unwrap_or_default();
        let series = self.metrics.entry(name).or_default();
        match series.get_mut(labels) {
            Some(points) if points.last().is_some_and(|(last, _)| *last >= time) => {}
            Some(points) => points.push((time, value)),
            None => {
                series.insert(Arc::new(labels.clone()), vec![(time, value)]);
            }
        }
    }

    /// Marks the end of a series: it has no value from this time on, until there is a new sample.
    pub fn end(&mut self, labels: &Labels, time: i64) {
        let Some(name) = labels.get(NAME) else { return };
        let known = self.metrics.get(name).and_then(|series| series.get(labels));
        if known
            .and_then(|points| points.last())
            .is_some_and(|(_, value)| !is_stale(*value))
        {
            self.push(labels, time, f64::from_bits(STALE));
        }
    }

    /// Drops the samples that are older than the retention, and the series that have none left.
    pub fn trim(&mut self, now: i64) {
        let oldest = now.saturating_sub(self.retention);
        for series in self.metrics.values_mut() {
            series.retain(|_, points| {
                let keep = points.partition_point(|(time, _)| *time < oldest);
                points.drain(..keep);
                !points.is_empty()
            });
        }
        self.metrics.retain(|_, series| !series.is_empty());
    }

    /// Returns the series of a metric, or of all metrics.
    pub(super) fn of<'a>(&'a self, name: Option<&'a str>) -> impl Iterator<Item = (&'a Labels, &'a [Point])> {
        let one = name.and_then(|name| self.metrics.get(name)).into_iter();
        let all = self.metrics.values().filter(move |_| name.is_none());
        one.chain(all)
            .flatten()
            .map(|(labels, points)| (&**labels, points.as_slice()))
    }
}

/// Returns the samples after `from` up to and including `to`, without the marks of an end.
pub(super) fn window(points: &[Point], from: i64, to: i64) -> Vec<Point> {
    let start = points.partition_point(|(time, _)| *time <= from);
    let end = points.partition_point(|(time, _)| *time <= to);
    let points = points.get(start..end).unwrap_or_default();
    points
        .iter()
        .copied()
        .filter(|(_, value)| !is_stale(*value))
        .collect()
}

/// Returns the newest value after `from` up to and including `to`; none if the series had ended.
pub(super) fn newest(points: &[Point], from: i64, to: i64) -> Option<f64> {
    let end = points.partition_point(|(time, _)| *time <= to);
    let (time, value) = *points.get(..end)?.last()?;
    (time > from && !is_stale(value)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str) -> Labels {
        Labels::from([(NAME.to_owned(), name.to_owned())])
    }

    #[test]
    fn windows_leave_out_their_start() {
        let points = [(0, 1.0), (1000, 2.0), (2000, 3.0)];
        assert_eq!(window(&points, 0, 2000), [(1000, 2.0), (2000, 3.0)]);
        assert_eq!(newest(&points, 1000, 1999), None);
        assert_eq!(newest(&points, 999, 1999), Some(2.0));
    }

    #[test]
    fn an_ended_series_has_no_value_until_it_returns() {
        let mut store = SeriesStore::new(10_000);
        let up = labels("up");
        store.push(&up, 1000, 1.0);
        store.end(&up, 2000);
        store.end(&up, 3000);
        let points = |store: &SeriesStore| store.of(Some("up")).next().unwrap().1.to_vec();
        assert_eq!(newest(&points(&store), 0, 2500), None);
        assert_eq!(window(&points(&store), 0, 2500), [(1000, 1.0)]);
        assert_eq!(points(&store).len(), 2, "marked once");
        store.push(&up, 4000, 2.0);
        assert_eq!(newest(&points(&store), 0, 4000), Some(2.0));
    }

    #[test]
    fn old_samples_and_empty_series_are_dropped() {
        let mut store = SeriesStore::new(1000);
        store.push(&labels("a"), 0, 1.0);
        store.push(&labels("b"), 0, 1.0);
        store.push(&labels("b"), 5000, 1.0);
        store.push(&labels("b"), 4000, 9.0);
        store.trim(5500);
        assert_eq!(store.of(None).count(), 1);
        assert_eq!(store.of(Some("b")).next().unwrap().1, [(5000, 1.0)]);
    }
}
