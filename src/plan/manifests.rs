//! The objects that the tree of a commit declares, each with its place. What would need rendering is named, not
//! guessed at.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    canary::Defaults,
    manifest::{
        Cache, Document, Documents, MAX_FILE_BYTES, MAX_TOTAL_BYTES, Object, ObjectKey, Problem, Skipped,
    },
    repo::{CommitId, Mode, RepoError, Repository, Tree},
};

/// What is needed beside the files to read them.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The namespace of manifests that name none.
    pub namespace: String,
    /// What the flags say about canaries that do not say it themselves.
    pub defaults: Defaults,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: "default".to_owned(),
            defaults: Defaults::default(),
        }
    }
}

/// An object and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The object, with its namespace filled in.
    pub object: Object,
    /// The file.
    pub file: Arc<str>,
    /// The line that its document begins at.
    pub line: u32,
}

/// A file that may hold objects, and is not read: only another program could render it, or it is too large.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotRendered {
    /// The file.
    pub file: String,
    /// Why not, such as `below deploy/kustomization.yaml`.
    pub why: String,
}

/// What the tree of a commit declares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifests {
    /// The objects by key. Of a key that is declared twice, the first.
    pub objects: BTreeMap<ObjectKey, Placed>,
    /// Keys that are declared more than once.
    pub twice: BTreeSet<ObjectKey>,
    /// Files that only another program could render.
    pub not_rendered: Vec<NotRendered>,
    /// Documents and files that are no objects.
    pub skipped: Vec<Skipped>,
    /// What is wrong.
    pub errors: Vec<Problem>,
}

impl Manifests {
    /// Returns the object with this key.
    #[must_use]
    pub fn object(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(key).map(|placed| &placed.object)
    }

    fn place(&mut self, document: &Document, namespace: &str) {
        let object = in_namespace(&document.object, namespace);
        let key = object.key();
        let placed = Placed {
            object,
            file: Arc::clone(&document.file),
            line: document.line,
        };
        let Some(first) = self.objects.get(&key) else {
            self.objects.insert(key, placed);
            return;
        };
        self.errors.push(Problem {
            file: document.file.to_string(),
            line: document.line,
            column: 1,
            message: format!(
                "{key} is declared a second time; the first is at {}:{}",
                first.file, first.line
            ),
            snippet: String::new(),
            hint: "remove one of the two".to_owned(),
        });
        self.twice.insert(key);
    }

    fn skip(&mut self, file: &str, why: &str) {
        self.skipped.push(Skipped {
            file: file.to_owned(),
            line: 1,
            why: why.to_owned(),
        });
    }
}

/// Reads what the tree of a commit declares below the path of the repository.
pub fn manifests(
    repository: &dyn Repository,
    cache: &Cache,
    settings: &Settings,
    id: &CommitId,
) -> Result<Manifests, RepoError> {
    let tree = repository.tree(id)?;
    let units = Units::find(&tree);
    let mut found = Manifests::default();
    let mut total = 0_usize;
    for (path, entry) in tree.files.iter().filter(|(path, _)| is_manifest(path)) {
        match (entry.mode, units.of(path)) {
            (Mode::Submodule, _) => {}
            (Mode::Link, _) => found.skip(path, "a symbolic link"),
            (_, Some(Unit::Chart(chart))) => found.skip(path, &format!("part of the Helm chart {chart}")),
            (_, Some(Unit::Kustomization(file))) => {
                if path != file {
                    let why = format!("below {file}");
                    found.not_rendered.push(NotRendered {
                        file: path.clone(),
                        why,
                    });
                }
            }
            (Mode::File, None) => {
                let read = || repository.read(&entry.id, MAX_FILE_BYTES);
                let documents = match cache.get(path, entry.id.as_str(), read) {
                    Err(RepoError::TooLarge { size, .. }) => {
                        let why = format!("it has {size} bytes, more than the limit of {MAX_FILE_BYTES}");
                        found.not_rendered.push(NotRendered {
                            file: path.clone(),
                            why,
                        });
                        continue;
                    }
                    other => other?,
                };
                total += documents.bytes;
                if total > MAX_TOTAL_BYTES {
                    return Err(RepoError::TooMuch {
                        path: repository.path().to_owned(),
                        id: id.clone(),
                        what: format!("more than {MAX_TOTAL_BYTES} bytes of manifests"),
                    });
                }
                take(&mut found, &documents, &settings.namespace);
            }
        }
    }
    for skipped in &found.skipped {
        tracing::debug!(file = %skipped.file, line = skipped.line, why = %skipped.why, "Skipped a document.");
    }
    Ok(found)
}

fn take(found: &mut Manifests, documents: &Documents, namespace: &str) {
    for document in &documents.objects {
        found.place(document, namespace);
    }
    found.skipped.extend(documents.skipped.iter().cloned());
    found.errors.extend(documents.errors.iter().cloned());
}

