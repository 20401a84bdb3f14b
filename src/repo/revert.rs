//! The commit that takes changes back, on a branch of its own. It is made in a bare repository that lasts only
//! as long as the work: the objects of the source are read there, and nothing is ever written to the source,
//! its index or its work tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use git2::{
    ErrorCode, FileMode, Index, MergeOptions, Oid, Repository, Signature, Time, build::TreeUpdateBuilder,
};
use tempfile::TempDir;

use super::{
    CommitId,
    git::{Git, GitError, Remote},
    open,
};

/// Who makes the commits.
const IDENTITY: (&str, &str) = ("Serin", "serin@localhost");
/// How many commits are searched for earlier reverts.
const SEARCHED: usize = 300;
/// The largest file that is searched for markers.
const MAX_FILE: usize = 1 << 20;
/// What marks a line that Flux's image automation writes.
const MARKER: &str = "\"$imagepolicy\"";

/// The word before the id of the commit that is taken back, and the name of the one it is taken back for, at the
/// end of a message.
pub const TRAILER: &str = "Serin-Reverts";

/// What is taken back, and how the commit is to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// Commits and those of their files that are taken back, newest first.
    pub steps: Vec<(CommitId, BTreeSet<String>)>,
    /// The commit to build on.
    pub onto: CommitId,
    /// The name that it is taken back for, as in the trailer.
    pub name: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The tree without the changes; none if it has none of them (any more).
    tree: Option<Oid>,
    /// Image policies whose markers are on lines that are taken back: an automation would write them again.
    pub policies: BTreeSet<String>,
}

impl Undone {
    /// Whether there is nothing to take back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tree.is_none()
    }
}

/// Why changes cannot be taken back. None of these passes by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevertError {
    /// A file was changed again where the commit changed it.
    #[error("`{file}` was changed again since, in the same place")]
    Conflict {
        /// The file.
        file: String,
    },
    /// A file is not there any more, or not as it was.
    #[error("`{file}` was removed or moved since")]
    Moved {
        /// The file.
        file: String,
    },
    /// The commit takes back what Serin was asked to take back.
    #[error("it is itself a revert made by Serin")]
    OwnRevert,
    /// What was taken back before is here again.
    #[error("what commit {} had taken back is here again: an image automation, or a person, wrote it anew", .0.short())]
    CameBack(CommitId),
    /// The history that is needed is not here.
    #[error("the commit before {} is not known here (a shallow clone?)", .0.short())]
    NoParent(CommitId),
    /// A repository that libgit2 does not read.
    #[error("reverts are not made in SHA-256 repositories")]
    Sha256,
    /// Anything else that git reports.
    #[error("git: {0}")]
    Git(String),
}

impl From<git2::Error> for RevertError {
    fn from(error: git2::Error) -> Self {
        Self::Git(error.message().to_owned())
    }
}

/// A bare repository for one commit.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Makes one that reads the objects of the repository at `source`. Blocks.
    pub fn beside(source: &Path) -> Result<Self, RevertError> {
        let found = open(source).map_err(|error| RevertError::Git(error.to_string()))?;
        let common = found
            .commondir()
            .canonicalize()
            .map_err(|error| RevertError::Git(error.to_string()))?;
        let dir = tempfile::tempdir().map_err(|error| RevertError::Git(error.to_string()))?;
        let mut init = git2::RepositoryInitOptions::new();
        init.bare(true).external_template(false).initial_head("main");
        Repository::init_opts(dir.path(), &init)?;
        let write = |name: &str, text: String| {
            let path = dir.path().join(name);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(path, text)
        };
        let alternates = format!("{}\n", common.join("objects").display());
        write("objects/info/alternates", alternates).map_err(|error| RevertError::Git(error.to_string()))?;
        // Without it git would look for the parents of the oldest commits of a shallow clone.
        if let Ok(shallow) = fs::read_to_string(common.join("shallow")) {
            write("shallow", shallow).map_err(|error| RevertError::Git(error.to_string()))?;
        }
        Ok(Self { dir })
    }

    /// Returns where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Takes changes back. Blocks.
    pub fn undo(&self, undo: &Undo) -> Result<Undone, RevertError> {
        let repository = self.open()?;
        let onto = commit(&repository, &undo.onto)?;
        if let Some((failed, files)) = undo.steps.first() {
            guard(&repository, failed, files, &undo.name)?;
        }
        let mut tree = onto.tree()?;
        let mut policies = BTreeSet::new();
        let done = done(&repository, undo, &tree)?;
        for (id, files) in &undo.steps {
            let files: BTreeSet<String> = files.difference(&done).cloned().collect();
            let changed = commit(&repository, id)?;
            let before = before(&repository, &changed, id)?;
            let after = changed.tree()?;
            policies.extend(marked(&repository, &before, &after, &files));
            let merged = merge(&repository, &after, &tree, &before)?;
            tree = take(&repository, &tree, &merged, &files)?;
        }
        let tree = Some(tree.id()).filter(|tree| *tree != onto.tree_id());
        Ok(Undone { tree, policies })
    }

    /// Makes the commit of what was taken back. Blocks.
    pub fn commit(
        &self,
        undone: &Undone,
        onto: &CommitId,
        message: &str,
        seconds: i64,
    ) -> Result<CommitId, RevertError> {
        let repository = self.open()?;
        let parent = commit(&repository, onto)?;
        let tree = repository.find_tree(undone.tree.unwrap_or(parent.tree_id()))?;
        let who = Signature::new(IDENTITY.0, IDENTITY.1, &Time::new(seconds, 0))?;
        let id = repository.commit(None, &who, &who, message, &tree, &[&parent])?;
        Ok(id.into())
    }

    /// Makes a branch of the remote, which must not have it yet. Blocks.
    pub fn push(&self, git: &Git, remote: &Remote, id: &CommitId, branch: &str) -> Result<(), GitError> {
        git.remote(self.dir(), remote)?
            .args(["push", "--no-follow-tags", "--no-verify", "--"])
            .arg(remote.url())
            .arg(format!("{id}:refs/heads/{branch}"))
            .run()
            .map(drop)
    }

    fn open(&self) -> Result<Repository, RevertError> {
        open(self.dir()).map_err(|error| RevertError::Git(error.to_string()))
    }
}

