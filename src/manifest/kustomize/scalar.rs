//! What a plain scalar of YAML stands for, as kustomize's reader decides it.

use jiff::civil::DateTime;
use serde_json::Value;

use super::yaml::{Dialect, number};

/// Returns what a plain scalar stands for; none if it is a number that JSON cannot write.
pub(super) fn resolve(text: &str, dialect: Dialect) -> Option<Value> {
    let first = text.bytes().next();
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" if dialect == Dialect::Settings => {
            return Some(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" if dialect == Dialect::Settings => {
            return Some(Value::Bool(false));
        }
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return None,
        _ => {}
    }
    let unsigned = text.trim_start_matches(['+', '-']);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") && text.len() - unsigned.len() <= 1 {
        return None;
    }
    match first {
        Some(b'.') => match text.parse() {
            Ok(float) if text.bytes().any(|byte| byte.is_ascii_digit()) => number(float),
            _ => Some(text.into()),
        },
        Some(b'0'..=b'9' | b'+' | b'-') => numeric(text, dialect),
        _ => Some(text.into()),
    }
}

fn numeric(text: &str, dialect: Dialect) -> Option<Value> {
    if dialect == Dialect::Objects
        && let Some(time) = timestamp(text)
    {
        return Some(time.into());
    }
    let plain = text.replace('_', "");
    if let Some(value) = integer(&plain) {
        return Some(value);
    }
    if is_float(&plain) {
        // One that is too large stays a text.
        let float: Option<f64> = plain.parse().ok().filter(|float: &f64| float.is_finite());
        return float.map_or_else(|| Some(text.into()), number);
    }
    Some(text.into())
}

fn integer(plain: &str) -> Option<Value> {
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, plain.strip_prefix('+').unwrap_or(plain)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = [("0x", 16), ("0b", 2), ("0o", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((radix, lower.strip_prefix(prefix)?)))
        .or_else(|| Some((8, lower.strip_prefix('0').filter(|rest| !rest.is_empty())?)))
        .unwrap_or((10, &lower));
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let whole = i128::from_str_radix(digits, radix).ok()?;
    let whole = if negative { -whole } else { whole };
    i64::try_from(whole)
        .map(Value::from)
        .or_else(|_| u64::try_from(whole).map(Value::from))
        .ok()
}

/// Tells whether a text is a float: digits with a dot, and an exponent.
fn is_float(plain: &str) -> bool {
    let text = plain.strip_prefix(['+', '-']).unwrap_or(plain);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_fits && exponent_fits
}

/// Tells whether a plain scalar is a point in time.
pub(super) fn is_timestamp(text: &str) -> bool {
    timestamp(text).is_some()
}

/// Reads `2001-12-14`, `2001-12-14 21:59:43.1` and `2001-12-14T21:59:43.1Z`, and writes it as JSON does.
fn timestamp(text: &str) -> Option<String> {
    if text.find(|c: char| !c.is_ascii_digit()) != Some(4) {
        return None;
    }
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = parts.next()?.parse().ok()?;
    let (month, day) = (small(parts.next()?)?, small(parts.next()?)?);
    if parts.next().is_some() {
        return None;
    }
    let Some(time) = time else {
        let date = DateTime::new(year, month, day, 0, 0, 0, 0).ok()?;
        return Some(format!("{}T00:00:00Z", date.date()));
    };
    let (time, zone) = if text.contains(' ') {
        (time, "Z")
    } else {
        let at = time.find(['Z', '+', '-'])?;
        (time.get(..at)?, time.get(at..)?)
    };
    let zone_fits = zone == "Z"
        || zone.len() == 6
            && zone.as_bytes().get(3) == Some(&b':')
            && zone.bytes().filter(u8::is_ascii_digit).count() == 4;
    if !zone_fits {
        return None;
    }
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = clock.split(':');
    let (hour, minute, second) = (
        small(parts.next()?)?,
        small(parts.next()?)?,
        small(parts.next()?)?,
    );
    if parts.next().is_some() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let at = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    let zone = if zone == "+00:00" { "Z" } else { zone };
    Some(format!(
        "{}T{hour:02}:{minute:02}:{second:02}{dot}{fraction}{zone}",
        at.date()
    ))
}

fn small(text: &str) -> Option<i8> {
    ((1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_in_their_spellings() {
        let cases = [
            ("08", json!(8)),
            ("010", json!(8)),
            ("-0x1f", json!(-31)),
            ("0b11", json!(3)),
            ("+5", json!(5)),
            ("-", json!("-")),
            ("1.", json!(1)),
            (".5", json!(0.5)),
            (".", json!(".")),
            ("1.2.3", json!("1.2.3")),
            ("1e", json!("1e")),
            ("12e03", json!(12000)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("10Mi", json!("10Mi")),
            ("1:30", json!("1:30")),
            ("0", json!(0)),
            ("0x", json!("0x")),
            ("1e400", json!("1e400")),
            ("1e16", json!(10_000_000_000_000_000_u64)),
        ];
        for (text, value) in cases {
            assert_eq!(resolve(text, Dialect::Objects), Some(value), "{text}");
        }
        assert_eq!(resolve("-.inf", Dialect::Objects), None);
    }

    #[test]
    fn timestamps_in_their_spellings() {
        let cases = [
            ("2001-1-2", "2001-01-02T00:00:00Z"),
            ("2001-12-14 21:59:43.10", "2001-12-14T21:59:43.1Z"),
            ("2001-12-14t21:59:43-05:00", "2001-12-14T21:59:43-05:00"),
            ("2001-13-01", "2001-13-01"),
            ("2001-12-14T21:59", "2001-12-14T21:59"),
            ("20011-12-14", "20011-12-14"),
        ];
        for (text, value) in cases {
            assert_eq!(resolve(text, Dialect::Objects), Some(json!(value)), "{text}");
        }
    }
}
