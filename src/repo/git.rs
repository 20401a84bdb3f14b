//! The `git` command: for what libgit2 cannot read, and for talking to remotes. Every run is hermetic (none of
//! the machine's or the user's configuration, no hooks, no prompts), bounded in output and time, and ended with
//! all its children when it overruns.
//!
//! ```text
//! let git = Git::find();
//! let id = git.local(&dir).args(["rev-parse", "--verify", "HEAD"]).text()?;         // never talks to a remote
//! git.remote(&dir, &remote)?.args(["push", "--porcelain", "--"]).arg(remote.url()).arg(refspec).run()?;
//! ```
//!
//! Calls block: async callers use `clock::off_thread`. A secret is read anew for each run and reaches git in its
//! environment only: not in arguments, which every user of a machine can read, nor in a configuration file.

mod credentials;
mod error;
mod fault;
pub(in crate::repo) mod process;
mod url;
mod version;

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub(super) use process::Helper;

pub use credentials::{Credentials, Remote};
pub use error::GitError;
pub use fault::RemoteFault;
pub use url::{ParseUrlError, RemoteUrl};
pub use version::Version;

use process::{Bounds, Input};

/// How much a command may print unless it is told otherwise.
const MAX_OUTPUT: usize = 64 << 20;
/// How long a command on this machine may take.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a command that talks to a remote may take.
const REMOTE_TIMEOUT: Duration = Duration::from_secs(120);
/// What is let through of the environment: where programs and libraries are, and temporary files go.
const KEPT: [&str; 5] = [
    "PATH",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "GIT_EXEC_PATH",
    "GIT_TEMPLATE_DIR",
];

/// The oldest git that can be used: earlier ones take no configuration from the environment.
pub const OLDEST: Version = Version(2, 31);

/// Where the `git` command is.
#[derive(Clone, Debug)]
pub struct Git {
    program: PathBuf,
    stop: Stop,
}

/// Ends what runs and what is started later, as a shutdown must.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Ends it.
    pub fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Git {
    /// The `git` of the `PATH`.
    #[must_use]
    pub fn find() -> Self {
        Self::at("git")
    }

    /// The `git` at a path.
    #[must_use]
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            stop: Stop::default(),
        }
    }

    /// Returns what ends the runs of this `Git` and of its copies.
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Asks for its version.
    pub fn version(&self) -> Result<Version, GitError> {
        let said = self.bare().args(["version"]).text()?;
        said.parse().map_err(|()| GitError::NoVersion {
            said: crate::http::excerpt(&said, 80),
        })
    }

    /// Refuses a git that is older than `oldest`; `what` is what needs it.
    pub fn require(&self, oldest: Version, what: &str) -> Result<(), GitError> {
        let found = self.version()?;
        if found >= oldest.max(OLDEST) {
            return Ok(());
        }
        Err(GitError::TooOld {
            found,
            oldest: oldest.max(OLDEST),
            what: what.to_owned(),
        })
    }

    /// A command on the repository at exactly `dir` (a work tree, a linked one, or a bare repository), whoever
    /// owns it. It cannot talk to a remote: what is missing of a partial clone stays missing.
    pub fn local(&self, dir: &Path) -> GitCommand {
        let git_dir = super::open::git_dir(dir);
        let mut command = self.bare().config("safe.directory", dir.as_os_str());
        command.env.push(("GIT_DIR".into(), git_dir.into()));
        command
    }

    /// A command on the repository at `dir` that may talk to `remote`, and to no other place.
    pub fn remote(&self, dir: &Path, remote: &Remote) -> Result<GitCommand, GitError> {
        let mut command = self.local(dir);
        credentials::prepare(&mut command, remote)?;
        command.timeout = REMOTE_TIMEOUT;
        Ok(command)
    }

    /// A command that needs no repository but may talk to `remote`.
    pub fn outside(&self, remote: &Remote) -> Result<GitCommand, GitError> {
        let mut command = self.bare();
        // No repository around the directory that we happen to be in counts.
        command.env.push(("GIT_DIR".into(), "/dev/null".into()));
        credentials::prepare(&mut command, remote)?;
        command.timeout = REMOTE_TIMEOUT;
        Ok(command)
    }

    fn bare(&self) -> GitCommand {
        let kept = KEPT
            .into_iter()
            .filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
        let fixed = [
            ("LC_ALL", "C"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_PAGER", "cat"),
            // Also what an older git would fetch by itself in a partial clone.
            ("GIT_ALLOW_PROTOCOL", "none"),
        ];
        let fixed = fixed.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        GitCommand {
            program: self.program.clone(),
            args: Vec::new(),
            config: Vec::new(),
            env: kept.chain(fixed).collect(),
            input: Input::Nothing,
            limit: MAX_OUTPUT,
            timeout: LOCAL_TIMEOUT,
            size: None,
            remote: None,
            hidden: Vec::new(),
            stop: self.stop.clone(),
        }
        .config("core.hooksPath", "/dev/null")
        .config("core.fsmonitor", "false")
        .config("gc.auto", "0")
        .config("maintenance.auto", "false")
    }
}

