//! What a rollout costs, in time, requests and memory, measured with the real components and with the
//! embedded cluster. `scripts/bench` runs it; `docs/benchmarks.md` keeps what it printed.

#![allow(clippy::indexing_slicing, reason = "an absent field of a JSON value is null")]
#![allow(clippy::print_stdout, reason = "the table is the result")]
#![allow(dead_code, reason = "the scene is shared with the end to end tests")]

mod common;

#[path = "bench/embedded.rs"]
mod embedded;
#[path = "bench/figures.rs"]
mod figures;
#[path = "e2e/manifests.rs"]
mod manifests;
#[path = "bench/real.rs"]
mod real;
#[path = "e2e/scene.rs"]
mod scene;
#[path = "bench/watching.rs"]
mod watching;

use figures::Table;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    // `cargo bench -- NAME` measures what NAME is part of.
    let wanted = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let is_wanted = |name: &str| {
        wanted
            .as_ref()
            .is_none_or(|wanted| name.contains(wanted.as_str()))
    };
    let mut table = Table::default();
    if is_wanted("embedded") {
        runtime.block_on(embedded::measure(&mut table))?;
    }
    if is_wanted("real") {
        runtime.block_on(real::measure(&mut table))?;
    }
    println!("{table}");
    Ok(())
}
