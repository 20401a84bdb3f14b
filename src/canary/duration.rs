//! Durations as Go writes them (`1m30s`, `500ms`, `1.5h`): what users write in a Canary, and what Flagger's
//! event texts print.

use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Units by name.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("h", 3_600 * NANOS_PER_SECOND),
];

/// Longest duration that Go can hold, in nanoseconds.
const MAX_NANOS: u128 = i64::MAX as u128;

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// A number is missing or is not one.
    #[error("has no number before `{0}`")]
    Number(String),
    /// A number has no unit, or one that does not exist.
    #[error("has no unit such as `s` or `m` at `{0}`")]
    Unit(String),
    /// It is below zero.
    #[error("is negative")]
    Negative,
    /// It is longer than 292 years.
    #[error("is too long")]
    TooLong,
}

/// Parses a duration.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    if text.starts_with('-') {
        return Err(DurationError::Negative);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(DurationError::Empty);
    }
    let mut total = 0u128;
    while !rest.is_empty() {
        let (nanos, after) = part(rest)?;
        total = total.saturating_add(nanos);
        if total > MAX_NANOS {
            return Err(DurationError::TooLong);
        }
        rest = after;
    }
    let nanos = u64::try_from(total).map_err(|_| DurationError::TooLong)?;
    Ok(Duration::from_nanos(nanos))
}

/// Reads one number with its unit; returns nanoseconds and what follows.
fn part(text: &str) -> Result<(u128, &str), DurationError> {
    let number_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(number_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(DurationError::Number(text.to_owned()));
    }
    let unit_end = rest
        .find(|c: char| c.is_ascii_digit() || c == '.')
        .unwrap_or(rest.len());
    let (unit, after) = rest.split_at(unit_end);
    let Some((_, scale)) = UNITS.into_iter().find(|(name, _)| *name == unit) else {
        return Err(DurationError::Unit(text.to_owned()));
    };
    let nanos = digits(whole)?
        .checked_mul(scale)
        .and_then(|nanos| nanos.checked_add(fraction_of(fraction, scale)))
        .ok_or(DurationError::TooLong)?;
    Ok((nanos, after))
}

fn digits(text: &str) -> Result<u128, DurationError> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| DurationError::TooLong)
}

/// Returns `0.<fraction>` of a unit; digits below a nanosecond are cut off.
fn fraction_of(fraction: &str, scale: u128) -> u128 {
    let mut numerator = 0;
    let mut denominator = 1;
    for digit in fraction.chars().take(18).filter_map(|c| c.to_digit(10)) {
        numerator = numerator * 10 + u128::from(digit);
        denominator *= 10;
    }
    numerator * scale / denominator
}

/// Prints a duration as Go does: `1m30s`, `500ms`, `1.515s`, `0s`.
#[must_use]
pub fn format(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < NANOS_PER_SECOND {
        let (scale, unit) = match nanos {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            _ => (1_000_000, "ms"),
        };
        return format!("{}{unit}", decimal(nanos, scale));
    }
    let minutes = nanos / (60 * NANOS_PER_SECOND);
    let seconds = decimal(nanos % (60 * NANOS_PER_SECOND), NANOS_PER_SECOND);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// Prints `nanos / scale` with as many decimals as it has. `scale` is a power of ten.
fn decimal(nanos: u128, scale: u128) -> String {
    let (whole, fraction) = (nanos / scale, nanos % scale);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    let padded = format!("{fraction:0width$}");
    format!("{whole}.{}", padded.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_users_write() {
        for (text, millis) in [
            ("1m", 60_000),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5h", 5_400_000),
            ("1h0.5s", 3_600_500),
            (".5s", 500),
            ("1.s", 1_000),
            ("+2s", 2_000),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("3µs"), parse("3us"));
        assert_eq!(parse("1.0000000019s"), Ok(Duration::from_nanos(1_000_000_001)));
    }

    #[test]
    fn refuses_what_is_none() {
        assert_eq!(parse(""), Err(DurationError::Empty));
        assert_eq!(parse("-1s"), Err(DurationError::Negative));
        assert_eq!(parse("10"), Err(DurationError::Unit("10".into())));
        assert_eq!(parse("1d"), Err(DurationError::Unit("1d".into())));
        assert_eq!(parse("s"), Err(DurationError::Number("s".into())));
        assert_eq!(parse("1.2.3s"), Err(DurationError::Number("1.2.3s".into())));
        assert_eq!(parse("1m s"), Err(DurationError::Unit("1m s".into())));
        assert_eq!(parse("99999999h"), Err(DurationError::TooLong));
        assert_eq!(
            parse(&format!("{}s", "9".repeat(60))),
            Err(DurationError::TooLong)
        );
    }

    #[test]
    fn prints_as_go_does() {
        for (millis, text) in [
            (1_515, "1.515s"),
            (500, "500ms"),
            (60_000, "1m0s"),
            (3_661_500, "1h1m1.5s"),
        ] {
            assert_eq!(format(Duration::from_millis(millis)), text);
        }
        assert_eq!(format(Duration::from_nanos(1_500)), "1.5µs");
        assert_eq!(format(Duration::ZERO), "0s");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(nanos in 0..u64::try_from(MAX_NANOS).unwrap()) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "[-+.0-9a-zµ ]{0,24}") {
            let _ = parse(&text);
        }
    }
}
