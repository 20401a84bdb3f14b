//! The files of a commit below the path that is read, and which of them differ between two commits.

use std::collections::{BTreeMap, BTreeSet};

use rpds::RedBlackTreeMapSync;
use serde::Serialize;

use super::{BlobId, CommitId, RepoError, library::Library};

/// The most files and directories that are listed.
pub(super) const MAX_ENTRIES: usize = 100_000;
/// The deepest directory that is listed.
pub(super) const MAX_DEPTH: usize = 64;

/// What an entry of a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A file.
    File,
    /// A symbolic link; its blob holds the target.
    Link,
    /// Another repository at a commit. It has no blob here.
    Submodule,
}

/// One file of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The blob; for a submodule, the commit that it is at.
    pub id: BlobId,
    /// What it is.
    pub mode: Mode,
}

/// The files of a commit by their path from the top of the repository. Cheap to clone: what is equal is shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Files in the order of their paths.
    pub files: RedBlackTreeMapSync<String, Entry>,
    /// How many entries were left out because their names are not UTF-8.
    pub unnamed: usize,
}

/// A file that differs between two commits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// Path from the top of the repository.
    pub path: String,
    /// The blob before; `None` for a new file.
    pub before: Option<BlobId>,
    /// The blob after; `None` for a deleted file.
    pub after: Option<BlobId>,
    /// What it is now; what it was for a deleted file.
    pub mode: Mode,
}

impl Tree {
    /// Lists the files that differ from those of another tree.
    #[must_use]
    pub fn changes_since(&self, old: &Self) -> Vec<Change> {
        let gone = old.files.keys().filter(|path| !self.files.contains_key(*path));
        let mut changes: Vec<Change> = self
            .files
            .keys()
            .chain(gone)
            .filter_map(|path| {
                let (before, after) = (old.files.get(path), self.files.get(path));
                let either = after.or(before).filter(|_| before != after)?;
                Some(Change {
                    path: path.clone(),
                    before: before.map(|entry| entry.id.clone()),
                    after: after.map(|entry| entry.id.clone()),
                    mode: either.mode,
                })
            })
            .collect();
        changes.sort();
        changes
    }

    /// Brings the files to what they are after some changes.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match &change.after {
                Some(id) => {
                    let entry = Entry {
                        id: id.clone(),
                        mode: change.mode,
                    };
                    self.files.insert_mut(change.path.clone(), entry);
                }
                None => {
                    self.files.remove_mut(&change.path);
                }
            }
        }
    }
}

impl Library {
    pub(super) fn tree_of(&self, path: &str, id: &CommitId) -> Result<Tree, RepoError> {
        let top = self.top(id)?;
        let root = if path.is_empty() {
            top
        } else {
            let found = top
                .get_path(path.as_ref())
                .ok()
                .and_then(|entry| entry.to_object(&self.repository).ok()?.into_tree().ok());
            found.ok_or_else(|| RepoError::NoPath {
                path: path.to_owned(),
                id: id.clone(),
            })?
        };
        self.walk(path, root, id)
    }

