//! Reads what a revision declares: finds its parts, and makes anew only those whose files have changed since the
//! revision that was read before.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Cache, Manifests, NotRendered, Settings,
    cache::Snapshot,
    files::TreeFiles,
    layout::Layout,
    manifests::Held,
    part::{FoundFlux, Part, PartName, Unrendered, in_namespace},
};
use crate::{
    manifest::{
        MAX_FILE_BYTES, MAX_TOTAL_BYTES, Nesting, ObjectKey, Skipped,
        flux::{FluxKustomization, is_below, of_this_repository},
        kustomize::{Fault, Files as _, Overlay, Renderer},
        substitute::Variables,
    },
    repo::{Change, CommitId, Mode, RepoError, Repository, Tree},
};

/// The most directories that Flux Kustomizations render.
const MAX_ROOTS: usize = 2_000;
/// How deep Flux Kustomizations may yield others.
const MAX_ROUNDS: usize = 16;
/// The most files of a directory that cannot be rendered that are looked at for their objects.
const MAX_RAW: usize = 1_000;

/// Reads what the tree of a commit declares below the path of the repository, and what that refers to.
pub fn manifests(
    repository: &dyn Repository,
    cache: &Cache,
    settings: &Settings,
    id: &CommitId,
) -> Result<Arc<Manifests>, RepoError> {
    Ok(Arc::clone(&snapshot(repository, cache, settings, id)?.manifests))
}

/// Reads all of a revision, or takes what is known of it.
pub(super) fn snapshot(
    repository: &dyn Repository,
    cache: &Cache,
    settings: &Settings,
    id: &CommitId,
) -> Result<Arc<Snapshot>, RepoError> {
    if let Some(known) = cache.snapshot(id) {
        return Ok(known);
    }
    let (tree, before) = tree_of(repository, cache, id)?;
    let reader = Reader {
        repository,
        cache,
        settings,
        id,
        tree: &tree,
        before: &before,
    };
    let read = reader.read()?;
    for skipped in &read.manifests.skipped {
        tracing::debug!(file = %skipped.file, line = skipped.line, why = %skipped.why, "Skipped a document.");
    }
    Ok(cache.keep(Snapshot {
        id: id.clone(),
        layout: read.layout,
        parts: read.parts,
        manifests: Arc::new(read.manifests),
        tree,
    }))
}

/// The revision that was read before, and how this one differs.
#[derive(Default)]
struct Before {
    snapshot: Option<Arc<Snapshot>>,
    /// Which paths, and lists of names, are not as they were.
    changed: BTreeSet<String>,
    /// The same files are manifests, and the same directories are rendered.
    same_layout: bool,
}

impl Before {
    fn part(&self, name: &PartName) -> Option<&Arc<Part>> {
        let parts = &self.snapshot.as_ref()?.parts;
        let at = parts.binary_search_by(|part| part.name.cmp(name)).ok()?;
        parts.get(at)
    }

    /// Returns a part that is as it was.
    fn untouched(&self, name: &PartName) -> Option<&Arc<Part>> {
        self.part(name).filter(|part| !part.is_touched(&self.changed))
    }
}

/// Returns the files of a commit, and what was read before it.
fn tree_of(repository: &dyn Repository, cache: &Cache, id: &CommitId) -> Result<(Tree, Before), RepoError> {
    let Some(before) = cache.latest() else {
        return Ok((repository.whole_tree(id)?, Before::default()));
    };
    let (tree, changes) = match repository.whole_changes(Some(&before.id), id) {
        Ok(changes) => {
            let mut tree = Tree::clone(&before.tree);
            tree.apply(&changes);
            (tree, changes)
        }
        // The older revision is not there any more, but what was read of it is.
        Err(RepoError::Gone { .. }) => {
            let tree = repository.whole_tree(id)?;
            let changes = tree.changes_since(&before.tree);
            (tree, changes)
        }
        Err(error) => return Err(error),
    };
    let before = Before {
        changed: touched_paths(&changes),
        same_layout: Layout::stays(&before.tree, &changes),
        snapshot: Some(before),
    };
    Ok((tree, before))
}

/// Returns the paths that changed, and the directories (with and without a slash behind them) whose lists of
/// names changed.
fn touched_paths(changes: &[Change]) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for change in changes {
        paths.insert(change.path.clone());
        if change.before.is_some() && change.after.is_some() {
            continue;
        }
        paths.insert("/".to_owned());
        for (at, _) in change.path.match_indices('/') {
            let dir = change.path.get(..at).unwrap_or_default();
            paths.insert(dir.to_owned());
            paths.insert(format!("{dir}/"));
        }
    }
    paths
}

