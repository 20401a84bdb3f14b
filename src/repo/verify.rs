//! Whether commits are signed by keys of our own list. Commit and signature are hostile input: they are taken
//! apart here, strictly, and judged by `ssh-keygen` and `gpg`, which see the listed keys and nothing else.

mod commit;
mod keys;
mod openpgp;
mod ssh;

use super::{
    CommitId, RepoError, Repository, Since,
    git::{GitError, Stop, process},
};
use crate::error::{Class, Classified};

pub use keys::{Keys, KeysError};

/// How many commits of a range are judged one by one.
const MAX_COMMITS: usize = 200;

/// Judges commits. Calls block.
pub trait Verifier: std::fmt::Debug + Send + Sync {
    /// Returns why a commit is not verified; nothing if it is.
    fn verify(&self, repository: &dyn Repository, id: &CommitId) -> Result<Option<String>, VerifyError>;
}

/// Nobody but whoever brings the revisions judges them: Flux.
#[derive(Clone, Copy, Debug)]
pub struct AsBrought;

impl Verifier for AsBrought {
    fn verify(&self, repository: &dyn Repository, id: &CommitId) -> Result<Option<String>, VerifyError> {
        repository.verification(id).ok_or(VerifyError::NoCommits)
    }
}

/// Why nobody could judge a commit. It is not verified meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The repository cannot be read.
    #[error(transparent)]
    Repo(#[from] RepoError),
    /// A program is missing, or did not end as it should.
    #[error(transparent)]
    Program(#[from] GitError),
    /// The list of keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// There are no commits here.
    #[error("this source has no commits whose signatures could be judged")]
    NoCommits,
}

impl Classified for VerifyError {
    fn class(&self) -> Class {
        match self {
            Self::Repo(error) => error.class(),
            Self::Program(error) => error.class(),
            Self::Keys(error) => error.class(),
            Self::NoCommits => Class::UserMustFix,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Repo(error) => error.hint(),
            Self::Program(_) => {
                Some("install git, ssh-keygen (OpenSSH) and gpg (GnuPG) where Serin runs".to_owned())
            }
            Self::Keys(error) => error.hint(),
            Self::NoCommits => Some("give a checkout, or --repo".to_owned()),
        }
    }
}

/// Returns the commits of a range that are not verified, newest first, each with the reason; none if the newer
/// revision may be acted on. `from` is the revision that was verified last; without one only `to` is judged.
///
/// Every commit counts that changes anything, along first parents: who signs a later one does not answer for an
/// earlier one. Where the files are again as they were at `from`, nothing older counts.
pub fn unverified(
    repository: &dyn Repository,
    verifier: &dyn Verifier,
    from: Option<&CommitId>,
    to: &CommitId,
) -> Result<Vec<(CommitId, String)>, VerifyError> {
    if let Some(fact) = repository.verification(to) {
        return Ok(fact.map(|why| (to.clone(), why)).into_iter().collect());
    }
    let Some(from) = from else {
        let why = verifier.verify(repository, to)?;
        return Ok(why.map(|why| (to.clone(), why)).into_iter().collect());
    };
    let log = repository.log(Some(from), to)?;
    let unknown =
        |short: &str| format!("its history since {short}, which was verified last, is not known here");
    if log.since == Since::Gone {
        return Ok(vec![(to.clone(), unknown(from.short()))]);
    }
    let mut found = Vec::new();
    for (index, commit) in log.commits.iter().enumerate() {
        if repository.whole_changes(Some(from), &commit.id)?.is_empty() {
            return Ok(found);
        }
        if index == MAX_COMMITS {
            found.push((
                to.clone(),
                format!("more than {MAX_COMMITS} commits since {}", from.short()),
            ));
            return Ok(found);
        }
        if let Some(below) = log.commits.get(index + 1)
            && repository.whole_changes(Some(&below.id), &commit.id)?.is_empty()
        {
            continue;
        }
        if let Some(why) = verifier.verify(repository, &commit.id)? {
            found.push((commit.id.clone(), why));
        }
    }
    if log.cut && found.is_empty() {
        found.push((to.clone(), unknown(from.short())));
    }
    Ok(found)
}

/// Runs a program on some input, and returns how it ended, what it printed and what it said.
fn run(
    program: &str,
    args: &[&std::ffi::OsStr],
    input: &[u8],
) -> Result<(bool, String, String), VerifyError> {
    let mut command = std::process::Command::new(program);
    command.env_clear().env("LC_ALL", "C").args(args);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    let bounds = process::Bounds {
        output: 1 << 20,
        time: std::time::Duration::from_secs(30),
        size: None,
    };
    let input = process::Input::Bytes(input.to_owned());
    let ended = process::run(&mut command, input, &bounds, &Stop::default());
    let ended = ended.map_err(|failed| failed.named(program.as_ref(), program))?;
    let printed = String::from_utf8_lossy(&ended.printed).into_owned();
    Ok((ended.status.success(), printed, ended.said))
}

#[cfg(test)]
mod tests;
