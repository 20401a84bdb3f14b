//! The functions: their signatures, and what they do.

use std::collections::BTreeMap;

use super::{
    Error,
    ast::{Expr, Node, ValueType},
    eval::{Evaluator, Sample, Value, seconds},
    matcher::Test,
    over_time::{Window, over},
    series::{Labels, NAME, Series},
};

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Rate,
    Increase,
    Irate,
    Delta,
    Idelta,
    AvgOverTime,
    MinOverTime,
    MaxOverTime,
    SumOverTime,
    CountOverTime,
    LastOverTime,
    HistogramQuantile,
    Vector,
    Scalar,
    Time,
    Absent,
    Abs,
    Ceil,
    Floor,
    Exp,
    Ln,
    Sqrt,
    Round,
    Clamp,
    ClampMin,
    ClampMax,
    LabelReplace,
}

/// How a function is called.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) name: &'static str,
    function: Function,
    pub(super) args: &'static [ValueType],
    /// How many of the last arguments may be left out.
    pub(super) optional: usize,
    returns: ValueType,
}

const fn of(
    name: &'static str,
    function: Function,
    args: &'static [ValueType],
    optional: usize,
) -> Signature {
    let returns = match function {
        Function::Scalar | Function::Time => ValueType::Scalar,
        _ => ValueType::Instant,
    };
    Signature {
        name,
        function,
        args,
        optional,
        returns,
    }
}

use ValueType::{Instant, Range, Scalar, Text};

static SIGNATURES: [Signature; 27] = [
    of("rate", Function::Rate, &[Range], 0),
    of("increase", Function::Increase, &[Range], 0),
    of("irate", Function::Irate, &[Range], 0),
    of("delta", Function::Delta, &[Range], 0),
    of("idelta", Function::Idelta, &[Range], 0),
    of("avg_over_time", Function::AvgOverTime, &[Range], 0),
    of("min_over_time", Function::MinOverTime, &[Range], 0),
    of("max_over_time", Function::MaxOverTime, &[Range], 0),
    of("sum_over_time", Function::SumOverTime, &[Range], 0),
    of("count_over_time", Function::CountOverTime, &[Range], 0),
    of("last_over_time", Function::LastOverTime, &[Range], 0),
    of(
        "histogram_quantile",
        Function::HistogramQuantile,
        &[Scalar, Instant],
        0,
    ),
    of("vector", Function::Vector, &[Scalar], 0),
    of("scalar", Function::Scalar, &[Instant], 0),
    of("time", Function::Time, &[], 0),
    of("absent", Function::Absent, &[Instant], 0),
    of("abs", Function::Abs, &[Instant], 0),
    of("ceil", Function::Ceil, &[Instant], 0),
    of("floor", Function::Floor, &[Instant], 0),
    of("exp", Function::Exp, &[Instant], 0),
    of("ln", Function::Ln, &[Instant], 0),
    of("sqrt", Function::Sqrt, &[Instant], 0),
    of("round", Function::Round, &[Instant, Scalar], 1),
    of("clamp", Function::Clamp, &[Instant, Scalar, Scalar], 0),
    of("clamp_min", Function::ClampMin, &[Instant, Scalar], 0),
    of("clamp_max", Function::ClampMax, &[Instant, Scalar], 0),
    of(
        "label_replace",
        Function::LabelReplace,
        &[Instant, Text, Text, Text, Text],
        0,
    ),
];

impl Function {
    pub(super) fn named(name: &str) -> Option<Self> {
        SIGNATURES
            .iter()
            .find(|signature| signature.name == name)
            .map(|signature| signature.function)
    }

    pub(super) fn signature(self) -> &'static Signature {
        static NONE: Signature = of("", Function::Vector, &[], 0);
        SIGNATURES
            .iter()
            .find(|signature| signature.function == self)
            .unwrap_or(&NONE)
    }

    pub(super) fn returns(self) -> ValueType {
        self.signature().returns
    }
}

