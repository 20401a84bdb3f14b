//! Reads the archive of an artifact: a hostile `tar.gz`. Nothing is written to disk; what is no plain file or
//! directory inside the archive's own tree refuses the whole archive.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    sync::Arc,
};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tar::{Archive, EntryType};

use crate::repo::BlobId;

/// The most bytes that an archive may unpack to, headers included.
const MAX_UNPACKED: u64 = 100 << 20;
/// The most entries.
const MAX_ENTRIES: usize = 100_000;
/// The longest path, in bytes.
const MAX_PATH: usize = 1024;
/// The deepest path.
const MAX_DEPTH: usize = 64;
/// The content of greater files is not kept: no manifest is.
const MAX_KEPT: usize = 1 << 20;

/// Why an archive is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// It is no `tar.gz`, or is cut off.
    #[error("the archive cannot be read: {0}")]
    Broken(String),
    /// More bytes or entries than are taken.
    #[error("the archive has more than {0}")]
    TooMuch(String),
    /// An entry whose path leaves the archive, or cannot be told apart from another one.
    #[error("the archive holds a bad path: {0}")]
    Path(String),
    /// An entry that is neither a file nor a directory.
    #[error("the archive holds `{path}`, which is {what}")]
    Kind {
        /// Its path.
        path: String,
        /// What it is.
        what: &'static str,
    },
}

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The SHA-256 of its content.
    pub id: BlobId,
    /// Its size in bytes.
    pub size: usize,
    /// Its content; none if it is too large for a manifest.
    pub content: Option<Arc<[u8]>>,
}

/// What an archive holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Files by their path.
    pub files: BTreeMap<String, File>,
    /// How many files were left out because their names are not UTF-8.
    pub unnamed: usize,
}

/// Reads the files of a `tar.gz`.
pub fn unpack(archive: &[u8]) -> Result<Unpacked, ArchiveError> {
    unpack_within(archive, MAX_UNPACKED, MAX_ENTRIES)
}

fn unpack_within(archive: &[u8], max_bytes: u64, max_entries: usize) -> Result<Unpacked, ArchiveError> {
    let too_many_bytes = || ArchiveError::TooMuch(format!("{max_bytes} bytes"));
    let mut stream = MultiGzDecoder::new(archive).take(max_bytes + 1);
    let mut found = Unpacked::default();
    let mut directories = BTreeSet::new();
    let mut entries = 0_usize;
    let ended = read_entries(&mut stream, &mut |entry| {
        entries += 1;
        if entries > max_entries {
            return Err(ArchiveError::TooMuch(format!("{max_entries} entries")));
        }
        if entry.size() > max_bytes {
            return Err(too_many_bytes());
        }
        take(entry, &mut found, &mut directories)
    });
    // A cut at the limit looks like a broken archive; the limit is the reason.
    if stream.limit() == 0 {
        return Err(too_many_bytes());
    }
    ended?;
    no_file_is_a_directory(&found.files, &directories)?;
    Ok(found)
}

fn read_entries<R: Read>(
    stream: &mut R,
    each: &mut impl FnMut(&mut tar::Entry<'_, &mut R>) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut archive = Archive::new(stream);
    for entry in archive.entries().map_err(|error| broken(&error))? {
        each(&mut entry.map_err(|error| broken(&error))?)?;
    }
    Ok(())
}

fn take<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    found: &mut Unpacked,
    directories: &mut BTreeSet<String>,
) -> Result<(), ArchiveError> {
    let kind = entry.header().entry_type();
    if kind == EntryType::XGlobalHeader {
        return Ok(()); // What `git archive` begins with.
    }
    let raw = entry.path_bytes().into_owned();
    if raw.len() > MAX_PATH {
        return Err(ArchiveError::Path(format!("longer than {MAX_PATH} bytes")));
    }
    let named = std::str::from_utf8(&raw).ok();
    if let Some(what) = refused(kind) {
        let path = crate::http::excerpt(&String::from_utf8_lossy(&raw), 200);
        return Err(ArchiveError::Kind { path, what });
    }
    let Some(path) = named.map(clean).transpose()? else {
        found.unnamed += 1;
        return Ok(());
    };
    if kind == EntryType::Directory {
        directories.extend((!path.is_empty()).then_some(path));
        return Ok(());
    }
    if path.is_empty() || found.files.contains_key(&path) {
        let why = if path.is_empty() {
            "a file without a name".to_owned()
        } else {
            format!("`{path}` comes twice")
        };
        return Err(ArchiveError::Path(why));
    }
    found.files.insert(path, read(entry)?);
    Ok(())
}

fn refused(kind: EntryType) -> Option<&'static str> {
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::Directory => None,
        EntryType::Symlink => Some("a symbolic link"),
        EntryType::Link => Some("a hard link"),
        EntryType::Char | EntryType::Block | EntryType::Fifo => Some("a device"),
        _ => Some("no plain file"),
    }
}

/// Reads the content of a file. The stream has a limit, whatever size the header claims.
fn read(entry: &mut impl Read) -> Result<File, ArchiveError> {
    let (mut hash, mut size, mut content) = (Sha256::new(), 0_usize, Vec::new());
    let mut buffer = [0_u8; 16 << 10];
    loop {
        let count = entry.read(&mut buffer).map_err(|error| broken(&error))?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else {
            break;
        };
        hash.update(part);
        size += count;
        if size <= MAX_KEPT {
            content.extend_from_slice(part);
        }
    }
    Ok(File {
        id: BlobId::of_sha256(&hash.finalize().into()),
        size,
        content: (size <= MAX_KEPT).then(|| content.into()),
    })
}

/// Normalises a path, or says why it is refused.
fn clean(path: &str) -> Result<String, ArchiveError> {
    let bad = |why: &str| ArchiveError::Path(format!("`{}` {why}", crate::http::excerpt(path, 200)));
    if path.starts_with('/') {
        return Err(bad("is absolute"));
    }
    if path.contains(['\\', '\0']) {
        return Err(bad("holds a backslash or a NUL"));
    }
    let inside = path.strip_prefix("./").unwrap_or(path);
    let inside = inside.strip_suffix('/').unwrap_or(inside);
    if matches!(inside, "" | ".") {
        return Ok(String::new());
    }
    let mut depth = 0;
    for part in inside.split('/') {
        depth += 1;
        if matches!(part, "" | "." | "..") {
            return Err(bad("has an empty part, `.` or `..`"));
        }
    }
    if depth > MAX_DEPTH {
        return Err(bad(&format!("is deeper than {MAX_DEPTH} directories")));
    }
    Ok(inside.to_owned())
}

fn no_file_is_a_directory(
    files: &BTreeMap<String, File>,
    directories: &BTreeSet<String>,
) -> Result<(), ArchiveError> {
    let parents = files
        .keys()
        .flat_map(|path| path.match_indices('/').filter_map(|(at, _)| path.get(..at)));
    let mut all = parents.chain(directories.iter().map(String::as_str));
    match all.find(|directory| files.contains_key(*directory)) {
        Some(both) => Err(ArchiveError::Path(format!("`{both}` is a file and a directory"))),
        None => Ok(()),
    }
}

fn broken(error: &std::io::Error) -> ArchiveError {
    ArchiveError::Broken(crate::http::excerpt(&error.to_string(), 200))
}

#[cfg(test)]
mod tests;
