//! Notes of which objects were lost. Whoever tidies a repository up with `git gc --prune=now`, as git-sync does,
//! takes away what was written at that moment and is not referred to yet. A ref that leads to nothing would make every
//! later `git gc` fail, so it goes back to the newest notes that are whole.

use git2::{ErrorCode, ObjectType, Oid, Repository};

/// How many commits of notes are looked at.
const SEARCHED: usize = 100;

/// Whether an error says that an object is not there.
pub(super) fn is_missing(error: &git2::Error) -> bool {
    matches!(error.code(), ErrorCode::NotFound | ErrorCode::Peel)
}

/// Moves a ref of notes to the newest of them that are whole, or removes it.
pub(super) fn go_back(repository: &Repository, name: &str) -> Result<(), git2::Error> {
    let mut reference = repository.find_reference(name)?;
    let Some(lost) = reference.target() else {
        return Ok(());
    };
    let whole = newest_whole(repository, lost);
    tracing::warn!(
        name,
        %lost,
        back_to = whole.map(|id| id.to_string()),
        "Objects of the notes were lost, as by `git gc --prune=now` at the same time; going on without the newest."
    );
    let moved = match whole {
        Some(whole) => repository
            .reference_matching(name, whole, true, lost, "serin: lost")
            .map(drop),
        None => reference.delete(),
    };
    // What the log says of lost commits would stop git, too.
    repository.reflog_delete(name).ok();
    moved
}

fn newest_whole(repository: &Repository, from: Oid) -> Option<Oid> {
    let mut next = Some(from);
    for _ in 0..SEARCHED {
        let commit = repository.find_commit(next?).ok()?;
        if is_whole(repository, commit.tree_id()) {
            return Some(commit.id());
        }
        next = commit.parent_ids().next();
    }
    None
}

fn is_whole(repository: &Repository, tree: Oid) -> bool {
    let Ok(odb) = repository.odb() else {
        return false;
    };
    let mut open = vec![tree];
    while let Some(id) = open.pop() {
        let Ok(tree) = repository.find_tree(id) else {
            return false;
        };
        for entry in &tree {
            match entry.kind() {
                Some(ObjectType::Tree) => open.push(entry.id()),
                _ if !odb.exists(entry.id()) => return false,
                _ => {}
            }
        }
    }
    true
}