/// Whether a remote has a branch. Blocks.
pub fn has_branch(git: &Git, remote: &Remote, branch: &str) -> Result<bool, GitError> {
    let found = git
        .outside(remote)?
        .args(["ls-remote", "--heads", "--"])
        .arg(remote.url())
        .arg(format!("refs/heads/{branch}"))
        .text()?;
    Ok(!found.trim().is_empty())
}

/// Whether git takes a name for a branch.
#[must_use]
pub fn is_branch_name(name: &str) -> bool {
    !name.starts_with('-') && git2::Reference::is_valid_name(&format!("refs/heads/{name}"))
}

/// The files that are already as they were before the oldest commit that is taken back.
fn done(
    repository: &Repository,
    undo: &Undo,
    onto: &git2::Tree<'_>,
) -> Result<BTreeSet<String>, RevertError> {
    let Some((oldest, _)) = undo.steps.last() else {
        return Ok(BTreeSet::new());
    };
    let wanted = before(repository, &commit(repository, oldest)?, oldest)?;
    let files = undo.steps.iter().flat_map(|(_, files)| files);
    Ok(files
        .filter(|file| entry(onto, file) == entry(&wanted, file))
        .cloned()
        .collect())
}

/// Refuses what would go round in circles.
fn guard(
    repository: &Repository,
    failed: &CommitId,
    files: &BTreeSet<String>,
    name: &str,
) -> Result<(), RevertError> {
    let failed_commit = commit(repository, failed)?;
    // A merge brings the commits of its branch.
    let mut walk = repository.revwalk()?;
    walk.push(failed_commit.id())?;
    if let Ok(parent) = failed_commit.parent_id(0) {
        walk.hide(parent).ok();
    }
    let brought = walk.take(SEARCHED).flatten();
    if brought
        .filter_map(|id| repository.find_commit(id).ok())
        .any(|commit| !reverted(&commit, name).is_empty())
    {
        return Err(RevertError::OwnRevert);
    }
    let mut walk = repository.revwalk()?;
    walk.push(failed_commit.id())?;
    let tree = failed_commit.tree()?;
    for earlier in walk.take(SEARCHED).flatten() {
        let Ok(earlier) = repository.find_commit(earlier) else {
            break;
        };
        for id in reverted(&earlier, name) {
            let Some(old) = Oid::from_str(&id)
                .ok()
                .and_then(|id| repository.find_commit(id).ok())
            else {
                continue;
            };
            let old = old.tree()?;
            let same = |file: &String| entry(&tree, file) == entry(&old, file);
            if !files.is_empty() && files.iter().all(same) {
                return Err(RevertError::CameBack(earlier.id().into()));
            }
        }
    }
    Ok(())
}

/// The commits that a message says it takes back for this name.
fn reverted(commit: &git2::Commit<'_>, name: &str) -> Vec<String> {
    let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
    let lines = message.lines().filter_map(|line| {
        let (id, of) = line.strip_prefix(TRAILER)?.strip_prefix(": ")?.split_once(' ')?;
        (of.trim() == name).then(|| id.to_owned())
    });
    lines.take(20).collect()
}

fn commit<'r>(repository: &'r Repository, id: &CommitId) -> Result<git2::Commit<'r>, RevertError> {
    if id.as_str().len() > 40 {
        return Err(RevertError::Sha256);
    }
    Ok(repository.find_commit(Oid::from_str(id.as_str())?)?)
}

