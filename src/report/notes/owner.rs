//! Gives what was written to the owner of the repository: a checkout may belong to somebody else (git-sync's
//! user), whose git must be able to write into the same directories afterwards.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

/// Hands over the files and directories of these objects and of a ref. Best effort: without the right to give
/// files away, directories are opened to the group as far as the repository's are.
pub(super) fn hand_over<'a>(common: &Path, objects: impl Iterator<Item = &'a str>, reference: &str) {
    let Ok(owner) = fs::metadata(common.join("objects")) else {
        return;
    };
    for path in objects.flat_map(object).chain(refs(reference)) {
        if let Err(error) = give(&common.join(&path), &owner) {
            tracing::debug!(%error, path = %path.display(), "Could not hand a file over.");
        }
    }
}

/// A loose object's directory and file.
fn object(hex: &str) -> Vec<PathBuf> {
    let (first, rest) = hex.split_at_checked(2).unwrap_or_default();
    let directory = Path::new("objects").join(first);
    let file = directory.join(rest);
    vec![directory, file]
}

/// A ref and its log, with the directories above that are not git's own.
fn refs(reference: &str) -> Vec<PathBuf> {
    let path = Path::new(reference);
    let log = Path::new("logs").join(path);
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in [path, &log] {
        let own = |path: &&Path| path.components().count() > 1;
        paths.extend(path.ancestors().take_while(own).map(Path::to_owned));
    }
    paths
}

fn give(path: &Path, owner: &fs::Metadata) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if found.uid() == owner.uid() || found.is_symlink() {
        return Ok(());
    }
    if chown(path, Some(owner.uid()), Some(owner.gid())).is_ok() {
        return Ok(());
    }
    let group = owner.mode() & 0o2070;
    if found.is_dir() && found.mode() & group != group {
        fs::set_permissions(path, fs::Permissions::from_mode((found.mode() & 0o7777) | group))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_objects_and_refs_are_gits() {
        let id = "ab".repeat(20);
        let rest = "ab".repeat(19);
        assert_eq!(
            object(&id),
            [
                PathBuf::from("objects/ab"),
                PathBuf::from(format!("objects/ab/{rest}"))
            ]
        );
        let expected = [
            "refs/notes/serin",
            "refs/notes",
            "logs/refs/notes/serin",
            "logs/refs/notes",
            "logs/refs",
        ];
        assert_eq!(refs("refs/notes/serin"), expected.map(PathBuf::from));
    }
}
