//! Metrics from end to end: a Canary, what was read, a server in this process, an answer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{Query as Params, State},
    http::{HeaderMap, StatusCode, Uri},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Value, json};

use super::*;
use crate::{
    canary::Defaults,
    manifest::{Object, Resource},
};

fn canary(provider: &str, kind: &str, metrics: &Value) -> Canary {
    let object = Object::from(json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": { "namespace": "test", "name": "podinfo" },
        "spec": {
            "provider": provider,
            "metricsServer": "http://prom:9090/base/",
            "targetRef": { "apiVersion": "apps/v1", "kind": kind, "name": "podinfo" },
            "ingressRef": { "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "podinfo-in" },
            "service": { "port": 9898, "name": "web.podinfo" },
            "analysis": { "stepWeight": 10, "iterations": 0, "metrics": metrics }
        }
    }));
    Canary::parse(&object, &Defaults::default()).unwrap()
}

fn builtin() -> Value {
    json!([
        { "name": "request-success-rate", "thresholdRange": { "min": 99 }, "interval": "1m" },
        { "name": "request-duration", "thresholdRange": { "max": 500 }, "interval": "30s" },
        { "name": "errors", "thresholdRange": { "max": 0.5 }, "query": "sum(errors{ns=\"{{ namespace }}\"})" },
        {
            "name": "latency", "thresholdRange": { "min": 1, "max": 2 }, "interval": "90s",
            "templateRef": { "name": "lat", "namespace": "obs" }, "templateVariables": { "dir": "in" }
        }
    ])
}

fn template(provider: &Value) -> Object {
    Object::from(json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate",
        "metadata": { "namespace": "obs", "name": "lat" },
        "spec": { "provider": provider, "query": "lat{d=\"{{ variables.dir }}\"}[{{ interval }}]" }
    }))
}

fn secret(data: &[(&str, &str)]) -> Object {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let data: BTreeMap<_, _> = data
        .iter()
        .map(|(key, value)| (*key, BASE64_STANDARD.encode(value)))
        .collect();
    Object::from(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "namespace": "obs", "name": "creds" }, "data": data
    }))
}

fn snapshot(objects: impl IntoIterator<Item = Object>) -> Snapshot {
    let mut read = Snapshot::default();
    for object in objects {
        read.insert(object);
    }
    read
}

/// What a request said: path, query, Authorization, X-Scope-OrgID.
type Asked = Arc<Mutex<Vec<[String; 4]>>>;

/// A server that answers everything alike.
fn server(status: u16, body: &str) -> (Client, Asked) {
    let asked = Asked::default();
    let body = body.to_owned();
    let handler = move |State(asked): State<Asked>,
                        uri: Uri,
                        Params(params): Params<BTreeMap<String, String>>,
                        headers: HeaderMap| {
        let header = |name: &str| {
            let value = headers.get(name).map(|value| value.to_str().unwrap());
            value.unwrap_or_default().to_owned()
        };
        asked.lock().unwrap().push([
            uri.path().to_owned(),
            params["query"].clone(),
            header("authorization"),
            header("x-scope-orgid"),
        ]);
        let answer = (StatusCode::from_u16(status).unwrap(), body.clone()).into_response();
        std::future::ready(answer)
    };
    let router = Router::new().fallback(get(handler)).with_state(asked.clone());
    (client(router), asked)
}

fn client(router: Router) -> Client {
    Client::in_process(BTreeMap::from([
        ("prom".to_owned(), router.clone()),
        ("other".to_owned(), router),
    ]))
}

fn vector(values: &[(&str, &str)]) -> String {
    let series: Vec<_> = values
        .iter()
        .map(|(pod, value)| json!({ "metric": { "pod": pod }, "value": [1_700_000_000.123, value] }))
        .collect();
    json!({ "status": "success", "data": { "resultType": "vector", "result": series } }).to_string()
}

