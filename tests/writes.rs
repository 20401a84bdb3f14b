//! What `workload` and `traffic` ask for, written to an API server: it is accepted, it is what was meant, and
//! asking again asks for nothing. The same on the embedded cluster and, in the `real` tier, on a kube-apiserver.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "writes/cases.rs"]
mod cases;
#[cfg(feature = "real")]
mod common;

#[tokio::test(start_paused = true)]
async fn the_embedded_cluster_settles() {
    let clock = serin::clock::Clock::system();
    let cluster = serin::rehearsal::Cluster::new(clock);
    cases::run_all(cluster.client("test")).await;
}

#[cfg(feature = "real")]
#[tokio::test]
async fn the_real_api_server_settles() -> anyhow::Result<()> {
    let lab = common::lab::Lab::start_api_only().await?;
    cases::run_all(lab.client(common::lab::ADMIN).await?).await;
    Ok(())
}
