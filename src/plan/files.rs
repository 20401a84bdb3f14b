//! The files of a tree, as a kustomization build reads them.

use std::{cell::RefCell, ops::Bound, sync::Arc};

use super::Cache;
use crate::{
    manifest::{
        MAX_FILE_BYTES,
        kustomize::{File, Files, ReadError},
    },
    repo::{Entry, Mode, RepoError, Repository, Tree},
};

/// The files of one commit.
pub struct TreeFiles<'a> {
    repository: &'a dyn Repository,
    cache: &'a Cache,
    tree: &'a Tree,
    /// Why the repository could not be read: not a fault of what is rendered.
    error: RefCell<Option<RepoError>>,
}

impl<'a> TreeFiles<'a> {
    /// Reads the files of a tree of this repository; what was read before is in the cache.
    #[must_use]
    pub fn new(repository: &'a dyn Repository, cache: &'a Cache, tree: &'a Tree) -> Self {
        Self {
            repository,
            cache,
            tree,
            error: RefCell::default(),
        }
    }

    /// Fails if the repository could not be read since the last time.
    pub fn check(&self) -> Result<(), RepoError> {
        self.error.take().map_or(Ok(()), Err)
    }

    fn read(&self, path: &str, entry: &Entry) -> Result<Arc<File>, RepoError> {
        self.cache.file(path, &entry.id, || {
            let bytes = self.repository.read(&entry.id, MAX_FILE_BYTES)?;
            Ok(File::new(path, bytes))
        })
    }
}

impl Files for TreeFiles<'_> {
    fn file(&self, path: &str) -> Result<Option<Arc<File>>, ReadError> {
        let Some(entry) = self.tree.files.get(path) else {
            return Ok(None);
        };
        match entry.mode {
            Mode::Submodule => return Ok(None),
            Mode::Link => return Err(ReadError("it is a symbolic link".to_owned())),
            Mode::File => {}
        }
        match self.read(path, entry) {
            Ok(file) => Ok(Some(file)),
            Err(RepoError::TooLarge { size, limit }) => Err(ReadError(format!(
                "it has {size} bytes, more than the limit of {limit}"
            ))),
            Err(error) => {
                let text = error.to_string();
                self.error.replace(Some(error));
                Err(ReadError(text))
            }
        }
    }

    fn is_dir(&self, path: &str) -> bool {
        if path.is_empty() {
            return true;
        }
        let prefix = format!("{path}/");
        let mut below = self
            .tree
            .files
            .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
        below.next().is_some_and(|(first, _)| first.starts_with(&prefix))
    }

    fn list(&self, dir: &str) -> Vec<String> {
        let prefix = if dir.is_empty() {
            String::new()
        } else {
            format!("{dir}/")
        };
        let mut names = Vec::new();
        let mut from = Bound::Included(prefix.clone());
        loop {
            let mut rest = self.tree.files.range::<String, _>((from, Bound::Unbounded));
            let Some(name) = rest.next().and_then(|(path, _)| path.strip_prefix(&prefix)) else {
                return names;
            };
            let (name, is_dir) = name
                .split_once('/')
                .map_or((name, false), |(name, _)| (name, true));
            // What follows `name/` in the order of bytes is `name0`.
            let next = format!("{prefix}{name}{}", if is_dir { "0" } else { "" });
            from = if is_dir {
                Bound::Included(next)
            } else {
                Bound::Excluded(next)
            };
            names.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::testing::Repo;

    #[test]
    fn directories_are_told_from_files_that_begin_alike() {
        let repo = Repo::new();
        std::os::unix::fs::symlink("a", repo.dir().join("link")).unwrap();
        let id = repo.commit(&[
            ("a-b", "1"),
            ("a/c/d", "2"),
            ("a/e", "3"),
            ("a0", "4"),
            ("b", "5"),
        ]);
        let checkout = repo.checkout("");
        let (cache, tree) = (Cache::default(), checkout.whole_tree(&id).unwrap());
        let files = TreeFiles::new(&checkout, &cache, &tree);
        assert_eq!(files.list(""), ["a-b", "a", "a0", "b", "link"]);
        assert_eq!(files.list("a"), ["c", "e"]);
        assert_eq!(files.list("nope"), Vec::<String>::new());
        for (path, is_dir) in [
            ("", true),
            ("a", true),
            ("a/c", true),
            ("a/e", false),
            ("a-b", false),
            ("n", false),
        ] {
            assert_eq!(files.is_dir(path), is_dir, "{path}");
        }
        let read = |path: &str| {
            files
                .file(path)
                .map(|file| file.map(|file| file.bytes().to_vec()))
        };
        assert_eq!(read("a/e"), Ok(Some(b"3".to_vec())));
        assert_eq!((read("a"), read("nope")), (Ok(None), Ok(None)));
        assert!(read("link").is_err(), "links are not followed");
        assert_eq!(files.check(), Ok(()));
    }
}
