//! The instant query API of Prometheus, and of what speaks it: request, send, and what an answer says.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use super::{Reading, source::Auth};
use crate::http::{Client, Error, Request, Response, Tls, excerpt};

/// Time for one query.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked, and of whom.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    /// Address of the server; its path is kept in front of the API's.
    pub(super) address: String,
    /// The query, rendered.
    pub(super) query: String,
    /// Who asks.
    pub(super) auth: Auth,
    /// Further headers.
    pub(super) headers: BTreeMap<String, Vec<String>>,
    /// Accepts any certificate.
    pub(super) skip_verify: bool,
}

/// Asks, and says what the answer says.
pub(super) async fn send(question: Question, client: &Client) -> Reading {
    // A user who sorts wants the server's order; without that, the order of series means nothing.
    let sorted = question.query.trim_start().starts_with("sort");
    let request = match translate(&question) {
        Ok(request) => request,
        Err(error) => return failed(&error),
    };
    let origin = request.origin();
    match client.send(request).await {
        Ok(response) => read(&response, &origin, sorted),
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> Reading {
    if error.is_timeout() {
        Reading::TimedOut(error.to_string())
    } else {
        Reading::Unavailable(error.to_string())
    }
}

/// Makes the request of a question.
fn translate(question: &Question) -> Result<Request, Error> {
    let mut request = Request::get(&question.address)?.timeout(TIMEOUT).tls(Tls {
        skip_verify: question.skip_verify,
        ..Tls::default()
    });
    if let Ok(mut path) = request.url.path_segments_mut() {
        path.pop_if_empty().extend(["api", "v1", "query"]);
    }
    request
        .url
        .query_pairs_mut()
        .append_pair("query", &question.query);
    for (name, values) in &question.headers {
        for value in values {
            request = request.header(name, value)?;
        }
    }
    match &question.auth {
        Auth::None => Ok(request),
        Auth::Bearer(token) => request.authorization("Bearer", token),
        Auth::Basic(user, password) => request.basic(user, password),
    }
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default, rename = "errorType")]
    error_type: String,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    value: Option<Sample>,
}

/// Time and value; the value is a string, because JSON knows no infinity.
#[derive(Deserialize)]
struct Sample(#[expect(dead_code, reason = "only the value counts")] f64, String);

/// Says what a response says.
fn read(response: &Response, origin: &str, sorted: bool) -> Reading {
    let Ok(envelope) = response.json::<Envelope>() else {
        // Only errors of the API are quoted: any other body is not ours to tell.
        return Reading::Unavailable(match response.status {
            200..300 => format!("{origin} does not speak the Prometheus API"),
            status => format!("{origin} answered {status}"),
        });
    };
    if envelope.status != "success" {
        let status = response.status;
        let (kind, text) = (excerpt(&envelope.error_type, 40), excerpt(&envelope.error, 300));
        let text = format!("{origin} answered {status}: {kind}: {text}");
        return if kind == "timeout" {
            Reading::TimedOut(text)
        } else {
            Reading::Unavailable(text)
        };
    }
    match envelope.data {
        Some(data) => pick(&data, sorted),
        None => Reading::Unavailable(format!("{origin} answered without data")),
    }
}

fn pick(data: &Data, sorted: bool) -> Reading {
    let broken = || Reading::Unavailable(format!("the result is no {}", data.kind));
    match data.kind.as_str() {
        "scalar" => match Sample::deserialize(&data.result) {
            Ok(sample) => number(&sample),
            Err(_) => broken(),
        },
        "vector" => match Vec::<Series>::deserialize(&data.result) {
            Ok(series) => last(series, sorted),
            Err(_) => broken(),
        },
        kind => Reading::Unavailable(format!(
            "the query returns a {}, but a single value is needed; aggregate it, as in `sum(rate(x[1m]))`",
            excerpt(kind, 40)
        )),
    }
}

/// Takes the last series, as Flagger does. Prometheus' order means nothing unless the query sorts, so here it
/// is by labels: two readings of the same data must not differ.
fn last(mut series: Vec<Series>, sorted: bool) -> Reading {
    if !sorted {
        series.sort_by(|a, b| a.metric.cmp(&b.metric));
    }
    match series.pop() {
        None => Reading::Empty,
        Some(Series {
            value: Some(sample), ..
        }) => number(&sample),
        Some(Series { value: None, .. }) => {
            Reading::Unavailable("the query returns a histogram, but a single value is needed".to_owned())
        }
    }
}

fn number(Sample(_, text): &Sample) -> Reading {
    match text.parse::<f64>() {
        Ok(value) if value.is_nan() => Reading::NotANumber,
        Ok(value) => Reading::Value(value),
        Err(_) => Reading::Unavailable(format!("`{}` is no value", excerpt(text, 40))),
    }
}
