//! The artifacts of a Flux source as a repository: archives without history, each under the commit that it was
//! made from. Keeps the last few of them in memory, files of the same content once.

mod fetch;
mod unpack;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    BlobId, Change, Commit, CommitId, Entry, Log, Mode, RepoError, Repository, Revision, Since, Tree,
    checkout::clean_path,
};

pub use fetch::{ArtifactError, Download};
pub use unpack::{ArchiveError, File, Unpacked, unpack};

/// How many artifacts are kept.
const KEPT: usize = 4;
/// Of how many it is remembered what Flux found of their signatures: one may be judged before it is taken.
const JUDGED: usize = 4 * KEPT;

/// An archive and the revision that it was made from.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The commit, and the branch if it is known.
    pub revision: Revision,
    /// Where it was, and its digest.
    pub download: Download,
    /// The files.
    pub unpacked: Unpacked,
}

/// Where artifacts are made from.
#[derive(Debug, Default)]
enum Origin {
    /// The source was not read yet.
    #[default]
    Unknown,
    /// This repository, if the source says.
    Is(Option<String>),
}

/// The last artifacts of one Flux source.
#[derive(Debug)]
pub struct Artifacts {
    name: String,
    path: String,
    kept: Mutex<VecDeque<Artifact>>,
    /// Where they are made from; not known before the source was read.
    origin: Mutex<Origin>,
    /// Why Flux has not verified what is at these places; nothing where it has.
    judged: Mutex<VecDeque<(Download, Option<String>)>>,
}

impl Artifacts {
    /// Makes a repository without any artifact yet. `path` is the part that is read, empty for all.
    pub fn new(name: &str, path: &str) -> Result<Self, RepoError> {
        Ok(Self {
            name: name.to_owned(),
            path: clean_path(path)?,
            kept: Mutex::default(),
            origin: Mutex::default(),
            judged: Mutex::default(),
        })
    }

    /// Takes what Flux found of the signature of what is at this place: that it is verified, or why not. The newest
    /// word counts.
    pub fn judge(&self, download: &Download, why_not: Option<String>) {
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        judged.retain(|(known, _)| known != download);
        judged.push_back((download.clone(), why_not));
        if judged.len() > JUDGED {
            judged.pop_front();
        }
    }

    /// Takes why nobody knows whether what is at this place is verified. What Flux found of it before stays.
    pub fn wonder(&self, download: &Download, why: String) {
        let judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let found = judged
            .iter()
            .any(|(known, why_not)| known == download && why_not.is_none());
        drop(judged);
        if !found {
            self.judge(download, Some(why));
        }
    }

    /// Says which repository they are made from, as far as the source does.
    pub fn made_from(&self, url: Option<String>) {
        *self.origin.lock().unwrap_or_else(PoisonError::into_inner) = Origin::Is(url);
    }

    /// Takes a newer artifact; the oldest is forgotten when there are more than a few.
    pub fn put(&self, mut artifact: Artifact) {
        let mut kept = self.lock();
        share_content(&kept, &mut artifact.unpacked);
        kept.retain(|known| known.revision.id != artifact.revision.id);
        kept.push_back(artifact);
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }

    /// Takes an artifact that is older than all that are kept.
    pub fn put_before(&self, mut artifact: Artifact) {
        let mut kept = self.lock();
        let known = kept.iter().any(|known| known.revision.id == artifact.revision.id);
        if !known && kept.len() < KEPT {
            share_content(&kept, &mut artifact.unpacked);
            kept.push_front(artifact);
        }
    }

    /// Returns where the artifact of a commit was.
    #[must_use]
    pub fn download_of(&self, commit: &CommitId) -> Option<Download> {
        self.with(commit, |artifact| Ok(artifact.download.clone())).ok()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Artifact>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        id: &CommitId,
        read: impl FnOnce(&Artifact) -> Result<T, RepoError>,
    ) -> Result<T, RepoError> {
        let kept = self.lock();
        let found = kept.iter().find(|artifact| artifact.revision.id == *id);
        found.map_or_else(|| Err(self.gone(id)), read)
    }

