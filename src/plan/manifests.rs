//! The objects that the tree of a commit declares, each with its place. What cannot be rendered is named, not
//! guessed at.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::Value;

use super::{
    objects::{Objects, Owner},
    part::{Part, PartName},
    ties::Ties,
};
use crate::{
    canary::Defaults,
    manifest::{Object, ObjectKey, Problem, Resource, Skipped, flux::HelmRelease},
};

/// What is needed beside the files to read them.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The namespace of manifests that name none.
    pub namespace: String,
    /// What the flags say about canaries that do not say it themselves.
    pub defaults: Defaults,
    /// What the cluster knows of who applies the targets; nothing offline.
    pub ties: Ties,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: "default".to_owned(),
            defaults: Defaults::default(),
            ties: Ties::default(),
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
    /// Why the object that the cluster will hold is not known exactly, and what to do about it.
    pub unknown: Option<Arc<str>>,
    /// Variables in it are substituted: a `${…}` that is left is meant literally.
    pub substituted: bool,
    /// A value of a Secret is in it: fields must not be shown.
    pub secret: bool,
    /// All files that the build that yielded it was made of.
    pub root: Option<Arc<BTreeSet<String>>>,
}

impl Placed {
    /// Tells whether another declaration, wherever it is, means the same.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        self.object == other.object
            && self.unknown == other.unknown
            && (self.substituted, self.secret) == (other.substituted, other.secret)
    }

    /// Returns the file of a change: that of the object, or one that its build reads.
    #[must_use]
    pub fn file_of_change<'a>(&'a self, changed: &'a BTreeSet<String>) -> &'a str {
        if changed.contains(&*self.file) {
            return &self.file;
        }
        let inputs = self.root.as_deref();
        let mut touched = changed
            .iter()
            .filter(|path| inputs.is_some_and(|inputs| inputs.contains(*path)));
        touched.next().map_or(&self.file, String::as_str)
    }
}

/// A file that may hold objects, and is not read: only another program could render it, or it is too large.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotRendered {
    /// The file.
    pub file: String,
    /// Why not, such as `Helm charts are not rendered`.
    pub why: String,
}

/// Two directories that declare the same objects, such as two environments of one application; or a directory
/// that is rendered, and a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Clash {
    /// The directory whose objects are taken.
    pub taken: String,
    /// The directory whose objects are left.
    pub left: String,
    /// How many they are.
    pub objects: usize,
    /// One of them.
    pub example: ObjectKey,
}

/// What the tree of a commit declares.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The objects by key.
    pub objects: Objects,
    /// Directories that declare the same objects.
    pub clashes: Vec<Clash>,
    /// Files that are too large.
    pub not_rendered: Vec<NotRendered>,
    /// Documents and files that are no objects.
    pub skipped: Vec<Skipped>,
    /// What is wrong.
    pub errors: Vec<Problem>,
    /// In the order of their names.
    pub(super) parts: Vec<Arc<Part>>,
    /// Flux Kustomizations whose directory is not there: Flux fails, and leaves what they have applied as it is.
    pub(super) held: Held,
}

/// Flux Kustomizations that cannot be rendered at all, and why.
pub(super) type Held = BTreeMap<ObjectKey, Skipped>;

/// Returns the HelmReleases whose spec differs from an older revision. None where the older one is not known.
#[must_use]
pub fn changed_releases(new: &Manifests, old: Option<&Manifests>) -> BTreeSet<ObjectKey> {
    let Some(old) = old else { return BTreeSet::new() };
    let all = new.objects.of(Resource::HELM_RELEASE);
    let changed = all.filter(|(key, placed)| !old.has_same(key, &placed.object));
    changed.map(|(key, _)| key.clone()).collect()
}

impl Manifests {
    /// Puts together what parts declare, given in the order of their names. The cost grows with what is not as it
    /// is in the manifests of another revision.
    pub(super) fn of(parts: Vec<Arc<Part>>, skipped: Vec<Skipped>, before: &Self) -> Self {
        let mut found = Self {
            objects: before.objects.moved(&before.parts, &parts),
            skipped,
            ..Self::default()
        };
        for part in &parts {
            found.errors.extend(part.errors.iter().cloned());
            found.skipped.extend(part.skipped.iter().cloned());
            found.not_rendered.extend(part.not_rendered.iter().cloned());
        }
        found.parts = parts;
        let mut clashes: BTreeMap<(&PartName, &PartName), (usize, &ObjectKey)> = BTreeMap::new();
        for (key, first, others) in found.objects.declared_again() {
            for other in others {
                if let (PartName::File(_), PartName::File(_)) = (&first.part.name, &other.part.name) {
                    found.errors.extend(declared_again(key, first, other));
                } else {
                    let between = (&first.part.name, &other.part.name);
                    clashes.entry(between).or_insert((0, key)).0 += 1;
                }
            }
        }
        let clashes = clashes
            .into_iter()
            .map(|((first, other), (objects, example))| Clash {
                taken: name(first),
                left: name(other),
                objects,
                example: example.clone(),
            });
        found.clashes = clashes.collect();
        found
    }

