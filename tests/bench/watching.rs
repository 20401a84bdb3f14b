//! Every status of the Canary, with the time when a watch brought it.

use std::time::Duration;

use anyhow::bail;
use futures::TryStreamExt as _;
use kube::Client;
use kube::core::WatchEvent;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(120);
const CANARIES: &str = "/apis/flagger.app/v1beta1/namespaces/test/canaries?watch=true";
const TARGET: &str = "/apis/apps/v1/namespaces/test/deployments/podinfo";

/// A watch that began before anything was measured.
pub(crate) struct Watch {
    seen: mpsc::UnboundedReceiver<(Instant, Value)>,
}

impl Watch {
    pub(crate) async fn start(client: &Client) -> anyhow::Result<Self> {
        let request = http::Request::get(CANARIES).body(Vec::new())?;
        let stream = client.request_events::<Value>(request).await?;
        let (sender, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Ok(Some(event)) = stream.try_next().await {
                if let WatchEvent::Added(canary) | WatchEvent::Modified(canary) = event {
                    sender.send((Instant::now(), canary["status"].clone())).ok();
                }
            }
        });
        Ok(Self { seen })
    }

    /// Gives the first status that is as wanted, and when it came.
    pub(crate) async fn until(
        &mut self,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> anyhow::Result<(Instant, Value)> {
        self.follow(|_, status| wanted(status)).await
    }

    pub(crate) async fn phase(&mut self, phase: &str) -> anyhow::Result<Instant> {
        Ok(self.until(|status| status["phase"] == phase).await?.0)
    }

    /// Shows each status with its time, until one is as wanted.
    pub(crate) async fn follow(
        &mut self,
        mut wanted: impl FnMut(Instant, &Value) -> bool,
    ) -> anyhow::Result<(Instant, Value)> {
        let mut last = Value::Null;
        loop {
            match timeout(PATIENCE, self.seen.recv()).await {
                Ok(Some((at, status))) => {
                    if wanted(at, &status) {
                        return Ok((at, status));
                    }
                    last = status;
                }
                Ok(None) => bail!("the watch has ended"),
                Err(_) => bail!(
                    "no such status within {} s; the last one is {last:#}",
                    PATIENCE.as_secs()
                ),
            }
        }
    }
}

/// The time line of one rollout.
pub(crate) struct Line {
    started: Instant,
    shown: String,
    pub(crate) stations: Vec<String>,
}

impl Line {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
            shown: String::new(),
            stations: Vec::new(),
        }
    }

    /// Adds a status if it is at another place than the last; gives whether it is the end of the run.
    pub(crate) fn add(&mut self, at: Instant, status: &Value) -> bool {
        let (phase, weight) = (
            status["phase"].as_str().unwrap_or_default(),
            &status["canaryWeight"],
        );
        let now = format!("{phase} {weight} %");
        if now != self.shown {
            self.stations.push(format!("{:.1} s {now}", self.seconds(at)));
            self.shown = now;
        }
        self.stations.len() > 2 && matches!(phase, "Succeeded" | "Failed")
    }

    pub(crate) fn seconds(&self, at: Instant) -> f64 {
        at.duration_since(self.started).as_secs_f64()
    }
}

/// Does what `kubectl set image` does, without starting kubectl.
pub(crate) async fn patch_image(client: &Client, tag: &str) -> anyhow::Result<()> {
    let image = format!("ghcr.io/stefanprodan/podinfo:{tag}");
    let patch =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "podinfo", "image": image}]}}}});
    let request = http::Request::patch(TARGET)
        .header("content-type", "application/strategic-merge-patch+json")
        .body(patch.to_string().into_bytes())?;
    client.request::<Value>(request).await?;
    Ok(())
}