/// Calls a function whose arguments the checker has found to be right.
pub(super) fn call(evaluator: Evaluator<'_>, function: Function, args: &[Node]) -> Result<Value, Error> {
    let number = |n: usize| args.get(n).map(|node| evaluator.scalar(node)).transpose();
    match (function, args) {
        (Function::Time, _) => Ok(Value::Scalar(seconds(evaluator.time))),
        (Function::Vector, [value]) => Ok(Value::Instant(vec![Sample {
            labels: Labels::new(),
            value: evaluator.scalar(value)?,
        }])),
        (Function::Scalar, [of]) => Ok(Value::Scalar(match evaluator.vector(of)?.as_slice() {
            [one] => one.value,
            _ => f64::NAN,
        })),
        (Function::Absent, [of]) => Ok(Value::Instant(absent(&of.expr, &evaluator.vector(of)?))),
        (Function::HistogramQuantile, [q, of]) => Ok(Value::Instant(quantiles(
            evaluator.scalar(q)?,
            evaluator.vector(of)?,
        ))),
        (Function::LabelReplace, [of, rest @ ..]) => label_replace(evaluator.vector(of)?, rest),
        (
            _,
            [
                Node {
                    expr: Expr::Range(selector, range),
                    ..
                },
            ],
        ) => {
            let to = evaluator.time.saturating_sub(selector.offset);
            let window = Window {
                from: to.saturating_sub(*range),
                to,
            };
            over_series(evaluator, function, window, args)
        }
        (_, [of, ..]) => {
            let map = Elementwise {
                function,
                a: number(1)?,
                b: number(2)?,
            };
            Ok(Value::Instant(map.all(evaluator.vector(of)?)))
        }
        _ => Err(Error::Execution(format!(
            "function \"{}\" needs arguments",
            function.signature().name
        ))),
    }
}

fn over_series(
    evaluator: Evaluator<'_>,
    function: Function,
    window: Window,
    args: &[Node],
) -> Result<Value, Error> {
    let Some(Value::Range(series)) = args.first().map(|node| evaluator.value(node)).transpose()? else {
        return Err(Error::Execution("expected a range vector".to_owned()));
    };
    let sample = |Series { mut labels, points }: Series| {
        let value = over(function, window, &points)?;
        if function != Function::LastOverTime {
            labels.remove(NAME);
        }
        Some(Sample { labels, value })
    };
    Ok(Value::Instant(series.into_iter().filter_map(sample).collect()))
}

/// A function of each value by itself.
struct Elementwise {
    function: Function,
    a: Option<f64>,
    b: Option<f64>,
}

impl Elementwise {
    fn all(&self, samples: Vec<Sample>) -> Vec<Sample> {
        if self.function == Function::Clamp && self.a > self.b {
            return Vec::new();
        }
        samples
            .into_iter()
            .map(|sample| {
                let value = self.one(sample.value);
                sample.unnamed(value)
            })
            .collect()
    }

    fn one(&self, value: f64) -> f64 {
        let (a, b) = (self.a.unwrap_or(1.0), self.b.unwrap_or(f64::NAN));
        match self.function {
            Function::Abs => value.abs(),
            Function::Ceil => value.ceil(),
            Function::Floor => value.floor(),
            Function::Exp => value.exp(),
            Function::Ln => value.ln(),
            Function::Sqrt => value.sqrt(),
            Function::Round => (value * a.recip() + 0.5).floor() / a.recip(),
            Function::Clamp => at_most(b, at_least(a, value)),
            Function::ClampMin => at_least(a, value),
            Function::ClampMax => at_most(a, value),
            _ => value,
        }
    }
}

// A NaN on either side stays one, unlike with `f64::max` and `f64::min`.
fn at_least(least: f64, value: f64) -> f64 {
    if value.is_nan() || least.is_nan() {
        f64::NAN
    } else {
        value.max(least)
    }
}

fn at_most(most: f64, value: f64) -> f64 {
    if value.is_nan() || most.is_nan() {
        f64::NAN
    } else {
        value.min(most)
    }
}

/// Answers 1 if there is nothing, labelled with what the selector demanded.
fn absent(of: &Expr, samples: &[Sample]) -> Vec<Sample> {
    if !samples.is_empty() {
        return Vec::new();
    }
    let mut labels = Labels::new();
    if let Expr::Instant(selector) = of {
        let demands = |label: &str| selector.matchers.iter().filter(|m| m.label == label).count();
        for matcher in selector.matchers.iter().filter(|matcher| matcher.label != NAME) {
            if let (Test::Equal(value), 1) = (&matcher.test, demands(&matcher.label)) {
                labels.insert(matcher.label.clone(), value.clone());
            }
        }
    }
    vec![Sample { labels, value: 1.0 }]
}

/// The upper bound of a bucket, and the count of observations up to it.
type Bucket = (f64, f64);

