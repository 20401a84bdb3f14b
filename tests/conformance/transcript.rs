//! Answers of a real kube-apiserver, recorded: `fixtures/conformance/NAME.yaml` holds requests, `NAME.json` what
//! the real one answered. Both servers are held to the record, so that plain tests need no real one.

use std::path::{Path, PathBuf};

use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use serde::Deserialize;
use serde_json::{Value, json};

/// One request of a transcript.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Method and path; `NS` is the transcript's namespace.
    send: String,
    /// The patch: `json`, `merge`, `strategic` or `apply`.
    #[serde(default)]
    patch: Option<String>,
    /// The form: `table` or `metadata`.
    #[serde(default)]
    form: Option<String>,
    #[serde(default)]
    body: Option<Value>,
    /// Remembers the answer's `resourceVersion` for `MARK` in later paths.
    #[serde(default)]
    mark: bool,
    /// Why the embedded cluster may answer otherwise, in the body alone.
    #[serde(default)]
    differs: Option<String>,
}

/// Returns the transcripts, by file.
fn transcripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/conformance");
    let entries = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no transcripts in {}", folder.display());
    files
}

/// Returns the definitions that Serin brings.
fn own_definitions() -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/crd/crds.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let documents = text
        .split("\n---\n")
        .filter(|d| d.contains("kind: CustomResourceDefinition"));
    documents.map(|d| serde_saphyr::from_str(d).unwrap()).collect()
}

/// Plays every transcript and returns the answers that differ from the record. `record` writes it instead.
/// Declared differences are allowed to the embedded cluster only.
pub(super) async fn play(client: &Client, embedded: bool, record: bool) -> Vec<String> {
    super::cases::install_definitions(client).await;
    for definition in own_definitions() {
        super::cases::install(client, definition).await;
    }
    let mut differences = Vec::new();
    for file in transcripts() {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let namespace = format!("t-{name}");
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let made = send(client, "POST", "/api/v1/namespaces", None, None, Some(&body)).await;
        assert_eq!(made.0, 201, "{}", made.1);
        let text = std::fs::read_to_string(&file).unwrap();
        let steps: Vec<Step> = serde_saphyr::from_str(&text).unwrap();
        let mut answers = Vec::new();
        let mut mark = String::new();
        for step in &steps {
            answers.push(answer(client, step, &namespace, &mut mark).await);
        }
        let answers_file = file.with_extension("json");
        if record {
            let text = serde_json::to_string_pretty(&answers).unwrap() + "\n";
            std::fs::write(&answers_file, text).unwrap();
            continue;
        }
        let recorded: Vec<Value> =
            serde_json::from_str(&std::fs::read_to_string(&answers_file).unwrap()).unwrap();
        assert_eq!(recorded.len(), steps.len(), "{name}: record the answers again");
        for (number, ((step, recorded), answer)) in steps.iter().zip(&recorded).zip(&answers).enumerate() {
            let excused = embedded && step.differs.is_some() && recorded["code"] == answer["code"];
            let mut paths = Vec::new();
            compare(recorded, answer, "", &mut paths);
            if !excused && !paths.is_empty() {
                let paths = paths.join("\n    ");
                differences.push(format!("{name} {}: {}\n    {paths}", number + 1, step.send));
            }
        }
    }
    differences
}

async fn answer(client: &Client, step: &Step, namespace: &str, mark: &mut String) -> Value {
    let (method, path) = step.send.split_once(' ').unwrap();
    let path = path.replace("NS", namespace).replace("MARK", mark);
    let text = step
        .body
        .as_ref()
        .map(|b| b.to_string().replace("\"NS\"", &format!("{namespace:?}")));
    let body: Option<Value> = text.map(|t| serde_json::from_str(&t).unwrap());
    let (code, mut body) = send(
        client,
        method,
        &path,
        step.patch.as_deref(),
        step.form.as_deref(),
        body.as_ref(),
    )
    .await;
    if step.mark {
        let version = body.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        version.unwrap_or_default().clone_into(mark);
    }
    normalize(&mut body, "");
    settle(&mut body);
    json!({"code": code, "body": body})
}

async fn send(
    client: &Client,
    method: &str,
    path: &str,
    patch: Option<&str>,
    form: Option<&str>,
    body: Option<&Value>,
) -> (u16, Value) {
    let content = match patch {
        Some("json") => "application/json-patch+json",
        Some("merge") => "application/merge-patch+json",
        Some("strategic") => "application/strategic-merge-patch+json",
        Some("apply") => "application/apply-patch+yaml",
        Some(other) => other,
        None => "application/json",
    };
    let accept = match form {
        Some("table") => "application/json;as=Table;v=v1;g=meta.k8s.io",
        Some("metadata") => "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
        Some("metadatalist") => "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
        Some(other) => other,
        None => "application/json",
    };
    let bytes = body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("accept", accept)
        .header("content-type", content)
        .header("user-agent", "transcript/1")
        .body(Body::from(bytes))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, read(&bytes))
}