/// Fills in the namespace of an object of a kind that Serin knows, all of which have one.
fn in_namespace(object: &Object, namespace: &str) -> Object {
    if !object.namespace().is_empty() || object.key().resource().is_none() {
        return object.clone();
    }
    let mut value = object.value().clone();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    Object::from(value)
}

fn is_manifest(path: &str) -> bool {
    let hidden = path.split('/').any(|part| part.starts_with('.'));
    let known = path
        .rsplit_once('.')
        .is_some_and(|(_, end)| matches!(end, "yaml" | "yml" | "json"));
    known && !hidden
}

/// Directories whose files are not manifests by themselves, each with the file that makes it one.
#[derive(Debug, Default)]
struct Units(BTreeMap<String, Unit>);

#[derive(Clone, Debug, PartialEq)]
enum Unit {
    Kustomization(String),
    Chart(String),
}

impl Units {
    fn find(tree: &Tree) -> Self {
        let mut units = BTreeMap::new();
        for path in tree.files.keys() {
            let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
            let unit = match name {
                "kustomization.yaml" | "kustomization.yml" | "Kustomization" => {
                    Unit::Kustomization(path.clone())
                }
                "Chart.yaml" => Unit::Chart(if dir.is_empty() { "." } else { dir }.to_owned()),
                _ => continue,
            };
            units.insert(dir.to_owned(), unit);
        }
        Self(units)
    }

    /// Returns the outermost unit that a file is part of.
    fn of(&self, path: &str) -> Option<&Unit> {
        if self.0.is_empty() {
            return None;
        }
        let ends = path.match_indices('/').map(|(at, _)| at);
        let mut dirs = std::iter::once("").chain(ends.filter_map(|at| path.get(..at)));
        dirs.find_map(|dir| self.0.get(dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plan::testing::config, repo::testing::Repo};

    fn read(repo: &Repo) -> Manifests {
        manifests(
            &repo.checkout(""),
            &Cache::default(),
            &Settings::default(),
            &repo.head(),
        )
        .unwrap()
    }

    fn keys(found: &Manifests) -> Vec<String> {
        found.objects.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn objects_are_placed_and_their_namespace_filled_in() {
        let repo = Repo::new();
        let other = "apiVersion: v1\nkind: Namespace\nmetadata: {name: test}\n";
        repo.commit(&[
            ("a/one.yaml", &config("one", "1")),
            ("b.yml", other),
            ("c.txt", other),
            (".ci/x.yaml", other),
        ]);
        let found = read(&repo);
        assert_eq!(keys(&found), ["ConfigMap/default/one", "Namespace/test"]);
        let one = found.objects.values().next().unwrap();
        assert_eq!(
            (&*one.file, one.line, one.object.namespace()),
            ("a/one.yaml", 1, "default")
        );
    }

    #[test]
    fn a_key_that_is_declared_twice_is_an_error_with_both_places() {
        let repo = Repo::new();
        repo.commit(&[
            ("a.yaml", &config("one", "1")),
            ("b.yaml", &format!("---\n{}", config("one", "2"))),
        ]);
        let found = read(&repo);
        assert_eq!(
            found.errors[0].to_string(),
            "b.yaml:2:1: ConfigMap/default/one is declared a second time; the first is at a.yaml:1"
        );
        assert_eq!(found.twice.len(), 1);
    }

    #[test]
    fn what_other_programs_render_is_named() {
        let repo = Repo::new();
        repo.commit(&[
            ("base/kustomization.yaml", "resources: [one.yaml]\n"),
            ("base/one.yaml", &config("one", "1")),
            ("base/deep/two.yaml", &config("two", "1")),
            ("basement/three.yaml", &config("three", "1")),
            ("chart/Chart.yaml", "name: chart\n"),
            ("chart/templates/x.yaml", &config("four", "1")),
        ]);
        let found = read(&repo);
        assert_eq!(keys(&found), ["ConfigMap/default/three"]);
        let files: Vec<_> = found
            .not_rendered
            .iter()
            .map(|one| (one.file.as_str(), one.why.as_str()))
            .collect();
        assert_eq!(
            files,
            [
                ("base/deep/two.yaml", "below base/kustomization.yaml"),
                ("base/one.yaml", "below base/kustomization.yaml")
            ]
        );
        assert!(
            found
                .skipped
                .iter()
                .any(|skipped| skipped.why == "part of the Helm chart chart")
        );
    }

    #[test]
    fn links_and_broken_files_do_not_hide_the_rest() {
        let repo = Repo::new();
        std::os::unix::fs::symlink("one.yaml", repo.dir().join("link.yaml")).unwrap();
        repo.commit(&[("one.yaml", &config("one", "1")), ("bad.yaml", "kind: [\n")]);
        let found = read(&repo);
        assert_eq!((keys(&found).len(), found.errors.len()), (1, 1));
        assert_eq!(found.skipped[0].why, "a symbolic link");
    }
}