fn quantiles(q: f64, samples: Vec<Sample>) -> Vec<Sample> {
    let mut histograms: BTreeMap<Labels, Vec<Bucket>> = BTreeMap::new();
    for Sample { mut labels, value } in samples {
        let Some(bound) = labels.remove("le").and_then(|le| le.parse().ok()) else {
            continue;
        };
        histograms.entry(labels).or_default().push((bound, value));
    }
    let sample = |(labels, buckets)| Sample { labels, value: 0.0 }.unnamed(quantile(q, buckets));
    histograms.into_iter().map(sample).collect()
}

/// Returns a quantile of a histogram, supposing that observations are spread evenly within a bucket.
fn quantile(q: f64, mut buckets: Vec<Bucket>) -> f64 {
    if q.is_nan() || buckets.len() < 2 {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Two spellings of one bound (`1` and `1.0`) are one bucket.
    buckets.dedup_by(|later, kept| {
        let same = later.0.to_bits() == kept.0.to_bits();
        kept.1 += if same { later.1 } else { 0.0 };
        same
    });
    let mut highest = f64::NEG_INFINITY;
    for bucket in &mut buckets {
        highest = highest.max(bucket.1);
        bucket.1 = highest;
    }
    let [finite @ .., (last, total)] = buckets.as_slice() else {
        return f64::NAN;
    };
    if *last != f64::INFINITY || *total == 0.0 || total.is_nan() {
        return f64::NAN;
    }
    let rank = q * total;
    let Some(at) = finite.iter().position(|(_, count)| *count >= rank) else {
        return finite.last().map_or(f64::NAN, |(bound, _)| *bound);
    };
    let below = at.checked_sub(1).and_then(|n| finite.get(n)).copied();
    match (below, finite.get(at)) {
        (None, Some((end, _))) if *end <= 0.0 => *end,
        (below, Some((end, count))) => {
            let (start, passed) = below.unwrap_or((0.0, 0.0));
            start + (end - start) * ((rank - passed) / (count - passed))
        }
        _ => f64::NAN,
    }
}

fn label_replace(samples: Vec<Sample>, args: &[Node]) -> Result<Value, Error> {
    let texts: Vec<&str> = args
        .iter()
        .filter_map(|node| match &node.expr {
            Expr::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let [target, replacement, source, pattern] = *texts.as_slice() else {
        return Err(Error::Execution("label_replace needs four strings".to_owned()));
    };
    let regex = regex::Regex::new(&format!("^(?s:{pattern})$")).map_err(|_| {
        Error::Execution(format!(
            "invalid regular expression in label_replace(): {pattern}"
        ))
    })?;
    let replaced = samples.into_iter().map(|mut sample| {
        let value = sample.labels.get(source).cloned().unwrap_or_default();
        if let Some(captures) = regex.captures(&value) {
            let mut text = String::new();
            captures.expand(replacement, &mut text);
            if text.is_empty() {
                sample.labels.remove(target);
            } else {
                sample.labels.insert(target.to_owned(), text);
            }
        }
        sample
    });
    Ok(Value::Instant(replaced.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKETS: [Bucket; 4] = [(0.1, 50.0), (0.5, 90.0), (1.0, 100.0), (f64::INFINITY, 100.0)];

    #[test]
    fn quantiles_interpolate_within_a_bucket() {
        let near = |q: f64, wanted: f64| {
            let actual = quantile(q, BUCKETS.to_vec());
            assert!((actual - wanted).abs() < 1e-9, "{q}: {actual} is not {wanted}");
        };
        near(0.25, 0.05);
        near(0.5, 0.1);
        near(0.7, 0.3);
        near(0.99, 0.95);
        near(1.0, 1.0);
    }

    #[test]
    fn quantiles_at_the_edges() {
        assert_eq!(quantile(1.5, BUCKETS.to_vec()).to_string(), "inf");
        assert_eq!(quantile(-1.0, BUCKETS.to_vec()).to_string(), "-inf");
        assert!(
            quantile(0.5, vec![(1.0, 0.0), (f64::INFINITY, 0.0)]).is_nan(),
            "no observations"
        );
        assert!(quantile(0.5, BUCKETS[..3].to_vec()).is_nan(), "no last bucket");
        let beyond = vec![(1.0, 1.0), (f64::INFINITY, 10.0)];
        assert!(
            (quantile(0.99, beyond) - 1.0).abs() < 1e-9,
            "the highest finite bound"
        );
    }

    #[test]
    fn every_function_has_one_signature() {
        for signature in &SIGNATURES {
            assert_eq!(Function::named(signature.name), Some(signature.function));
            assert_eq!(signature.function.signature().name, signature.name);
        }
    }
}
