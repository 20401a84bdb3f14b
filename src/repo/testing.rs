//! Real repositories in temporary directories, made by the `git` command, for tests.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{
    Checkout, CommitId, Options, RepoError,
    backend::Reader,
    git::{Git, Version},
};

/// How a repository is made and read. Each case runs over all of them, with the same answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As most are, by libgit2.
    Library,
    /// As most are, by the `git` command.
    Command,
    /// With SHA-256 ids, which only the command can read.
    Sha256,
    /// With refs in tables, which only a new command can read.
    Reftable,
}

impl Kind {
    /// All that the git of this machine can make.
    fn all() -> Vec<Self> {
        let mut all = vec![Self::Library, Self::Command, Self::Sha256];
        if has_reftable() {
            all.push(Self::Reftable);
        }
        all
    }
}

/// Whether the git of this machine knows reftable.
pub(crate) fn has_reftable() -> bool {
    Git::find().version().unwrap() >= Version(2, 45)
}

/// A repository with the branch `main`.
pub(crate) struct Repo {
    keep: TempDir,
    kind: Kind,
}

impl Repo {
    pub(crate) fn new() -> Self {
        Self::of(Kind::Library)
    }

    /// An empty repository of each kind.
    pub(crate) fn each() -> impl Iterator<Item = Self> {
        Kind::all().into_iter().map(Self::of)
    }

    pub(crate) fn of(kind: Kind) -> Self {
        let repo = Self {
            keep: tempfile::tempdir().unwrap(),
            kind,
        };
        let format: &[&str] = match kind {
            Kind::Library | Kind::Command => &[],
            Kind::Sha256 => &["--object-format=sha256"],
            Kind::Reftable => &["--ref-format=reftable"],
        };
        repo.git(&[&["init", "-q", "-b", "main"], format].concat());
        repo
    }

    /// The hash that its ids are made by.
    pub(crate) fn hash(&self) -> &'static str {
        if self.kind == Kind::Sha256 {
            "sha256"
        } else {
            "sha1"
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.keep.path()
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(self.dir(), args)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let file = self.dir().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.dir().join(path)).unwrap();
    }

    pub(crate) fn commit(&self, files: &[(&str, &str)]) -> CommitId {
        self.commit_as("change", files)
    }

    pub(crate) fn commit_as(&self, subject: &str, files: &[(&str, &str)]) -> CommitId {
        for (path, text) in files {
            self.write(path, text);
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", subject]);
        self.head()
    }

    pub(crate) fn head(&self) -> CommitId {
        self.git(&["rev-parse", "HEAD"]).trim().parse().unwrap()
    }

    pub(crate) fn checkout(&self, path: &str) -> Checkout {
        self.open_at(self.dir(), path).unwrap()
    }

    /// Opens another directory in the way that this one is read.
    pub(crate) fn open_at(&self, dir: &Path, path: &str) -> Result<Checkout, RepoError> {
        let options = Options {
            branch: None,
            path: path.to_owned(),
        };
        self.open_with(dir, options)
    }

    pub(crate) fn open_with(&self, dir: &Path, options: Options) -> Result<Checkout, RepoError> {
        let reader = if self.kind == Kind::Command {
            Reader::Command
        } else {
            Reader::Best
        };
        Checkout::open_by(reader, Git::find(), dir.to_owned(), options)
    }

    /// Opens it to follow a branch.
    pub(crate) fn on_branch(&self, branch: &str) -> Checkout {
        let options = Options {
            branch: Some(branch.to_owned()),
            path: String::new(),
        };
        self.open_with(self.dir(), options).unwrap()
    }
}

pub(crate) fn open(dir: &Path, path: &str) -> Checkout {
    Checkout::open(
        dir,
        Options {
            branch: None,
            path: path.to_owned(),
        },
    )
    .unwrap()
}

pub(crate) fn clone_shallow(repo: &Repo, depth: u32) -> (TempDir, Checkout) {
    let keep = tempfile::tempdir().unwrap();
    let from = format!("file://{}", repo.dir().display());
    git(
        keep.path(),
        &["clone", "-q", "--depth", &depth.to_string(), &from, "."],
    );
    let checkout = repo.open_at(keep.path(), "").unwrap();
    (keep, checkout)
}

/// Runs `git` with none of the machine's configuration.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let home: PathBuf = dir.join("no-such-home");
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=Test",
            "-c",
            "user.email=test@example.invalid",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(args)
        .current_dir(dir)
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env_remove("GIT_DIR")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes a program that stands in for git.
pub(crate) fn script(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\n[ -n \"$PROBE\" ] && exit\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    // A process that another test has just forked may still hold the file open for writing.
    while Command::new(&path).env("PROBE", "1").status().is_err() {}
    path
}
