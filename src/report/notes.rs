//! Commit statuses as git notes in `refs/notes/serin`: the forge that needs no server. One line per context:
//! state, context, text and maybe an address, separated by tabs; `git notes --ref=serin show` reads well.
//!
//! Only objects and that one ref are written, the ref by compare-and-swap, so that other writers lose nothing.
//! HEAD, index and work tree are never touched.

mod command;
mod owner;
mod salvage;
mod tree;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use git2::{ErrorCode, Oid, Repository, Signature, Time};

use super::{CommitState, CommitStatus, Forge, ForgeError};
use crate::{
    clock::{self, Clock},
    repo::{self, Checkout, CommitId, Options, RepoError, git::Git},
};

/// The ref that holds the notes.
pub const REF: &str = "refs/notes/serin";
/// Who writes them.
const IDENTITY: (&str, &str) = ("serin", "serin@localhost");
/// How often a lost race is run again.
const TRIES: u32 = 50;
/// So many writes in a row have to miss objects before these are taken for lost.
const MISSES: u32 = 4;
/// Greatest size of a note, in bytes.
const MAX_NOTE: usize = 1 << 20;

/// Notes in a repository on this machine.
#[derive(Clone, Debug)]
pub struct Notes {
    dir: PathBuf,
    /// Whether the commits themselves are in the repository.
    has_commits: bool,
    clock: Clock,
    /// Writes in a row that have missed an object of the notes.
    misses: Arc<AtomicU32>,
}

impl Notes {
    /// The name of this forge in `--status`.
    pub const NAME: &'static str = "notes";

    /// Finds where notes can be written: the checkout's repository if it is writable, else the bare
    /// repository `notes_repo`, which is made if it is not there. Blocks.
    pub fn choose(checkout: &Path, notes_repo: Option<&Path>, clock: Clock) -> Result<Self, ForgeError> {
        let here = Self::in_checkout(checkout, clock);
        match (here, notes_repo) {
            (Ok(notes), _) => Ok(notes),
            (Err(error), None) => Err(error),
            (Err(_), Some(dir)) => Self::in_bare(dir, clock),
        }
    }