struct Reader<'a> {
    repository: &'a dyn Repository,
    cache: &'a Cache,
    settings: &'a Settings,
    id: &'a CommitId,
    tree: &'a Tree,
    before: &'a Before,
}

/// What is made of a revision.
struct Read {
    layout: Arc<Layout>,
    /// In the order of their names.
    parts: Vec<Arc<Part>>,
    manifests: Manifests,
}

impl Reader<'_> {
    fn read(&self) -> Result<Read, RepoError> {
        let below = self.repository.path();
        let files = TreeFiles::new(self.repository, self.cache, self.tree);
        let build = Build {
            reader: self,
            files: &files,
            renderer: RefCell::new(Renderer::new(&files)),
        };
        let layout = self.layout()?;
        if !layout.found && !below.is_empty() {
            return Err(RepoError::NoPath {
                path: below.to_owned(),
                id: self.id.clone(),
            });
        }
        let mut parts = Vec::new();
        let mut total = 0_usize;
        for path in &layout.plain {
            let part = self.plain(path)?;
            total += part.bytes;
            if total > MAX_TOTAL_BYTES {
                return Err(self.too_much(format!("more than {MAX_TOTAL_BYTES} bytes of manifests")));
            }
            parts.push(part);
        }
        for dir in &layout.roots {
            parts.push(build.root(dir)?);
        }
        let (flux, held) = build.flux(&parts)?;
        let skipped = held.values().chain(&layout.skipped).cloned().collect();
        let declared = declared_by(&flux, &parts, below);
        let none = Manifests::default();
        let before = self.before.snapshot.as_ref();
        let mut manifests = Manifests::of(
            declared,
            skipped,
            before.map_or(&none, |snapshot| &snapshot.manifests),
        );
        manifests.held = held;
        let mut all = flux;
        all.extend(parts);
        Ok(Read {
            layout,
            parts: all,
            manifests,
        })
    }

    fn layout(&self) -> Result<Arc<Layout>, RepoError> {
        let before = self.before.snapshot.as_ref().map(|snapshot| &snapshot.layout);
        if let Some(known) = before.filter(|_| self.before.same_layout) {
            return Ok(Arc::clone(known));
        }
        let found = Layout::find(self.tree, self.repository.path(), |path, entry| {
            let known = before.and_then(|layout| layout.nesting(path, &entry.id));
            if let Some(known) = known {
                return Ok(Arc::clone(known));
            }
            let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
            let bytes = match self.repository.read(&entry.id, MAX_FILE_BYTES) {
                Err(RepoError::TooLarge { .. }) => Vec::new(),
                read => read?,
            };
            Ok(Arc::new(Nesting::read(&bytes, dir)))
        });
        found.map(Arc::new)
    }

    fn too_much(&self, what: String) -> RepoError {
        RepoError::TooMuch {
            path: self.repository.path().to_owned(),
            id: self.id.clone(),
            what,
        }
    }

    fn bytes(&self, path: &str) -> Result<Vec<u8>, RepoError> {
        match self.tree.files.get(path).filter(|entry| entry.mode == Mode::File) {
            None => Ok(Vec::new()),
            Some(entry) => match self.repository.read(&entry.id, MAX_FILE_BYTES) {
                Err(RepoError::TooLarge { .. }) => Ok(Vec::new()),
                read => read,
            },
        }
    }

    /// Reads a manifest that stands for itself.
    fn plain(&self, path: &str) -> Result<Arc<Part>, RepoError> {
        let name = PartName::File(path.to_owned());
        if let Some(known) = self.before.untouched(&name) {
            return Ok(Arc::clone(known));
        }
        let mut part = Part::new(name, BTreeSet::from([path.to_owned()]));
        let Some(entry) = self.tree.files.get(path) else {
            return Ok(Arc::new(part));
        };
        let read = || self.repository.read(&entry.id, MAX_FILE_BYTES);
        match self.cache.documents(path, &entry.id, read) {
            Err(RepoError::TooLarge { size, .. }) => {
                let why = format!("it has {size} bytes, more than the limit of {MAX_FILE_BYTES}");
                let file = path.to_owned();
                part.not_rendered = Some(NotRendered { file, why });
            }
            Err(error) => return Err(error),
            Ok(documents) => {
                for document in &documents.objects {
                    part.document(document, self.settings);
                }
                part.skipped.clone_from(&documents.skipped);
                part.errors.clone_from(&documents.errors);
                part.bytes = documents.bytes;
            }
        }
        part.check_canaries(self.settings, |file| self.bytes(file))?;
        Ok(Arc::new(part))
    }
}

