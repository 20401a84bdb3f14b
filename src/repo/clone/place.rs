//! Where a clone is kept: a name of its own in the directory of clones, a lock, and what a crash leaves behind.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{CloneOptions, RepoError};
use crate::repo::{checkout::clean_path, git::Git};

/// The place of one clone. No other process has it for as long as this lives, and its git processes do.
pub(super) struct Place {
    repository: PathBuf,
    lock: File,
    path: String,
}

impl Place {
    pub(super) fn take(options: &CloneOptions) -> Result<Self, RepoError> {
        let failed = |error: io::Error| RepoError::Other {
            dir: options.dir.clone(),
            message: error.to_string(),
        };
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&options.dir)
            .map_err(failed)?;
        let dir = options.dir.canonicalize().map_err(failed)?;
        let name = name(options);
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(dir.join(format!("{name}.lock")))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(RepoError::Taken {
                    dir: dir.join(format!("{name}.git")),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let place = Self {
            repository: dir.join(format!("{name}.git")),
            lock,
            path: clean_path(&options.path)?,
        };
        // None of our git processes runs: it would hold the lock.
        Self::clean_up(&place.repository, true);
        Ok(place)
    }

    pub(super) fn repository(&self) -> &Path {
        &self.repository
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The lock once more, for a process that must not lose it when this one dies.
    pub(super) fn lock(&self) -> Result<File, RepoError> {
        self.lock.try_clone().map_err(|error| self.failed(&error))
    }

    /// Makes the repository if it is not there, or is of another hash. Tells whether it was made.
    pub(super) fn prepare(&self, git: &Git, hash: &str) -> Result<bool, RepoError> {
        // A fetch that was ended. Notes may be written meanwhile, elsewhere.
        Self::clean_up(&self.repository, false);
        Self::clean_up(&self.repository.join("refs/heads"), true);
        Self::clean_up(&self.repository.join("objects/pack"), true);
        if self.repository.is_dir() {
            let format = ["rev-parse", "--show-object-format"];
            if git
                .local(&self.repository)
                .args(format)
                .text()
                .is_ok_and(|found| found == hash)
            {
                return Ok(false);
            }
            tracing::warn!(dir = %self.repository.display(), "The clone is damaged, or of another format: it is made anew.");
            fs::remove_dir_all(&self.repository).map_err(|error| self.failed(&error))?;
        }
        // Under another name first: what has the right name is whole.
        let fresh = self.repository.with_extension("new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(|error| self.failed(&error))?;
        }
        git.local(&fresh)
            .args(["init", "--quiet", "--bare", "--template="])
            .arg(format!("--object-format={hash}"))
            .run()?;
        fs::rename(&fresh, &self.repository).map_err(|error| self.failed(&error))?;
        Ok(true)
    }

    /// Removes locks and half-written packs of git processes that were killed.
    fn clean_up(dir: &Path, below: bool) {
        let mut open = vec![dir.to_owned()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    if below {
                        open.push(entry.path());
                    }
                } else if name.ends_with(".lock") || name.starts_with("tmp_") {
                    fs::remove_file(entry.path()).ok();
                }
            }
        }
    }

    fn failed(&self, error: &io::Error) -> RepoError {
        RepoError::Other {
            dir: self.repository.clone(),
            message: error.to_string(),
        }
    }
}

/// A name that tells people what it is, and is different for each remote and branch.
fn name(options: &CloneOptions) -> String {
    let url = options.remote.url();
    let text = format!("{url}\n{}", options.branch.as_deref().unwrap_or_default());
    let digest = Sha256::digest(text.as_bytes());
    let number = digest
        .iter()
        .take(6)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let letters = url
        .name()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let letters: String = letters.take(40).collect();
    format!("{letters}-{number:012x}")
}

/// Where clones are kept when no directory is named: in the user's cache, or, where there is none (a container),
/// in the directory for temporary files, if nobody else can have put something there.
pub fn default_dir() -> Result<PathBuf, RepoError> {
    let set = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home = || Some(set("HOME")?.join(".cache")).filter(|dir| usable(dir));
    if let Some(cache) = set("XDG_CACHE_HOME").filter(|dir| usable(dir)).or_else(home) {
        return Ok(cache.join("serin").join("clones"));
    }
    let user = rustix::process::geteuid().as_raw();
    let dir = std::env::temp_dir().join(format!("serin-clones-{user}"));
    DirBuilder::new().recursive(true).mode(0o700).create(&dir).ok();
    let is_ours = fs::symlink_metadata(&dir)
        .is_ok_and(|meta| meta.is_dir() && meta.uid() == user && meta.mode() & 0o022 == 0);
    if is_ours {
        Ok(dir)
    } else {
        Err(RepoError::NoCloneDir { dir })
    }
}

/// Whether files can be made in a directory, or it can be made.
fn usable(dir: &Path) -> bool {
    DirBuilder::new().recursive(true).create(dir).is_ok() && tempfile::tempfile_in(dir).is_ok()
}
