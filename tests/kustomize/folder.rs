//! A folder on disk as a tree of files.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serin::manifest::kustomize::{File, Files, ReadError};

pub(crate) struct Folder {
    root: PathBuf,
    read: RefCell<BTreeMap<String, Arc<File>>>,
}

impl Folder {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            read: RefCell::default(),
        }
    }
}

impl Files for Folder {
    fn file(&self, path: &str) -> Result<Option<Arc<File>>, ReadError> {
        if let Some(known) = self.read.borrow().get(path) {
            return Ok(Some(Arc::clone(known)));
        }
        let full = self.root.join(path);
        if !full.is_file() {
            return Ok(None);
        }
        let bytes = fs::read(&full).map_err(|error| ReadError(error.to_string()))?;
        let file = Arc::new(File::new(path, bytes));
        self.read.borrow_mut().insert(path.to_owned(), Arc::clone(&file));
        Ok(Some(file))
    }

    fn is_dir(&self, path: &str) -> bool {
        self.root.join(path).is_dir()
    }

    fn list(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(dir)).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }
}
