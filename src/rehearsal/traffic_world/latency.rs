//! How answer times are spread: log-normally, through a mean and a 99th percentile.

use super::spec::Latency;
use crate::rehearsal::span::Span;

/// The upper bounds of histogram buckets, as client libraries have them by default; the last is without bound.
pub(super) const BOUNDS: [(f64, &str); 12] = [
    (0.005, "0.005"),
    (0.01, "0.01"),
    (0.025, "0.025"),
    (0.05, "0.05"),
    (0.1, "0.1"),
    (0.25, "0.25"),
    (0.5, "0.5"),
    (1.0, "1"),
    (2.5, "2.5"),
    (5.0, "5"),
    (10.0, "10"),
    (f64::INFINITY, "+Inf"),
];

/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326_347_874;

/// Returns the share of answers in each bucket.
pub(super) fn shares(latency: Latency) -> Vec<(String, f64)> {
    let mean = latency.mean.seconds().max(1e-6);
    let p99 = latency.p99.map_or(4.0 * mean, Span::seconds);
    // mean = exp(m + s²/2) and p99 = exp(m + z s): s²/2 - z s + ln(p99/mean) = 0, the smaller root.
    let spread = Z99 - (Z99 * Z99 - 2.0 * (p99 / mean).max(1.001).ln()).max(0.0).sqrt();
    let middle = mean.ln() - spread * spread / 2.0;
    let mut below = 0.0;
    let share = |(bound, name): (f64, &str)| {
        let up_to = if bound.is_finite() {
            normal((bound.ln() - middle) / spread)
        } else {
            1.0
        };
        let share = (up_to - below).max(0.0);
        below = up_to;
        // A part in a million would be one slow answer in a long run: not what was asked for.
        (name.to_owned(), if share < 1e-5 { 0.0 } else { share })
    };
    BOUNDS.into_iter().map(share).collect()
}

/// Returns the share of a standard normal distribution below a value (Abramowitz and Stegun 26.2.17).
fn normal(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let factors = [
        0.319_381_530,
        -0.356_563_782,
        1.781_477_937,
        -1.821_255_978,
        1.330_274_429,
    ];
    let polynomial = factors.iter().rev().fold(0.0, |sum, factor| (sum + factor) * t);
    let tail = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial;
    if x >= 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn latency(mean: u64, p99: u64) -> Latency {
        let ms = |n| Span(Duration::from_millis(n));
        Latency {
            mean: ms(mean),
            p99: Some(ms(p99)),
        }
    }

    fn below(latency: Latency, bound: f64) -> f64 {
        let all = shares(latency);
        BOUNDS
            .iter()
            .zip(all)
            .filter(|((b, _), _)| *b <= bound)
            .map(|(_, (_, share))| share)
            .sum()
    }

    #[test]
    fn the_normal_distribution_is_right() {
        assert!((normal(0.0) - 0.5).abs() < 1e-6);
        assert!((normal(Z99) - 0.99).abs() < 1e-6);
        assert!((normal(-1.0) - 0.158_655).abs() < 1e-5);
    }

    #[test]
    fn ninety_nine_of_a_hundred_stay_below_the_percentile() {
        assert!((below(latency(50, 250), 0.25) - 0.99).abs() < 1e-4);
        assert!((below(latency(100, 500), 0.5) - 0.99).abs() < 1e-4);
        let sum: f64 = shares(latency(20, 80)).iter().map(|(_, share)| share).sum();
        assert!((sum - 1.0).abs() < 1e-3);
    }

    #[test]
    fn odd_wishes_do_not_break_it() {
        for (mean, p99) in [(50, 50), (50, 10), (1, 100_000), (0, 0)] {
            let all = shares(latency(mean, p99));
            assert!(
                all.iter().all(|(_, share)| share.is_finite() && *share >= 0.0),
                "{mean} {p99}"
            );
            assert!(
                all.iter().map(|(_, share)| share).sum::<f64>() > 0.9,
                "{mean} {p99}"
            );
        }
    }
}
