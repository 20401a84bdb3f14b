//! Opens a repository at exactly the path that was given, whoever owns it, and says precisely what is wrong
//! when that is not possible.

use std::{
    path::{Path, PathBuf},
    sync::Once,
};

use git2::{ConfigLevel, ErrorCode, Repository, RepositoryOpenFlags};

use super::RepoError;

/// How many bytes of decompressed objects libgit2 may keep.
const CACHE_BYTES: isize = 8 << 20;

/// Sets libgit2 up, once per process.
///
/// Its owner check refuses every checkout that another uid writes (git-sync's, for instance). Ours replaces
/// it: [`open`] opens the directory that the user named and never searches above it. The configuration files
/// of the machine and of the user are not read: they are not part of what the user named, and an unreadable
/// one would be an error.
fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[expect(
            unsafe_code,
            reason = "process-wide settings of libgit2, made once, before any repository"
        )]
        // SAFETY: the settings are not synchronised with other uses of libgit2; `Once` runs this before the
        // first repository of this process is opened, and nothing else in the process changes them.
        let outcome = unsafe {
            git2::opts::set_verify_owner_validation(false)
                .and_then(|()| git2::opts::set_cache_max_size(CACHE_BYTES))
                .and_then(|()| git2::opts::set_search_path(ConfigLevel::System, ""))
                .and_then(|()| git2::opts::set_search_path(ConfigLevel::XDG, ""))
                .and_then(|()| git2::opts::set_search_path(ConfigLevel::Global, ""))
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "Setting libgit2 up failed; a checkout of another owner may be refused.");
        }
    });
}

/// Opens the repository at `dir` (a work tree, a linked work tree, a symbolic link to one, or a bare one).
pub(crate) fn open(dir: &Path) -> Result<Repository, RepoError> {
    prepare();
    let none: [&std::ffi::OsStr; 0] = [];
    Repository::open_ext(dir, RepositoryOpenFlags::NO_SEARCH, none).map_err(|error| explain(dir, &error))
}

fn explain(dir: &Path, error: &git2::Error) -> RepoError {
    let dir_buf = || dir.to_owned();
    if !dir.exists() {
        return RepoError::NoDirectory { dir: dir_buf() };
    }
    if let Some(gitdir) = linked_git_dir(dir).filter(|gitdir| !gitdir.exists()) {
        return RepoError::LostGitDir {
            dir: dir_buf(),
            gitdir,
        };
    }
    if let Some(what) = unsupported(dir, error.message()) {
        return RepoError::Unsupported { dir: dir_buf(), what };
    }
    if error.code() == ErrorCode::NotFound {
        let above = dir.canonicalize().ok().and_then(|real| {
            real.ancestors()
                .skip(1)
                .find(|parent| parent.join(".git").exists())
                .map(Path::to_owned)
        });
        return RepoError::NotARepository {
            dir: dir_buf(),
            above,
        };
    }
    RepoError::Other {
        dir: dir_buf(),
        message: error.message().to_owned(),
    }
}

/// Returns the branch that a rebase in this git directory will move when it is done.
pub(super) fn rebased(git_dir: &Path) -> Option<String> {
    let named = |folder: &str| std::fs::read_to_string(git_dir.join(folder).join("head-name")).ok();
    let name = named("rebase-merge").or_else(|| named("rebase-apply"))?;
    let name = name.trim();
    name.starts_with("refs/heads/").then(|| name.to_owned())
}

/// Returns the directory in which git keeps what belongs to the repository, or work tree, at `dir`.
pub(super) fn git_dir(dir: &Path) -> PathBuf {
    if let Some(linked) = linked_git_dir(dir) {
        return linked;
    }
    let inner = dir.join(".git");
    if inner.is_dir() { inner } else { dir.to_owned() }
}

/// Returns the git directory that a `.git` file names.
fn linked_git_dir(dir: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(dir.join(".git")).ok()?;
    let named = text.strip_prefix("gitdir:")?.trim();
    Some(dir.join(named))
}

/// Names the extension that libgit2 does not support, with its value.
fn unsupported(dir: &Path, message: &str) -> Option<String> {
    let message_names = if message.contains("unsupported extension name") {
        message.rsplit(' ').next()
    } else if message.contains("object format") {
        Some("extensions.objectformat")
    } else if message.contains("repositoryformatversion") || message.contains("repository version") {
        return Some(message.to_owned());
    } else {
        None
    };
    let name = message_names?.trim_matches('\'');
    let git_dir = linked_git_dir(dir).unwrap_or_else(|| dir.join(".git"));
    let value = [
        git_dir.join("config"),
        git_dir.join("../../config"),
        dir.join("config"),
    ]
    .iter()
    .filter(|path| path.is_file())
    .find_map(|path| git2::Config::open(path).ok()?.get_string(name).ok());
    Some(value.map_or_else(|| name.to_owned(), |value| format!("{name} = {value}")))
}
