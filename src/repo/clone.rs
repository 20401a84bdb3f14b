//! A clone of our own: a bare repository that holds one branch of a remote, kept current through the `git`
//! command. What was fetched stays readable while the remote cannot be reached, and after a crash.
//!
//! All calls block.

mod place;

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    BlobId, Change, Checkout, Commit, CommitId, Log, Options, RepoError, Repository, Revision, Tree,
    backend::Reader,
    git::{Git, GitError, Remote, RemoteFault, Stop},
};
pub use place::default_dir;

use place::Place;

/// How long it may take to list the branches of a remote.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// The most that a list of branches may hold, in bytes.
const MAX_LIST: usize = 4 << 20;
/// How many branches a message names.
const NAMED: usize = 5;
/// Objects in so many files are put together.
const LOOSE: &str = "2000";

/// What is cloned, where to, and how much of it.
#[derive(Clone, Debug)]
pub struct CloneOptions {
    /// Where it comes from.
    pub remote: Remote,
    /// The branch to follow. `None`: the default branch of the remote, whichever it is at the time.
    pub branch: Option<String>,
    /// The directory to read below the top of the repository; empty for all.
    pub path: String,
    /// The directory in which clones are kept, each under a name of its own.
    pub dir: PathBuf,
    /// How many commits are fetched, counted from the newest; 0 for all.
    pub depth: u32,
    /// How large the clone may be, in bytes.
    pub max_bytes: u64,
    /// How long one fetch may take.
    pub timeout: Duration,
}

/// A clone of our own.
pub struct RemoteClone {
    options: CloneOptions,
    git: Git,
    place: Place,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    checkout: Option<Checkout>,
    /// Why the last fetch came to nothing.
    fault: Option<RepoError>,
    /// Where the remote said that it has moved.
    moved: Option<String>,
}

/// The branch of a remote.
#[derive(Debug, PartialEq, Eq)]
struct Tip {
    branch: String,
    id: CommitId,
}

impl RemoteClone {
    /// Takes the place of the clone, which no other process may have. Fetches nothing.
    pub fn open(options: CloneOptions, git: Git) -> Result<Self, RepoError> {
        super::checkout::clean_path(&options.path)?;
        if let Some(branch) = &options.branch
            && !git2::Reference::is_valid_name(&format!("refs/heads/{branch}"))
        {
            return Err(RepoError::BadBranch {
                branch: branch.clone(),
            });
        }
        git.require(super::git::OLDEST, "a clone")?;
        let place = Place::take(&options)?;
        Ok(Self {
            options,
            git,
            place,
            state: Mutex::default(),
        })
    }

