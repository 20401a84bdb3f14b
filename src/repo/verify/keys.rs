//! The list of keys: files and directories of public keys, read anew when they change.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tempfile::TempDir;

use super::{Verifier, VerifyError, commit, openpgp, ssh};
use crate::{
    error::{Class, Classified},
    repo::{CommitId, Repository},
};

/// The most files that are read of a directory.
const MAX_FILES: usize = 200;
/// The largest file.
const MAX_BYTES: u64 = 1 << 20;

/// A list of keys that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// A file cannot be read, or holds no key.
    #[error("cannot use the keys of `{}`: {message}", .file.display())]
    Unusable {
        /// Which.
        file: PathBuf,
        /// Why.
        message: String,
    },
    /// There is none.
    #[error("no key is listed")]
    None,
}

impl KeysError {
    pub(super) fn unusable(file: &Path, error: &std::io::Error) -> Self {
        Self::Unusable {
            file: file.to_owned(),
            message: error.to_string(),
        }
    }
}

impl Classified for KeysError {
    fn class(&self) -> Class {
        Class::Retry(Duration::from_secs(5))
    }

    fn hint(&self) -> Option<String> {
        Some(
            "give --verify-keys a file or folder with SSH keys (`.pub`, `.sshpub`, or an allowed_signers file) or \
             OpenPGP keys (`.asc`)"
                .to_owned(),
        )
    }
}

/// What the files hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Listed {
    signers: String,
    revoked: Vec<u8>,
    openpgp: Vec<Vec<u8>>,
}

/// What the programs read.
#[derive(Debug)]
struct Made {
    of: Listed,
    dir: TempDir,
}

/// Keys that commits have to be signed with.
#[derive(Debug)]
pub struct Keys {
    paths: Vec<PathBuf>,
    made: Mutex<Option<Arc<Made>>>,
}

impl Keys {
    /// Reads the keys for the first time. Blocks.
    pub fn read(paths: Vec<PathBuf>) -> Result<Self, VerifyError> {
        let keys = Self {
            paths,
            made: Mutex::default(),
        };
        keys.now()?;
        Ok(keys)
    }

    /// Judges a commit object.
    pub(super) fn judge(&self, id: &CommitId, raw: &[u8]) -> Result<Option<String>, VerifyError> {
        let signed = match commit::parse(id, raw) {
            Ok(signed) => signed,
            Err(why) => return Ok(Some(why.to_owned())),
        };
        let made = self.now()?;
        let first = signed
            .signature
            .lines()
            .next()
            .unwrap_or_default()
            .trim_end()
            .to_owned();
        match first.as_str() {
            "-----BEGIN SSH SIGNATURE-----" => ssh::verify(&signed, made.dir.path()),
            "-----BEGIN PGP SIGNATURE-----" => openpgp::verify(&signed, &made.dir.path().join("gnupg")),
            _ => Ok(Some("its signature is neither of SSH nor of OpenPGP".to_owned())),
        }
    }

    fn now(&self) -> Result<Arc<Made>, VerifyError> {
        let of = listed(&self.paths)?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref().filter(|made| made.of == of) {
            return Ok(Arc::clone(made));
        }
        let new = Arc::new(make(of)?);
        *made = Some(Arc::clone(&new));
        Ok(new)
    }
}

impl Verifier for Keys {
    fn verify(&self, repository: &dyn Repository, id: &CommitId) -> Result<Option<String>, VerifyError> {
        let raw = repository.raw_commit(id)?.ok_or(VerifyError::NoCommits)?;
        self.judge(id, &raw)
    }
}

fn make(of: Listed) -> Result<Made, VerifyError> {
    let dir = tempfile::tempdir().map_err(|error| KeysError::unusable(&std::env::temp_dir(), &error))?;
    let write = |name: &str, bytes: &[u8]| {
        let file = dir.path().join(name);
        fs::write(&file, bytes).map_err(|error| KeysError::unusable(&file, &error))
    };
    write("allowed_signers", of.signers.as_bytes())?;
    if !of.revoked.is_empty() {
        write("revoked", &of.revoked)?;
    }
    let home = dir.path().join("gnupg");
    fs::create_dir(&home).map_err(|error| KeysError::unusable(&home, &error))?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&home, private).map_err(|error| KeysError::unusable(&home, &error))?;
    openpgp::import(&of.openpgp, &home)?;
    Ok(Made { of, dir })
}

fn listed(paths: &[PathBuf]) -> Result<Listed, KeysError> {
    let mut found = Listed::default();
    for path in paths {
        let mut files = vec![path.clone()];
        if path.is_dir() {
            let entries = fs::read_dir(path).map_err(|error| KeysError::unusable(path, &error))?;
            let visible = |entry: &fs::DirEntry| !entry.file_name().to_string_lossy().starts_with('.');
            let entries = entries.flatten().filter(visible).map(|entry| entry.path());
            files = entries.filter(|path| path.is_file()).take(MAX_FILES).collect();
            files.sort();
        }
        for file in &files {
            add(file, &mut found)?;
        }
    }
    if found.signers.is_empty() && found.openpgp.is_empty() {
        return Err(KeysError::None);
    }
    Ok(found)
}

fn add(file: &Path, found: &mut Listed) -> Result<(), KeysError> {
    let size = fs::metadata(file)
        .map_err(|error| KeysError::unusable(file, &error))?
        .len();
    if size > MAX_BYTES {
        let message = format!("it has {size} bytes, more than {MAX_BYTES}");
        let file = file.to_owned();
        return Err(KeysError::Unusable { file, message });
    }
    let bytes = fs::read(file).map_err(|error| KeysError::unusable(file, &error))?;
    let extension = file
        .extension()
        .and_then(|text| text.to_str())
        .unwrap_or_default();
    match extension {
        "asc" => found.openpgp.push(bytes),
        "revoked" => {
            found.revoked.extend_from_slice(&bytes);
            found.revoked.push(b'\n');
        }
        _ => {
            for line in String::from_utf8_lossy(&bytes).lines().map(str::trim) {
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                if is_key(line) {
                    // A key alone counts for every committer.
                    found.signers.push_str("* namespaces=\"git\" ");
                }
                found.signers.push_str(line);
                found.signers.push('\n');
            }
        }
    }
    Ok(())
}

/// Whether a line begins with the type of a key, not with the addresses that it is for.
fn is_key(line: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"]
        .iter()
        .any(|kind| line.starts_with(kind))
}
