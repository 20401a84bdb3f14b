//! Reads objects through one `git cat-file --batch` that stays: a process for each blob would take milliseconds.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write as _},
    process::{ChildStdin, ChildStdout},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::Duration,
};

use crate::repo::git::{GitCommand, GitError, Helper};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than any header: an id, a kind and a size.
const MAX_HEADER: u64 = 1024;

/// What there is under a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An object.
    Is { kind: String, data: Vec<u8> },
    /// An object above the limit.
    Large { kind: String, size: usize },
    /// Nothing.
    Nothing,
}

/// The process, started when it is first needed.
pub(super) struct Objects {
    command: GitCommand,
    running: Option<Running>,
}

impl Objects {
    pub(super) fn new(command: GitCommand) -> Self {
        Self {
            command: command.args(["cat-file", "--batch"]),
            running: None,
        }
    }

    /// Finds an object by its id. One that is not found is looked for once more by a new process: a collection of
    /// garbage may have moved it where the old one does not look.
    pub(super) fn find(&mut self, id: &str, limit: usize) -> Result<Found, GitError> {
        let fresh = self.running.is_none();
        match self.ask(id, limit) {
            Ok(found) if fresh || found != Found::Nothing => Ok(found),
            Err(error) if fresh => Err(error),
            Ok(_) | Err(_) => self.ask(id, limit),
        }
    }

    fn ask(&mut self, id: &str, limit: usize) -> Result<Found, GitError> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => Running::start(&self.command)?,
        };
        let found = running.ask(id, limit).ok_or_else(|| GitError::Failed {
            what: "git cat-file".to_owned(),
            code: None,
            message: "it does not answer".to_owned(),
        })?;
        if found != Found::Nothing {
            self.running = Some(running);
        }
        Ok(found)
    }
}

struct Running {
    ask: ChildStdin,
    limits: Sender<usize>,
    answers: Receiver<Option<Found>>,
    _helper: Helper,
}

impl Running {
    fn start(command: &GitCommand) -> Result<Self, GitError> {
        let (helper, ask, said) = command.start()?;
        let (limits, wanted) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        thread::spawn(move || answer_all(said, &wanted, &answer));
        Ok(Self {
            ask,
            limits,
            answers,
            _helper: helper,
        })
    }

    fn ask(&mut self, id: &str, limit: usize) -> Option<Found> {
        self.limits.send(limit).ok()?;
        writeln!(self.ask, "{id}").ok()?;
        self.answers.recv_timeout(PATIENCE).ok()?
    }
}

/// Reads an answer for each limit, until either side ends.
fn answer_all(said: ChildStdout, wanted: &Receiver<usize>, answer: &Sender<Option<Found>>) {
    let mut said = BufReader::new(said);
    while let Ok(limit) = wanted.recv() {
        let found = read_answer(&mut said, limit).ok();
        if answer.send(found).is_err() {
            return;
        }
    }
}

/// Reads `<id> <kind> <size>` and so many bytes and a newline, or `<id> missing`.
fn read_answer(said: &mut BufReader<impl Read>, limit: usize) -> io::Result<Found> {
    let mut header = String::new();
    said.by_ref().take(MAX_HEADER).read_line(&mut header)?;
    if !header.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut words = header.split_ascii_whitespace().skip(1);
    let (Some(kind), size) = (words.next(), words.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let Some(size) = size.and_then(|size| size.parse::<u64>().ok()) else {
        return Ok(Found::Nothing);
    };
    let kind = kind.to_owned();
    let whole = size.saturating_add(1);
    let found = match usize::try_from(size) {
        Ok(length) if length <= limit => {
            let mut data = Vec::with_capacity(length.saturating_add(1));
            said.by_ref().take(whole).read_to_end(&mut data)?;
            if data.len() <= length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            data.truncate(length);
            Found::Is { kind, data }
        }
        length => {
            io::copy(&mut said.by_ref().take(whole), &mut io::sink())?;
            Found::Large {
                kind,
                size: length.unwrap_or(usize::MAX),
            }
        }
    };
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: &[u8], limit: usize) -> io::Result<Found> {
        read_answer(&mut BufReader::new(said), limit)
    }

    #[test]
    fn answers_are_read_and_bounded() {
        let is = |data: &[u8]| Found::Is {
            kind: "blob".into(),
            data: data.to_owned(),
        };
        assert_eq!(read(b"0123 blob 3\na\nb\n", 3).unwrap(), is(b"a\nb"));
        assert_eq!(read(b"0123 blob 0\n\n", 0).unwrap(), is(b""));
        let large = Found::Large {
            kind: "commit".into(),
            size: 4,
        };
        assert_eq!(read(b"0123 commit 4\nabcd\n", 3).unwrap(), large);
        assert_eq!(read(b"0123 missing\n", 3).unwrap(), Found::Nothing);
        for bad in [&b""[..], b"0123 blob 5\nab", b"\n", &[b'x'; 4096]] {
            assert!(read(bad, 10).is_err());
        }
    }
}
