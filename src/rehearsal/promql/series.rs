//! The samples of every series, in memory, for a bounded time.

use std::collections::BTreeMap;

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

/// Names a series in its store; lets a scrape add samples without looking labels up each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesId(usize);

/// Samples by metric and labels. Samples of a series are appended in the order of their times.
#[derive(Clone, Debug)]
pub struct SeriesStore {
    metrics: BTreeMap<String, BTreeMap<Labels, SeriesId>>,
    points: Vec<Vec<Point>>,
    /// Places in `points` that can be used again.
    free: Vec<SeriesId>,
    retention: i64,
    trimmed: i64,
}

impl SeriesStore {
    /// Makes a store that keeps samples for a time, in milliseconds (and for up to a minute longer).
    #[must_use]
    pub fn new(retention: i64) -> Self {
        Self {
            metrics: BTreeMap::new(),
            points: Vec::new(),
            free: Vec::new(),
            retention,
            trimmed: 0,
        }
    }

    /// Returns the id of a series, which is made if there is none. Good until the series has been without
    /// samples for as long as the store keeps them.
    pub fn id(&mut self, labels: &Labels) -> SeriesId {
        let name = labels.get(NAME).cloned().unwrap_or_default();
        let series = self.metrics.entry(name).or_default();
        if let Some(id) = series.get(labels) {
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.points.push(Vec::new());
            SeriesId(self.points.len() - 1)
        });
        series.insert(labels.clone(), id);
        id
    }

    /// Adds a sample. One that is not newer than the newest of its series is dropped, as Prometheus does.
    pub fn push_to(&mut self, id: SeriesId, time: i64, value: f64) {
        if let Some(points) = self.points.get_mut(id.0)
            && points.last().is_none_or(|(last, _)| *last < time)
        {
            points.push((time, value));
        }
    }

    /// Adds a sample to the series with these labels.
    pub fn push(&mut self, labels: &Labels, time: i64, value: f64) {
        let id = self.id(labels);
        self.push_to(id, time, value);
    }

    /// Marks the end of a series: it has no value from this time on, until there is a new sample.
    pub fn end(&mut self, id: SeriesId, time: i64) {
        let last = self.points.get(id.0).and_then(|points| points.last());
        if last.is_some_and(|(_, value)| !is_stale(*value)) {
            self.push_to(id, time, f64::from_bits(STALE));
        }
    }

    /// Drops the samples that are older than the retention, and the series that have none left; at most once
    /// a minute.
    pub fn trim(&mut self, now: i64) {
        if now < self.trimmed.saturating_add(60_000) {
            return;
        }
        self.trimmed = now;
        let oldest = now.saturating_sub(self.retention);
        for points in &mut self.points {
            let keep = points.partition_point(|(time, _)| *time < oldest);
            points.drain(..keep);
        }
        let (points, free) = (&self.points, &mut self.free);
        for series in self.metrics.values_mut() {
            series.retain(|_, id| {
                let empty = points.get(id.0).is_none_or(Vec::is_empty);
                free.extend(empty.then_some(*id));
                !empty
            });
        }
        self.metrics.retain(|_, series| !series.is_empty());
    }

    /// Returns the series of a metric, or of all metrics.
    pub(super) fn of<'a>(&'a self, name: Option<&'a str>) -> impl Iterator<Item = (&'a Labels, &'a [Point])> {
        let one = name.and_then(|name| self.metrics.get(name)).into_iter();
        let all = self.metrics.values().filter(move |_| name.is_none());
        let points = |id: &SeriesId| self.points.get(id.0).map_or(&[][..], Vec::as_slice);
        one.chain(all)
            .flatten()
            .map(move |(labels, id)| (labels, points(id)))
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
        let id = store.id(&up);
        store.end(id, 2000);
        store.end(id, 3000);
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
        store.trim(59_999);
        assert_eq!(store.of(None).count(), 2, "once a minute is enough");
        store.push(&labels("b"), 59_500, 2.0);
        store.trim(60_000);
        assert_eq!(store.of(None).count(), 1);
        store.push(&labels("c"), 60_000, 3.0);
        assert_eq!(store.points.len(), 2, "the place is used again");
        assert_eq!(store.of(Some("b")).next().unwrap().1, [(59_500, 2.0)]);
    }
}
