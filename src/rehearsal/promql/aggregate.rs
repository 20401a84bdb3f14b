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
        AggregateOp::Sum => values.iter().sum(),
        AggregateOp::Avg => values.iter().sum::<f64>() / count(values.len()),
        AggregateOp::Min => values.iter().copied().fold(f64::NAN, f64::min),
        AggregateOp::Max => values.iter().copied().fold(f64::NAN, f64::max),
        AggregateOp::Count => count(values.len()),
        AggregateOp::Group => 1.0,
    }
}