impl Default for Git {
    fn default() -> Self {
        Self::find()
    }
}

/// One run of `git`.
#[derive(Debug)]
#[must_use = "a command does nothing until it is run"]
pub struct GitCommand {
    program: PathBuf,
    args: Vec<OsString>,
    config: Vec<(OsString, OsString)>,
    env: Vec<(OsString, OsString)>,
    input: Input,
    limit: usize,
    timeout: Duration,
    size: Option<(PathBuf, u64)>,
    remote: Option<RemoteUrl>,
    /// What must not be repeated in an error.
    hidden: Vec<crate::http::Secret>,
    stop: Stop,
}

impl GitCommand {
    /// Adds an argument. Put `--` before one that a stranger has chosen.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment, such as `GIT_INDEX_FILE` or `GIT_AUTHOR_NAME`.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Sets a configuration value, stronger than the repository's.
    pub fn config(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.config
            .push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gives it something to read.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// Lets it hold an open file, such as a lock, for as long as it lives, even where this process does not.
    pub fn holding(mut self, file: File) -> Self {
        self.input = Input::Held(file);
        self
    }

    /// Bounds what it may print.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Bounds how long it may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Bounds how large a directory may grow meanwhile.
    pub fn grows(mut self, dir: impl Into<PathBuf>, bytes: u64) -> Self {
        self.size = Some((dir.into(), bytes));
        self
    }

    /// Runs it, and returns what it printed.
    pub fn run(self) -> Result<Vec<u8>, GitError> {
        self.run_noting().map(|(printed, _)| printed)
    }

    /// Runs it, and returns what it printed, and what it said beside that.
    pub fn run_noting(mut self) -> Result<(Vec<u8>, String), GitError> {
        let input = std::mem::replace(&mut self.input, Input::Nothing);
        let bounds = Bounds {
            output: self.limit,
            time: self.timeout,
            size: self.size.clone(),
        };
        let ended = process::run(&mut self.command(), input, &bounds, &self.stop);
        let ended = ended.map_err(|failed| failed.named(&self.program, &self.name()))?;
        let said = self.redacted(&ended.said);
        if ended.status.success() {
            return Ok((ended.printed, said));
        }
        Err(match &self.remote {
            Some(url) => GitError::Remote {
                url: Box::new(url.clone()),
                fault: RemoteFault::of(&said),
                message: fault::message(&said),
            },
            None => GitError::Failed {
                what: self.name(),
                code: ended.status.code(),
                message: fault::message(&said),
            },
        })
    }

    /// Runs it, and returns what it printed as a text without the last newline.
    pub fn text(self) -> Result<String, GitError> {
        let printed = self.run()?;
        let text = String::from_utf8_lossy(&printed);
        Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }

    /// Starts it as a process that answers what it is asked, for as long as it is kept.
    pub(super) fn start(&self) -> Result<(Helper, ChildStdin, ChildStdout), GitError> {
        Helper::start(&mut self.command()).map_err(|failed| failed.named(&self.program, &self.name()))
    }

    /// Makes the process to start.
    fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command.env("GIT_CONFIG_COUNT", self.config.len().to_string());
        for (number, (key, value)) in self.config.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        command.arg("--no-pager").args(&self.args);
        command
    }

    fn name(&self) -> String {
        let first = self.args.first().map(|arg| arg.to_string_lossy().into_owned());
        format!("git {}", first.unwrap_or_default())
    }

    fn redacted(&self, said: &str) -> String {
        let mut said = said.to_owned();
        for secret in self.hidden.iter().filter(|secret| !secret.is_empty()) {
            said = said.replace(secret.expose(), "***");
        }
        said
    }
}

#[cfg(test)]
mod tests;
