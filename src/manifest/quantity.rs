//! Kubernetes quantities: `1000m` is `1`, `1Gi` is `1024Mi`.

use serde_json::Value;

/// Reads a quantity as a number of billionths. `None`: not a quantity.
pub(super) fn quantity(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => parse(text),
        Value::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

fn parse(text: &str) -> Option<i128> {
    let split = text
        .find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (digits, suffix) = text.split_at_checked(split)?;
    let negative = digits.starts_with('-');
    let digits = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || all.len() > 30 || !all.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: i128 = all.parse().ok()?;
    let (factor, power) = scale(suffix)?;
    let power = 9 + power - i32::try_from(fraction.len()).ok()?;
    let number = number.checked_mul(factor)?;
    let ten = |power: i32| 10_i128.checked_pow(power.unsigned_abs());
    let number = if power >= 0 {
        number.checked_mul(ten(power)?)?
    } else {
        number / ten(power)?
    };
    Some(if negative { -number } else { number })
}

/// Returns a factor and a power of ten.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        other => {
            let exponent: i32 = other.strip_prefix(['e', 'E'])?.parse().ok()?;
            (1, exponent.clamp(-30, 30))
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn different_spellings_of_a_quantity_are_equal() {
        for (one, other) in [
            (json!("1000m"), json!("1")),
            (json!("1"), json!(1)),
            (json!("0.5"), json!("500m")),
            (json!("1Gi"), json!("1024Mi")),
            (json!("1e3"), json!("1k")),
            (json!("-1"), json!("-1000m")),
            (json!(0.1), json!("100m")),
        ] {
            assert!(quantity(&one).is_some());
            assert_eq!(quantity(&one), quantity(&other), "{one} {other}");
        }
        assert_ne!(quantity(&json!("1G")), quantity(&json!("1Gi")));
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in [
            "",
            "m",
            "1x",
            "1.2.3",
            "--1",
            "é",
            "1e",
            "9999999999999999999999999999999999999999",
        ] {
            assert_eq!(quantity(&json!(text)), None, "{text}");
        }
        assert_eq!(quantity(&json!(true)), None);
    }
}
