//! A repository as the `git` command reads it: for formats that libgit2 does not know.

mod objects;
mod parse;

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use super::{
    BlobId, Change, Commit, CommitId, Log, RepoError, Revision, Since, Tree,
    backend::{Backend, Parent},
    git::{Git, GitCommand, GitError, OLDEST, Version},
    log::MAX_COMMITS,
    open,
};
use objects::{Found, Objects};

/// The first git that reads reftable.
const REFTABLE: Version = Version(2, 45);
/// A longer message of a commit is not looked at.
const MAX_MESSAGE: usize = 1 << 20;

/// A repository that commands read.
pub(super) struct Commands {
    /// The directory that the user has given, for messages.
    dir: PathBuf,
    /// Where it was when it was opened, links followed.
    real: PathBuf,
    common: PathBuf,
    git: Git,
    objects: Mutex<Objects>,
}

impl Commands {
    /// Opens a repository for whose format libgit2 gave up; `what` is the format.
    pub(super) fn open(dir: &Path, real: &Path, git: &Git, what: &str) -> Result<Self, RepoError> {
        let refuse = |oldest: Version, found: String| RepoError::NeedsGit {
            dir: dir.to_owned(),
            what: what.to_owned(),
            oldest,
            found,
        };
        // Reading a partial clone would fetch; and no git reads what it has no name for.
        if what.contains("partialclone") || !what.contains("extensions.") {
            return Err(RepoError::Unsupported {
                dir: dir.to_owned(),
                what: what.to_owned(),
            });
        }
        let oldest = if what.contains("refstorage") {
            REFTABLE
        } else {
            OLDEST
        };
        match git.version() {
            Ok(found) if found >= oldest => {}
            Ok(found) => return Err(refuse(oldest, format!("it is version {found}"))),
            Err(error) => return Err(refuse(oldest, error.to_string())),
        }
        let asked = git
            .local(real)
            .args(["rev-parse", "--path-format=absolute", "--git-common-dir"])
            .text();
        let common = asked.map_err(|error| match error {
            GitError::Failed { message, .. } if message.contains("extension") => RepoError::Unsupported {
                dir: dir.to_owned(),
                what: what.to_owned(),
            },
            error => error.into(),
        })?;
        Ok(Self {
            dir: dir.to_owned(),
            real: real.to_owned(),
            common: common.into(),
            git: git.clone(),
            objects: Mutex::new(Objects::new(git.local(real))),
        })
    }

    fn git(&self, args: &[&str]) -> GitCommand {
        self.git.local(&self.real).args(args)
    }

