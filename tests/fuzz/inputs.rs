//! What hostile bytes are fed to. Shared by the fuzz targets and by the test that replays the corpus. Nothing
//! here may panic, hang or take memory beyond the limits; what is read must be sound.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::Path,
    sync::Arc,
};

use flate2::{Compression, write::GzEncoder};
use git2::{ObjectType, Repository};
use jiff::Timestamp;
use serin::{
    http::Secret,
    manifest::{
        self,
        kustomize::{self, File, Files, Overlay, ReadError},
    },
    plan::{self, Cache, Settings},
    repo::{
        Artifact, Artifacts, Checkout, CommitId, Download, Options, Revision, unpack,
        webhook::{self, Call, Following, Verdict},
    },
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

/// An artifact of Flux: as it is, and as the tar inside of one.
pub(crate) fn artifacts(data: &[u8]) {
    let mut packed = GzEncoder::new(Vec::new(), Compression::none());
    packed.write_all(data).expect("memory");
    for archive in [data.to_vec(), packed.finish().expect("memory")] {
        let Ok(unpacked) = unpack(&archive) else { continue };
        for path in unpacked.files.keys() {
            assert!(is_inside(path) && !path.contains(['\\', '\0']), "{path:?}");
        }
        let revision: Revision = format!("main@sha1:{}", "a".repeat(40))
            .parse()
            .expect("a revision");
        let artifacts = Artifacts::new("fuzz", "").expect("a path");
        let download = Download {
            url: "http://source-controller/fuzz.tar.gz".to_owned(),
            digest: String::new(),
        };
        artifacts.put(Artifact {
            revision: revision.clone(),
            download,
            unpacked,
        });
        plan::plan(
            &artifacts,
            &Cache::default(),
            &Settings::default(),
            None,
            &revision,
        )
        .ok();
    }
}

/// A path of a tree: it does not lead out of it. Names with backslashes are names like others in git.
fn is_inside(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// A tree of files with kustomizations: parts separated by `\n--\n`, the first line of each is its path.
pub(crate) fn kustomizations(data: &[u8]) {
    let files = split(data).into_iter().filter_map(|part| {
        let at = part.iter().position(|byte| *byte == b'\n')?;
        let (path, content) = part.split_at(at);
        let path = std::str::from_utf8(path).ok().filter(|path| is_inside(path))?;
        let content = content.get(1..).unwrap_or_default().to_vec();
        Some((path.to_owned(), Arc::new(File::new(path, content))))
    });
    let files = Parts(files.collect());
    for dir in ["", "overlay"] {
        for overlay in [Overlay::default(), namespaced()] {
            let built = kustomize::build(&files, dir, &overlay);
            assert_eq!(built.is_ok(), kustomize::build(&files, dir, &overlay).is_ok());
            let inputs = match &built {
                Ok(built) => &built.inputs,
                Err(unrendered) => &unrendered.inputs,
            };
            for input in inputs {
                let path = input.strip_suffix('/').unwrap_or(input);
                assert!(path.is_empty() || is_inside(path), "{input:?}");
            }
        }
    }
}

fn namespaced() -> Overlay {
    Overlay {
        target_namespace: Some("other".to_owned()),
        ..Overlay::default()
    }
}

struct Parts(BTreeMap<String, Arc<File>>);

impl Files for Parts {
    fn file(&self, path: &str) -> Result<Option<Arc<File>>, ReadError> {
        Ok(self.0.get(path).cloned())
    }

    fn is_dir(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        path.is_empty() || self.0.keys().any(|known| known.starts_with(&inside))
    }

    fn list(&self, dir: &str) -> Vec<String> {
        let inside = if dir.is_empty() {
            String::new()
        } else {
            format!("{dir}/")
        };
        let names = self.0.keys().filter_map(|path| {
            let rest = path.strip_prefix(&inside)?;
            rest.split('/').next().map(str::to_owned)
        });
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// A call that says that something was pushed: lines of headers, an empty line, the body.
pub(crate) fn webhooks(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let headers: Vec<(String, &str)> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value))
        .collect();
    let find = |name: &str| {
        headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| *value)
    };
    let following = Following {
        branch: Some("main".to_owned()),
        repository: Some("team/apps".to_owned()),
    };
    let secret = Secret::new("fuzz");
    for (secret, is_local) in [(None, true), (None, false), (Some(&secret), false)] {
        let call = Call {
            header: &find,
            body: body.as_bytes(),
            is_local,
        };
        let verdict = webhook::judge(&call, secret, &following, Timestamp::UNIX_EPOCH);
        let may = secret.is_some() || is_local;
        assert!(may || verdict != Verdict::Look, "nobody may call");
        if let Verdict::Ignore(why) = &verdict {
            assert!(why.len() < 2000, "an answer is bounded");
        }
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