async fn answer(name: &str, status: u16, body: &str) -> Answer {
    let read = snapshot([template(
        &json!({ "type": "prometheus", "address": "http://other" }),
    )]);
    ask(
        name,
        &canary("skipper", "Deployment", &builtin()),
        &read,
        &server(status, body).0,
    )
    .await
}

#[tokio::test(start_paused = true)]
async fn values_are_held_against_the_limits_in_flaggers_words() {
    for (name, value, verdict, number, text) in [
        ("request-success-rate", "99", Verdict::Passed, 99.0, ""),
        (
            "request-success-rate",
            "97.204",
            Verdict::Failed,
            97.204,
            "Halt podinfo.test advancement success rate 97.20% < 99%",
        ),
        ("metric/request-duration", "500.9", Verdict::Passed, 500.0, ""),
        (
            "metric/request-duration",
            "1515.2",
            Verdict::Failed,
            1515.0,
            "Halt podinfo.test advancement request duration 1.515s > 500ms",
        ),
        (
            "errors",
            "1",
            Verdict::Failed,
            1.0,
            "Halt podinfo.test advancement errors 1.00 > 0.5",
        ),
        (
            "latency",
            "0.5",
            Verdict::Failed,
            0.5,
            "Halt podinfo.test advancement latency 0.50 < 1",
        ),
        ("latency", "2", Verdict::Passed, 2.0, ""),
    ] {
        let answer = answer(name, 200, &vector(&[("a", value)])).await;
        assert_eq!(
            (answer.verdict, answer.value, answer.text.as_str()),
            (verdict, Some(number), text),
            "{name} {value}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_value_has_verdicts_and_texts_of_its_own_and_never_passes() {
    let not_receiving = "Halt advancement no values found for skipper metric request-success-rate \
                         probably podinfo.test is not receiving traffic";
    let error = r#"{"status":"error","errorType":"bad_data","error":"1:3: parse error: unexpected <eof>"}"#;
    let timeout =
        r#"{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}"#;
    let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
    let mut texts = BTreeMap::new();
    for (status, body, verdict, part) in [
        (200, vector(&[]), Verdict::NoData, not_receiving),
        (200, vector(&[("a", "NaN")]), Verdict::NotANumber, "not a number"),
        (200, vector(&[("a", "+Inf")]), Verdict::NotANumber, "infinite"),
        (
            400,
            error.to_owned(),
            Verdict::Unavailable,
            "answered 400: bad_data: 1:3: parse error",
        ),
        (
            503,
            timeout.to_owned(),
            Verdict::TimedOut,
            "answered 503: timeout",
        ),
        (
            503,
            "<html>secret page".to_owned(),
            Verdict::Unavailable,
            "http://prom:9090 answered 503",
        ),
        (302, String::new(), Verdict::Unavailable, "answered 302"),
        (
            200,
            "<html>".to_owned(),
            Verdict::Unavailable,
            "does not speak the Prometheus API",
        ),
        (200, matrix.to_owned(), Verdict::Unavailable, "returns a matrix"),
        (
            200,
            r#"{"status":"success"}"#.to_owned(),
            Verdict::Unavailable,
            "without data",
        ),
        (
            200,
            vector(&[("a", "many")]),
            Verdict::Unavailable,
            "`many` is no value",
        ),
    ] {
        let answer = answer("request-success-rate", status, &body).await;
        assert_eq!((answer.verdict, answer.value), (verdict, None), "{body}");
        assert!(answer.text.contains(part), "{}", answer.text);
        assert!(!answer.text.contains("secret"), "{}", answer.text);
        assert_eq!(texts.insert(answer.text.clone(), body), None, "{}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn an_infinite_value_outside_of_the_limits_fails() {
    let answer = answer("errors", 200, &vector(&[("a", "+Inf")])).await;
    assert_eq!((answer.verdict, answer.value), (Verdict::Failed, None));
    assert_eq!(answer.text, "Halt podinfo.test advancement errors inf > 0.5");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_late_or_gone_is_not_a_failed_check() {
    let read = Snapshot::default();
    let canary = canary("skipper", "Deployment", &builtin());
    let slow = Router::new().fallback(|| async { tokio::time::sleep(Duration::from_secs(6)).await });
    let late = ask("errors", &canary, &read, &client(slow)).await;
    assert_eq!(late.verdict, Verdict::TimedOut);
    assert_eq!(
        late.text,
        "Prometheus query failed for errors: no answer from http://prom:9090 within 5s"
    );
    let gone = ask("errors", &canary, &read, &Client::in_process(BTreeMap::new())).await;
    assert_eq!(gone.verdict, Verdict::Unavailable);
    assert!(
        gone.text.contains("cannot reach http://prom:9090"),
        "{}",
        gone.text
    );
}

#[tokio::test(start_paused = true)]
async fn scalars_count_and_of_several_series_the_last_by_labels() {
    let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000,"0.25"]}}"#;
    assert_eq!(answer("errors", 200, scalar).await.value, Some(0.25));
    for order in [[("a", "0.1"), ("b", "0.2")], [("b", "0.2"), ("a", "0.1")]] {
        assert_eq!(answer("errors", 200, &vector(&order)).await.value, Some(0.2));
    }
    let sorted = json!([{ "name": "errors", "threshold": 1, "query": "sort_desc(errors)" }]);
    let sorted = canary("skipper", "Deployment", &sorted);
    let (client, _) = server(200, &vector(&[("b", "0.2"), ("a", "0.1")]));
    assert_eq!(
        ask("errors", &sorted, &Snapshot::default(), &client).await.value,
        Some(0.1)
    );
}

async fn asked(canary: &Canary, name: &str, read: &Snapshot) -> [String; 4] {
    let (client, asked) = server(200, &vector(&[("a", "1")]));
    let answer = ask(name, canary, read, &client).await;
    let mut asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1, "{answer:?}");
    asked.remove(0)
}

#[tokio::test(start_paused = true)]
async fn the_built_in_queries_select_the_canary_alone() {
    let read = Snapshot::default();
    let skipper = canary("skipper", "Deployment", &builtin());
    let route = r#"route=~"kube(ew)?_test__podinfo_in_canary__.*__web_podinfo_canary(_[0-9]+)?""#;
    let [path, query, ..] = asked(&skipper, "request-success-rate", &read).await;
    let all = format!(r#"sum(rate(skipper_response_duration_seconds_bucket{{{route},le="+Inf"}}[1m]))"#);
    let good = format!(
        r#"sum(rate(skipper_response_duration_seconds_bucket{{{route},code!~"5..",le="+Inf"}}[1m]))"#
    );
    assert_eq!(path, "/base/api/v1/query");
    assert_eq!(query, format!("({good} or 0 * {all}) / {all} * 100"));
    let [_, query, ..] = asked(&skipper, "request-duration", &read).await;
    assert_eq!(
        query,
        format!(
            "sum(rate(skipper_serve_route_duration_seconds_sum{{{route}}}[30s])) / \
             sum(rate(skipper_serve_route_duration_seconds_count{{{route}}}[30s])) * 1000"
        )
    );
    let plain = canary("kubernetes", "Deployment", &builtin());
    let pods = r#"kubernetes_namespace="test",kubernetes_pod_name=~"podinfo-[0-9a-zA-Z]+-[0-9a-zA-Z]+""#;
    let [_, query, ..] = asked(&plain, "request-duration", &read).await;
    assert_eq!(
        query,
        format!(
            "histogram_quantile(0.99, sum(rate(http_request_duration_seconds_bucket{{{pods}}}[30s])) by (le)) * 1000"
        )
    );
    let [_, query, ..] = asked(&plain, "request-success-rate", &read).await;
    assert!(
        query.contains(&format!(r#"_count{{{pods},status!~"5.."}}[1m]"#)),
        "{query}"
    );
    let daemons = canary("kubernetes", "DaemonSet", &builtin());
    let [_, query, ..] = asked(&daemons, "request-success-rate", &read).await;
    assert!(query.contains(r#"=~"podinfo-[0-9a-zA-Z]+""#), "{query}");
}

#[tokio::test(start_paused = true)]
async fn templates_bring_address_headers_and_credentials() {
    let canary = canary("skipper", "Deployment", &builtin());
    let provider = json!({
        "type": "prometheus", "address": "http://other/x?tenant=1", "secretRef": { "name": "creds" },
        "headers": { "X-Scope-OrgID": ["team"] }
    });
    let template = template(&provider);
    let secret_key = ObjectKey::new(Resource::SECRET, "obs", "creds");
    let read = snapshot([template.clone()]);
    let template_key = template.key();
    assert_eq!(
        inputs(&canary, &Snapshot::default()),
        std::slice::from_ref(&template_key)
    );
    assert_eq!(inputs(&canary, &read), [secret_key, template_key]);
    for (data, authorization) in [
        (vec![("token", "t0ken\n")], "Bearer t0ken"),
        (vec![("username", "u"), ("password", "p")], "Basic dTpw"),
    ] {
        let read = snapshot([template.clone(), secret(&data)]);
        let asked = asked(&canary, "latency", &read).await;
        assert_eq!(
            asked,
            ["/x/api/v1/query", "lat{d=\"in\"}[90s]", authorization, "team"]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_template_lacks_is_said_and_nothing_is_asked() {
    let canary = canary("skipper", "Deployment", &builtin());
    let bare = template(&json!({ "type": "prometheus", "address": "http://other" }));
    let with_secret = template(
        &json!({ "type": "prometheus", "address": "http://other", "secretRef": { "name": "creds" } }),
    );
    let datadog = template(&json!({ "type": "datadog", "secretRef": { "name": "creds" } }));
    let mut absent = Snapshot::default();
    absent.insert_absent(bare.key());
    let mut no_variable = canary.clone();
    no_variable.spec.analysis.metrics[3].variables.clear();
    for (canary, read, part) in [
        (
            &canary,
            Snapshot::default(),
            "lat.obs error: MetricTemplate/obs/lat has not been read yet",
        ),
        (&canary, absent, "lat.obs error: MetricTemplate/obs/lat not found"),
        (
            &canary,
            snapshot([with_secret.clone()]),
            "secret creds error: Secret/obs/creds has not been",
        ),
        (
            &canary,
            snapshot([with_secret, secret(&[("username", "u")])]),
            "secret creds error: key password is missing",
        ),
        (&canary, snapshot([datadog]), "provider datadog error"),
        (
            &no_variable,
            snapshot([bare]),
            "query render error: line 1, column 8",
        ),
    ] {
        let (client, asked) = server(200, &vector(&[("a", "1")]));
        let answer = ask("latency", canary, &read, &client).await;
        assert_eq!(answer.verdict, Verdict::Unavailable);
        assert!(
            answer.text.starts_with("Metric template lat.obs "),
            "{}",
            answer.text
        );
        assert!(answer.text.contains(part), "{} / {part}", answer.text);
        assert!(asked.lock().unwrap().is_empty());
    }
}

#[test]
fn what_is_not_implemented_is_named() {
    let read = snapshot([template(
        &json!({ "type": "datadog", "secretRef": { "name": "creds" } }),
    )]);
    let names = |canary: &Canary| -> Vec<String> {
        let missing = unsupported(canary, &read);
        assert!(missing.iter().all(|missing| missing.gates));
        missing.into_iter().map(|missing| missing.field).collect()
    };
    assert_eq!(
        names(&canary("skipper", "Deployment", &builtin())),
        ["spec.analysis.metrics[latency] (MetricTemplate type datadog)"]
    );
    assert_eq!(
        names(&canary("istio", "Deployment", &builtin())),
        [
            "spec.analysis.metrics[request-success-rate] (for provider istio)",
            "spec.analysis.metrics[request-duration] (for provider istio)",
            "spec.analysis.metrics[latency] (MetricTemplate type datadog)",
        ]
    );
}
