//! The predicates of the annotation, as far as a plain GET request can tell.

/// Returns what the predicates add to a route's priority; none if a plain GET request does not match them.
/// `Weight(n)` adds n, every other one adds 1.
pub(super) fn read(text: &str) -> Option<i64> {
    let mut priority = 0;
    for part in text.split("&&").map(str::trim).filter(|part| !part.is_empty()) {
        let (name, rest) = part.split_once('(')?;
        let argument = rest.strip_suffix(')')?.trim();
        priority += match name.trim() {
            "Weight" => argument.parse::<i64>().ok()?,
            "True" => 1,
            "Method" if argument.trim_matches(['"', '`']) == "GET" => 1,
            // `False()`, and everything that a request would have to bring: headers, cookies, a query.
            _ => return None,
        };
    }
    Some(priority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicates_are_counted() {
        assert_eq!(read(""), Some(0));
        assert_eq!(read("Weight(100)"), Some(100));
        assert_eq!(read("Weight(100) && Method(\"GET\") && True()"), Some(102));
        for no in [
            "False()",
            "Weight(5) && False()",
            "Header(\"X\", \"y\")",
            "Method(\"PUT\")",
            "Weight(",
            "x",
        ] {
            assert_eq!(read(no), None, "{no}");
        }
    }
}