/// The tree before a commit; an empty one before the first.
fn before<'r>(
    repository: &'r Repository,
    commit: &git2::Commit<'r>,
    id: &CommitId,
) -> Result<git2::Tree<'r>, RevertError> {
    if commit.parent_count() == 0 {
        let named = commit.raw_header_bytes().split(|byte| *byte == b'\n');
        if named.into_iter().any(|line| line.starts_with(b"parent ")) {
            return Err(RevertError::NoParent(id.clone()));
        }
        let empty = repository.treebuilder(None)?.write()?;
        return Ok(repository.find_tree(empty)?);
    }
    let parent = commit.parent(0).map_err(|error| match error.code() {
        ErrorCode::NotFound => RevertError::NoParent(id.clone()),
        _ => error.into(),
    })?;
    Ok(parent.tree()?)
}

fn merge(
    repository: &Repository,
    ancestor: &git2::Tree<'_>,
    ours: &git2::Tree<'_>,
    theirs: &git2::Tree<'_>,
) -> Result<Index, RevertError> {
    let mut options = MergeOptions::new();
    // A file that was moved since is told, not guessed at.
    options.find_renames(false);
    Ok(repository.merge_trees(ancestor, ours, theirs, Some(&options))?)
}

/// Takes some files out of a merge, and all others as they were.
fn take<'r>(
    repository: &'r Repository,
    tree: &git2::Tree<'r>,
    merged: &Index,
    files: &BTreeSet<String>,
) -> Result<git2::Tree<'r>, RevertError> {
    let torn = conflicts(merged)?;
    let mut update = TreeUpdateBuilder::new();
    for file in files {
        if torn.contains(file) {
            let file = file.clone();
            return Err(match entry(tree, &file) {
                Some(_) => RevertError::Conflict { file },
                None => RevertError::Moved { file },
            });
        }
        match merged.get_path(Path::new(file), 0) {
            Some(found) => update.upsert(file.as_str(), found.id, mode(found.mode)),
            None if entry(tree, file).is_some() => update.remove(file.as_str()),
            None => continue_with(&mut update),
        };
    }
    let id = update.create_updated(repository, tree)?;
    Ok(repository.find_tree(id)?)
}

/// Neither side has the file: there is nothing to do.
fn continue_with(update: &mut TreeUpdateBuilder) -> &mut TreeUpdateBuilder {
    update
}

fn conflicts(merged: &Index) -> Result<BTreeSet<String>, RevertError> {
    let mut found = BTreeSet::new();
    for conflict in merged.conflicts()? {
        let conflict = conflict?;
        let sides = [conflict.ancestor, conflict.our, conflict.their];
        for side in sides.into_iter().flatten() {
            found.insert(String::from_utf8_lossy(&side.path).into_owned());
        }
    }
    Ok(found)
}

fn mode(mode: u32) -> FileMode {
    match mode {
        0o100_755 => FileMode::BlobExecutable,
        0o120_000 => FileMode::Link,
        0o160_000 => FileMode::Commit,
        _ => FileMode::Blob,
    }
}

fn entry(tree: &git2::Tree<'_>, file: &str) -> Option<(Oid, i32)> {
    let found = tree.get_path(Path::new(file)).ok()?;
    Some((found.id(), found.filemode()))
}

/// The policies that mark lines which a commit has written.
fn marked(
    repository: &Repository,
    before: &git2::Tree<'_>,
    after: &git2::Tree<'_>,
    files: &BTreeSet<String>,
) -> BTreeSet<String> {
    let mut policies = BTreeSet::new();
    for file in files {
        let (old, new) = (text(repository, before, file), text(repository, after, file));
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for line in old.lines() {
            *known.entry(line).or_default() += 1;
        }
        for line in new.lines() {
            match known.get_mut(line).filter(|count| **count > 0) {
                Some(count) => *count -= 1,
                None => policies.extend(policy(line)),
            }
        }
    }
    policies
}

/// The policy of `# {"$imagepolicy": "flux-system:podinfo:tag"}`.
fn policy(line: &str) -> Option<String> {
    let rest = line.split_once(MARKER)?.1.trim_start().strip_prefix(':')?;
    let name = rest.trim_start().strip_prefix('"')?.split('"').next()?;
    let parts: Vec<&str> = name.splitn(3, ':').take(2).collect();
    let name: String = parts
        .join("/")
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    (!name.is_empty()).then_some(name)
}

fn text(repository: &Repository, tree: &git2::Tree<'_>, file: &str) -> String {
    let blob = entry(tree, file).and_then(|(id, _)| repository.find_blob(id).ok());
    let content = blob.as_ref().map(git2::Blob::content).unwrap_or_default();
    if content.len() > MAX_FILE {
        return String::new();
    }
    String::from_utf8_lossy(content).into_owned()
}

#[cfg(test)]
mod tests;
