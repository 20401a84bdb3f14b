//! The files that a kustomization is made of: where they come from, and what they were read to.

use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::{
    fault::{Fault, Outcome},
    item::Item,
    yaml::{Dialect, Text, read},
};
use crate::manifest::Problem;

/// A tree of files, by their path from the top of the repository.
pub trait Files {
    /// Returns a file; none if there is none. One that was read to something is best handed out again as it is,
    /// so that it is not read twice.
    fn file(&self, path: &str) -> Result<Option<Arc<File>>, ReadError>;

    /// Tells whether there is a directory; `""` is the top.
    fn is_dir(&self, path: &str) -> bool;

    /// Lists the names of the files and directories in a directory.
    fn list(&self, dir: &str) -> Vec<String>;
}

/// Why a file that is there cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(pub String);

/// A file, and what it was read to once somebody asked.
#[derive(Debug)]
pub struct File {
    path: Arc<str>,
    bytes: Vec<u8>,
    texts: OnceLock<Result<Arc<[Text]>, Box<Problem>>>,
    settings: OnceLock<Result<Arc<[Text]>, Box<Problem>>>,
    items: OnceLock<Result<Arc<[Item]>, Box<Problem>>>,
}

impl File {
    /// Makes a file of its content.
    #[must_use]
    pub fn new(path: &str, bytes: Vec<u8>) -> Self {
        Self {
            path: Arc::from(path),
            bytes,
            texts: OnceLock::new(),
            settings: OnceLock::new(),
            items: OnceLock::new(),
        }
    }

    /// Returns the path from the top of the repository.
    #[must_use]
    pub fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// Returns the content.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the documents, read as objects.
    pub(super) fn texts(&self) -> Outcome<Arc<[Text]>> {
        self.read(&self.texts, Dialect::Objects)
    }

    /// Returns the documents, read as what tells kustomize what to do.
    pub(super) fn settings(&self) -> Outcome<Arc<[Text]>> {
        self.read(&self.settings, Dialect::Settings)
    }

    fn read(
        &self,
        kept: &OnceLock<Result<Arc<[Text]>, Box<Problem>>>,
        dialect: Dialect,
    ) -> Outcome<Arc<[Text]>> {
        let read = || read(&self.bytes, &self.path, dialect).map(Arc::from);
        kept.get_or_init(read)
            .clone()
            .map_err(|problem| Fault::Wrong(*problem))
    }

    /// Returns the objects, the items of lists one by one.
    pub(super) fn items(&self) -> Outcome<Arc<[Item]>> {
        if let Some(known) = self.items.get() {
            return known.clone().map_err(|problem| Fault::Wrong(*problem));
        }
        let texts = self.texts()?;
        let made = || objects(&texts, &self.path).map(Arc::from);
        self.items
            .get_or_init(made)
            .clone()
            .map_err(|problem| Fault::Wrong(*problem))
    }
}

/// Makes objects of documents. Whatever is no object is an error, as with kustomize.
pub(super) fn objects(texts: &[Text], file: &Arc<str>) -> Result<Vec<Item>, Box<Problem>> {
    let mut items = Vec::new();
    let mut lists = Vec::new();
    for text in texts {
        let item = Item::new(Arc::clone(&text.value), Arc::clone(file), text.line, &text.hollow);
        sort_in(item, &mut items, &mut lists)?;
    }
    // The items of lists follow what stands alone.
    let mut at = 0;
    while let Some(item) = lists.get(at).cloned() {
        sort_in(item, &mut items, &mut lists)?;
        at += 1;
    }
    Ok(items)
}

fn sort_in(item: Item, items: &mut Vec<Item>, lists: &mut Vec<Item>) -> Result<(), Box<Problem>> {
    if is_empty(&item.value) {
        return Ok(());
    }
    check(&item)?;
    let is_list = item.kind().ends_with("List");
    match item.value.get("items").filter(|_| is_list) {
        None => items.push(item),
        Some(Value::Null) => {}
        Some(Value::Array(inner)) => lists.extend(inner.iter().enumerate().map(|(at, value)| {
            let top = format!("/items/{at}/");
            let below = |pointer: &String| Some(format!("/{}", pointer.strip_prefix(&top)?));
            let hollow: Vec<String> = item.hollow.iter().filter_map(below).collect();
            Item::new(
                Arc::new(value.clone()),
                Arc::clone(&item.file),
                item.line,
                &hollow,
            )
        })),
        Some(_) => return Err(Box::new(bad(&item, "`items` of a list is not a list"))),
    }
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn check(item: &Item) -> Result<(), Box<Problem>> {
    if !item.value.is_object() {
        return Err(Box::new(bad(item, "not a Kubernetes object")));
    }
    if item.kind().is_empty() {
        return Err(Box::new(bad(item, "an object without a kind")));
    }
    if item.kind().ends_with("List") {
        return Ok(());
    }
    if item.name().is_empty() {
        return Err(Box::new(bad(item, "an object without metadata.name")));
    }
    Ok(())
}

fn bad(item: &Item, message: &str) -> Problem {
    Problem {
        file: item.file.to_string(),
        line: item.line,
        column: 1,
        message: message.to_owned(),
        snippet: String::new(),
        hint: "kustomize takes only whole objects: give it apiVersion, kind and metadata.name, or leave the file out"
            .to_owned(),
    }
}
