//! Which commits lie between two revisions, along first parents.

use git2::Repository;
use serde::Serialize;

use super::{CommitId, RepoError, library::Library};

/// The most commits that a log holds.
pub(super) const MAX_COMMITS: usize = 1_000;
/// The longest subject that is kept, in characters.
const MAX_SUBJECT: usize = 200;

/// A commit, as far as a report needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// Its id.
    pub id: CommitId,
    /// The first line of its message.
    pub subject: String,
    /// The commit that its message says it reverts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverts: Option<CommitId>,
}

/// How a revision follows from an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Since {
    /// There is no earlier revision.
    First,
    /// The earlier revision is an ancestor (or the same commit).
    Linear,
    /// History was rewritten: the earlier revision is here, but no ancestor. Its tree can be compared.
    Rewritten,
    /// The earlier revision is here, but the clone is shallow and does not show how it is related. Its tree can
    /// be compared.
    Unknown,
    /// The earlier revision is not in the repository any more. Nothing can be compared.
    Gone,
}

/// The commits between two revisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Log {
    /// How the newer revision follows from the older.
    pub since: Since,
    /// Newest first, along first parents; at least the newer revision itself unless both are the same.
    pub commits: Vec<Commit>,
    /// Older commits are missing: the clone is shallow, or there are more than a log holds.
    pub cut: bool,
}