    /// Runs a command that tells by its exit code that there is nothing.
    fn maybe(&self, args: &[&str]) -> Result<Option<String>, RepoError> {
        match self.git(args).text() {
            Ok(text) => Ok(Some(text)),
            Err(GitError::Failed { code: Some(1), .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn id_of(&self, words: &str) -> Result<Option<CommitId>, RepoError> {
        let words = format!("{words}^{{commit}}");
        let found = self.maybe(&["rev-parse", "--verify", "-q", "--end-of-options", &words])?;
        Ok(found.and_then(|text| text.parse().ok()))
    }

    fn has(&self, id: &CommitId) -> Result<bool, RepoError> {
        let mut objects = self
            .objects
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(matches!(objects.find(id.as_str(), 0)?, Found::Large { kind, .. } if kind == "commit"))
    }

    fn must_have(&self, id: &CommitId) -> Result<(), RepoError> {
        if self.has(id)? {
            return Ok(());
        }
        Err(RepoError::Gone {
            dir: self.dir.clone(),
            id: id.clone(),
        })
    }

    /// The raw commit; nothing of one that is absurdly large.
    fn raw(&self, id: &str) -> Result<Vec<u8>, RepoError> {
        let mut objects = self
            .objects
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match objects.find(id, MAX_MESSAGE)? {
            Found::Is { kind, data } if kind == "commit" => Ok(data),
            _ => Ok(Vec::new()),
        }
    }

    fn commits(&self, listed: &str) -> Result<Vec<Commit>, RepoError> {
        let ids = listed.lines().filter_map(|line| line.parse::<CommitId>().ok());
        ids.map(|id| {
            let raw = self.raw(id.as_str())?;
            Ok(Commit::new(id, parse::message(&raw)))
        })
        .collect()
    }

    fn since(&self, from: &CommitId, to: &CommitId) -> Result<Since, RepoError> {
        if !self.has(from)? {
            return Ok(Since::Gone);
        }
        let ancestor = self.maybe(&["merge-base", "--is-ancestor", from.as_str(), to.as_str()])?;
        Ok(match ancestor {
            Some(_) => Since::Linear,
            None if self.is_shallow() => Since::Unknown,
            None => Since::Rewritten,
        })
    }

    fn list(&self, path: &str, id: &CommitId) -> Result<Vec<u8>, RepoError> {
        self.must_have(id)?;
        let mut command = self.git(&["ls-tree", "-r", "-t", "-z", "--full-tree", id.as_str()]);
        if !path.is_empty() {
            command = command.arg("--").arg(format!("{path}/"));
        }
        command.run().map_err(|error| match error {
            GitError::TooMuch { .. } => super::tree::too_many(path, id),
            error => error.into(),
        })
    }
}

impl Backend for Commands {
    fn git_dir(&self) -> PathBuf {
        open::git_dir(&self.real)
    }

    fn common_dir(&self) -> PathBuf {
        self.common.clone()
    }

    fn is_shallow(&self) -> bool {
        self.common.join("shallow").is_file()
    }

    fn head(&self, branch: Option<&str>) -> Result<Revision, RepoError> {
        let attached = self
            .maybe(&["symbolic-ref", "-q", "HEAD"])?
            .or_else(|| open::rebased(&self.git_dir()));
        let (wanted, name) = match (attached, branch) {
            (None, branch) => ("HEAD".to_owned(), branch.unwrap_or("HEAD").to_owned()),
            (Some(_), Some(branch)) => (format!("refs/heads/{branch}"), branch.to_owned()),
            (Some(full), None) => {
                let name = full.strip_prefix("refs/heads/").unwrap_or(&full).to_owned();
                (full, name)
            }
        };
        if let Some(id) = self.id_of(&wanted)? {
            return Ok(Revision { branch: name, id });
        }
        let existing = self.git(&[
            "for-each-ref",
            "--count=5",
            "--format=%(refname:strip=2)",
            "refs/heads",
        ]);
        let existing = existing.text()?.lines().map(str::to_owned).collect();
        Err(RepoError::no_branch(&self.dir, name, branch.is_some(), existing))
    }

    fn commit_of(&self, words: &str) -> Option<CommitId> {
        self.id_of(words).ok().flatten()
    }

    fn parent(&self, id: &CommitId) -> Result<Parent, RepoError> {
        self.must_have(id)?;
        let line = self.git(&["rev-list", "--parents", "-1", id.as_str()]).text()?;
        if let Some(parent) = line.split(' ').nth(1).and_then(|word| word.parse().ok()) {
            return Ok(Parent::Is(parent));
        }
        // At the boundary of a shallow clone git hides the parents that the commit names.
        Ok(if parse::names_a_parent(&self.raw(id.as_str())?) {
            Parent::Cut
        } else {
            Parent::Root
        })
    }

    fn log(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Log, RepoError> {
        self.must_have(to)?;
        let since = from.map_or(Ok(Since::First), |from| self.since(from, to))?;
        let most = if matches!(since, Since::First | Since::Gone) {
            1
        } else {
            MAX_COMMITS + 1
        };
        let most = format!("--max-count={most}");
        let mut command = self.git(&["rev-list", "--first-parent", &most, to.as_str()]);
        if let Some(from) = from.filter(|_| since != Since::Gone) {
            command = command.arg(format!("^{from}"));
        }
        let mut commits = self.commits(&command.text()?)?;
        let cut = commits.len() > MAX_COMMITS || matches!(since, Since::Gone | Since::Unknown);
        commits.truncate(MAX_COMMITS);
        Ok(Log { since, commits, cut })
    }

    fn history(&self, to: &CommitId, limit: usize) -> Result<Vec<Commit>, RepoError> {
        self.must_have(to)?;
        let most = format!("--max-count={}", limit.min(MAX_COMMITS));
        let listed = self
            .git(&["rev-list", "--first-parent", &most, to.as_str()])
            .text()?;
        self.commits(&listed)
    }

    fn tree(&self, path: &str, id: &CommitId) -> Result<Tree, RepoError> {
        let tree = parse::tree(&self.list(path, id)?, path, id)?;
        if tree.files.is_empty() && tree.unnamed == 0 && !path.is_empty() {
            return Err(RepoError::NoPath {
                path: path.to_owned(),
                id: id.clone(),
            });
        }
        Ok(tree)
    }

    fn changes(&self, path: &str, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError> {
        self.must_have(to)?;
        let Some(from) = from else {
            let files = parse::tree(&self.list(path, to)?, path, to)?.files;
            let new = |(path, entry): (&String, &super::Entry)| Change {
                path: path.clone(),
                before: None,
                after: Some(entry.id.clone()),
                mode: entry.mode,
            };
            return Ok(files.iter().map(new).collect());
        };
        self.must_have(from)?;
        let mut command = self
            .git(&["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev"])
            .args([from.as_str(), to.as_str()])
            .env("GIT_LITERAL_PATHSPECS", "1");
        if !path.is_empty() {
            command = command.arg("--").arg(path);
        }
        let mut changes = parse::changes(&command.run()?);
        changes.sort();
        Ok(changes)
    }

    fn read(&self, id: &BlobId, limit: usize) -> Result<Vec<u8>, RepoError> {
        let mut objects = self
            .objects
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match objects.find(id.as_str(), limit)? {
            Found::Is { kind, data } if kind == "blob" => Ok(data),
            Found::Large { kind, size } if kind == "blob" => Err(RepoError::TooLarge { size, limit }),
            _ => Err(RepoError::NoBlob {
                dir: self.dir.clone(),
                id: id.clone(),
            }),
        }
    }

    fn stays(&self, real: &Path) -> bool {
        self.real == real && self.common.is_dir()
    }
}
