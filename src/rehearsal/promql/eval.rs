//! Evaluates a checked query at a time, or at each step of a range.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Error,
    aggregate::aggregate,
    ast::{Expr, Node, Selector, ValueType},
    binary::binary,
    functions::call,
    matcher::{Matcher, Test},
    series::{self, Labels, NAME, Point, Series, SeriesStore},
};

/// The most steps that a range query may have.
pub const MAX_POINTS: i64 = 11_000;
/// How long a sample is the present one, in milliseconds.
const LOOKBACK: i64 = 300_000;

/// What a query answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Scalar(f64),
    /// A string.
    Text(String),
    /// One value per series.
    Instant(Vec<Sample>),
    /// Many values per series.
    Range(Vec<Series>),
}

/// A series' value at the time of the evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The labels; without `__name__` where the value is no longer that metric.
    pub labels: Labels,
    /// The value.
    pub value: f64,
}

impl Sample {
    /// Makes a sample that no longer is the metric it comes from.
    pub(super) fn unnamed(mut self, value: f64) -> Self {
        self.labels.remove(NAME);
        self.value = value;
        self
    }
}

#[expect(clippy::cast_precision_loss, reason = "times and counts are far below 2^52")]
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "callers hold the number below 1e12"
)]
pub(super) fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

#[expect(clippy::cast_precision_loss, reason = "times and counts are far below 2^52")]
pub(super) fn count(n: usize) -> f64 {
    n as f64
}

/// Reads a store as of a time, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evaluator<'a> {
    pub(super) store: &'a SeriesStore,
    pub(super) time: i64,
}

impl Evaluator<'_> {
    /// Evaluates a whole query.
    pub(super) fn query(&self, root: &Node) -> Result<Value, Error> {
        self.value(root)
    }

    pub(super) fn value(&self, node: &Node) -> Result<Value, Error> {
        match &node.expr {
            Expr::Number(number) => Ok(Value::Scalar(*number)),
            Expr::Text(text) => Ok(Value::Text(text.clone())),
            Expr::Instant(selector) => Ok(Value::Instant(self.instant(selector))),
            Expr::Range(selector, range) => Ok(Value::Range(self.range(selector, *range))),
            Expr::Negate(of) => match self.value(of)? {
                Value::Scalar(number) => Ok(Value::Scalar(-number)),
                Value::Instant(samples) => {
                    let negated = samples.into_iter().map(|sample| {
                        let value = -sample.value;
                        sample.unnamed(value)
                    });
                    distinct(negated.collect())
                }
                other => Ok(other),
            },
            Expr::Call(function, args) => match call(*self, *function, args)? {
                Value::Instant(samples) => distinct(samples),
                other => Ok(other),
            },
            Expr::Aggregate(a) => Ok(Value::Instant(aggregate(a, self.vector(&a.of)?))),
            Expr::Binary(b) => match binary(b, self.value(&b.left)?, self.value(&b.right)?)? {
                Value::Instant(samples) => distinct(samples),
                other => Ok(other),
            },
        }
    }

    /// Evaluates a part that the checker found to be an instant vector.
    pub(super) fn vector(&self, node: &Node) -> Result<Vec<Sample>, Error> {
        match self.value(node)? {
            Value::Instant(samples) => Ok(samples),
            _ => Err(Error::Execution("expected an instant vector".to_owned())),
        }
    }

    /// Evaluates a part that the checker found to be a scalar.
    pub(super) fn scalar(&self, node: &Node) -> Result<f64, Error> {
        match self.value(node)? {
            Value::Scalar(number) => Ok(number),
            _ => Err(Error::Execution("expected a scalar".to_owned())),
        }
    }

    fn instant(&self, selector: &Selector) -> Vec<Sample> {
        let time = self.time.saturating_sub(selector.offset);
        let value = |points: &[Point]| series::newest(points, time.saturating_sub(LOOKBACK), time);
        selected(self.store, &selector.matchers)
            .filter_map(|(labels, points)| {
                Some(Sample {
                    labels: labels.clone(),
                    value: value(points)?,
                })
            })
            .collect()
    }

    fn range(&self, selector: &Selector, range: i64) -> Vec<Series> {
        let to = self.time.saturating_sub(selector.offset);
        let from = to.saturating_sub(range);
        selected(self.store, &selector.matchers)
            .map(|(labels, points)| Series {
                labels: labels.clone(),
                points: series::window(points, from, to),
            })
            .filter(|series| !series.points.is_empty())
            .collect()
    }
}

fn selected<'a>(
    store: &'a SeriesStore,
    matchers: &'a [Matcher],
) -> impl Iterator<Item = (&'a Labels, &'a [Point])> {
    let name = matchers.iter().find_map(|matcher| match &matcher.test {
        Test::Equal(name) if matcher.label == NAME => Some(name.as_str()),
        _ => None,
    });
    store
        .of(name)
        .filter(|(labels, _)| matchers.iter().all(|matcher| matcher.matches(labels)))
}

/// Refuses a vector in which two samples have the same labels.
fn distinct(samples: Vec<Sample>) -> Result<Value, Error> {
    let mut seen = BTreeSet::new();
    if samples.iter().all(|sample| seen.insert(&sample.labels)) {
        return Ok(Value::Instant(samples));
    }
    Err(Error::Execution(
        "vector cannot contain metrics with the same labelset".to_owned(),
    ))
}

/// Evaluates a query at each step from `start` to `end`, in milliseconds.
pub(super) fn range(
    root: &Node,
    store: &SeriesStore,
    start: i64,
    end: i64,
    step: i64,
) -> Result<Vec<Series>, Error> {
    let kind = root.expr.value_type();
    if !matches!(kind, ValueType::Scalar | ValueType::Instant) {
        let message = format!(
            "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
            kind.name()
        );
        return Err(Error::BadData {
            line: 1,
            column: 1,
            message,
        });
    }
    let mut series: BTreeMap<Labels, Vec<Point>> = BTreeMap::new();
    let steps = end.saturating_sub(start) / step.max(1);
    for n in 0..=steps.min(MAX_POINTS) {
        let time = start + n * step.max(1);
        let samples = match (Evaluator { store, time }).query(root)? {
            Value::Scalar(value) => vec![Sample {
                labels: Labels::new(),
                value,
            }],
            Value::Instant(samples) => samples,
            Value::Text(_) | Value::Range(_) => Vec::new(),
        };
        for sample in samples {
            series
                .entry(sample.labels)
                .or_default()
                .push((time, sample.value));
        }
    }
    Ok(series
        .into_iter()
        .map(|(labels, points)| Series { labels, points })
        .collect())
}
