//! `spec.analysis`.

use serde_json::Value;

use super::{
    schema::{
        about, boolean, duration, list, named, number, object, one_of, percent, required, text, text_map,
    },
    service::request_match,
};

/// Types of hooks that Flagger knows; none is `rollout`.
const HOOKS: [&str; 9] = [
    "",
    "confirm-rollout",
    "pre-rollout",
    "rollout",
    "confirm-promotion",
    "post-rollout",
    "event",
    "rollback",
    "confirm-traffic-increase",
];

pub(super) fn schema() -> Value {
    object([
        (
            "interval",
            about("Time between checks. Default 60s, at least 1s.", duration()),
        ),
        (
            "threshold",
            about("Failed checks that end the run. Default 1.", number()),
        ),
        ("iterations", about("Checks of a blue/green rollout.", number())),
        ("match", list(request_match())),
        ("mirror", boolean()),
        ("mirrorWeight", percent()),
        (
            "maxWeight",
            about("Weight that is promoted from. Default 100.", number()),
        ),
        (
            "stepWeight",
            about("Weight that each passed check adds.", number()),
        ),
        (
            "stepWeights",
            about("Weights, in ascending order.", list(number())),
        ),
        ("stepWeightPromotion", number()),
        ("primaryReadyThreshold", percent()),
        ("canaryReadyThreshold", percent()),
        ("alerts", list(alert())),
        ("metrics", list(metric())),
        ("webhooks", list(webhook())),
        ("sessionAffinity", affinity()),
    ])
}

fn alert() -> Value {
    let severity = one_of(&["", "info", "warn", "error"]);
    let schema = object([
        ("name", text()),
        ("severity", severity),
        ("providerRef", required(named(), &["name"])),
    ]);
    required(schema, &["name", "providerRef"])
}

fn metric() -> Value {
    let schema = object([
        ("name", text()),
        ("interval", about("Window of the query. Default 1m.", duration())),
        (
            "threshold",
            about("The limit, by its name in v1alpha3.", number()),
        ),
        (
            "thresholdRange",
            about(
                "The values that pass.",
                object([("min", number()), ("max", number())]),
            ),
        ),
        ("query", about("A query template for the Prometheus API.", text())),
        (
            "templateRef",
            about("A MetricTemplate.", required(named(), &["name"])),
        ),
        ("templateVariables", text_map()),
    ]);
    required(schema, &["name"])
}

fn webhook() -> Value {
    let schema = object([
        ("name", text()),
        ("type", one_of(&HOOKS)),
        ("url", text()),
        ("timeout", about("Time for one try. Default 10s.", duration())),
        ("retries", about("Further tries. Default 0.", number())),
        (
            "disableTLS",
            about("Skips the verification of the server's certificate.", boolean()),
        ),
        ("muteAlert", boolean()),
        ("metadata", text_map()),
    ]);
    required(schema, &["name", "url"])
}

fn affinity() -> Value {
    let schema = object([
        ("cookieName", text()),
        ("primaryCookieName", text()),
        ("maxAge", number()),
        ("domain", text()),
        ("httpOnly", boolean()),
        ("partitioned", boolean()),
        ("path", text()),
        ("sameSite", one_of(&["Strict", "Lax", "None"])),
        ("secure", boolean()),
    ]);
    required(schema, &["cookieName"])
}