    pub(super) fn changes_of(
        &self,
        below: &str,
        from: Option<&CommitId>,
        to: &CommitId,
    ) -> Result<Vec<Change>, RepoError> {
        let old = from.map(|from| self.top(from)).transpose()?.map(|tree| tree.id());
        let new = self.top(to)?.id();
        let mut changes = Vec::new();
        let mut seen = 0_usize;
        // libgit2's own comparison reads every directory; here those that are the same are left alone.
        let mut open = vec![(String::new(), 0_usize, old, Some(new))];
        while let Some((dir, depth, old, new)) = open.pop() {
            let (old, new) = (self.entries(old, to)?, self.entries(new, to)?);
            seen += old.len() + new.len();
            if depth > MAX_DEPTH {
                return Err(too_deep(&dir, to));
            }
            if seen > 2 * MAX_ENTRIES {
                return Err(too_many(below, to));
            }
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let (before, after) = (old.get(name), new.get(name));
                if before == after {
                    continue;
                }
                let path = if dir.is_empty() {
                    name.clone()
                } else {
                    format!("{dir}/{name}")
                };
                let is_dir = |side: Option<&(git2::Oid, i32)>| {
                    side.filter(|(_, mode)| *mode == DIRECTORY).map(|(id, _)| *id)
                };
                let is_file = |side| Option::filter(side, |(_, mode): &&(git2::Oid, i32)| *mode != DIRECTORY);
                let dirs = (is_dir(before), is_dir(after));
                if dirs != (None, None) && (is_within(&path, below) || is_within(below, &path)) {
                    open.push((path.clone(), depth + 1, dirs.0, dirs.1));
                }
                let files = (is_file(before), is_file(after));
                if let Some((_, mode)) = files.1.or(files.0).filter(|_| is_within(&path, below)) {
                    changes.push(Change {
                        path,
                        before: files.0.map(|(id, _)| BlobId::from(*id)),
                        after: files.1.map(|(id, _)| BlobId::from(*id)),
                        mode: mode_of(*mode),
                    });
                }
            }
        }
        changes.sort();
        Ok(changes)
    }

    /// Reads a directory; nothing where there is none. Names that are not UTF-8 are left out.
    fn entries(
        &self,
        id: Option<git2::Oid>,
        of: &CommitId,
    ) -> Result<BTreeMap<String, (git2::Oid, i32)>, RepoError> {
        let Some(id) = id else { return Ok(BTreeMap::new()) };
        let tree = self
            .repository
            .find_tree(id)
            .map_err(|error| self.missing(&error, of))?;
        let named = tree.iter().filter_map(|entry| {
            let name = entry.name().ok()?.to_owned();
            Some((name, (entry.id(), entry.filemode())))
        });
        Ok(named.collect())
    }

    fn top(&self, id: &CommitId) -> Result<git2::Tree<'_>, RepoError> {
        let oid = self.oid(id)?;
        let commit = self
            .repository
            .find_commit(oid)
            .map_err(|error| self.missing(&error, id))?;
        commit.tree().map_err(|error| self.missing(&error, id))
    }

    fn walk(&self, below: &str, root: git2::Tree<'_>, id: &CommitId) -> Result<Tree, RepoError> {
        let repository = &self.repository;
        let mut tree = Tree::default();
        let mut seen = 0_usize;
        let mut open = vec![(below.to_owned(), 0_usize, root)];
        while let Some((prefix, depth, folder)) = open.pop() {
            if depth > MAX_DEPTH {
                return Err(too_deep(&prefix, id));
            }
            for entry in &folder {
                seen += 1;
                if seen > MAX_ENTRIES {
                    return Err(too_many(below, id));
                }
                let Ok(name) = entry.name() else {
                    tree.unnamed += 1;
                    continue;
                };
                let path = if prefix.is_empty() {
                    name.to_owned()
                } else {
                    format!("{prefix}/{name}")
                };
                let mode = match entry.filemode() {
                    0o040_000 => {
                        let inner = repository
                            .find_tree(entry.id())
                            .map_err(|error| self.missing(&error, id))?;
                        open.push((path, depth + 1, inner));
                        continue;
                    }
                    0o120_000 => Mode::Link,
                    0o160_000 => Mode::Submodule,
                    _ => Mode::File,
                };
                tree.files.insert_mut(
                    path,
                    Entry {
                        id: entry.id().into(),
                        mode,
                    },
                );
            }
        }
        Ok(tree)
    }
}

/// The mode of a directory.
const DIRECTORY: i32 = 0o040_000;

fn mode_of(mode: i32) -> Mode {
    match mode {
        0o120_000 => Mode::Link,
        0o160_000 => Mode::Submodule,
        _ => Mode::File,
    }
}

pub(super) fn too_deep(path: &str, id: &CommitId) -> RepoError {
    RepoError::TooMuch {
        path: path.to_owned(),
        id: id.clone(),
        what: format!("directories deeper than {MAX_DEPTH}"),
    }
}

pub(super) fn too_many(path: &str, id: &CommitId) -> RepoError {
    RepoError::TooMuch {
        path: path.to_owned(),
        id: id.clone(),
        what: format!("more than {MAX_ENTRIES} files"),
    }
}

