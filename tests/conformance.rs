//! What a client may rely on: the same cases for every API server that Serin talks to. A difference between
//! the embedded cluster and the real one is a failure, or a line that is declared here.

mod common;

#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a case fails by panicking"
)]
#[path = "conformance/cases.rs"]
mod cases;
#[path = "conformance/kubectl.rs"]
mod kubectl;
#[path = "conformance/objects.rs"]
mod objects;
#[expect(clippy::unwrap_used, reason = "a transcript that cannot be read is a failure")]
#[path = "conformance/transcript.rs"]
mod transcript;

use futures::future::BoxFuture;
use kube::Client;

use common::lab::{ADMIN, Lab};

/// A case gets a client and a namespace that exists, and says what differs from the contract.
type Case = fn(Client, &'static str) -> BoxFuture<'static, anyhow::Result<()>>;

const CASES: &[(&str, Case)] = &[
    ("absence", |client, ns| Box::pin(objects::absence(client, ns))),
    ("creation", |client, ns| Box::pin(objects::creation(client, ns))),
    ("stale update", |client, ns| {
        Box::pin(objects::stale_update(client, ns))
    }),
    ("apply conflict", |client, ns| {
        Box::pin(objects::apply_conflict(client, ns))
    }),
    ("test in a patch", |client, ns| {
        Box::pin(objects::patch_test(client, ns))
    }),
];

async fn differences(client: &Client) -> Vec<String> {
    let mut found = Vec::new();
    for (name, case) in CASES {
        if let Err(error) = case(client.clone(), "default").await {
            found.push(format!("{name}: {error:#}"));
        }
    }
    found
}

#[tokio::test]
async fn the_real_api_server_keeps_the_contract() -> anyhow::Result<()> {
    let lab = Lab::start_api_only().await?;
    let found = differences(&lab.client(ADMIN).await?).await;
    assert!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}

/// The embedded cluster is held to the same cases by the unit tests of `rehearsal::api`.
#[tokio::test]
async fn the_cases_of_the_embedded_cluster_hold_on_the_real_api_server() -> anyhow::Result<()> {
    let lab = Lab::start_api_only().await?;
    cases::run_all(lab.client(ADMIN).await?).await;
    Ok(())
}

/// `RECORD=1` writes the record anew.
#[tokio::test]
async fn the_record_of_answers_is_that_of_the_real_api_server() -> anyhow::Result<()> {
    let lab = Lab::start_api_only().await?;
    let record = std::env::var_os("RECORD").is_some();
    let differences = transcript::play(&lab.client(ADMIN).await?, false, record).await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}
