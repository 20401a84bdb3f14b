//! Real repositories in temporary directories, made by the `git` command, for tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{Checkout, CommitId, Options};

/// A repository with the branch `main`.
pub(crate) struct Repo {
    keep: TempDir,
}

impl Repo {
    pub(crate) fn new() -> Self {
        let repo = Self {
            keep: tempfile::tempdir().unwrap(),
        };
        repo.git(&["init", "-q", "-b", "main"]);
        repo
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
        open(self.dir(), path)
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
    let checkout = open(keep.path(), "");
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
