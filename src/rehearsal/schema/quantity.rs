//! Quantities in the spelling in which a kube-apiserver stores them.

use serde_json::Value;

/// Fields whose values are quantities, each or by key.
const MAPS: [&str; 4] = ["limits", "requests", "capacity", "allocatable"];
const SINGLE: [&str; 3] = ["sizeLimit", "averageValue", "divisor"];

/// Rewrites every quantity in a value.
pub(super) fn spell_out(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map.iter_mut() {
                if MAPS.contains(&name.as_str()) {
                    value
                        .as_object_mut()
                        .into_iter()
                        .flat_map(|m| m.values_mut())
                        .for_each(rewrite);
                } else if SINGLE.contains(&name.as_str()) {
                    rewrite(value);
                } else {
                    spell_out(value);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(spell_out),
        _ => {}
    }
}

fn rewrite(value: &mut Value) {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return,
    };
    *value = canonical(text.trim()).unwrap_or(text).into();
}

const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

/// Returns the canonical spelling: no fraction, the largest suffix that loses nothing. None if it cannot be
/// read or needs no rewriting (`1e3`).
fn canonical(text: &str) -> Option<String> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')));
    let split = split.unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(split)?;
    let (mantissa, scale) = parse(number)?;
    if let Some(power) = BINARY.iter().position(|b| !b.is_empty() && *b == suffix) {
        let factor = 1024_i128.checked_pow(u32::try_from(power).ok()?)?;
        let divisor = 10_i128.checked_pow(scale)?;
        let total = mantissa.checked_mul(factor)?;
        // Fractions of a byte are rounded up.
        let mut total = total.div_euclid(divisor) + i128::from(total.rem_euclid(divisor) != 0);
        if total.abs() < 1024 {
            return Some(total.to_string());
        }
        let mut power = 0;
        while total % 1024 == 0 && power + 1 < BINARY.len() {
            total /= 1024;
            power += 1;
        }
        return Some(format!("{total}{}", BINARY.get(power)?));
    }
    let exponent = DECIMAL.iter().find(|(s, _)| *s == suffix)?.1 - i32::try_from(scale).ok()?;
    decimal(mantissa, exponent)
}

fn decimal(mut mantissa: i128, mut exponent: i32) -> Option<String> {
    if mantissa == 0 {
        return Some("0".to_owned());
    }
    while exponent.rem_euclid(3) != 0 {
        mantissa = mantissa.checked_mul(10)?;
        exponent -= 1;
    }
    while exponent < -9 {
        mantissa = mantissa.div_euclid(1000) + i128::from(mantissa.rem_euclid(1000) != 0);
        exponent += 3;
    }
    while mantissa % 1000 == 0 && exponent < 18 {
        mantissa /= 1000;
        exponent += 3;
    }
    let suffix = DECIMAL.iter().find(|(_, e)| *e == exponent)?.0;
    Some(format!("{mantissa}{suffix}"))
}

/// Returns the digits as an integer, and how many of them were behind the point.
fn parse(number: &str) -> Option<(i128, u32)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    Some((mantissa, u32::try_from(fraction.len()).ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_are_spelled_as_the_server_spells_them() {
        for (given, stored) in [
            (json!("1000m"), "1"),
            (json!("0.5"), "500m"),
            (json!(0.1), "100m"),
            (json!(2), "2"),
            (json!("1500m"), "1500m"),
            (json!("1024Mi"), "1Gi"),
            (json!("1.5Gi"), "1536Mi"),
            (json!("512"), "512"),
            (json!("2000M"), "2G"),
            (json!("128Mi"), "128Mi"),
            (json!("0"), "0"),
            (json!("nonsense"), "nonsense"),
        ] {
            let mut value = json!({"limits": {"x": given}});
            spell_out(&mut value);
            assert_eq!(value["limits"]["x"], stored, "{given}");
        }
    }
}