/// Reads an answer: one object, a stream of them, or a text.
fn read(bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes);
    let one = serde_json::from_str(&text);
    let stream = || {
        text.lines()
            .map(serde_json::from_str)
            .collect::<Result<Vec<Value>, _>>()
    };
    one.or_else(|_| stream().map(Value::Array))
        .unwrap_or_else(|_| Value::String(text.into_owned()))
}

/// Hides what differs from run to run.
fn normalize(value: &mut Value, name: &str) {
    match value {
        Value::Object(map) => {
            for (name, value) in map.iter_mut() {
                normalize(value, name);
            }
        }
        Value::Array(list) if name == "managedFields" => {
            // Their order is by second.
            for entry in list.iter_mut() {
                entry.as_object_mut().unwrap().remove("time");
            }
            list.sort_by_key(|e| [&e["operation"], &e["manager"], &e["subresource"]].map(Value::to_string));
        }
        Value::Array(list) if name == "clusterIPs" => {
            for address in list.iter_mut().filter(|a| **a != "None") {
                *address = "<address>".into();
            }
        }
        Value::Array(list) if name == "cells" => {
            for cell in list.iter_mut() {
                let age = cell.as_str().is_some_and(|c| {
                    c.strip_suffix('s').is_some_and(|n| n.parse::<u64>().is_ok()) || is_time(c)
                });
                let address = cell
                    .as_str()
                    .is_some_and(|c| c.starts_with("10.96.") || c.starts_with("80:3"));
                if age || address {
                    *cell = "<varies>".into();
                }
            }
        }
        Value::Array(list) => {
            for value in list.iter_mut() {
                normalize(value, "");
            }
        }
        Value::String(text) => {
            let hidden = match name {
                "uid" if text.len() == 36 => "<uid>",
                "resourceVersion" if !text.is_empty() => "<version>",
                "continue" if !text.is_empty() => "<token>",
                "clusterIP" if text != "None" => "<address>",
                _ if is_time(text) => "<time>",
                _ => return,
            };
            hidden.clone_into(text);
        }
        Value::Number(_) if name == "nodePort" => *value = "<port>".into(),
        _ => {}
    }
}

/// Hides in refusals what depends on the language of the server (the text of a decoding error) or on the order of
/// its maps, and in tables the documentation.
fn settle(body: &mut Value) {
    if let Some(object) = body.get_mut("object") {
        settle(object);
    }
    for event in body.as_array_mut().into_iter().flatten() {
        settle(event);
    }
    if let Some(columns) = body.get_mut("columnDefinitions").and_then(Value::as_array_mut) {
        for column in columns {
            column["description"] = "".into();
        }
    }
    for resource in body
        .get_mut("resources")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        resource.as_object_mut().unwrap().remove("storageVersionHash");
        resource["verbs"]
            .as_array_mut()
            .unwrap()
            .sort_by_key(Value::to_string);
    }
    if body["kind"] != "Status" {
        return;
    }
    let mut message = body["message"].as_str().unwrap_or_default().to_owned();
    if let Some(causes) = body.pointer_mut("/details/causes").and_then(Value::as_array_mut) {
        for cause in causes.iter_mut().filter(|c| {
            c["field"] == "patch" || c["message"].as_str().is_some_and(|m| m.contains(" value: {\""))
        }) {
            cause["message"] = "<text>".into();
        }
        causes.sort_by_key(Value::to_string);
        causes.dedup();
        if causes.len() > 1 || causes.iter().any(|c| c["message"] == "<text>") {
            message = message
                .split_inclusive("is invalid: ")
                .next()
                .unwrap_or_default()
                .to_owned();
        }
    }
    for before in [
        "cannot be handled as a ",
        "failed to create typed patch object ",
        "unable to parse requirement: ",
        "error decoding patch: ",
        "continue key is not valid",
    ] {
        let strict = message.contains("strict decoding error") || message.contains("not declared in schema");
        if let Some(at) = message.find(before).filter(|_| !strict) {
            message.truncate(at + before.len());
        }
    }
    let words: Vec<String> = message
        .split(' ')
        .map(|w| {
            if w.trim_matches(['(', ')', '.']).len() == 36 && w.matches('-').count() == 4 && w.contains('4') {
                "<uid>".to_owned()
            } else {
                w.to_owned()
            }
        })
        .collect();
    if body.get("message").is_some() {
        body["message"] = words.join(" ").into();
    }
}

fn is_time(text: &str) -> bool {
    text.len() == 20
        && text.ends_with('Z')
        && text.parse::<jiff::Timestamp>().is_ok()
        && !text.starts_with("2000")
}

fn compare(recorded: &Value, answer: &Value, path: &str, paths: &mut Vec<String>) {
    match (recorded, answer) {
        (Value::Object(left), Value::Object(right)) => {
            let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                let of = |map: &serde_json::Map<String, Value>| {
                    map.get(name).cloned().unwrap_or(json!("<absent>"))
                };
                compare(&of(left), &of(right), &format!("{path}/{name}"), paths);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (at, (left, right)) in left.iter().zip(right).enumerate() {
                compare(left, right, &format!("{path}/{at}"), paths);
            }
        }
        _ if recorded == answer => {}
        _ => paths.push(format!("{path}: real {recorded}, here {answer}")),
    }
}
