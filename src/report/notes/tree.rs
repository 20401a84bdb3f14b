//! The tree of a notes ref: the hexadecimal id of what is annotated, maybe split into directories of two
//! digits, leads to the note. git reads any way of splitting, and we keep the one that we find.

use git2::{ObjectType, Oid, Repository, Tree, TreeEntry};

const BLOB: i32 = 0o100_644;
const TREE: i32 = 0o040_000;
/// Deeper than this nothing is split by git.
const DEPTH: usize = 20;

/// Finds the note of an id.
pub(super) fn get(repository: &Repository, root: &Tree<'_>, id: &str) -> Result<Option<Oid>, git2::Error> {
    let mut tree = root.clone();
    let mut rest = id;
    for _ in 0..DEPTH {
        if let Some(entry) = tree.get_name(rest).filter(|entry| is(entry, ObjectType::Blob)) {
            return Ok(Some(entry.id()));
        }
        let Some((first, after)) = rest.split_at_checked(2) else {
            break;
        };
        let Some(below) = tree
            .get_name(first)
            .filter(|entry| is(entry, ObjectType::Tree))
            .map(|entry| entry.id())
        else {
            break;
        };
        tree = repository.find_tree(below)?;
        rest = after;
    }
    Ok(None)
}

/// Returns the tree in which the note of an id is this blob; adds what it writes to `written`.
pub(super) fn put(
    repository: &Repository,
    tree: Option<&Tree<'_>>,
    id: &str,
    blob: Oid,
    written: &mut Vec<Oid>,
) -> Result<Oid, git2::Error> {
    let mut builder = repository.treebuilder(tree)?;
    match id.split_at_checked(2).filter(|_| splits(tree, id)) {
        Some((first, rest)) => {
            let below = tree.and_then(|tree| tree.get_name(first).map(|entry| entry.id()));
            let below = below.map(|id| repository.find_tree(id)).transpose()?;
            let new = match &below {
                Some(below) => put(repository, Some(below), rest, blob, written)?,
                None => leaf(repository, rest, blob)?,
            };
            written.push(new);
            builder.insert(first, new, TREE)?;
        }
        None => {
            builder.insert(id, blob, BLOB)?;
        }
    }
    let new = builder.write()?;
    written.push(new);
    Ok(new)
}

fn leaf(repository: &Repository, name: &str, blob: Oid) -> Result<Oid, git2::Error> {
    let mut builder = repository.treebuilder(None)?;
    builder.insert(name, blob, BLOB)?;
    builder.write()
}

/// Whether an id that is put into this tree goes into a directory: it does in a tree of directories and, so
/// that a long history does not rewrite one huge tree each time, in a new one.
fn splits(tree: Option<&Tree<'_>>, id: &str) -> bool {
    let Some(tree) = tree else { return true };
    if tree
        .get_name(id)
        .is_some_and(|entry| is(&entry, ObjectType::Blob))
    {
        return false;
    }
    let directory = |entry: &TreeEntry<'_>| {
        is(entry, ObjectType::Tree) && entry.name_bytes().len() == 2 && is_hex(entry.name_bytes())
    };
    let note = |entry: &TreeEntry<'_>| {
        is(entry, ObjectType::Blob) && entry.name_bytes().len() == id.len() && is_hex(entry.name_bytes())
    };
    tree.iter().any(|entry| directory(&entry)) || !tree.iter().any(|entry| note(&entry))
}

fn is(entry: &TreeEntry<'_>, kind: ObjectType) -> bool {
    entry.kind() == Some(kind)
}

fn is_hex(name: &[u8]) -> bool {
    name.iter().all(u8::is_ascii_hexdigit)
}