    /// Keeps the notes in the repository of a checkout. Blocks.
    pub fn in_checkout(dir: &Path, clock: Clock) -> Result<Self, ForgeError> {
        let refuse = |text: String| ForgeError::Config {
            forge: Self::NAME.to_owned(),
            text: format!("cannot write to the repository of {}: {text}", dir.display()),
            hint: "give a directory of its own with --notes-repo DIR, or choose another forge with --status"
                .to_owned(),
        };
        let checkout = Checkout::open(dir, Options::default()).map_err(|error| refuse(error.to_string()))?;
        for part in ["objects", "refs"] {
            // Permission bits do not tell (root, read-only mounts): only trying does.
            tempfile::tempfile_in(checkout.common_dir().join(part))
                .map_err(|error| refuse(error.to_string()))?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            has_commits: true,
            clock,
            misses: Arc::default(),
        })
    }

    /// Keeps the notes in a bare repository, which is made if it is not there. Blocks.
    pub fn in_bare(dir: &Path, clock: Clock) -> Result<Self, ForgeError> {
        let opened = match repo::open(dir) {
            Ok(_) => Ok(()),
            Err(_) if is_empty(dir) => Repository::init_bare(dir).map(drop).map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        opened.map_err(|text| ForgeError::Config {
            forge: Self::NAME.to_owned(),
            text: format!("cannot use {} for notes: {text}", dir.display()),
            hint: "give --notes-repo a writable directory that is empty or a bare repository".to_owned(),
        })?;
        Ok(Self {
            dir: dir.to_owned(),
            has_commits: false,
            clock,
            misses: Arc::default(),
        })
    }

    /// Reads the notes of the repository that has some: `notes_repo`, or else that of the checkout. Blocks.
    #[must_use]
    pub fn to_read(checkout: &Path, notes_repo: Option<&Path>, clock: Clock) -> Self {
        let has_notes = |dir: &&Path| {
            let repository = repo::open(dir).ok();
            repository.is_some_and(|repository| repository.find_reference(REF).is_ok())
        };
        let dir = notes_repo.filter(has_notes);
        Self {
            dir: dir.unwrap_or(checkout).to_owned(),
            has_commits: dir.is_none(),
            clock,
            misses: Arc::default(),
        }
    }

    /// Opens the repository; nothing of one that takes the `git` command.
    fn open(&self) -> Result<Option<Repository>, ForgeError> {
        match repo::open(&self.dir) {
            Ok(repository) => Ok(Some(repository)),
            Err(RepoError::Unsupported { .. }) => Ok(None),
            Err(error) => Err(unavailable(&error.to_string())),
        }
    }

    fn try_post_by_command(&self, commit: &CommitId, status: &CommitStatus) -> Result<bool, ForgeError> {
        let git = Git::find();
        let words = format!("{commit}^{{commit}}");
        let known = git
            .local(&self.dir)
            .args(["rev-parse", "--verify", "-q", &words])
            .text();
        if self.has_commits && known.is_err() {
            return Err(unknown(commit));
        }
        let changed = command::change(&git, &self.dir, commit, self.clock.now(), |note| {
            with_line(note, status)
        });
        changed.map_err(|error| unavailable(&error.to_string()))
    }

    /// Writes once; false if somebody else wrote in between.
    fn try_post(&self, commit: &CommitId, status: &CommitStatus) -> Result<bool, ForgeError> {
        let Some(repository) = self.open()? else {
            return self.try_post_by_command(commit, status);
        };
        if self.has_commits && repository.find_commit(oid(commit)?).is_err() {
            return Err(unknown(commit));
        }
        match self.write(&repository, commit, status) {
            Ok(()) => {
                self.misses.store(0, Ordering::Relaxed);
                Ok(true)
            }
            Err(error) if salvage::is_missing(&error) => self.miss(&repository, &error),
            Err(error)
                if matches!(
                    error.code(),
                    ErrorCode::Modified | ErrorCode::Exists | ErrorCode::Locked
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(unavailable(error.message())),
        }
    }

    /// An object of the notes is not there: it may come back (a disk, a repack), or was lost.
    fn miss(&self, repository: &Repository, error: &git2::Error) -> Result<bool, ForgeError> {
        if self.misses.fetch_add(1, Ordering::Relaxed) + 1 < MISSES {
            return Err(unavailable(error.message()));
        }
        self.misses.store(0, Ordering::Relaxed);
        match salvage::go_back(repository, REF) {
            Ok(()) => Ok(false),
            Err(error) => Err(unavailable(error.message())),
        }
    }

    fn write(
        &self,
        repository: &Repository,
        commit: &CommitId,
        status: &CommitStatus,
    ) -> Result<(), git2::Error> {
        let tip = tip(repository)?;
        let root = tip.as_ref().map(git2::Commit::tree).transpose()?;
        let before = match &root {
            Some(root) => tree::get(repository, root, commit.as_str())?,
            None => None,
        };
        let before = before.map(|blob| note_text(repository, blob)).transpose()?;
        let after = with_line(before.as_deref().unwrap_or_default(), status);
        if before.as_deref() == Some(after.as_str()) {
            return Ok(());
        }
        let blob = repository.blob(after.as_bytes())?;
        let mut written = vec![blob];
        let root = tree::put(repository, root.as_ref(), commit.as_str(), blob, &mut written)?;
        let seconds = self.clock.now().as_second();
        let who = Signature::new(IDENTITY.0, IDENTITY.1, &Time::new(seconds, 0))?;
        let message = format!("Notes added by serin for {commit}\n");
        let parents: Vec<_> = tip.iter().collect();
        let tree = repository.find_tree(root)?;
        let new = repository.commit(None, &who, &who, &message, &tree, &parents)?;
        written.push(new);
        let moved = match &tip {
            Some(tip) => repository.reference_matching(REF, new, true, tip.id(), "serin"),
            None => repository.reference(REF, new, false, "serin"),
        };
        // Also after a lost race: the objects are there all the same.
        let written: Vec<String> = written.iter().map(ToString::to_string).collect();
        owner::hand_over(repository.commondir(), written.iter().map(String::as_str), REF);
        moved.map(drop)
    }

    fn read_now(&self, commit: &CommitId) -> Result<Vec<CommitStatus>, ForgeError> {
        let Some(repository) = self.open()? else {
            let text = command::read(&Git::find(), &self.dir, commit);
            return Ok(statuses_of(
                &text
                    .map_err(|error| unavailable(&error.to_string()))?
                    .unwrap_or_default(),
            ));
        };
        let text = (|| {
            let Some(tip) = tip(&repository)? else {
                return Ok(None);
            };
            let blob = tree::get(&repository, &tip.tree()?, commit.as_str())?;
            blob.map(|blob| note_text(&repository, blob)).transpose()
        })();
        let text = text.map_err(|error: git2::Error| unavailable(error.message()))?;
        Ok(statuses_of(&text.unwrap_or_default()))
    }
}

impl Forge for Notes {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn post<'a>(
        &'a self,
        commit: &'a CommitId,
        status: &'a CommitStatus,
    ) -> BoxFuture<'a, Result<(), ForgeError>> {
        async move {
            for round in 0..TRIES {
                let (notes, commit, status) = (self.clone(), commit.clone(), status.clone());
                if blocking(move || notes.try_post(&commit, &status)).await? {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(u64::from(round.min(10)) * 5)).await;
            }
            Err(ForgeError::Contended {
                forge: Self::NAME.to_owned(),
            })
        }
        .boxed()
    }

    fn read<'a>(&'a self, commit: &'a CommitId) -> BoxFuture<'a, Result<Vec<CommitStatus>, ForgeError>> {
        let (notes, commit) = (self.clone(), commit.clone());
        blocking(move || notes.read_now(&commit)).boxed()
    }

    fn progress_interval(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// Runs something that blocks. In virtual time the clock stands still meanwhile.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ForgeError> + Send + 'static,
) -> Result<T, ForgeError> {
    match clock::off_thread(clock::Turn::Notes, work).await {
        Ok(result) => result,
        Err(error) => Err(unavailable(&error.to_string())),
    }
}

