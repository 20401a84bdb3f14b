//! Whole queries, with answers worked out by hand.

use proptest::prelude::*;

use super::*;

/// Counters that grow by a fixed amount each 10 s from 0 s to 300 s.
fn store() -> SeriesStore {
    let mut store = SeriesStore::new(i64::MAX);
    let per_ten = [
        ("200", "a", 80.0),
        ("500", "a", 20.0),
        ("200", "b", 50.0),
        ("404", "b", 50.0),
    ];
    for step in 0..=30_i32 {
        let (time, grown) = (i64::from(step) * 10_000, f64::from(step));
        for (code, pod, growth) in per_ten {
            push(
                &mut store,
                "requests",
                &[("code", code), ("pod", pod)],
                time,
                growth * grown,
            );
        }
        for (le, growth) in [("0.1", 50.0), ("0.5", 90.0), ("+Inf", 100.0)] {
            push(&mut store, "latency_bucket", &[("le", le)], time, growth * grown);
        }
        push(&mut store, "pods", &[("pod", "a"), ("node", "n1")], time, 1.0);
        push(&mut store, "pods", &[("pod", "b"), ("node", "n2")], time, 1.0);
        push(&mut store, "twins", &[("pod", "b"), ("node", "n2")], time, 1.0);
    }
    store
}

