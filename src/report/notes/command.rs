//! Notes through the `git` command, in repositories that libgit2 cannot write (SHA-256, reftable). As elsewhere only
//! objects and the one ref are written, the ref by compare-and-swap.

use std::path::Path;

use jiff::Timestamp;

use super::{IDENTITY, MAX_NOTE, REF, owner};
use crate::repo::{
    CommitId,
    git::{Git, GitCommand, GitError},
};

/// Reads the note of a commit.
pub(super) fn read(git: &Git, dir: &Path, commit: &CommitId) -> Result<Option<String>, GitError> {
    match tip(git, dir)? {
        Some(tip) => Ok(find(git, dir, &tip, commit)?.map(|(_, text)| text)),
        None => Ok(None),
    }
}

/// Changes the note of a commit once; false if somebody else wrote in between.
pub(super) fn change(
    git: &Git,
    dir: &Path,
    commit: &CommitId,
    now: Timestamp,
    change: impl FnOnce(&str) -> String,
) -> Result<bool, GitError> {
    let tip = tip(git, dir)?;
    let found = match &tip {
        Some(tip) => find(git, dir, tip, commit)?,
        None => None,
    };
    let (path, before) = found.unwrap_or_else(|| (commit.to_string(), String::new()));
    let after = change(&before);
    if before == after {
        return Ok(true);
    }
    let new = write(git, dir, tip.as_deref(), &path, &after, (commit, now))?;
    let zeros = "0".repeat(commit.as_str().len());
    let old = tip.as_deref().unwrap_or(&zeros);
    let moved = git
        .local(dir)
        .args(["update-ref", "-m", "serin", REF, &new, old])
        .run();
    hand_over(git, dir, &new, tip.as_deref());
    match moved {
        Ok(_) => Ok(true),
        // Lost the race, unless the ref is as it was.
        Err(error) if self::tip(git, dir)? == tip => Err(error),
        Err(_) => Ok(false),
    }
}

/// Writes the objects of a changed note, and returns the commit.
fn write(
    git: &Git,
    dir: &Path,
    tip: Option<&str>,
    path: &str,
    text: &str,
    (commit, now): (&CommitId, Timestamp),
) -> Result<String, GitError> {
    let local = |args: &[&str]| git.local(dir).args(args);
    let blob = local(&["hash-object", "-w", "--stdin"]).input(text).text()?;
    // An index of our own: that of the work tree is not touched.
    let index = tempfile::tempdir().map_err(|error| GitError::Failed {
        what: "git update-index".to_owned(),
        code: None,
        message: error.to_string(),
    })?;
    let file = index.path().join("index");
    let indexed = |command: GitCommand| command.env("GIT_INDEX_FILE", &file);
    if let Some(tip) = tip {
        indexed(local(&["read-tree", tip])).run()?;
    }
    let entry = format!("100644,{blob},{path}");
    indexed(local(&["update-index", "--add", "--cacheinfo", &entry])).run()?;
    let tree = indexed(local(&["write-tree"])).text()?;
    let mut command = local(&["commit-tree", &tree]);
    if let Some(tip) = tip {
        command = command.args(["-p", tip]);
    }
    let date = format!("{} +0000", now.as_second());
    for who in ["AUTHOR", "COMMITTER"] {
        command = command
            .env(&format!("GIT_{who}_NAME"), IDENTITY.0)
            .env(&format!("GIT_{who}_EMAIL"), IDENTITY.1)
            .env(&format!("GIT_{who}_DATE"), &date);
    }
    command
        .input(format!("Notes added by serin for {commit}\n"))
        .text()
}

fn tip(git: &Git, dir: &Path) -> Result<Option<String>, GitError> {
    maybe(git.local(dir).args(["rev-parse", "--verify", "-q", REF]))
}

/// Finds a note at a commit of the ref: its path, however the tree is split into directories, and its text.
fn find(git: &Git, dir: &Path, tip: &str, commit: &CommitId) -> Result<Option<(String, String)>, GitError> {
    let listed = git
        .local(dir)
        .args(["ls-tree", "-r", "-z", "--full-tree", tip])
        .run()?;
    let listed = String::from_utf8_lossy(&listed);
    let mut entries = listed.split('\0').filter_map(|entry| entry.split_once('\t'));
    let wanted = commit.as_str();
    let same = |path: &str| path.bytes().filter(|byte| *byte != b'/').eq(wanted.bytes());
    let Some((about, path)) = entries.find(|(_, path)| same(path)) else {
        return Ok(None);
    };
    let blob = about.rsplit(' ').next().unwrap_or_default();
    let text = git
        .local(dir)
        .args(["cat-file", "blob", blob])
        .limit(MAX_NOTE)
        .run()?;
    Ok(Some((
        path.to_owned(),
        String::from_utf8_lossy(&text).into_owned(),
    )))
}

/// Gives what was written to the owner of the repository. Best effort.
fn hand_over(git: &Git, dir: &Path, new: &str, tip: Option<&str>) {
    let mut command = git.local(dir).args(["rev-list", "--objects", new]);
    if let Some(tip) = tip {
        command = command.arg(format!("^{tip}"));
    }
    let common = git
        .local(dir)
        .args(["rev-parse", "--path-format=absolute", "--git-common-dir"])
        .text();
    if let (Ok(listed), Ok(common)) = (command.text(), common) {
        let ids = listed.lines().filter_map(|line| line.split(' ').next());
        owner::hand_over(Path::new(&common), ids, REF);
    }
}

/// Runs a command that tells by its exit code that there is nothing.
fn maybe(command: GitCommand) -> Result<Option<String>, GitError> {
    match command.text() {
        Ok(text) => Ok(Some(text)),
        Err(GitError::Failed { code: Some(1), .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