    fn gone(&self, id: &CommitId) -> RepoError {
        RepoError::NoArtifact {
            source_name: self.name.clone(),
            id: Some(id.clone()),
        }
    }

    fn below(&self, below: &str, id: &CommitId) -> Result<Tree, RepoError> {
        let tree = self.with(id, |artifact| Ok(tree(&artifact.unpacked, below)))?;
        if tree.files.is_empty() && !below.is_empty() {
            return Err(RepoError::NoPath {
                path: below.to_owned(),
                id: id.clone(),
            });
        }
        Ok(tree)
    }

    fn compare(&self, below: &str, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError> {
        let listed = |id: &CommitId| self.with(id, |artifact| Ok(tree(&artifact.unpacked, below)));
        let new = listed(to)?;
        let old = from.map(listed).transpose()?.unwrap_or_default();
        Ok(new.changes_since(&old))
    }
}

/// Content that an older artifact has is kept once.
fn share_content(kept: &VecDeque<Artifact>, unpacked: &mut Unpacked) {
    let known: BTreeMap<&BlobId, &Arc<[u8]>> = kept
        .iter()
        .flat_map(|artifact| artifact.unpacked.files.values())
        .filter_map(|file| Some((&file.id, file.content.as_ref()?)))
        .collect();
    for file in unpacked.files.values_mut() {
        if let Some(content) = known.get(&file.id) {
            file.content = Some(Arc::clone(content));
        }
    }
}

fn is_below(path: &str, below: &str) -> bool {
    below.is_empty() || path.strip_prefix(below).is_some_and(|rest| rest.starts_with('/'))
}

fn tree(unpacked: &Unpacked, below: &str) -> Tree {
    let inside = unpacked.files.iter().filter(|(path, _)| is_below(path, below));
    let entries = inside.map(|(path, file)| {
        let entry = Entry {
            id: file.id.clone(),
            mode: Mode::File,
        };
        (path.clone(), entry)
    });
    Tree {
        files: entries.collect(),
        unnamed: unpacked.unnamed,
    }
}

/// An artifact tells nothing of its commit but the id.
fn bare(artifact: &Artifact) -> Commit {
    Commit {
        id: artifact.revision.id.clone(),
        subject: String::new(),
        reverts: None,
    }
}

impl Repository for Artifacts {
    fn url(&self) -> Result<Option<String>, RepoError> {
        let origin = self.origin.lock().unwrap_or_else(PoisonError::into_inner);
        match &*origin {
            Origin::Is(url) => Ok(url.clone()),
            Origin::Unknown => Err(RepoError::NoArtifact {
                source_name: self.name.clone(),
                id: None,
            }),
        }
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn newest(&self) -> Result<Revision, RepoError> {
        let newest = self.lock().back().map(|artifact| artifact.revision.clone());
        newest.ok_or_else(|| RepoError::NoArtifact {
            source_name: self.name.clone(),
            id: None,
        })
    }

    fn log(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Log, RepoError> {
        let newer = self.with(to, |artifact| Ok(bare(artifact)))?;
        let since = match from {
            None => Since::First,
            Some(from) if from == to => Since::Linear,
            Some(from) if self.with(from, |_| Ok(())).is_err() => Since::Gone,
            Some(_) => Since::Unknown,
        };
        Ok(Log {
            since,
            commits: if since == Since::Linear {
                Vec::new()
            } else {
                vec![newer]
            },
            cut: matches!(since, Since::Gone | Since::Unknown),
        })
    }

    /// Lists what Flux served up to this revision, as far as it is kept.
    fn history(&self, to: &CommitId, limit: usize) -> Result<Vec<Commit>, RepoError> {
        let kept = self.lock();
        let older = kept
            .iter()
            .rev()
            .skip_while(|artifact| artifact.revision.id != *to);
        let found: Vec<Commit> = older.take(limit).map(bare).collect();
        if found.is_empty() && limit > 0 {
            return Err(self.gone(to));
        }
        Ok(found)
    }

    fn tree(&self, id: &CommitId) -> Result<Tree, RepoError> {
        self.below(&self.path, id)
    }

    fn changes(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError> {
        self.compare(&self.path, from, to)
    }

    fn whole_tree(&self, id: &CommitId) -> Result<Tree, RepoError> {
        self.below("", id)
    }

    fn whole_changes(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError> {
        self.compare("", from, to)
    }

    fn read(&self, id: &BlobId, limit: usize) -> Result<Vec<u8>, RepoError> {
        let kept = self.lock();
        let mut files = kept.iter().flat_map(|artifact| artifact.unpacked.files.values());
        let file = files
            .find(|file| file.id == *id)
            .ok_or_else(|| RepoError::NoBlob {
                dir: self.name.clone().into(),
                id: id.clone(),
            })?;
        match &file.content {
            Some(content) if file.size <= limit => Ok(content.to_vec()),
            _ => Err(RepoError::TooLarge {
                size: file.size,
                limit,
            }),
        }
    }

    fn verification(&self, id: &CommitId) -> Option<Option<String>> {
        let unknown = || Some("Flux has not said whether it is verified".to_owned());
        let Some(download) = self.download_of(id) else {
            return Some(unknown());
        };
        let judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        let found = judged.iter().find(|(known, _)| *known == download);
        Some(found.map_or_else(unknown, |(_, why_not)| why_not.clone()))
    }

    fn contains(&self, commit: &CommitId, newer: &CommitId) -> bool {
        let kept = self.lock();
        let at = |id: &CommitId| kept.iter().position(|artifact| artifact.revision.id == *id);
        commit == newer || at(commit).zip(at(newer)).is_some_and(|(old, new)| old < new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u8) -> CommitId {
        format!("{index:040x}").parse().unwrap()
    }

    fn artifact(index: u8, files: &[(&str, &str)]) -> Artifact {
        let files = files.iter().map(|(path, text)| {
            let file = File {
                id: BlobId::of_sha256(&<sha2::Sha256 as sha2::Digest>::digest(text.as_bytes()).into()),
                size: text.len(),
                content: Some(text.as_bytes().into()),
            };
            ((*path).to_owned(), file)
        });
        Artifact {
            revision: Revision {
                branch: "main".to_owned(),
                id: id(index),
            },
            download: Download {
                url: format!("http://source/{index}.tar.gz"),
                digest: String::new(),
            },
            unpacked: Unpacked {
                files: files.collect(),
                unnamed: 0,
            },
        }
    }

    fn two() -> Artifacts {
        let artifacts = Artifacts::new("flux-system", "./apps/").unwrap();
        artifacts.put(artifact(
            1,
            &[("apps/a.yaml", "1"), ("apps/b.yaml", "1"), ("base/c.yaml", "1")],
        ));
        artifacts.put(artifact(
            2,
            &[("apps/a.yaml", "2"), ("apps/d.yaml", "1"), ("base/c.yaml", "2")],
        ));
        artifacts
    }

    #[test]
    fn changes_are_told_by_content() {
        let artifacts = two();
        let changed = |changes: Vec<Change>| {
            let told = changes
                .into_iter()
                .map(|change| (change.path, change.before.is_some(), change.after.is_some()));
            told.collect::<Vec<_>>()
        };
        assert_eq!(
            changed(artifacts.changes(Some(&id(1)), &id(2)).unwrap()),
            [
                ("apps/a.yaml".to_owned(), true, true),
                ("apps/b.yaml".to_owned(), true, false),
                ("apps/d.yaml".to_owned(), false, true)
            ]
        );
        assert_eq!(artifacts.whole_changes(Some(&id(1)), &id(2)).unwrap().len(), 4);
        assert_eq!(artifacts.changes(None, &id(2)).unwrap().len(), 2);
    }

    #[test]
    fn there_is_no_history() {
        let artifacts = two();
        let log = artifacts.log(Some(&id(1)), &id(2)).unwrap();
        assert_eq!((log.since, log.cut, log.commits.len()), (Since::Unknown, true, 1));
        assert_eq!(artifacts.log(Some(&id(9)), &id(2)).unwrap().since, Since::Gone);
        assert_eq!(artifacts.log(None, &id(2)).unwrap().since, Since::First);
        let history = artifacts.history(&id(2), 5).unwrap();
        assert_eq!(
            history.iter().map(|commit| commit.id.clone()).collect::<Vec<_>>(),
            [id(2), id(1)]
        );
        assert!(artifacts.contains(&id(1), &id(2)) && !artifacts.contains(&id(2), &id(1)));
        assert!(!artifacts.contains(&id(9), &id(2)));
    }

    #[test]
    fn the_newest_few_are_kept_and_share_their_content() {
        let artifacts = two();
        let blob = artifacts.tree(&id(2)).unwrap().files["apps/d.yaml"].id.clone();
        assert_eq!(artifacts.read(&blob, 10).unwrap(), b"1");
        assert!(matches!(
            artifacts.read(&blob, 0),
            Err(RepoError::TooLarge { .. })
        ));
        for index in 3..=5 {
            artifacts.put(artifact(index, &[("apps/a.yaml", "1")]));
        }
        assert_eq!(artifacts.newest().unwrap().id, id(5));
        assert!(matches!(
            artifacts.tree(&id(1)),
            Err(RepoError::NoArtifact { .. })
        ));
        let kept = artifacts.lock();
        let contents: Vec<_> = kept
            .iter()
            .skip(1)
            .map(|artifact| artifact.unpacked.files["apps/a.yaml"].content.clone().unwrap())
            .collect();
        assert!(contents.windows(2).all(|pair| Arc::ptr_eq(&pair[0], &pair[1])));
    }

    #[test]
    fn an_older_artifact_is_put_before_the_others() {
        let artifacts = two();
        artifacts.put_before(artifact(9, &[]));
        assert!(artifacts.contains(&id(9), &id(1)) && artifacts.newest().unwrap().id == id(2));
        assert_eq!(
            artifacts.download_of(&id(9)).unwrap().url,
            "http://source/9.tar.gz"
        );
        assert_eq!(artifacts.download_of(&id(8)), None);
        let empty = Artifacts::new("x", "").unwrap();
        assert_eq!(
            empty.newest().unwrap_err().to_string(),
            "Flux has no artifact of `x` yet"
        );
    }

    #[test]
    fn a_revision_is_verified_where_flux_said_so_of_its_very_artifact() {
        let artifacts = two();
        let [old, new] = [1, 2].map(|index| artifacts.download_of(&id(index)).unwrap());
        let why = |index| artifacts.verification(&id(index)).unwrap();
        assert_eq!(
            why(1),
            Some("Flux has not said whether it is verified".to_owned())
        );
        artifacts.judge(&old, None);
        artifacts.wonder(&old, "speaks of another commit".to_owned());
        artifacts.wonder(&new, "not yet".to_owned());
        assert_eq!((why(1), why(2)), (None, Some("not yet".to_owned())));
        artifacts.judge(&new, None);
        artifacts.judge(&old, Some("the key was taken back".to_owned()));
        assert_eq!(
            (why(1), why(2)),
            (Some("the key was taken back".to_owned()), None)
        );
        let mut other = artifact(2, &[("apps/a.yaml", "evil")]);
        other.download.digest = "sha256:2".to_owned();
        artifacts.put(other);
        assert!(why(2).is_some(), "the same commit, and other files");
        for index in 10..60 {
            artifacts.judge(&artifact(index, &[]).download, None);
        }
        assert!(artifacts.judged.lock().unwrap().len() <= JUDGED);
    }

    #[test]
    fn a_path_that_no_artifact_has_is_told() {
        let artifacts = Artifacts::new("x", "missing").unwrap();
        artifacts.put(artifact(1, &[("apps/a.yaml", "1")]));
        assert!(matches!(artifacts.tree(&id(1)), Err(RepoError::NoPath { .. })));
        assert!(Artifacts::new("x", "../up").is_err());
    }
}
