//! What hostile bytes are fed to. Shared by the fuzz targets and by the test that replays the corpus. Nothing
//! here may panic, hang or take memory beyond the limits; what is read must be sound.

use std::{cell::RefCell, path::Path};

use git2::{ObjectType, Repository};
use serin::{
    manifest,
    plan::{self, Cache, Settings},
    repo::{Checkout, CommitId, Options},
};
use tempfile::TempDir;

/// A file with YAML documents.
pub(crate) fn documents(data: &[u8]) {
    let found = manifest::documents(data, "fuzz/file.yaml");
    for document in &found.objects {
        assert!(!document.object.name().is_empty(), "an object has a name");
        let hash = manifest::canonical(document.object.value());
        assert_eq!(hash, manifest::canonical(document.object.value()));
    }
    let lines = data.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
    for problem in &found.errors {
        assert!(problem.line >= 1 && problem.line as usize <= lines, "{problem}");
    }
}

/// Objects of a git repository: parts separated by `\n--\n`, the first the message of the commit, the last its
/// tree, all others raw trees or blobs. Twenty equal bytes, from 0 on, stand for the id of the part before.
pub(crate) fn git_trees(data: &[u8]) {
    REPOSITORY.with_borrow_mut(|kept| {
        let repository = kept.take().filter(|repository| repository.uses < 500);
        let mut repository = repository.unwrap_or_else(Bare::new);
        repository.uses += 1;
        if let Some(id) = repository.fill(data) {
            read(repository.folder.path(), &id);
        }
        *kept = Some(repository);
    });
}

thread_local! {
    static REPOSITORY: RefCell<Option<Bare>> = const { RefCell::new(None) };
}

struct Bare {
    folder: TempDir,
    git: Repository,
    uses: u32,
}

impl Bare {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = git2::RepositoryInitOptions::new();
        options.bare(true).initial_head("main").external_template(false);
        let git = Repository::init_opts(folder.path(), &options).expect("a repository");
        Self { folder, git, uses: 0 }
    }

    /// Writes the objects, and lets the branch point to the commit.
    fn fill(&self, data: &[u8]) -> Option<String> {
        let mut parts = split(data);
        let message = parts.remove(0).to_vec();
        let odb = self.git.odb().ok()?;
        let mut made: Vec<[u8; 20]> = Vec::new();
        for part in &parts {
            let part = resolve(part, &made);
            let kind = if part.first().is_some_and(u8::is_ascii_digit) {
                ObjectType::Tree
            } else {
                ObjectType::Blob
            };
            let id = odb.write(kind, &part).ok()?;
            made.push(id.as_bytes().try_into().ok()?);
        }
        let top = made.last().and_then(|id| git2::Oid::from_bytes(id).ok())?;
        let mut commit =
            format!("tree {top}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\n").into_bytes();
        commit.extend(message);
        let id = odb.write(ObjectType::Commit, &commit).ok()?.to_string();
        std::fs::write(self.folder.path().join("refs/heads/main"), format!("{id}\n")).ok()?;
        Some(id)
    }
}

fn split(data: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = data;
    while let Some(at) = rest
        .windows(4)
        .position(|four| four == b"\n--\n")
        .filter(|_| parts.len() < 16)
    {
        let (part, behind) = rest.split_at(at);
        parts.push(part);
        rest = behind.get(4..).unwrap_or_default();
    }
    parts.push(rest);
    parts
}

fn resolve(part: &[u8], made: &[[u8; 20]]) -> Vec<u8> {
    let mut out = part.to_vec();
    for (index, id) in made.iter().enumerate() {
        let Ok(index) = u8::try_from(index) else { break };
        while let Some(at) = out.windows(20).position(|twenty| twenty == [index; 20]) {
            out.splice(at..at + 20, id.iter().copied());
            if id.iter().all(|byte| *byte == index) {
                break;
            }
        }
    }
    out
}

fn read(dir: &Path, id: &str) {
    for path in ["", "apps"] {
        let options = Options {
            branch: None,
            path: path.to_owned(),
        };
        let checkout = Checkout::open(dir, options).expect("opens");
        let id: CommitId = id.parse().expect("an id");
        let Ok(newest) = checkout.newest() else { continue };
        assert_eq!(newest.id, id);
        if let Ok(tree) = checkout.tree(&id) {
            for (path, entry) in tree.files.iter().take(100) {
                assert!(!path.is_empty());
                checkout.read(&entry.id, 1 << 20).ok();
            }
        }
        checkout.changes(None, &id).ok();
        checkout.log(None, &id).ok();
        plan::plan(&checkout, &Cache::default(), &Settings::default(), None, &newest).ok();
    }
}