/// Whether a path is another, or below it; every path is below `""`.
fn is_within(path: &str, dir: &str) -> bool {
    let rest = path.strip_prefix(dir);
    dir.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::{Checkout, Options, testing::Repo};

    #[test]
    fn lists_and_reads_at_the_id_and_never_from_the_work_tree() {
        for repo in Repo::each() {
            let first = repo.commit(&[
                ("deploy/a.yaml", "one"),
                ("deploy/sub/b.yaml", "b"),
                ("README", "x"),
            ]);
            repo.write("deploy/a.yaml", "half-writ");
            let checkout = repo.checkout("deploy");
            let tree = checkout.tree(&first).unwrap();
            assert_eq!(
                tree.files.keys().collect::<Vec<_>>(),
                ["deploy/a.yaml", "deploy/sub/b.yaml"]
            );
            let blob = &tree.files["deploy/a.yaml"].id;
            assert_eq!(checkout.read(blob, 100).unwrap(), b"one");
            assert_eq!(
                checkout.read(blob, 2),
                Err(RepoError::TooLarge { size: 3, limit: 2 })
            );
        }
    }

    #[test]
    fn diffs_only_below_the_path() {
        for repo in Repo::each() {
            let first = repo.commit(&[
                ("a/1.yaml", "1"),
                ("a/2.yaml", "2"),
                ("ab/3.yaml", "3"),
                ("a/[x]", "4"),
            ]);
            repo.remove("a/2.yaml");
            let second = repo.commit(&[("a/1.yaml", "new"), ("ab/3.yaml", "new"), ("a/4.yaml", "4")]);
            let changes = repo.checkout("./a/").changes(Some(&first), &second).unwrap();
            let said: Vec<_> = changes
                .iter()
                .map(|c| (c.path.as_str(), c.before.is_some(), c.after.is_some()))
                .collect();
            assert_eq!(
                said,
                [
                    ("a/1.yaml", true, true),
                    ("a/2.yaml", true, false),
                    ("a/4.yaml", false, true)
                ]
            );
            assert_eq!(repo.checkout("").changes(None, &first).unwrap().len(), 4);
            assert_eq!(repo.checkout("").changes(Some(&first), &first).unwrap(), []);
        }
    }

    #[test]
    fn files_that_become_directories_links_or_executable_are_told() {
        let repo = Repo::new();
        let first = repo.commit(&[("a", "1"), ("b/c", "2"), ("x", "3"), ("same/deep/y", "4")]);
        repo.remove("a");
        repo.remove("b/c");
        repo.git(&["update-index", "--chmod=+x", "x"]);
        std::fs::remove_dir(repo.dir().join("b")).ok();
        std::os::unix::fs::symlink("x", repo.dir().join("b")).unwrap();
        let second = repo.commit(&[("a/inner", "5")]);
        let changes = repo.checkout("").whole_changes(Some(&first), &second).unwrap();
        let said: Vec<_> = changes
            .iter()
            .map(|c| (c.path.as_str(), c.before.is_some(), c.after.is_some(), c.mode))
            .collect();
        assert!(said.contains(&("a", true, false, Mode::File)), "{said:?}");
        assert!(said.contains(&("a/inner", false, true, Mode::File)), "{said:?}");
        assert!(said.contains(&("b", false, true, Mode::Link)), "{said:?}");
        assert!(said.contains(&("b/c", true, false, Mode::File)), "{said:?}");
        assert!(
            !said.iter().any(|(path, ..)| path.starts_with("same")),
            "{said:?}"
        );
    }

    #[test]
    fn a_merge_differs_from_its_first_parent() {
        for repo in Repo::each() {
            let base = repo.commit(&[("a", "1")]);
            repo.git(&["checkout", "-q", "-b", "side"]);
            repo.commit(&[("b", "2")]);
            repo.git(&["checkout", "-q", "main"]);
            repo.git(&["merge", "-q", "--no-ff", "-m", "merge side", "side"]);
            let checkout = repo.checkout("");
            let merge = checkout.newest().unwrap().id;
            let changes = checkout.changes(Some(&base), &merge).unwrap();
            assert_eq!(changes.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["b"]);
        }
    }

    #[test]
    fn names_a_path_that_is_not_there_and_one_that_leaves() {
        for repo in Repo::each() {
            let id = repo.commit(&[("a", "1")]);
            assert_eq!(
                repo.checkout("nope").tree(&id),
                Err(RepoError::NoPath {
                    path: "nope".into(),
                    id: id.clone()
                })
            );
            assert_eq!(
                repo.checkout("a").tree(&id),
                Err(RepoError::NoPath { path: "a".into(), id })
            );
            for path in ["../x", "/etc", "a/../../b"] {
                let options = Options {
                    branch: None,
                    path: path.to_owned(),
                };
                assert!(
                    matches!(
                        Checkout::open(repo.dir(), options),
                        Err(RepoError::BadPath { .. })
                    ),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn links_and_submodules_are_told_apart() {
        for repo in Repo::each() {
            repo.commit(&[("a", "1")]);
            std::os::unix::fs::symlink("/etc/passwd", repo.dir().join("link")).unwrap();
            repo.git(&["add", "-A"]);
            let module = format!("160000,{},module", repo.head());
            repo.git(&["update-index", "--add", "--cacheinfo", &module]);
            repo.git(&["commit", "-q", "-m", "more"]);
            let id = repo.head();
            let tree = repo.checkout("").tree(&id).unwrap();
            assert_eq!(tree.files["link"].mode, Mode::Link);
            assert_eq!(tree.files["module"].mode, Mode::Submodule);
            assert_eq!(tree.files["a"].mode, Mode::File);
        }
    }

    #[test]
    fn a_tree_follows_from_an_older_one_and_the_changes_wherever_they_are() {
        for repo in Repo::each() {
            let first = repo.commit(&[("a/1.yaml", "1"), ("a/2.yaml", "2"), ("b/3.yaml", "3")]);
            repo.remove("a/2.yaml");
            std::os::unix::fs::symlink("1.yaml", repo.dir().join("a/link")).unwrap();
            let second = repo.commit(&[("b/3.yaml", "new"), ("c/4.yaml", "4")]);
            let checkout = repo.checkout("a");
            let mut tree = checkout.whole_tree(&first).unwrap();
            tree.apply(&checkout.whole_changes(Some(&first), &second).unwrap());
            assert_eq!(tree, checkout.whole_tree(&second).unwrap());
            assert_eq!(tree.files["a/link"].mode, Mode::Link);
            assert_eq!(tree.files.size(), 4);
        }
    }

    #[test]
    fn a_tree_that_is_too_deep_is_an_error() {
        for repo in Repo::each() {
            let deep = vec!["d"; MAX_DEPTH + 2].join("/");
            let id = repo.commit(&[(&format!("{deep}/f"), "1")]);
            assert!(matches!(
                repo.checkout("").tree(&id),
                Err(RepoError::TooMuch { .. })
            ));
        }
    }
}
