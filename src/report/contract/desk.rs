//! Pull requests and comments as a contract server keeps them, for the test to look into.

use std::sync::{Arc, Mutex, MutexGuard};

#[derive(Clone, Debug, Default)]
pub(super) struct Desk(Arc<Mutex<Papers>>);

#[derive(Debug, Default)]
pub(super) struct Papers {
    pub(super) pulls: Vec<Pull>,
    pub(super) comments: Vec<Comment>,
    /// Commits, and the pull requests that they came from.
    pub(super) merged: Vec<(String, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pull {
    pub(super) number: u64,
    pub(super) head: String,
    pub(super) base: String,
    pub(super) title: String,
    pub(super) body: String,
    pub(super) open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comment {
    pub(super) id: u64,
    pub(super) pull: u64,
    pub(super) body: String,
    /// How often it was changed.
    pub(super) version: u64,
}

impl Desk {
    pub(super) fn lock(&self) -> MutexGuard<'_, Papers> {
        self.0.lock().unwrap()
    }
}

impl Papers {
    pub(super) fn open_of(&self, head: &str) -> Option<&Pull> {
        self.pulls.iter().find(|pull| pull.open && pull.head == head)
    }

    pub(super) fn pull(&self, number: u64) -> Option<&Pull> {
        self.pulls.iter().find(|pull| pull.number == number)
    }

    pub(super) fn open(&mut self, head: &str, base: &str, title: &str, body: &str) -> Pull {
        let pull = Pull {
            number: self.pulls.len() as u64 + 1,
            head: head.to_owned(),
            base: base.to_owned(),
            title: title.to_owned(),
            body: body.to_owned(),
            open: true,
        };
        self.pulls.push(pull.clone());
        pull
    }

    pub(super) fn comment(&mut self, pull: u64, body: &str) -> Comment {
        let comment = Comment {
            id: self.comments.len() as u64 + 100,
            pull,
            body: body.to_owned(),
            version: 0,
        };
        self.comments.push(comment.clone());
        comment
    }

    pub(super) fn edit(&mut self, id: u64, body: &str) -> Option<Comment> {
        let comment = self.comments.iter_mut().find(|comment| comment.id == id)?;
        body.clone_into(&mut comment.body);
        comment.version += 1;
        Some(comment.clone())
    }

    pub(super) fn of(&self, pull: u64) -> Vec<&Comment> {
        self.comments
            .iter()
            .filter(|comment| comment.pull == pull)
            .collect()
    }
}