    /// Returns the object with this key.
    #[must_use]
    pub fn object(&self, key: &ObjectKey) -> Option<&Object> {
        Some(&self.objects.get(key)?.object)
    }

    fn has_same(&self, key: &ObjectKey, object: &Object) -> bool {
        self.object(key)
            .is_some_and(|other| other.at("/spec") == object.at("/spec"))
    }

    /// Returns the HelmReleases.
    pub(super) fn releases(&self) -> impl Iterator<Item = HelmRelease> {
        let releases = self.objects.of(Resource::HELM_RELEASE);
        releases.filter_map(|(_, placed)| HelmRelease::read(&placed.object))
    }

    /// Returns the kustomization files of directories that cannot be rendered and that a change touches.
    #[must_use]
    pub fn unrendered_files(&self, changed: &BTreeSet<String>) -> BTreeSet<String> {
        let touched = self.parts.iter().filter(|part| part.is_touched(changed));
        let unrendered = touched.filter_map(|part| part.unrendered.as_ref());
        unrendered
            .map(|unrendered| unrendered.fault.problem().file.clone())
            .collect()
    }
}

fn name(part: &PartName) -> String {
    let path = part.path();
    if path.is_empty() { "." } else { path }.to_owned()
}

fn declared_again(key: &ObjectKey, first: &Owner, other: &Owner) -> Option<Problem> {
    let (first, placed) = (first.placed()?, other.placed()?);
    Some(Problem {
        file: placed.file.to_string(),
        line: placed.line,
        column: 1,
        message: format!(
            "{key} is declared a second time; the first is at {}:{}",
            first.file, first.line
        ),
        snippet: String::new(),
        hint: "remove one of the two".to_owned(),
    })
}

/// Returns the data of a ConfigMap or Secret as text; what is no text is left out.
pub(super) fn data(object: &Object) -> BTreeMap<String, String> {
    let secret = object.str_at("/kind") == "Secret";
    let fields = |pointer: &str| {
        object
            .at(pointer)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    };
    let decoded = |text: &str| String::from_utf8(STANDARD.decode(text).ok()?).ok();
    let data = fields("/data").filter_map(|(name, value)| {
        let text = value.as_str()?;
        Some((
            name.clone(),
            if secret { decoded(text)? } else { text.to_owned() },
        ))
    });
    let plain = fields("/stringData").filter(|_| secret);
    let plain = plain.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    data.chain(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::{Cache, manifests, testing::config},
        repo::testing::Repo,
    };

    fn read(repo: &Repo) -> Arc<Manifests> {
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
        let one = found.objects.iter().next().unwrap().1;
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
        assert_eq!(found.objects.declared_again().count(), 1);
    }

    #[test]
    fn kustomizations_are_rendered_and_charts_left_alone() {
        let repo = Repo::new();
        repo.commit(&[
            (
                "base/kustomization.yaml",
                "namePrefix: my-\nresources: [one.yaml]\n",
            ),
            ("base/one.yaml", &config("one", "1")),
            ("base/deep/two.yaml", &config("two", "1")),
            ("basement/three.yaml", &config("three", "1")),
            ("chart/Chart.yaml", "name: chart\n"),
            ("chart/templates/x.yaml", &config("four", "1")),
        ]);
        let found = read(&repo);
        assert_eq!(
            keys(&found),
            ["ConfigMap/default/my-one", "ConfigMap/default/three"]
        );
        assert_eq!((found.not_rendered.len(), found.errors.len()), (0, 0));
        assert_eq!(&*found.objects.iter().next().unwrap().1.file, "base/one.yaml");
        assert!(
            found
                .skipped
                .iter()
                .any(|skipped| skipped.why == "part of the Helm chart chart")
        );
    }

    #[test]
    fn data_is_text_also_of_secrets() {
        let secret = serde_json::json!({"kind": "Secret", "data": {"a": "eA==", "bad": "!"}, "stringData": {"b": "y"}});
        let pairs = |object| data(&Object::from(object)).into_iter().collect::<Vec<_>>();
        let text = |text: &str| text.to_owned();
        assert_eq!(pairs(secret), [(text("a"), text("x")), (text("b"), text("y"))]);
        let map = serde_json::json!({"kind": "ConfigMap", "data": {"a": "x"}, "stringData": {"b": "y"}});
        assert_eq!(pairs(map), [(text("a"), text("x"))]);
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