impl Library {
    pub(super) fn log_of(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Log, RepoError> {
        let repository = &self.repository;
        let newest = self.oid(to)?;
        repository
            .find_commit(newest)
            .map_err(|error| self.missing(&error, to))?;
        let old = from.map(|from| self.oid(from)).transpose()?;
        let since = match old {
            None => Since::First,
            Some(old) if repository.find_commit(old).is_err() => Since::Gone,
            Some(old) if old == newest => Since::Linear,
            Some(old) => match repository.graph_descendant_of(newest, old) {
                Ok(true) => Since::Linear,
                _ if repository.is_shallow() => Since::Unknown,
                Ok(false) | Err(_) => Since::Rewritten,
            },
        };
        let mut log = Log {
            since,
            commits: Vec::new(),
            cut: false,
        };
        if matches!(since, Since::First | Since::Gone) {
            log.cut = since == Since::Gone;
            log.commits.extend(read(repository, newest));
            return Ok(log);
        }
        self.walk_log(newest, old, &mut log)?;
        Ok(log)
    }

    pub(super) fn history_of(&self, to: &CommitId, limit: usize) -> Result<Vec<Commit>, RepoError> {
        let repository = &self.repository;
        let newest = self.oid(to)?;
        repository
            .find_commit(newest)
            .map_err(|error| self.missing(&error, to))?;
        let mut next = Some(newest);
        let mut commits = Vec::new();
        while let Some(id) = next.filter(|_| commits.len() < limit.min(MAX_COMMITS)) {
            let Some(commit) = read(repository, id) else {
                break;
            };
            commits.push(commit);
            next = repository
                .find_commit(id)
                .ok()
                .and_then(|commit| commit.parent_id(0).ok());
        }
        Ok(commits)
    }

    fn walk_log(&self, newest: git2::Oid, old: Option<git2::Oid>, log: &mut Log) -> Result<(), RepoError> {
        let repository = &self.repository;
        let mut walk = repository.revwalk().map_err(|error| self.other(&error))?;
        walk.simplify_first_parent().map_err(|error| self.other(&error))?;
        walk.push(newest).map_err(|error| self.other(&error))?;
        if let Some(old) = old {
            walk.hide(old).map_err(|error| self.other(&error))?;
        }
        for id in walk {
            let Some(commit) = id.ok().and_then(|id| read(repository, id)) else {
                log.cut = true;
                break;
            };
            if log.commits.len() == MAX_COMMITS {
                log.cut = true;
                break;
            }
            log.commits.push(commit);
        }
        log.cut |= log.since == Since::Unknown;
        Ok(())
    }
}

fn read(repository: &Repository, id: git2::Oid) -> Option<Commit> {
    let commit = repository.find_commit(id).ok()?;
    Some(Commit::new(id.into(), commit.message_bytes()))
}

impl Commit {
    /// Makes a commit of its id and its message.
    pub(super) fn new(id: CommitId, message: &[u8]) -> Self {
        let message = String::from_utf8_lossy(message);
        let subject = message
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(MAX_SUBJECT)
            .collect();
        Self {
            id,
            subject,
            reverts: reverted(&message),
        }
    }
}

/// Reads what `git revert` writes into the message.
fn reverted(message: &str) -> Option<CommitId> {
    let rest = message.split_once("This reverts commit ")?.1;
    let hex: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    hex.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::testing::{Repo, clone_shallow, git};

    fn subjects(log: &Log) -> Vec<&str> {
        log.commits.iter().map(|commit| commit.subject.as_str()).collect()
    }

    #[test]
    fn several_commits_at_once_newest_first_along_first_parents() {
        for repo in Repo::each() {
            let from = repo.commit_as("base", &[("a", "1")]);
            repo.commit_as("one", &[("a", "2")]);
            repo.git(&["checkout", "-q", "-b", "side"]);
            repo.commit_as("on the side", &[("b", "2")]);
            repo.git(&["checkout", "-q", "main"]);
            repo.git(&["merge", "-q", "--no-ff", "-m", "merge side", "side"]);
            let to = repo.commit_as("last", &[("a", "3")]);
            let log = repo.checkout("").log(Some(&from), &to).unwrap();
            assert_eq!((log.since, log.cut), (Since::Linear, false));
            assert_eq!(subjects(&log), ["last", "merge side", "one"]);
            assert_eq!(subjects(&repo.checkout("").log(None, &to).unwrap()), ["last"]);
            assert_eq!(
                subjects(&repo.checkout("").log(Some(&to), &to).unwrap()),
                Vec::<&str>::new()
            );
            assert_eq!(repo.checkout("").history(&to, 2).unwrap().len(), 2);
        }
    }

    #[test]
    fn a_rewritten_history_is_said() {
        for repo in Repo::each() {
            repo.commit_as("base", &[("a", "1")]);
            let old = repo.commit_as("old", &[("a", "2")]);
            repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
            let new = repo.commit_as("new", &[("a", "3")]);
            let checkout = repo.checkout("");
            let log = checkout.log(Some(&old), &new).unwrap();
            assert_eq!((log.since, subjects(&log)), (Since::Rewritten, vec!["new"]));
            assert_eq!(
                checkout.changes(Some(&old), &new).unwrap().len(),
                1,
                "trees compare all the same"
            );
        }
    }

    #[test]
    fn a_reset_to_an_older_commit_has_no_commits_but_changes() {
        for repo in Repo::each() {
            let old = repo.commit_as("old", &[("a", "1")]);
            let new = repo.commit_as("new", &[("a", "2")]);
            let checkout = repo.checkout("");
            let log = checkout.log(Some(&new), &old).unwrap();
            assert_eq!((log.since, log.commits.len()), (Since::Rewritten, 0));
            assert_eq!(checkout.changes(Some(&new), &old).unwrap().len(), 1);
        }
    }

    #[test]
    fn a_collected_revision_is_gone() {
        for repo in Repo::each() {
            repo.commit(&[("a", "1")]);
            let old = repo.commit(&[("a", "2")]);
            repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
            let new = repo.commit_as("new", &[("a", "3")]);
            repo.git(&["reflog", "expire", "--expire=now", "--all"]);
            repo.git(&["gc", "-q", "--prune=now"]);
            let checkout = repo.checkout("");
            let log = checkout.log(Some(&old), &new).unwrap();
            assert_eq!((log.since, subjects(&log)), (Since::Gone, vec!["new"]));
            assert!(matches!(
                checkout.changes(Some(&old), &new),
                Err(RepoError::Gone { .. })
            ));
        }
    }

    #[test]
    fn a_shallow_boundary_proves_nothing() {
        for repo in Repo::each() {
            let first = repo.commit_as("first", &[("a", "1")]);
            repo.commit_as("second", &[("a", "2")]);
            let third = repo.commit_as("third", &[("b", "3")]);
            let (_keep, shallow) = clone_shallow(&repo, 1);
            let log = shallow.log(Some(&first), &third).unwrap();
            assert_eq!((log.since, subjects(&log)), (Since::Gone, vec!["third"]));
            assert!(matches!(
                shallow.range("HEAD"),
                Err(RepoError::UnknownRevision { shallow: true, .. })
            ));
            assert_eq!(shallow.history(&third, 10).unwrap().len(), 1);

            let fourth = repo.commit_as("fourth", &[("b", "4")]);
            let fifth = repo.commit_as("fifth", &[("b", "5")]);
            git(shallow.dir(), &["fetch", "-q", "--depth", "1", "origin", "main"]);
            git(shallow.dir(), &["reset", "-q", "--hard", "FETCH_HEAD"]);
            assert_eq!(shallow.newest().unwrap().id, fifth);
            let log = shallow.log(Some(&third), &fifth).unwrap();
            assert_eq!(
                (log.since, subjects(&log), log.cut),
                (Since::Unknown, vec!["fifth"], true)
            );
            assert_eq!(shallow.changes(Some(&third), &fifth).unwrap().len(), 1);
            assert!(matches!(shallow.tree(&fourth), Err(RepoError::Gone { .. })));
        }
    }

    #[test]
    fn a_revert_names_what_it_reverts() {
        for repo in Repo::each() {
            repo.commit_as("first", &[("a", "1")]);
            let bad = repo.commit_as("bad", &[("a", "2")]);
            repo.git(&["revert", "--no-edit", bad.as_str()]);
            let log = repo.checkout("").log(Some(&bad), &repo.head()).unwrap();
            assert_eq!(log.commits[0].reverts, Some(bad));
        }
    }
}