fn tip(repository: &Repository) -> Result<Option<git2::Commit<'_>>, git2::Error> {
    match repository.find_reference(REF) {
        Ok(reference) => reference.peel_to_commit().map(Some),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn note_text(repository: &Repository, blob: Oid) -> Result<String, git2::Error> {
    let blob = repository.find_blob(blob)?;
    let content = blob.content();
    if content.len() > MAX_NOTE {
        return Err(git2::Error::from_str("a note is larger than 1 MiB"));
    }
    Ok(String::from_utf8_lossy(content).into_owned())
}

fn statuses_of(note: &str) -> Vec<CommitStatus> {
    let mut statuses: Vec<_> = note.lines().filter_map(parse).collect();
    statuses.sort_by(|a, b| a.context.cmp(&b.context));
    statuses
}

/// Puts the line of a status into a note, in the place of the context's old one. Other lines stay.
fn with_line(note: &str, status: &CommitStatus) -> String {
    let line = line(status);
    let mut lines: Vec<&str> = Vec::new();
    let mut placed = false;
    for old in note.lines() {
        if parse(old).is_none_or(|known| known.context != status.context) {
            lines.push(old);
        } else if !placed {
            placed = true;
            lines.push(&line);
        }
    }
    if !placed {
        lines.push(&line);
    }
    lines.join("\n") + "\n"
}

fn line(status: &CommitStatus) -> String {
    let mut line = format!("{}\t{}\t{}", status.state, status.context, status.description);
    if let Some(url) = &status.target_url {
        line.push('\t');
        line.push_str(url);
    }
    line
}

fn parse(line: &str) -> Option<CommitStatus> {
    let mut parts = line.split('\t');
    let state: CommitState = parts.next()?.parse().ok()?;
    let (context, description) = (parts.next()?, parts.next()?);
    let url = parts.next().map(str::to_owned);
    Some(CommitStatus::new(context, state, description).with_url(url))
}

fn oid(commit: &CommitId) -> Result<Oid, ForgeError> {
    Oid::from_str(commit.as_str()).map_err(|error| ForgeError::Invalid {
        forge: Notes::NAME.to_owned(),
        text: error.message().to_owned(),
    })
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).map_or_else(
        |error| error.kind() == std::io::ErrorKind::NotFound,
        |mut entries| entries.next().is_none(),
    )
}

fn unavailable(text: &str) -> ForgeError {
    ForgeError::Unavailable {
        forge: Notes::NAME.to_owned(),
        text: crate::http::excerpt(text, 200),
        retry_after: None,
    }
}

fn unknown(commit: &CommitId) -> ForgeError {
    ForgeError::UnknownCommit {
        forge: Notes::NAME.to_owned(),
        commit: commit.to_string(),
    }
}