/// Renders directories of the tree.
struct Build<'a> {
    reader: &'a Reader<'a>,
    files: &'a TreeFiles<'a>,
    renderer: RefCell<Renderer<'a>>,
}

impl Build<'_> {
    /// Renders a directory as `kustomize build` does.
    fn root(&self, dir: &str) -> Result<Arc<Part>, RepoError> {
        let name = PartName::Root(dir.to_owned());
        if let Some(known) = self.reader.before.untouched(&name) {
            return Ok(Arc::clone(known));
        }
        self.render(name, &Overlay::default(), None, &BTreeSet::new())
    }

    fn render(
        &self,
        name: PartName,
        overlay: &Overlay,
        by: Option<(FluxKustomization, Variables)>,
        more_inputs: &BTreeSet<String>,
    ) -> Result<Arc<Part>, RepoError> {
        let built = self.renderer.borrow_mut().build(name.path(), overlay);
        self.files.check()?;
        // What several directories share, the renderer keeps; the rest would only take memory.
        self.reader.cache.forget_files();
        let settings = self.reader.settings;
        let variables = by.as_ref().map(|(_, variables)| variables);
        let mut part = match built {
            Ok(built) => {
                let mut inputs = built.inputs;
                inputs.extend(more_inputs.iter().cloned());
                let mut part = Part::new(name, inputs);
                for rendered in built.objects {
                    part.rendered(rendered, variables, settings);
                }
                part.check_canaries(settings, |file| self.reader.bytes(file))?;
                part
            }
            Err(unrendered) => {
                let mut inputs = unrendered.inputs;
                inputs.extend(more_inputs.iter().cloned());
                let namespace = overlay.target_namespace.clone();
                let mut part = Part::new(name, inputs);
                if let Fault::Wrong(problem) = &unrendered.fault {
                    part.errors.push(problem.clone());
                }
                part.unrendered = Some(Unrendered {
                    raw: self.raw(&part, namespace)?,
                    fault: unrendered.fault,
                });
                part
            }
        };
        part.by = by;
        if let Some(before) = self.reader.before.part(&part.name) {
            part.share(before);
        }
        Ok(Arc::new(part))
    }

    /// Reads the objects that the files of a directory write, before anything is done to them.
    fn raw(
        &self,
        part: &Part,
        namespace: Option<String>,
    ) -> Result<Vec<(ObjectKey, super::Placed)>, RepoError> {
        let reader = self.reader;
        let of_file = || -> Result<Option<String>, RepoError> {
            for name in ["kustomization.yaml", "kustomization.yml", "Kustomization"] {
                let path = [part.name.path(), name].join("/");
                let path = path.trim_start_matches('/');
                let read = Nesting::read(&reader.bytes(path)?, part.name.path());
                if read.namespace.is_some() {
                    return Ok(read.namespace);
                }
            }
            Ok(None)
        };
        let given = match namespace {
            Some(namespace) => Some(namespace),
            None => of_file()?,
        };
        let mut found = Vec::new();
        for path in part
            .inputs
            .iter()
            .filter(|path| matches!(path.rsplit_once('.'), Some((_, "yaml" | "yml"))))
            .take(MAX_RAW)
        {
            let Some(entry) = reader
                .tree
                .files
                .get(path)
                .filter(|entry| entry.mode == Mode::File)
            else {
                continue;
            };
            let read = || reader.repository.read(&entry.id, MAX_FILE_BYTES);
            let documents = match reader.cache.documents(path, &entry.id, read) {
                Err(RepoError::TooLarge { .. }) => continue,
                read => read?,
            };
            for document in &documents.objects {
                let mut raw = Part::new(part.name.clone(), BTreeSet::new());
                raw.document(document, reader.settings);
                for (_, mut placed) in raw.objects {
                    if let Some(namespace) = &given {
                        placed.object = in_namespace(&document.object, namespace);
                    }
                    found.push((placed.object.key(), placed));
                }
            }
        }
        Ok(found)
    }

    /// Renders what the Flux Kustomizations of this repository name, and what these yield in turn.
    fn flux(&self, entry: &[Arc<Part>]) -> Result<(Vec<Arc<Part>>, Held), RepoError> {
        let mut parts: BTreeMap<PartName, Arc<Part>> = BTreeMap::new();
        let mut held = Held::new();
        for _ in 0..MAX_ROUNDS {
            let all: BTreeMap<PartName, FoundFlux> = declared(entry, &parts);
            let pairs: Vec<(&FluxKustomization, &str)> = all
                .values()
                .map(|found| (&found.kustomization, &*found.file))
                .collect();
            let ours: BTreeSet<&ObjectKey> = of_this_repository(&pairs).iter().map(|one| &one.key).collect();
            let mut moved = false;
            held.clear();
            for (name, found) in all
                .iter()
                .filter(|(_, found)| ours.contains(&found.kustomization.key))
            {
                if !self.files.is_dir(name.path()) {
                    let skipped = Skipped {
                        file: found.file.to_string(),
                        line: found.line,
                        why: format!("spec.path {} is not in this repository", found.kustomization.path),
                    };
                    held.insert(found.kustomization.key.clone(), skipped);
                    continue;
                }
                let (variables, inputs) = variables(&found.kustomization, entry, &parts);
                let by = (found.kustomization.clone(), variables);
                let is_same = |part: &&Arc<Part>| part.by.as_ref() == Some(&by);
                if parts.get(name).as_ref().is_some_and(is_same) {
                    continue;
                }
                let known = self.reader.before.untouched(name).filter(is_same);
                let part = if let Some(known) = known {
                    Arc::clone(known)
                } else {
                    let mut inputs = inputs;
                    inputs.insert(found.file.to_string());
                    self.render(name.clone(), &found.kustomization.overlay, Some(by), &inputs)?
                };
                moved = true;
                parts.insert(name.clone(), part);
                if parts.len() > MAX_ROOTS {
                    return Err(self
                        .reader
                        .too_much(format!("more than {MAX_ROOTS} Flux Kustomizations")));
                }
            }
            if !moved {
                break;
            }
        }
        Ok((parts.into_values().collect(), held))
    }
}

