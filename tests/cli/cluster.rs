//! `serin cluster` as a process of its own, and what tests put into it past kubectl.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::environment::{Running, TestEnvironment};

/// The sidecar beside it, which applies the checkout.
pub(crate) const RUN: [&str; 6] = [
    "run",
    "--apply",
    "--kubeconfig",
    "../kubeconfig",
    "--listen",
    "127.0.0.1:0",
];

/// The embedded cluster as its own process.
pub(crate) struct TestCluster {
    _process: Running,
    address: String,
}

impl TestCluster {
    pub(crate) fn start(env: &TestEnvironment) -> Self {
        let process = Running::start(env.serin(&[
            "cluster",
            "--listen",
            "127.0.0.1:0",
            "--write-kubeconfig",
            "../kubeconfig",
        ]));
        let line = process.wait_for("Kubernetes API on");
        let address = line.split("http://").nth(1).unwrap();
        let end = address.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'));
        Self {
            address: address[..end.unwrap_or(address.len())].to_owned(),
            _process: process,
        }
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: serin\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    fn create(&self, path: &str, object: &Value) {
        let answer = self.ask("POST", path, &object.to_string());
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }

    pub(crate) fn secret(&self, name: &str, data: &Value) {
        self.create("/api/v1/namespaces/default/secrets", &secret(name, data));
    }

    pub(crate) fn replace_secret(&self, name: &str, data: &Value) {
        let path = format!("/api/v1/namespaces/default/secrets/{name}");
        let answer = self.ask("PUT", &path, &secret(name, data).to_string());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    pub(crate) fn provider(&self, spec: &Value) {
        let schema =
            json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        self.create(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            &json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": "providers.notification.toolkit.fluxcd.io"},
                "spec": {"group": "notification.toolkit.fluxcd.io", "scope": "Namespaced",
                    "names": {"kind": "Provider", "plural": "providers", "singular": "provider", "listKind": "ProviderList"},
                    "versions": [{"name": "v1beta3", "served": true, "storage": true, "schema": schema}]}}),
        );
        self.create(
            "/apis/notification.toolkit.fluxcd.io/v1beta3/namespaces/default/providers",
            &json!({"apiVersion": "notification.toolkit.fluxcd.io/v1beta3", "kind": "Provider",
                "metadata": {"name": "status", "namespace": "default"}, "spec": spec}),
        );
    }
}

fn secret(name: &str, data: &Value) -> Value {
    let mut encoded = data.clone();
    for value in encoded.as_object_mut().unwrap().values_mut() {
        *value = BASE64_STANDARD.encode(value.as_str().unwrap()).into();
    }
    json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": "default"}, "data": encoded})
}
