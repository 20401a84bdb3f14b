//! What plumbing commands print, read into values. Pure.

use crate::repo::{
    BlobId, Change, CommitId, Entry, Mode, RepoError, Tree,
    tree::{MAX_DEPTH, MAX_ENTRIES, too_deep, too_many},
};

/// Reads `git ls-tree -r -t -z`: `<mode> <kind> <id>\t<path>`, ended by NUL.
pub(super) fn tree(listed: &[u8], top: &str, id: &CommitId) -> Result<Tree, RepoError> {
    let mut tree = Tree::default();
    let mut seen = 0_usize;
    let lines = listed.split(|byte| *byte == 0).filter(|line| !line.is_empty());
    for line in lines {
        let mut halves = line.splitn(2, |byte| *byte == b'\t');
        let (Some(about), Some(path)) = (halves.next(), halves.next()) else {
            continue;
        };
        let about = String::from_utf8_lossy(about);
        let mut words = about.split(' ');
        let (Some(mode), Some(_), Some(object)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let folder = path
            .iter()
            .rposition(|byte| *byte == b'/')
            .and_then(|at| path.get(..at));
        if folder.is_some_and(|folder| std::str::from_utf8(folder).is_err()) {
            // Below a folder that was left out, and counted, already.
            continue;
        }
        let is_top =
            !top.is_empty() && (top.as_bytes() == path || top.as_bytes().starts_with(&[path, b"/"].concat()));
        if is_top {
            continue;
        }
        seen += 1;
        if seen > MAX_ENTRIES {
            return Err(too_many(top, id));
        }
        let Ok(path) = std::str::from_utf8(path) else {
            tree.unnamed += 1;
            continue;
        };
        let below = path.strip_prefix(top).unwrap_or(path).trim_start_matches('/');
        if below.matches('/').count() > MAX_DEPTH {
            return Err(too_deep(path, id));
        }
        if mode == "040000" {
            continue;
        }
        let mode = mode_of(mode);
        if let Ok(id) = object.parse::<BlobId>() {
            tree.files.insert_mut(path.to_owned(), Entry { id, mode });
        }
    }
    Ok(tree)
}

fn mode_of(octal: &str) -> Mode {
    match octal {
        "120000" => Mode::Link,
        "160000" => Mode::Submodule,
        _ => Mode::File,
    }
}

/// Reads `git diff-tree -r -z --raw`: `:<mode> <mode> <id> <id> <letter>`, NUL, `<path>`, NUL.
pub(super) fn changes(listed: &[u8]) -> Vec<Change> {
    let mut parts = listed.split(|byte| *byte == 0);
    let mut changes = Vec::new();
    while let (Some(about), Some(path)) = (parts.next(), parts.next()) {
        if path.is_empty() {
            continue;
        }
        let about = String::from_utf8_lossy(about);
        let mut words = about.strip_prefix(':').unwrap_or_default().split(' ');
        let (Some(old), Some(new)) = (words.next(), words.next()) else {
            continue;
        };
        let (Some(before), Some(after), Ok(path)) = (words.next(), words.next(), std::str::from_utf8(path))
        else {
            continue;
        };
        let side = |id: &str| {
            let there = id.bytes().any(|digit| digit != b'0');
            there.then(|| id.parse().ok()).flatten()
        };
        changes.push(Change {
            path: path.to_owned(),
            before: side(before),
            after: side(after),
            mode: mode_of(if new == "000000" { old } else { new }),
        });
    }
    changes
}

/// The message of a raw commit: what follows the first empty line.
pub(super) fn message(raw: &[u8]) -> &[u8] {
    let end = raw.windows(2).position(|pair| pair == b"\n\n");
    let message = end.and_then(|at| raw.get(at + 2..)).unwrap_or_default();
    let start = message
        .iter()
        .position(|byte| *byte != b'\n')
        .unwrap_or(message.len());
    message.get(start..).unwrap_or_default()
}

/// Whether a raw commit names a parent.
pub(super) fn names_a_parent(raw: &[u8]) -> bool {
    let mut header = raw
        .split(|byte| *byte == b'\n')
        .take_while(|line| !line.is_empty());
    header.any(|line| line.starts_with(b"parent "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn names_that_are_no_text_are_counted_once_with_all_below_them() {
        let listed = format!("040000 tree {ID}\tok\0100644 blob {ID}\tok/a\0");
        let mut listed = listed.into_bytes();
        for path in [&b"\xff"[..], b"\xff/a", b"\xff/b/c", b"ok/\xfe"] {
            listed.extend_from_slice(format!("100644 blob {ID}\t").as_bytes());
            listed.extend_from_slice(path);
            listed.push(0);
        }
        let tree = tree(&listed, "", &ID.parse().unwrap()).unwrap();
        assert_eq!((tree.files.size(), tree.unnamed), (1, 2));
    }

    #[test]
    fn nonsense_is_no_change_and_no_crash() {
        for bad in [&b""[..], b"\0", b"\0\0\0", b":", b":1 2 3 4 M\0", b"x\0y\0"] {
            assert_eq!(changes(bad), []);
        }
        assert!(
            tree(b"x\0\ty\0a b\tc\0", "", &ID.parse().unwrap())
                .unwrap()
                .files
                .is_empty()
        );
    }

    #[test]
    fn messages_and_parents_of_raw_commits() {
        let raw = b"tree 0\nparent 1\nauthor A\n\nSubject\n\nparent of all\n";
        assert_eq!(message(raw), b"Subject\n\nparent of all\n");
        assert!(names_a_parent(raw));
        assert!(!names_a_parent(b"tree 0\nauthor A\n\nparent of all\n"));
        assert_eq!(message(b"tree 0\n"), b"");
    }
}