    /// The directory of the bare repository; it is there once something was fetched.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.place.repository()
    }

    /// Ends a fetch that runs, as a shutdown must.
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.git.stop()
    }

    /// Fetches what is new; tells whether anything was.
    pub fn fetch(&self) -> Result<bool, RepoError> {
        let fetched = self.fetch_now();
        self.lock().fault = fetched.as_ref().err().cloned();
        fetched
    }

    fn fetch_now(&self) -> Result<bool, RepoError> {
        let tip = self.tip()?;
        let fresh = self.place.prepare(&self.git, tip.id.hash())?;
        let dir = self.dir();
        let full = format!("refs/heads/{}", tip.branch);
        let known = self
            .git
            .local(dir)
            .args(["rev-parse", "--verify", "-q", &full])
            .text();
        let is_new = !known.is_ok_and(|id| id == tip.id.as_str());
        if is_new {
            self.fetch_branch(&full)?;
        }
        let head = self.git.local(dir).args(["symbolic-ref", "-q", "HEAD"]).text();
        if !head.is_ok_and(|head| head == full) {
            self.git.local(dir).args(["symbolic-ref", "HEAD", &full]).run()?;
        }
        if is_new {
            self.tidy();
        }
        if fresh {
            self.lock().checkout = None;
        }
        Ok(is_new)
    }

    fn fetch_branch(&self, full: &str) -> Result<(), RepoError> {
        let mut command = self.git.remote(self.dir(), &self.options.remote)?.args([
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
        ]);
        if self.options.depth > 0 {
            command = command.arg(format!("--depth={}", self.options.depth));
        }
        command
            .arg("--end-of-options")
            .arg(self.options.remote.url())
            .arg(format!("+{full}:{full}"))
            .holding(self.place.lock()?)
            .grows(self.dir(), self.options.max_bytes)
            .timeout(self.options.timeout)
            .run()?;
        Ok(())
    }

    /// Puts loose objects together once there are many. That it fails is no reason not to go on.
    fn tidy(&self) {
        let Ok(lock) = self.place.lock() else { return };
        let tidied = self
            .git
            .local(self.dir())
            .args(["gc", "--auto", "--quiet"])
            .config("gc.auto", LOOSE)
            .config("gc.autoDetach", "false")
            .config("pack.threads", "1")
            .config("pack.windowMemory", "64m")
            .holding(lock)
            .timeout(self.options.timeout)
            .run();
        if let Err(error) = tidied {
            tracing::debug!(%error, "Tidying the clone up failed.");
        }
    }

    /// Asks the remote for the newest commit of the branch.
    fn tip(&self) -> Result<Tip, RepoError> {
        let listed = match &self.options.branch {
            Some(branch) => self.list(&[], &format!("refs/heads/{branch}"))?,
            None => self.list(&["--symref"], "HEAD")?,
        };
        match read_tip(&listed, self.options.branch.as_deref()) {
            Some(tip) => Ok(tip),
            None => Err(self.no_branch()),
        }
    }

    fn list(&self, flags: &[&str], pattern: &str) -> Result<String, GitError> {
        let command = self.git.outside(&self.options.remote)?;
        let command = command
            .arg("ls-remote")
            .args(flags)
            .arg("--")
            .arg(self.options.remote.url())
            .arg(pattern);
        let limits = command
            .limit(MAX_LIST)
            .timeout(LIST_TIMEOUT.min(self.options.timeout));
        let (listed, said) = limits.run_noting()?;
        self.note_move(&said);
        Ok(String::from_utf8_lossy(&listed).into_owned())
    }

    /// Tells once that the remote answers from another address.
    fn note_move(&self, said: &str) {
        let moved = said
            .lines()
            .find_map(|line| line.trim().strip_prefix("warning: redirecting to "))
            .map(|to| crate::http::excerpt(to, 200));
        let mut state = self.lock();
        if moved.is_some() && moved != state.moved {
            let to = moved.as_deref().unwrap_or_default();
            tracing::warn!(from = %self.options.remote.url(), to, "The repository has moved; give its new address with --repo.");
        }
        state.moved = moved;
    }

    /// Says why there is no such branch: others are there, or none at all.
    fn no_branch(&self) -> RepoError {
        let listed = match self.list(&[], "refs/heads/*") {
            Ok(listed) => listed,
            Err(GitError::TooMuch { .. }) => "… refs/heads/…".to_owned(),
            Err(error) => return error.into(),
        };
        let mut names = listed
            .lines()
            .filter_map(|line| line.split_once("refs/heads/"))
            .map(|(_, name)| name);
        let some: Vec<&str> = names.by_ref().take(NAMED).collect();
        let more = if names.next().is_some() { ", …" } else { "" };
        let named = self.options.branch.as_ref();
        let (fault, message) = match (some.is_empty(), named) {
            (true, _) => (RemoteFault::Empty, "it has no branch".to_owned()),
            // It has just come back, or answered with something else before (a page of a proxy).
            (false, Some(branch))
                if listed
                    .lines()
                    .any(|line| line.ends_with(&format!("\trefs/heads/{branch}"))) =>
            {
                (
                    RemoteFault::Unreachable,
                    format!("it did not show `{branch}` at first"),
                )
            }
            (false, Some(branch)) => (
                RemoteFault::NoBranch,
                format!("`{branch}` is not among {}{more}", some.join(", ")),
            ),
            (false, None) => (
                RemoteFault::NoBranch,
                format!("its default branch is not among {}{more}", some.join(", ")),
            ),
        };
        GitError::Remote {
            url: Box::new(self.options.remote.url().clone()),
            fault,
            message,
        }
        .into()
    }

    /// Reads what was fetched.
    fn read_by<T>(&self, read: impl FnOnce(&Checkout) -> Result<T, RepoError>) -> Result<T, RepoError> {
        let mut state = self.lock();
        if state.checkout.is_none() {
            if !self.dir().is_dir() {
                return Err(state.fault.clone().unwrap_or_else(|| RepoError::NoDirectory {
                    dir: self.dir().to_owned(),
                }));
            }
            let options = Options {
                branch: None,
                path: self.options.path.clone(),
            };
            let opened = Checkout::open_by(Reader::Best, self.git.clone(), self.dir().to_owned(), options)?;
            state.checkout = Some(opened);
        }
        match &state.checkout {
            Some(checkout) => read(checkout),
            None => Err(RepoError::NoDirectory {
                dir: self.dir().to_owned(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what `git ls-remote` prints: `ref: refs/heads/main\tHEAD` (with `--symref`), `<id>\t<ref>`.
fn read_tip(listed: &str, branch: Option<&str>) -> Option<Tip> {
    let pairs = || listed.lines().filter_map(|line| line.split_once('\t'));
    let (branch, wanted) = if let Some(branch) = branch {
        (branch, format!("refs/heads/{branch}"))
    } else {
        let points = pairs().find(|(value, name)| *name == "HEAD" && value.starts_with("ref: "))?;
        (points.0.strip_prefix("ref: refs/heads/")?, "HEAD".to_owned())
    };
    let mut found = pairs().filter(|(_, name)| *name == wanted);
    let id = found.find_map(|(value, _)| value.parse().ok())?;
    Some(Tip {
        branch: branch.to_owned(),
        id,
    })
}

impl std::fmt::Debug for RemoteClone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteClone")
            .field("remote", self.options.remote.url())
            .field("dir", &self.dir())
            .finish_non_exhaustive()
    }
}

impl Repository for RemoteClone {
    fn url(&self) -> Result<Option<String>, RepoError> {
        Ok(Some(self.options.remote.url().as_str().to_owned()))
    }

    fn name(&self) -> String {
        self.options.remote.url().name().to_owned()
    }

    fn path(&self) -> &str {
        self.place.path()
    }

    fn newest(&self) -> Result<Revision, RepoError> {
        let newest = self.read_by(Checkout::newest);
        // Nothing was fetched yet: why not says more.
        newest.map_err(|error| self.lock().fault.clone().unwrap_or(error))
    }

    fn refresh(&self) -> Result<(), RepoError> {
        self.fetch().map(drop)
    }

    fn log(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Log, RepoError> {
        self.read_by(|checkout| checkout.log(from, to))
    }

    fn history(&self, to: &CommitId, limit: usize) -> Result<Vec<Commit>, RepoError> {
        self.read_by(|checkout| checkout.history(to, limit))
    }

    fn tree(&self, id: &CommitId) -> Result<Tree, RepoError> {
        self.read_by(|checkout| checkout.tree(id))
    }

    fn changes(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError> {
        self.read_by(|checkout| checkout.changes(from, to))
    }

    fn whole_tree(&self, id: &CommitId) -> Result<Tree, RepoError> {
        self.read_by(|checkout| checkout.whole_tree(id))
    }

    fn whole_changes(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError> {
        self.read_by(|checkout| checkout.whole_changes(from, to))
    }

    fn read(&self, id: &BlobId, limit: usize) -> Result<Vec<u8>, RepoError> {
        self.read_by(|checkout| checkout.read(id, limit))
    }

    fn raw_commit(&self, id: &CommitId) -> Result<Option<Vec<u8>>, RepoError> {
        self.read_by(|checkout| checkout.raw_commit(id)).map(Some)
    }

    fn git_dir(&self) -> Option<PathBuf> {
        self.read_by(|checkout| Ok(checkout.common_dir())).ok()
    }
}

#[cfg(test)]
mod tests;
