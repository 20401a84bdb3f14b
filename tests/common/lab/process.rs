//! A throwaway folder and the processes that live in it. They end with the value that owns them; and when the
//! test process itself is killed, a watchdog (a shell that reads a pipe we hold) sees the end of file and
//! kills them. `PR_SET_PDEATHSIG` would not do: it fires when the spawning *thread* ends.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::Instant;

/// How long a component may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
const LOG_LINES: usize = 15;

const WATCHDOG: &str = r#"
groups=
while read -r line; do
  case $line in done) exit 0 ;; *) groups="$groups -$line" ;; esac
done
[ -z "$groups" ] || kill -9 $groups
[ -n "$SERIN_LAB_KEEP" ] || rm -rf "$1"
"#;

/// A folder with processes, all gone when it is dropped. `SERIN_LAB_KEEP=1` keeps the folder.
#[derive(Debug)]
pub(crate) struct Sandbox {
    folder: PathBuf,
    watchdog: Child,
    running: Vec<(String, Child)>,
}

impl Sandbox {
    /// Makes an empty one; the name becomes part of the folder's name.
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("serin-{name}-"))
            .tempdir()?
            .keep();
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("no watchdog: `sh` cannot be run")?;
        Ok(Self {
            folder,
            watchdog,
            running: Vec::new(),
        })
    }

    /// Names a file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        std::fs::write(&path, content).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(path)
    }

    /// Starts a process of its own group, whose output goes to `NAME.log` in the folder.
    pub(crate) fn spawn(&mut self, name: &str, command: &mut Command) -> anyhow::Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path(name))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .current_dir(&self.folder)
            .process_group(0)
            .spawn()
            .with_context(|| format!("`{name}` cannot be started"))?;
        let id = child.id();
        self.running.push((name.to_owned(), child));
        if let Some(pipe) = self.watchdog.stdin.as_mut() {
            writeln!(pipe, "{id}")?;
        }
        Ok(())
    }

    /// Kills a process as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let Some(at) = self.running.iter().position(|(running, _)| running == name) else {
            bail!("`{name}` is not running");
        };
        end(&mut self.running.swap_remove(at).1);
        Ok(())
    }

    /// Returns the id of a running process.
    pub(crate) fn id(&self, name: &str) -> Option<u32> {
        let running = self.running.iter().find(|(running, _)| running == name);
        running.map(|(_, child)| child.id())
    }

    /// Returns what a process has written so far.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read(self.log_path(name)).map_or_else(
            |_| String::new(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// Polls until the probe answers; fails when the process ends or the time is over, with the end of its log.
    pub(crate) async fn ready<T>(
        &mut self,
        name: &str,
        mut probe: impl AsyncFnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let last = match probe().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if let Some(status) = self.exit_of(name)? {
                bail!(
                    "`{name}` ended with {status}; its log ends:\n{}",
                    self.log_tail(name)
                );
            }
            if Instant::now() >= deadline {
                let tail = self.log_tail(name);
                return Err(last.context(format!(
                    "`{name}` was not ready within {} s; its log ends:\n{tail}",
                    READY_WITHIN.as_secs()
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn exit_of(&mut self, name: &str) -> anyhow::Result<Option<std::process::ExitStatus>> {
        match self.running.iter_mut().find(|(running, _)| running == name) {
            Some((_, child)) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.log"))
    }

    fn log_tail(&self, name: &str) -> String {
        let log = self.log(name);
        let lines: Vec<_> = log.lines().collect();
        let tail = lines.len().saturating_sub(LOG_LINES);
        lines.into_iter().skip(tail).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for (_, child) in self.running.iter_mut().rev() {
            end(child);
        }
        if let Some(mut pipe) = self.watchdog.stdin.take() {
            let _ = writeln!(pipe, "done");
        }
        let _ = self.watchdog.wait();
        if std::env::var_os("SERIN_LAB_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Kills a process's whole group (its children too) and reaps it.
fn end(child: &mut Child) {
    if matches!(child.try_wait(), Ok(None)) {
        let group = format!("-{}", child.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).status();
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Finds free loopback ports, all different.
pub(crate) fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").context("no free loopback port")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Makes a command whose environment is only what is needed to find programs, with its home in the sandbox.
pub(crate) fn hermetic(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}
