//! Matching one label: equal, not equal, and the two anchored regular expressions.

use regex::Regex;

use super::{Labels, series::NAME};

/// The longest compiled expression; larger ones are refused.
const REGEX_LIMIT: usize = 1 << 20;

/// A condition on one label; a label that is missing is an empty one.
#[derive(Clone, Debug)]
pub(super) struct Matcher {
    pub(super) label: String,
    pub(super) test: Test,
}

/// The condition.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Equal(String),
    NotEqual(String),
    Matches(Regex),
    MatchesNot(Regex),
}

impl Matcher {
    /// Makes the matcher that a metric's name stands for.
    pub(super) fn name(metric: &str) -> Self {
        Self {
            label: NAME.to_owned(),
            test: Test::Equal(metric.to_owned()),
        }
    }

    /// Makes a matcher of its three parts; the error says what is wrong.
    pub(super) fn new(label: String, operator: &str, value: String) -> Result<Self, String> {
        let test = match operator {
            "=" => Test::Equal(value),
            "!=" => Test::NotEqual(value),
            "=~" => Test::Matches(anchored(&value)?),
            "!~" => Test::MatchesNot(anchored(&value)?),
            other => {
                return Err(format!(
                    "unexpected \"{other}\" in label matching, expected one of =, !=, =~, !~"
                ));
            }
        };
        Ok(Self { label, test })
    }

    pub(super) fn matches(&self, labels: &Labels) -> bool {
        self.accepts(labels.get(&self.label).map_or("", String::as_str))
    }

    pub(super) fn accepts(&self, value: &str) -> bool {
        match &self.test {
            Test::Equal(wanted) => value == wanted,
            Test::NotEqual(unwanted) => value != unwanted,
            Test::Matches(regex) => regex.is_match(value),
            Test::MatchesNot(regex) => !regex.is_match(value),
        }
    }
}

fn anchored(pattern: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(&format!("^(?s:{pattern})$"))
        .size_limit(REGEX_LIMIT)
        .build()
        .map_err(|_| format!("error parsing regexp: \"{pattern}\" is not valid, or is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(operator: &str, pattern: &str, value: &str) -> bool {
        Matcher::new("a".into(), operator, pattern.into())
            .unwrap()
            .accepts(value)
    }

    #[test]
    fn regular_expressions_are_anchored_on_both_sides() {
        assert!(accepts("=~", "a|bc", "bc"));
        assert!(!accepts("=~", "a|bc", "xbc"));
        assert!(!accepts("=~", "5..", "5000"));
        assert!(accepts("=~", "a.b", "a\nb"), "a dot matches a line break");
        assert!(accepts("!~", "5..", "200"));
        assert!(accepts(
            "=~",
            "kube(ew)?_test__podinfo_canary__.*",
            "kube_test__podinfo_canary__x"
        ));
    }

    #[test]
    fn a_missing_label_is_an_empty_one() {
        let matcher = Matcher::new("a".into(), "!=", "x".into()).unwrap();
        assert!(matcher.matches(&Labels::new()));
        assert!(
            !Matcher::new("a".into(), "=~", ".+".into())
                .unwrap()
                .matches(&Labels::new())
        );
    }

    #[test]
    fn bad_expressions_are_errors() {
        assert!(Matcher::new("a".into(), "=~", "(".into()).is_err());
        assert!(Matcher::new("a".into(), "=~", "(a{1000}){1000}".into()).is_err());
    }
}