fn push(store: &mut SeriesStore, name: &str, labels: &[(&str, &str)], time: i64, value: f64) {
    let mut all = Labels::from([("__name__".to_owned(), name.to_owned())]);
    all.extend(labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
    store.push(&all, time, value);
}

fn answer(query: &str) -> Result<Value, Error> {
    Query::parse(query)?.at(&store(), 300_000)
}

/// Prints an answer as lines of labels and value, rounded.
fn shown(query: &str) -> String {
    let rounded = |value: f64| (value * 1e6).round() / 1e6;
    match answer(query).unwrap_or_else(|error| panic!("{query}: {error}")) {
        Value::Scalar(number) => rounded(number).to_string(),
        Value::Text(text) => text,
        Value::Instant(samples) => {
            let line = |s: Sample| {
                let labels: Vec<_> = s.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
                format!("{{{}}} {}", labels.join(","), rounded(s.value))
            };
            samples.into_iter().map(line).collect::<Vec<_>>().join("; ")
        }
        Value::Range(series) => format!("{} series", series.len()),
    }
}

#[test]
fn numbers_bind_as_in_arithmetic() {
    for (query, wanted) in [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("-2 ^ 2", "-4"),
        ("2 ^ 3 ^ 2", "512"),
        ("10 - 3 - 2", "5"),
        ("7 % 4 - -1", "4"),
        ("1 / 0", "inf"),
        ("2 > bool 1", "1"),
        ("1m30s", "90"),
        ("0 / 0 == bool NaN", "0"),
    ] {
        assert_eq!(shown(query), wanted, "{query}");
    }
}

#[test]
fn the_success_rate_of_a_canary_is_computed() {
    let query = r#"
      sum(rate(requests{pod=~"a|c", code!~"5.*"}[1m]))
      / # all
      sum(rate(requests{pod=~"a|c"}[1m])) * 100"#;
    assert_eq!(shown(query), "{} 80");
}

#[test]
fn the_latency_of_a_canary_is_computed() {
    // 90 % lie below 0.5 s, and what is beyond is put at the highest finite bound.
    assert_eq!(
        shown("histogram_quantile(0.99, sum(rate(latency_bucket[1m])) by (le)) * 1000"),
        "{} 500"
    );
    // The 70th of 100 lies half way between the 50th and the 90th.
    assert_eq!(
        shown("histogram_quantile(0.70, sum by (le) (rate(latency_bucket[1m])))"),
        "{} 0.3"
    );
}

#[test]
fn aggregations_group_by_and_without() {
    assert_eq!(shown("sum by (pod) (requests)"), "{pod=a} 3000; {pod=b} 3000");
    assert_eq!(
        shown("sum(requests) by (pod)"),
        shown("sum without (code) (requests)")
    );
    assert_eq!(shown("avg(requests)"), "{} 1500");
    assert_eq!(shown("min(requests)"), "{} 600");
    assert_eq!(shown("MAX(requests)"), "{} 2400");
    assert_eq!(
        shown("count by (code) (requests)"),
        "{code=200} 2; {code=404} 1; {code=500} 1"
    );
    assert_eq!(shown("sum(nothing)"), "");
}

#[test]
fn vectors_are_paired_by_labels() {
    assert_eq!(
        shown("sum by (pod) (requests) / sum by (pod) (requests)"),
        "{pod=a} 1; {pod=b} 1"
    );
    assert_eq!(
        shown(r#"requests{code="500"} / ignoring(code) requests{code="200"}"#),
        "{pod=a} 0.25",
        "only pod a has both"
    );
    assert_eq!(
        shown(r#"requests{code="500"} / on(pod) requests{code="200"}"#),
        "{pod=a} 0.25"
    );
    assert_eq!(
        shown(r#"sum by (pod, code) (requests{code="500"}) * on(pod) group_left(node) pods"#),
        "{code=500,node=n1,pod=a} 600"
    );
    assert_eq!(
        shown(r#"pods * on(pod) group_right(node) sum by (pod, code) (requests{code="500"})"#),
        "{code=500,node=n1,pod=a} 600"
    );
}

#[test]
fn ambiguous_pairs_are_refused() {
    let error = |query: &str| answer(query).unwrap_err().to_string();
    assert!(error("requests / on(pod) requests").contains("many-to-many matching not allowed"));
    assert!(error("requests / on(pod) pods").contains("many-to-one matching must be explicit"));
    assert!(error(r#"label_replace(pods, "pod", "", "pod", ".*") * 0 + on() requests"#).contains("many-to"));
    assert!(error(r#"sum_over_time({__name__=~"pods|twins"}[1m])"#).contains("same labelset"));
}

#[test]
fn comparisons_filter_or_answer_a_bool() {
    assert_eq!(
        shown("sum by (code) (requests) > 1000"),
        "{code=200} 3900; {code=404} 1500"
    );
    assert_eq!(
        shown("sum by (code) (requests) > bool 1000"),
        "{code=200} 1; {code=404} 1; {code=500} 0"
    );
    assert_eq!(shown("1000 > sum by (code) (requests)"), "{code=500} 600");
    assert_eq!(
        shown(r#"requests{code="500"} < 700"#),
        "{__name__=requests,code=500,pod=a} 600"
    );
}

#[test]
fn set_operators_combine_vectors() {
    assert_eq!(shown("sum(nothing) or vector(0)"), "{} 0");
    assert_eq!(shown("sum(requests) or vector(0)"), "{} 6000");
    assert_eq!(
        shown(r#"sum by (pod) (requests) and on(pod) requests{code="404"}"#),
        "{pod=b} 3000"
    );
    assert_eq!(
        shown(r#"sum by (pod) (requests) unless on(pod) requests{code="404"}"#),
        "{pod=a} 3000"
    );
}

#[test]
fn functions_of_values() {
    assert_eq!(shown("round(vector(2.5))"), "{} 3");
    assert_eq!(shown("round(vector(2.34), 0.1)"), "{} 2.3");
    assert_eq!(shown("clamp(vector(5), 1, 3)"), "{} 3");
    assert_eq!(shown("clamp_min(vector(-5), 0)"), "{} 0");
    assert_eq!(shown("abs(-vector(2))"), "{} 2");
    assert_eq!(shown("scalar(sum(requests)) + 1"), "6001");
    assert_eq!(shown("scalar(requests)"), "NaN");
    assert_eq!(shown(r#"absent(nothing{a="b", c=~"d"})"#), "{a=b} 1");
    assert_eq!(shown("absent(requests)"), "");
    assert_eq!(shown("vector(time())"), "{} 300");
    assert_eq!(
        shown("count_over_time(pods[1m])"),
        "{node=n1,pod=a} 6; {node=n2,pod=b} 6"
    );
    assert_eq!(
        shown(r#"label_replace(pods{pod="a"}, "x", "is-$1", "pod", "(.*)")"#),
        "{__name__=pods,node=n1,pod=a,x=is-a} 1"
    );
}

#[test]
fn offsets_look_back() {
    assert_eq!(
        shown(r#"requests{code="500"} offset 1m"#),
        "{__name__=requests,code=500,pod=a} 480"
    );
    assert_eq!(
        shown(r#"sum(increase(requests{code="500"}[1m] offset 2m))"#),
        "{} 120"
    );
    let late = Query::parse("pods").unwrap();
    assert_eq!(late.at(&store(), 599_999).unwrap(), answer("pods").unwrap());
    assert_eq!(
        late.at(&store(), 600_000).unwrap(),
        Value::Instant(Vec::new()),
        "stale after five minutes"
    );
}

#[test]
fn a_range_is_answered_step_by_step() {
    let query = Query::parse(r#"requests{code="500"}"#).unwrap();
    let series = query.range(&store(), 0, 20_000, 10_000).unwrap();
    assert_eq!(series.len(), 1);
    assert_eq!(series[0].points, [(0, 0.0), (10_000, 20.0), (20_000, 40.0)]);
    let range = Query::parse("pods[1m]").unwrap();
    assert!(
        range
            .range(&store(), 0, 1000, 100)
            .unwrap_err()
            .to_string()
            .contains("must be Scalar or instant")
    );
}

#[test]
fn errors_say_where_and_what() {
    for (query, wanted) in [
        ("", "1:1: parse error: no expression found in input"),
        (
            "sum(",
            "1:5: parse error: unexpected end of input, expected an expression",
        ),
        (
            "up)",
            "1:3: parse error: unexpected \")\", expected an operator or the end",
        ),
        ("foo(up)", "1:1: parse error: unknown function with name \"foo\""),
        (
            "rate(up)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "rate(up[5m], 1)",
            "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2",
        ),
        (
            "\n  sum(1)",
            "2:7: parse error: expected type instant vector in aggregation expression, got scalar",
        ),
        (
            "{a=~\".*\"}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "up{a=~\"(\"}",
            "1:7: parse error: error parsing regexp: \"(\" is not valid, or is too large",
        ),
        (
            "up{a=5}",
            "1:6: parse error: unexpected number \"5\" in label matching, expected string",
        ),
        (
            "1 > 2",
            "1:1: parse error: comparisons between scalars must use BOOL modifier",
        ),
        (
            "1 and up",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        (
            "up[5m:1m]",
            "1:3: parse error: subqueries are not supported by the embedded Prometheus",
        ),
        (
            "up[5m] + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "up @ 5",
            "1:4: parse error: the @ modifier is not supported by the embedded Prometheus",
        ),
        (
            "sum(up) by",
            "1:11: parse error: unexpected end of input in grouping opts, expected \"(\"",
        ),
    ] {
        match Query::parse(query) {
            Err(error) => assert_eq!(error.to_string(), wanted, "{query}"),
            Ok(parsed) => panic!("{query} was parsed: {parsed:?}"),
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(
        Query::parse(&deep)
            .unwrap_err()
            .to_string()
            .contains("nests deeper")
    );
    assert!(Query::parse(&"-".repeat(10_000)).is_err());
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z0-9 (){}\\[\\]=~!<>+*/^%,.:\"'`@#\\\\-]{0,60}") {
        if let Ok(query) = Query::parse(&text) {
            let _ = query.at(&store(), 300_000);
        }
    }

    #[test]
    fn words_of_the_language_do_not_panic(words in proptest::collection::vec(
        proptest::sample::select(vec![
            "sum", "by", "(", ")", "requests", "{", "}", "code", "=~", "\"5..\"", "[", "]", "5m", "rate", "/", "-",
            "and", "on", "bool", ">", "1", "offset", ",", "group_left", "histogram_quantile", "0.9", "time", "clamp",
        ]), 0..25,
    )) {
        if let Ok(query) = Query::parse(&words.join(" ")) {
            let _ = query.at(&store(), 300_000);
        }
    }

    #[test]
    fn the_rate_of_a_steady_counter_is_its_slope(step in 1_i32..15, slope in 0_u32..1000, shift in 0_i64..1000) {
        let mut store = SeriesStore::new(i64::MAX);
        for n in 0..200_i32 {
            let value = 1e6 + f64::from(slope) * f64::from(n * step);
            push(&mut store, "steady", &[], i64::from(n * step) * 1000, value);
        }
        let query = Query::parse("rate(steady[1m])").unwrap();
        let Value::Instant(samples) = query.at(&store, i64::from(100 * step) * 1000 + shift).unwrap() else { panic!() };
        prop_assert!((samples[0].value - f64::from(slope)).abs() < 1e-6);
    }
}
