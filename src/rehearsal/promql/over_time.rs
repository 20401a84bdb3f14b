//! Functions of the samples of one series in a window.

use super::{
    aggregate::sum,
    eval::{count, seconds},
    functions::Function,
    series::Point,
};

/// A window in milliseconds: after `from`, up to and including `to`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Returns the value of a function over a window; none if the samples are too few for it.
pub(super) fn over(function: Function, window: Window, points: &[Point]) -> Option<f64> {
    let values = || points.iter().map(|(_, value)| *value);
    match function {
        Function::Rate => extrapolated(window, points, true).map(|v| v / seconds(window.to - window.from)),
        Function::Increase => extrapolated(window, points, true),
        Function::Delta => extrapolated(window, points, false),
        Function::Irate => last_step(points, true),
        Function::Idelta => last_step(points, false),
        Function::AvgOverTime => Some(sum(values()) / count(points.len())),
        Function::MinOverTime => Some(values().fold(f64::NAN, f64::min)),
        Function::MaxOverTime => Some(values().fold(f64::NAN, f64::max)),
        Function::SumOverTime => Some(sum(values())),
        Function::CountOverTime => Some(count(points.len())),
        _ => values().next_back(),
    }
}

/// Returns the growth in a window, extended to the window's ends as Prometheus does: fully if a sample is
/// expected there (within 1.1 times the mean distance of samples), else by half that distance; and for a
/// counter never to before it would have been zero.
fn extrapolated(window: Window, points: &[Point], counter: bool) -> Option<f64> {
    let (&(first_time, first), &(last_time, last)) = (points.first()?, points.last()?);
    if points.len() < 2 {
        return None;
    }
    let resets: f64 = points
        .windows(2)
        .filter_map(|pair| match pair {
            [(_, before), (_, after)] if counter && after < before => Some(before),
            _ => None,
        })
        .sum();
    let growth = last - first + resets;
    let sampled = seconds(last_time - first_time);
    let distance = sampled / count(points.len() - 1);
    let reach = |gap: f64| {
        if gap >= distance * 1.1 {
            distance / 2.0
        } else {
            gap
        }
    };
    let mut before = reach(seconds(first_time - window.from));
    if counter && growth > 0.0 && first >= 0.0 {
        before = before.min(sampled * (first / growth));
    }
    let after = reach(seconds(window.to - last_time));
    Some(growth * (sampled + before + after) / sampled)
}

/// Returns the difference of the last two samples, per second if wanted.
fn last_step(points: &[Point], per_second: bool) -> Option<f64> {
    let [.., (before_time, before), (after_time, after)] = points else {
        return None;
    };
    if !per_second {
        return Some(after - before);
    }
    let growth = if after < before { *after } else { after - before };
    Some(growth / seconds(after_time - before_time))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { from: 0, to: 60_000 };

    fn every(step: i64, range: std::ops::RangeInclusive<i64>, slope: f64) -> Vec<Point> {
        let steps = range.clone().step_by(usize::try_from(step).unwrap());
        steps.map(|t| (t, 1000.0 + slope * seconds(t))).collect()
    }

    fn near(actual: Option<f64>, wanted: f64) {
        assert!(
            (actual.unwrap() - wanted).abs() < 1e-9,
            "{actual:?} is not {wanted}"
        );
    }

    #[test]
    fn growth_is_extended_to_ends_where_a_sample_is_expected() {
        // Samples at 5, 15, … 55 s; 5 s to each end, below 1.1 * 10 s: 500 over 50 s becomes 600 over 60 s.
        near(
            over(Function::Increase, WINDOW, &every(10_000, 5_000..=55_000, 10.0)),
            600.0,
        );
        near(
            over(Function::Rate, WINDOW, &every(10_000, 5_000..=55_000, 10.0)),
            10.0,
        );
    }

    #[test]
    fn growth_is_extended_by_half_a_step_where_samples_are_missing() {
        // Samples at 30, 40, 50 s; 30 s to the start: half of 10 s; 10 s to the end: within 11 s, fully.
        near(
            over(Function::Increase, WINDOW, &every(10_000, 30_000..=50_000, 10.0)),
            200.0 * 35.0 / 20.0,
        );
    }

    #[test]
    fn a_counter_is_not_extended_to_below_zero() {
        // 2 at 10 s, 22 at 20 s: zero 1 s before the first, so 1 + 10 + half a step of 10.
        let points = [(10_000, 2.0), (20_000, 22.0)];
        near(over(Function::Increase, WINDOW, &points), 20.0 * 16.0 / 10.0);
        near(over(Function::Delta, WINDOW, &points), 20.0 * 25.0 / 10.0);
    }

    #[test]
    fn resets_of_a_counter_are_added() {
        let points = [(0, 10.0), (20_000, 30.0), (40_000, 5.0), (60_000, 15.0)];
        near(over(Function::Increase, WINDOW, &points), 15.0 - 10.0 + 30.0);
        near(over(Function::Delta, WINDOW, &points), 5.0);
        near(over(Function::Irate, WINDOW, &points), 0.5);
        near(over(Function::Irate, WINDOW, &points[..3]), 0.25);
        near(over(Function::Idelta, WINDOW, &points[..3]), -25.0);
    }

    #[test]
    fn one_sample_is_not_enough_for_a_rate() {
        for function in [
            Function::Rate,
            Function::Increase,
            Function::Delta,
            Function::Irate,
        ] {
            assert_eq!(over(function, WINDOW, &[(1000, 1.0)]), None, "{function:?}");
        }
        near(
            over(Function::AvgOverTime, WINDOW, &[(1000, 1.0), (2000, 2.0)]),
            1.5,
        );
    }
}
