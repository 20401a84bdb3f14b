//! The transcript: what happened, at which virtual time, line by line.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use tokio::time::Instant;

/// A transcript being written. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Transcript {
    began: Instant,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    lines: Vec<Line>,
    /// Id and message of the commits.
    commits: Vec<(String, String)>,
}

#[derive(Debug)]
struct Line {
    millis: u128,
    /// What forges are told comes from threads: within a millisecond it is listed last.
    late: bool,
    kind: &'static str,
    text: String,
}

impl Transcript {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            inner: Arc::default(),
        }
    }

    /// Writes a line.
    pub(crate) fn line(&self, kind: &'static str, text: &str) {
        self.push(kind, text, false);
    }

    /// Writes what a forge was told.
    pub(crate) fn said(&self, text: &str) {
        self.push("forge", text, true);
    }

    fn push(&self, kind: &'static str, text: &str, late: bool) {
        let line = Line {
            millis: self.began.elapsed().as_millis(),
            late,
            kind,
            text: text.to_owned(),
        };
        self.inner.lock().unwrap().lines.push(line);
    }

    pub(crate) fn learn(&self, commit: &str, message: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner.commits.push((commit.to_owned(), message.to_owned()));
    }

    /// A commit by its message.
    pub(crate) fn name_of(&self, commit: &str) -> String {
        let inner = self.inner.lock().unwrap();
        let found = inner.commits.iter().find(|(id, _)| id == commit);
        found.map_or_else(|| commit.to_owned(), |(_, message)| format!("\"{message}\""))
    }

    /// A text with messages in the place of commit ids.
    pub(crate) fn named(&self, text: &str) -> String {
        let inner = self.inner.lock().unwrap();
        let mut text = text.to_owned();
        for (id, message) in &inner.commits {
            for length in [40, 12, 10, 8, 7] {
                text = text.replace(&id[..length], &format!("<{message}>"));
            }
        }
        text
    }

    /// The id of the commit with a message.
    pub(crate) fn id_of(&self, message: &str) -> Option<String> {
        let inner = self.inner.lock().unwrap();
        let found = inner.commits.iter().rev().find(|(_, known)| known == message);
        found.map(|(id, _)| id.clone())
    }

    /// Every commit's id and message.
    pub(crate) fn commits(&self) -> Vec<(String, String)> {
        self.inner.lock().unwrap().commits.clone()
    }

    /// All lines so far.
    pub(crate) fn render(&self) -> String {
        let inner = self.inner.lock().unwrap();
        let mut lines: Vec<&Line> = inner.lines.iter().collect();
        lines.sort_by_key(|line| (line.millis, line.late));
        let mut out = String::new();
        for line in lines {
            let tenths = line.millis / 100;
            let (minutes, seconds, tenth) = (tenths / 600, tenths / 10 % 60, tenths % 10);
            let time = format!("{minutes}:{seconds:02}.{tenth}");
            writeln!(out, "{time:>7}  {:<7} {}", line.kind, line.text).unwrap();
        }
        out
    }

    /// The lines of one kind, without their times.
    pub(crate) fn of_kind(&self, kind: &str) -> Vec<String> {
        let inner = self.inner.lock().unwrap();
        let lines = inner.lines.iter().filter(|line| line.kind == kind);
        lines.map(|line| line.text.clone()).collect()
    }
}
