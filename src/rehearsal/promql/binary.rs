//! Operators on two sides: numbers, vectors with numbers, vectors with vectors.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Error,
    aggregate::key,
    ast::{Binary, Group, Grouping, Op},
    eval::{Sample, Value},
    series::{Labels, NAME},
};

pub(super) fn binary(b: &Binary, left: Value, right: Value) -> Result<Value, Error> {
    match (left, right) {
        (Value::Scalar(l), Value::Scalar(r)) => Ok(Value::Scalar(compute(b.op, l, r).0)),
        (Value::Instant(samples), Value::Scalar(number)) => Ok(with_number(b, samples, number, false)),
        (Value::Scalar(number), Value::Instant(samples)) => Ok(with_number(b, samples, number, true)),
        (Value::Instant(l), Value::Instant(r)) if b.op.is_set() => Ok(Value::Instant(set(b, l, r))),
        (Value::Instant(l), Value::Instant(r)) => vectors(b, l, r).map(Value::Instant),
        _ => Err(Error::Execution(
            "operands must be scalars or instant vectors".to_owned(),
        )),
    }
}

/// Returns the result of an operator; a comparison answers 0 or 1, and whether it holds.
#[expect(clippy::float_cmp, reason = "PromQL compares exactly")]
fn compute(op: Op, l: f64, r: f64) -> (f64, bool) {
    let holds = match op {
        Op::Equal => l == r,
        Op::NotEqual => l != r,
        Op::Greater => l > r,
        Op::GreaterEqual => l >= r,
        Op::Less => l < r,
        Op::LessEqual => l <= r,
        _ => true,
    };
    let value = match op {
        Op::Add => l + r,
        Op::Subtract => l - r,
        Op::Multiply => l * r,
        Op::Divide => l / r,
        Op::Modulo => l % r,
        Op::Power => l.powf(r),
        _ => f64::from(u8::from(holds)),
    };
    (value, holds)
}

fn with_number(b: &Binary, samples: Vec<Sample>, number: f64, number_left: bool) -> Value {
    let one = |sample: Sample| {
        let (l, r) = if number_left {
            (number, sample.value)
        } else {
            (sample.value, number)
        };
        let (value, holds) = compute(b.op, l, r);
        if !b.op.is_comparison() || b.as_bool {
            Some(sample.unnamed(value))
        } else {
            holds.then_some(sample)
        }
    };
    Value::Instant(samples.into_iter().filter_map(one).collect())
}

fn set(b: &Binary, left: Vec<Sample>, right: Vec<Sample>) -> Vec<Sample> {
    let side = |samples: &[Sample]| -> BTreeSet<Labels> {
        samples
            .iter()
            .map(|sample| key(&b.matching.on, &sample.labels))
            .collect()
    };
    let (ours, theirs) = (side(&left), side(&right));
    let has = |keys: &BTreeSet<Labels>, sample: &Sample| keys.contains(&key(&b.matching.on, &sample.labels));
    match b.op {
        Op::And => left.into_iter().filter(|sample| has(&theirs, sample)).collect(),
        Op::Unless => left.into_iter().filter(|sample| !has(&theirs, sample)).collect(),
        _ => {
            let added = right.into_iter().filter(|sample| !has(&ours, sample));
            left.iter().cloned().chain(added).collect()
        }
    }
}

/// Pairs the samples of two vectors. The side that may have only one sample per group is indexed; the other,
/// which may have many if the query says so, is walked.
fn vectors(b: &Binary, left: Vec<Sample>, right: Vec<Sample>) -> Result<Vec<Sample>, Error> {
    let group = b.matching.group.as_ref();
    let many_left = group.is_none_or(|group| group.many_left);
    let (many, one) = if many_left { (left, right) } else { (right, left) };
    let ones = index(b, one, many_left)?;
    let mut used = BTreeSet::new();
    let mut results = Vec::new();
    for sample in many {
        let group_key = key(&b.matching.on, &sample.labels);
        let Some(other) = ones.get(&group_key) else {
            continue;
        };
        let (l, r) = if many_left {
            (sample.value, other.value)
        } else {
            (other.value, sample.value)
        };
        let (value, holds) = compute(b.op, l, r);
        let filters = b.op.is_comparison() && !b.as_bool;
        if filters && !holds {
            continue;
        }
        if group.is_none() && !used.insert(group_key) {
            let message =
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
            return Err(Error::Execution(message.to_owned()));
        }
        let labels = result_labels(b, sample.labels, &other.labels, group);
        results.push(Sample {
            labels,
            value: if filters { l } else { value },
        });
    }
    Ok(results)
}

fn index(b: &Binary, samples: Vec<Sample>, is_right: bool) -> Result<BTreeMap<Labels, Sample>, Error> {
    let mut index = BTreeMap::new();
    for sample in samples {
        let group = key(&b.matching.on, &sample.labels);
        if let Some(other) = index.insert(group.clone(), sample.clone()) {
            let side = if is_right { "right" } else { "left" };
            return Err(Error::Execution(format!(
                "found duplicate series for the match group {} on the {side} hand-side of the operation: \
                 [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                show(&group),
                show(&sample.labels),
                show(&other.labels),
            )));
        }
    }
    Ok(index)
}

fn result_labels(b: &Binary, mut labels: Labels, other: &Labels, group: Option<&Group>) -> Labels {
    if !b.op.is_comparison() || b.as_bool {
        labels.remove(NAME);
    }
    let Some(group) = group else {
        return match &b.matching.on {
            on @ Grouping::Only(_) => key(on, &labels),
            Grouping::Without(without) => {
                labels.retain(|name, _| !without.contains(name));
                labels
            }
        };
    };
    for name in &group.include {
        match other.get(name) {
            Some(value) => labels.insert(name.clone(), value.clone()),
            None => labels.remove(name),
        };
    }
    labels
}

/// Prints labels as Prometheus does: `{a="b", c="d"}`.
fn show(labels: &Labels) -> String {
    let name = labels.get(NAME).map_or("", String::as_str);
    let pairs = labels
        .iter()
        .filter(|(n, _)| *n != NAME)
        .map(|(n, v)| format!("{n}={v:?}"));
    format!("{name}{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}
