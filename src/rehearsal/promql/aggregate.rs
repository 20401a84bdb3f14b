//! Folds groups of samples: `sum by (…)` and its like.

use std::collections::BTreeMap;

use super::{
    ast::{Aggregate, AggregateOp, Grouping},
    eval::{Sample, count},
    series::{Labels, NAME},
};

pub(super) fn aggregate(aggregate: &Aggregate, samples: Vec<Sample>) -> Vec<Sample> {
    let mut groups: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
    for sample in samples {
        groups
            .entry(key(&aggregate.grouping, &sample.labels))
            .or_default()
            .push(sample.value);
    }
    groups
        .into_iter()
        .map(|(labels, values)| Sample {
            labels,
            value: fold(aggregate.op, &values),
        })
        .collect()
}

/// Returns the labels that tell groups (or the two sides of an operation) apart.
pub(super) fn key(grouping: &Grouping, labels: &Labels) -> Labels {
    let kept = |name: &String| match grouping {
        Grouping::Only(only) => only.contains(name),
        Grouping::Without(without) => name != NAME && !without.contains(name),
    };
    labels
        .iter()
        .filter(|(name, _)| kept(name))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect()
}

fn fold(op: AggregateOp, values: &[f64]) -> f64 {
    // `f64::min` and `max` pass over NaN, as PromQL does unless there is nothing else.
    match op {
        AggregateOp::Sum => sum(values.iter().copied()),
        AggregateOp::Avg => sum(values.iter().copied()) / count(values.len()),
        AggregateOp::Min => values.iter().copied().fold(f64::NAN, f64::min),
        AggregateOp::Max => values.iter().copied().fold(f64::NAN, f64::max),
        AggregateOp::Count => count(values.len()),
        AggregateOp::Group => 1.0,
    }
}

/// Adds up with compensation (Neumaier's), as Prometheus does: small numbers beside large ones are not lost.
pub(super) fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = sum + value;
        if next.is_infinite() {
            lost = 0.0;
        } else if sum.abs() >= value.abs() {
            lost += (sum - next) + value;
        } else {
            lost += (value - next) + sum;
        }
        sum = next;
    }
    sum + lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_survive_large_ones() {
        let near = |values: &[f64], wanted: f64| assert!((sum(values.iter().copied()) - wanted).abs() < 1e-9);
        near(&[1.0, 1e100, 1.0, -1e100], 2.0);
        assert_eq!(sum([f64::INFINITY, 1.0].into_iter()).to_string(), "inf");
        assert!(sum([f64::INFINITY, f64::NEG_INFINITY].into_iter()).is_nan());
    }
}
