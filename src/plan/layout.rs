//! Which files of a tree are manifests by themselves, and which directories are rendered: those with a
//! kustomization that no other kustomization refers to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    manifest::{Nesting, Skipped, flux::is_below},
    repo::{BlobId, Change, Entry, Mode, RepoError, Tree},
};

/// What is read of a tree, below one path of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Layout {
    /// Manifests that stand for themselves.
    pub(super) plain: Vec<String>,
    /// Directories to render.
    pub(super) roots: Vec<String>,
    /// What is left out.
    pub(super) skipped: Vec<Skipped>,
    /// Whether there is anything at all.
    pub(super) found: bool,
    /// What the kustomization files were read to, by path.
    nestings: BTreeMap<String, (BlobId, Arc<Nesting>)>,
}

/// Directories whose files are not manifests by themselves.
#[derive(Debug, Default)]
struct Units<'a>(BTreeMap<&'a str, Unit<'a>>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit<'a> {
    /// With its kustomization file.
    Kustomization(&'a str),
    Chart,
}

impl<'a> Unit<'a> {
    /// Returns what a file makes of its directory.
    fn of(path: &'a str) -> Option<Self> {
        match path.rsplit_once('/').map_or(path, |(_, name)| name) {
            "kustomization.yaml" | "kustomization.yml" | "Kustomization" => Some(Self::Kustomization(path)),
            "Chart.yaml" => Some(Self::Chart),
            _ => None,
        }
    }
}

impl Layout {
    /// Looks at the files below a path. `nesting` reads a kustomization file.
    pub(super) fn find(
        tree: &Tree,
        below: &str,
        mut nesting: impl FnMut(&str, &Entry) -> Result<Arc<Nesting>, RepoError>,
    ) -> Result<Self, RepoError> {
        let start = if below.is_empty() {
            String::new()
        } else {
            format!("{below}/")
        };
        let inside = || {
            let from = tree.files.range(start.clone()..);
            from.take_while(|(path, _)| is_below(path, below))
        };
        let units = Units::find(inside());
        let mut layout = Self::default();
        layout.roots = units.roots(tree, below, |path, entry| {
            let read = nesting(path, entry)?;
            let kept = (entry.id.clone(), Arc::clone(&read));
            layout.nestings.insert(path.to_owned(), kept);
            Ok(read)
        })?;
        let mut unit_of_dir: Option<(&str, Option<(&str, Unit<'_>)>)> = None;
        for (path, entry) in inside() {
            layout.found = true;
            if !is_manifest(path) {
                continue;
            }
            let dir = dir_of(path);
            let unit = match unit_of_dir {
                Some((known, unit)) if known == dir => unit,
                _ => units.of(path),
            };
            unit_of_dir = Some((dir, unit));
            match (entry.mode, unit) {
                (Mode::Link, _) => layout.skip(path, "a symbolic link".to_owned()),
                (Mode::File, Some((chart, Unit::Chart))) => {
                    let chart = if chart.is_empty() { "." } else { chart };
                    layout.skip(path, format!("part of the Helm chart {chart}"));
                }
                (Mode::Submodule, _) | (Mode::File, Some((_, Unit::Kustomization(_)))) => {}
                (Mode::File, None) => layout.plain.push(path.clone()),
            }
        }
        Ok(layout)
    }

    /// Tells whether a revision that differs from another in these files only has the same layout.
    pub(super) fn stays(before: &Tree, changes: &[Change]) -> bool {
        changes.iter().all(|change| {
            let old = before.files.get(&change.path).map(|entry| entry.mode);
            change.after.is_some() && old == Some(change.mode) && Unit::of(&change.path).is_none()
        })
    }

    /// Returns what a kustomization file was read to, if its content is this.
    pub(super) fn nesting(&self, path: &str, id: &BlobId) -> Option<&Arc<Nesting>> {
        let (known, nesting) = self.nestings.get(path)?;
        (known == id).then_some(nesting)
    }

    fn skip(&mut self, file: &str, why: String) {
        self.skipped.push(Skipped {
            file: file.to_owned(),
            line: 1,
            why,
        });
    }
}

impl<'a> Units<'a> {
    fn find(files: impl Iterator<Item = (&'a String, &'a Entry)>) -> Self {
        let mut units = BTreeMap::new();
        for (path, _) in files {
            if let Some(unit) = Unit::of(path) {
                units.insert(dir_of(path), unit);
            }
        }
        Self(units)
    }

    /// Returns the outermost unit that a file is part of.
    fn of(&self, path: &'a str) -> Option<(&'a str, Unit<'a>)> {
        if self.0.is_empty() {
            return None;
        }
        let ends = path.match_indices('/').map(|(at, _)| at);
        let mut dirs = std::iter::once("").chain(ends.filter_map(|at| path.get(..at)));
        dirs.find_map(|dir| self.0.get(dir).map(|unit| (dir, *unit)))
    }

    fn roots(
        &self,
        tree: &Tree,
        below: &str,
        mut nesting: impl FnMut(&str, &Entry) -> Result<Arc<Nesting>, RepoError>,
    ) -> Result<Vec<String>, RepoError> {
        if !below.is_empty() && matches!(self.0.get(below), Some(Unit::Kustomization(_))) {
            return Ok(vec![below.to_owned()]);
        }
        let mut referred: BTreeSet<String> = BTreeSet::new();
        let mut candidates = Vec::new();
        for (dir, unit) in &self.0 {
            let Unit::Kustomization(file) = unit else { continue };
            let in_chart = matches!(self.of(file), Some((_, Unit::Chart)));
            let hidden = file.split('/').any(|part| part.starts_with('.'));
            let Some(entry) = tree.files.get(*file).filter(|_| !in_chart && !hidden) else {
                continue;
            };
            let read = nesting(file, entry)?;
            referred.extend(read.refers_to.iter().cloned());
            if !read.is_component {
                candidates.push((*dir).to_owned());
            }
        }
        candidates.retain(|dir| !referred.contains(dir));
        Ok(candidates)
    }
}

fn dir_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

fn is_manifest(path: &str) -> bool {
    let known = path
        .rsplit_once('.')
        .is_some_and(|(_, end)| matches!(end, "yaml" | "yml" | "json"));
    known && !path.split('/').any(|part| part.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(below: &str, files: &[(&str, &str)]) -> Layout {
        let mut tree = Tree::default();
        for (path, _) in files {
            let id = "0123456789012345678901234567890123456789".parse().unwrap();
            let entry = Entry { id, mode: Mode::File };
            tree.files.insert_mut((*path).to_owned(), entry);
        }
        let read = |path: &str, _: &Entry| {
            let text = files
                .iter()
                .find(|(known, _)| *known == path)
                .map_or("", |(_, text)| text);
            Ok(Arc::new(Nesting::read(text.as_bytes(), dir_of(path))))
        };
        Layout::find(&tree, below, read).unwrap()
    }

    const FILES: [(&str, &str); 9] = [
        (".github/kustomization.yaml", "resources: [x.yaml]\n"),
        ("apps/base/kustomization.yaml", "resources: [x.yaml]\n"),
        ("apps/base/x.yaml", ""),
        ("apps/component/kustomization.yml", "kind: Component\n"),
        (
            "apps/production/kustomization.yaml",
            "resources: [../base]\ncomponents: [../component]\n",
        ),
        ("apps/staging/Kustomization", "bases: [../base/]\n"),
        ("chart/Chart.yaml", ""),
        ("chart/templates/kustomization.yaml", "resources: [x.yaml]\n"),
        ("plain/x.yaml", ""),
    ];

    #[test]
    fn directories_that_no_other_refers_to_are_rendered() {
        let all = layout("", &FILES);
        assert_eq!(all.roots, ["apps/production", "apps/staging"]);
        assert_eq!(all.plain, ["plain/x.yaml"]);
        assert_eq!(all.skipped.len(), 2, "the chart: {:?}", all.skipped);
        assert_eq!(layout("apps/staging", &FILES).roots, ["apps/staging"]);
        assert_eq!(layout("apps/base", &FILES).roots, ["apps/base"], "as it is named");
        assert!(!layout("app", &FILES).found);
    }
}
