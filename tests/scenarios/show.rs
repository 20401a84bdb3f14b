//! How objects look in a transcript: short, and only what a rollout changes.

use std::collections::BTreeMap;

use serde_json::Value;
use serin::{
    canary::{Measurement, Status, Verdict},
    manifest::Object,
};

/// An object on one line; none for those that say nothing about a rollout.
pub(crate) fn object(object: &Object) -> Option<String> {
    let key = object.key();
    let name = if key.namespace == "test" {
        key.name.clone()
    } else {
        format!("{}/{}", key.namespace, key.name)
    };
    let text = match key.kind.as_str() {
        "Deployment" => deployment(object),
        "Service" => service(object),
        "Ingress" => ingress(object),
        "ConfigMap" if !key.name.starts_with("serin-") && key.name != "kube-root-ca.crt" => {
            data(object.at("/data"))
        }
        "Secret" => data(object.at("/data")),
        _ => return None,
    };
    Some(format!("{} {name}: {text}", key.kind))
}

fn deployment(object: &Object) -> String {
    let number = |pointer: &str| object.i64_at(pointer).unwrap_or_default();
    let mut text = format!(
        "{} replicas, {} ready, {}",
        number("/spec/replicas"),
        number("/status/readyReplicas"),
        images(object)
    );
    let configs = configs(object);
    if !configs.is_empty() {
        text.push_str(&format!(", {}", configs.join(" ")));
    }
    text
}

fn images(object: &Object) -> String {
    let containers = object
        .at("/spec/template/spec/containers")
        .and_then(Value::as_array);
    let images = containers.into_iter().flatten().map(|container| {
        let image = container["image"].as_str().unwrap_or_default();
        image.rsplit('/').next().unwrap_or_default().to_owned()
    });
    images.collect::<Vec<_>>().join(" ")
}

fn configs(object: &Object) -> Vec<String> {
    let volumes = object.at("/spec/template/spec/volumes").and_then(Value::as_array);
    let volumes = volumes.into_iter().flatten();
    let found = volumes.flat_map(|volume| {
        let map = volume.pointer("/configMap/name").and_then(Value::as_str);
        let secret = volume.pointer("/secret/secretName").and_then(Value::as_str);
        map.map(|name| format!("configmap/{name}"))
            .into_iter()
            .chain(secret.map(|name| format!("secret/{name}")))
    });
    found.collect()
}

fn service(object: &Object) -> String {
    if let Some(name) = object.at("/spec/externalName").and_then(Value::as_str) {
        return format!("leads to {name}");
    }
    let selector = object.at("/spec/selector").and_then(Value::as_object);
    let selector = selector.into_iter().flatten();
    let selector: Vec<String> = selector
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    let ports = object.at("/spec/ports").and_then(Value::as_array);
    let ports = ports.into_iter().flatten();
    let ports: Vec<String> = ports
        .map(|port| {
            let target = &port["targetPort"];
            let target = target.as_str().map_or_else(|| target.to_string(), str::to_owned);
            format!("{}→{target}", port["port"])
        })
        .collect();
    format!("selects {}, port {}", selector.join(","), ports.join(" "))
}

fn ingress(object: &Object) -> String {
    let backend = |path: &Value| {
        let service = path.pointer("/backend/service/name").and_then(Value::as_str);
        format!(
            "{}→{}",
            path["path"].as_str().unwrap_or_default(),
            service.unwrap_or_default()
        )
    };
    let rules = object.at("/spec/rules").and_then(Value::as_array);
    let paths = rules.into_iter().flatten().flat_map(|rule| {
        let paths = rule.pointer("/http/paths").and_then(Value::as_array);
        paths.into_iter().flatten().map(backend)
    });
    let mut text = paths.collect::<Vec<_>>().join(" ");
    if let Some(weights) = object.annotation("zalando.org/backend-weights") {
        let weights: BTreeMap<String, f64> = serde_json::from_str(weights).unwrap_or_default();
        let weights: Vec<String> = weights
            .iter()
            .map(|(service, weight)| format!("{service} {weight}"))
            .collect();
        text.push_str(&format!(", weights {}", weights.join(" ")));
    }
    if let Some(predicate) = object.annotation("zalando.org/skipper-predicate") {
        text.push_str(&format!(", {predicate}"));
    }
    text
}

fn data(data: Option<&Value>) -> String {
    let pairs = data.and_then(Value::as_object).into_iter().flatten();
    let pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
        .collect();
    pairs.join(" ")
}

/// The status of a Canary on one line. Times of deadlines are left out: what comes of them is in the transcript.
pub(crate) fn status(status: &Status) -> String {
    let phase = match status.phase.name() {
        "" => "New",
        name => name,
    };
    let mut text = format!("{phase} {} %", status.canary_weight);
    if status.iterations > 0 {
        text.push_str(&format!(", iteration {}", status.iterations));
    }
    match status.failed_checks {
        0 => {}
        1 => text.push_str(", 1 failed check"),
        n => text.push_str(&format!(", {n} failed checks")),
    }
    let run = status.run.as_ref();
    if let Some(why) = run.and_then(|run| run.rolling_back.as_deref()) {
        text.push_str(&format!(", rolling back ({why})"));
    }
    if let Some(wait) = run.and_then(|run| run.wait.as_ref()) {
        text.push_str(&format!(", waits: {}", wait.kind));
        if wait.deadline.is_none() {
            text.push_str(" without a deadline");
        }
        if !wait.message.is_empty() {
            text.push_str(&format!(" ({})", wait.message));
        }
    }
    if let Some(reason) = &status.reason {
        text.push_str(&format!(", because: {reason}"));
    }
    for condition in &status.conditions {
        match (condition.kind.as_str(), condition.status.as_str()) {
            ("Ready", value) => text.push_str(&format!(", Ready={value}")),
            ("Stalled", "True") => {
                text.push_str(&format!(", Stalled={}: {}", condition.reason, condition.message));
            }
            _ => {}
        }
    }
    text
}

/// One measurement on one line.
pub(crate) fn measurement(measurement: &Measurement) -> String {
    let value = measurement
        .value
        .map(|value| format!(" {value:.2}"))
        .unwrap_or_default();
    let message = if measurement.verdict == Verdict::Passed {
        String::new()
    } else {
        format!(": {}", measurement.message)
    };
    format!(
        "{}{value} at {} % {}{message}",
        measurement.name,
        measurement.weight,
        measurement.verdict.name()
    )
}
