//! What plans of a large repository cost, beside the real kustomize: `scripts/bench plan` runs it. The repository
//! is that of `scripts/big-repository`.

#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serin::{
    plan::{self, Cache, Effect, Plan, Settings},
    repo::{Checkout, Options, Revision},
};
use tokio::time::Instant;

#[path = "../common/lab/assets.rs"]
#[allow(dead_code, reason = "kustomize reads no files of its own")]
mod assets;
#[path = "figures.rs"]
#[allow(dead_code, reason = "shared with the other benchmarks")]
mod figures;

use figures::Table;

/// How many commits change one file each.
const COMMITS: usize = 100;
/// How many commits change the base.
const BASES: usize = 20;

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let repository = folder.path().join("repository");
    generate(&repository)?;
    let kustomize = assets::Assets::locate()?.binary("kustomize")?;
    let mut table = Table::default();
    let before = memory("VmRSS")?;
    let bench = Bench {
        checkout: Checkout::open(&repository, Options::default())?,
        cache: Cache::default(),
        settings: Settings::default(),
        repository,
    };
    bench.first(&kustomize, &mut table)?;
    table.row("memory after the first plan", format!("{} MiB", memory("VmRSS")?));
    bench.single_files(&mut table)?;
    bench.bases(&kustomize, &mut table)?;
    table.row(
        "memory after all plans (at most; before any)",
        format!(
            "{} MiB ({} MiB; {before} MiB)",
            memory("VmRSS")?,
            memory("VmHWM")?
        ),
    );
    println!("{table}");
    Ok(())
}

fn generate(folder: &Path) -> anyhow::Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/big-repository");
    let done = Command::new(script).arg(folder).status()?;
    ensure!(done.success(), "scripts/big-repository failed");
    Ok(())
}

struct Bench {
    checkout: Checkout,
    cache: Cache,
    settings: Settings,
    repository: PathBuf,
}

impl Bench {
    /// Everything is read for the first time, and rendered.
    fn first(&self, kustomize: &Path, table: &mut Table) -> anyhow::Result<()> {
        let newest = self.checkout.newest()?;
        let started = Instant::now();
        let plan = plan::plan(&self.checkout, &self.cache, &self.settings, None, &newest)?;
        let took = started.elapsed();
        ensure!(plan.errors.is_empty(), "{:?}", plan.errors.first());
        let canaries = plan.touched.len();
        ensure!(canaries == 50 + 149 * 2, "{canaries} canaries");
        let roots = (1..=50)
            .map(|n| format!("platform/t{n:02}"))
            .chain((1..=149).map(|n| format!("apps/a{n:03}")));
        let theirs = self.build(kustomize, roots)?;
        compare(
            table,
            "first plan: 199 directories rendered, 10,000 files read",
            took,
            theirs,
        );
        Ok(())
    }

    /// One file of one application changes with each commit.
    fn single_files(&self, table: &mut Table) -> anyhow::Result<()> {
        let mut times = Vec::new();
        for n in 0..COMMITS {
            let file = format!("apps/a{:03}/deployment-{}.yaml", n * 7 % 149 + 1, n % 15 + 1);
            let (plan, took) = self.commit(&file, &format!("1.0.{}", n + 1))?;
            let canaries = usize::from(n % 15 < 2);
            ensure!(
                plan.touched.len() == canaries,
                "{file}: {} canaries",
                plan.touched.len()
            );
            times.push(took);
        }
        table.percentiles("plan of a commit that changes one file", times);
        Ok(())
    }

    /// The base changes that 50 overlays use.
    fn bases(&self, kustomize: &Path, table: &mut Table) -> anyhow::Result<()> {
        let mut times = Vec::new();
        for n in 0..BASES {
            let (plan, took) = self.commit("platform/base/deployment-1.yaml", &format!("2.0.{n}"))?;
            let runs = plan
                .touched
                .iter()
                .filter(|touched| touched.effect == Effect::Run);
            ensure!(runs.count() == 50, "50 canaries start");
            times.push(took);
        }
        let theirs = self.build(kustomize, (1..=50).map(|n| format!("platform/t{n:02}")))?;
        times.sort();
        let middle = times.get(times.len() / 2).copied().unwrap_or_default();
        table.percentiles("plan of a commit that changes a base of 50 overlays", times);
        compare(table, "the same, its median", middle, theirs);
        Ok(())
    }

    /// Gives an image another tag, commits, and plans as the sidecar does.
    fn commit(&self, file: &str, tag: &str) -> anyhow::Result<(Plan, Duration)> {
        let from = self.checkout.newest()?;
        let path = self.repository.join(file);
        let text = fs::read_to_string(&path)?;
        let image = text
            .lines()
            .find(|line| line.contains("image: "))
            .context("no image")?;
        let (name, _) = image.rsplit_once(':').context("no tag")?;
        fs::write(&path, text.replace(image, &format!("{name}:{tag}")))?;
        git(&self.repository, &["add", file])?;
        git(
            &self.repository,
            &["commit", "-q", "-m", &format!("{file}: {tag}")],
        )?;
        let to = self.checkout.newest()?;
        self.plan(&from, &to)
    }

    fn plan(&self, from: &Revision, to: &Revision) -> anyhow::Result<(Plan, Duration)> {
        let started = Instant::now();
        let plan = plan::plan(&self.checkout, &self.cache, &self.settings, Some(from), to)?;
        Ok((plan, started.elapsed()))
    }

    /// How long the real kustomize takes for some directories, one after the other.
    fn build(&self, kustomize: &Path, dirs: impl Iterator<Item = String>) -> anyhow::Result<Duration> {
        let started = Instant::now();
        for dir in dirs {
            let output = Command::new(kustomize)
                .args(["build", dir.as_str()])
                .current_dir(&self.repository)
                .output()?;
            ensure!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(started.elapsed())
    }
}

fn compare(table: &mut Table, what: &str, ours: Duration, theirs: Duration) {
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    table.row(
        what,
        format!(
            "{:.0} ms; `kustomize build` {:.1} s: {ratio:.0} times as long",
            ours.as_secs_f64() * 1000.0,
            theirs.as_secs_f64()
        ),
    );
}

fn git(folder: &Path, args: &[&str]) -> anyhow::Result<()> {
    let name = [
        "-c",
        "user.name=Serin",
        "-c",
        "user.email=serin@localhost",
        "-c",
        "gc.auto=0",
    ];
    let done = Command::new("git")
        .args(name)
        .args(args)
        .current_dir(folder)
        .status()?;
    ensure!(done.success(), "git {args:?} failed");
    Ok(())
}

/// A figure of this process, in MiB.
fn memory(field: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .context("no such figure")?;
    let kib: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib / 1024)
}