/// Chooses the parts whose objects count, in the order of their names. Where Flux Kustomizations are found, they say
/// what is applied.
fn declared_by(flux: &[Arc<Part>], parts: &[Arc<Part>], below: &str) -> Vec<Arc<Part>> {
    let mut declared = flux.to_vec();
    if flux.is_empty() {
        declared.extend(parts.iter().cloned());
    } else if !below.is_empty() {
        // What is given by --path is applied by somebody, also where no Kustomization in git says by whom.
        let covered = |path: &str| {
            flux.iter()
                .any(|by| is_below(path, by.name.path()) || path == by.name.path())
        };
        declared.extend(parts.iter().filter(|part| !covered(part.name.path())).cloned());
    }
    declared
}

/// Returns the Flux Kustomizations that are declared so far. What Flux renders overrides what a file says.
fn declared(entry: &[Arc<Part>], parts: &BTreeMap<PartName, Arc<Part>>) -> BTreeMap<PartName, FoundFlux> {
    let mut all = BTreeMap::new();
    for part in entry.iter().chain(parts.values()) {
        for found in &part.flux {
            let name = PartName::Flux {
                key: found.kustomization.key.clone(),
                path: found.kustomization.path.clone(),
                file: found.file.to_string(),
            };
            all.insert(name, found.clone());
        }
    }
    all
}

/// Collects the variables of a Flux Kustomization, and the files that they come from.
fn variables(
    of: &FluxKustomization,
    entry: &[Arc<Part>],
    parts: &BTreeMap<PartName, Arc<Part>>,
) -> (Variables, BTreeSet<String>) {
    let mut variables = Variables::default();
    let mut files = BTreeSet::new();
    for from in &of.substitute_from {
        let all = parts.values().chain(entry).flat_map(|part| &part.objects);
        let found = all
            .filter(|(key, placed)| **key == from.key && placed.unknown.is_none())
            .map(|(_, placed)| placed)
            .next();
        let Some(placed) = found else {
            variables.add_unknown();
            continue;
        };
        files.insert(placed.file.to_string());
        for (name, value) in super::manifests::data(&placed.object) {
            variables.add(&name, &value, from.key.kind == "Secret");
        }
    }
    for (name, value) in &of.substitute {
        variables.add(name, value, false);
    }
    (variables, files)
}

#[cfg(test)]
mod tests;
