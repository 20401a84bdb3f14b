//! A private repository on Gitea with a Canary in it, the embedded cluster, and a sidecar with a clone of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::time::{Instant, sleep};

use super::scene::{PATIENCE, output};
use crate::common::lab::gitea::{CommitStatus, Gitea};
use crate::common::lab::process::{Sandbox, free_ports, hermetic};
use crate::common::web::WEB;

const SERIN_BINARY: &str = env!("CARGO_BIN_EXE_serin");
/// The repository.
pub(super) const REPOSITORY: &str = "web";

/// A sidecar that is not started yet, and all that it needs.
pub(super) struct Cloned {
    pub(super) gitea: Gitea,
    pub(super) sandbox: Sandbox,
    /// The clone address, over HTTP(S).
    pub(super) address: String,
    kubeconfig: PathBuf,
    listen: u16,
}

impl Cloned {
    /// Sets everything up; the first commit is pushed.
    pub(super) async fn set(gitea: Gitea) -> anyhow::Result<Self> {
        let address = gitea.create_repo(REPOSITORY).await?;
        let mut sandbox = Sandbox::new("clone")?;
        let publisher = sandbox.path("publisher");
        fs::create_dir_all(&publisher)?;
        for arguments in [
            &["init", "--quiet", "--initial-branch=main"][..],
            &["remote", "add", "origin", &address],
        ] {
            output(gitea.git(&publisher).args(arguments))?;
        }
        let [api, listen] = free_ports()?;
        let kubeconfig = sandbox.path("kubeconfig");
        let mut cluster = hermetic(Path::new(SERIN_BINARY), &sandbox.path(""));
        cluster.arg("cluster").arg(format!("--listen=127.0.0.1:{api}"));
        cluster.arg(format!("--write-kubeconfig={}", kubeconfig.display()));
        sandbox.spawn("cluster", &mut cluster)?;
        let written = kubeconfig.clone();
        let probe = async || fs::read(&written).context("no kubeconfig");
        sandbox.ready("cluster", probe).await?;
        sandbox.write("token", gitea.token())?;
        Ok(Self {
            gitea,
            sandbox,
            address,
            kubeconfig,
            listen,
        })
    }

    /// Commits an image of the Deployment, pushes it, and gives the commit.
    pub(super) fn push(&self, image: u32) -> anyhow::Result<String> {
        let folder = self.sandbox.path("publisher");
        let manifest = WEB.replace("web:1", &format!("web:{image}"));
        fs::write(folder.join("web.yaml"), manifest)?;
        let git = |arguments: &[&str]| output(self.gitea.git(&folder).args(arguments));
        git(&["add", "--all"])?;
        git(&["commit", "--quiet", "--message=Change web"])?;
        git(&["push", "--quiet", "origin", "main"])?;
        git(&["rev-parse", "HEAD"])
    }

    /// Makes `serin run` for a clone of this address; the forge is Gitea.
    pub(super) fn serin(&self, address: &str) -> Command {
        let mut serin = hermetic(Path::new(SERIN_BINARY), &self.sandbox.path(""));
        serin
            .env("SERIN_LOG", "serin=trace")
            .args(["run", "--apply", "--branch=main", "--status=gitea"])
            .arg(format!("--repo={address}"))
            .arg(self.file("clone-dir", "clones"))
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .arg(format!("--listen=127.0.0.1:{}", self.listen))
            .arg(self.file("status-token-file", "token"));
        serin
    }

    /// Makes a flag that names a file of the sandbox.
    pub(super) fn file(&self, flag: &str, name: &str) -> String {
        format!("--{flag}={}", self.sandbox.path(name).display())
    }

    /// Where the sidecar is told of pushes.
    pub(super) fn notify_url(&self) -> String {
        format!("http://127.0.0.1:{}/notify", self.listen)
    }

    /// What the sidecar has written.
    pub(super) fn log(&self) -> String {
        self.sandbox.log("serin")
    }

    /// Waits until a commit is green, with this in its description.
    pub(super) async fn await_said(&self, commit: &str, text: &str) -> anyhow::Result<()> {
        self.await_said_in(&format!("{}/{REPOSITORY}", Gitea::OWNER), commit, text)
            .await
    }

    /// The same, where the repository is another one now.
    pub(super) async fn await_said_in(
        &self,
        repository: &str,
        commit: &str,
        text: &str,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let wanted = |status: &CommitStatus| status.state == "success" && status.description.contains(text);
        loop {
            let said = self.gitea.statuses_in(repository, commit).await?;
            if said.iter().any(wanted) {
                return Ok(());
            }
            let log = || self.log();
            ensure!(
                Instant::now() < deadline,
                "{commit} never got {text:?}: {said:?}\n{}",
                log()
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until a process has logged all of these texts.
    pub(super) async fn await_logged(&self, process: &str, texts: &[&str]) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.sandbox.log(process);
            if texts.iter().all(|text| log.contains(text)) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "not logged: {texts:?}\n{log}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs a sidecar that cannot reach its repository: it ends, and says these texts.
    pub(super) async fn refused(&self, serin: Command, texts: &[&str]) -> anyhow::Result<()> {
        let mut serin = tokio::process::Command::from(serin);
        let ended = tokio::time::timeout(PATIENCE, serin.kill_on_drop(true).output());
        let ended = ended.await.context("the sidecar goes on")??;
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(!ended.status.success(), "the sidecar ends well: {said}");
        ensure!(
            texts.iter().all(|text| said.contains(text)),
            "not said: {texts:?}\n{said}"
        );
        ensure!(!said.contains(self.gitea.token()), "a secret is told: {said}");
        Ok(())
    }
}

/// Reads the arguments of all processes of this machine, again and again, as any of its users could.
pub(super) struct Lookout {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<String>>,
}

impl Lookout {
    /// Looks for these texts.
    pub(super) fn begin(texts: &[&str]) -> Self {
        let over = Arc::<AtomicBool>::default();
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut seen: Vec<String> = Vec::new();
            while !until.load(Ordering::Relaxed) {
                for line in command_lines() {
                    if texts.iter().any(|text| line.contains(text.as_str())) && !seen.contains(&line) {
                        seen.push(line);
                    }
                }
                pause();
            }
            seen
        });
        Self { over, thread }
    }

    /// Ends, and gives the command lines that held one of the texts.
    pub(super) fn end(self) -> anyhow::Result<Vec<String>> {
        self.over.store(true, Ordering::Relaxed);
        let seen = self.thread.join();
        seen.map_err(|_| anyhow::anyhow!("the lookout panicked"))
    }
}

fn command_lines() -> impl Iterator<Item = String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| {
        let words = fs::read(process.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&words).replace('\0', " "))
    })
}

#[allow(clippy::disallowed_methods, reason = "on a thread of its own")]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}
