//! A child process with bounds: it and its children are ended when it prints, writes or lasts too long.

use std::{
    fs::File,
    io::{self, Read, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{GitError, Stop};

/// How often the bounds are looked at. What ends in time is not delayed by it.
const TICK: Duration = Duration::from_millis(200);
/// The size of a directory is looked at in every so many ticks.
const SIZE_TICKS: u32 = 5;
/// How much is kept of what a command says beside its output.
const MAX_SAID: usize = 16 << 10;

/// What a process reads.
#[derive(Debug)]
pub(in crate::repo) enum Input {
    /// Nothing.
    Nothing,
    /// This.
    Bytes(Vec<u8>),
    /// Nothing, but the file is open for as long as the process lives.
    Held(File),
}

/// What a process may use up.
pub(in crate::repo) struct Bounds {
    pub(in crate::repo) output: usize,
    pub(in crate::repo) time: Duration,
    pub(in crate::repo) size: Option<(PathBuf, u64)>,
}

/// How a process ended by itself.
pub(in crate::repo) struct Ended {
    pub(in crate::repo) status: ExitStatus,
    pub(in crate::repo) printed: Vec<u8>,
    pub(in crate::repo) said: String,
}

/// Why a process did not end by itself.
#[derive(Debug)]
pub(in crate::repo) enum Failed {
    NotStarted(io::Error),
    TimedOut(Duration),
    TooMuch(usize),
    TooLarge(PathBuf, u64),
    Stopped,
}

impl Failed {
    pub(in crate::repo) fn named(self, program: &Path, what: &str) -> GitError {
        let what = what.to_owned();
        match self {
            Self::NotStarted(error) => GitError::NotStarted {
                program: program.to_owned(),
                message: error.to_string(),
            },
            Self::TimedOut(after) => GitError::TimedOut { what, after },
            Self::TooMuch(limit) => GitError::TooMuch { what, limit },
            Self::TooLarge(dir, limit) => GitError::TooLarge { what, dir, limit },
            Self::Stopped => GitError::Stopped { what },
        }
    }
}

/// Starts a process in a group of its own, so that it can be ended with its children.
fn spawn(command: &mut Command, stdin: Stdio, stderr: Stdio) -> Result<Child, Failed> {
    command
        .process_group(0)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .map_err(Failed::NotStarted)
}

/// Ends a process and its children.
fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        kill_process_group(group, Signal::KILL).ok();
    }
    child.kill().ok();
    child.wait().ok();
}

/// A process that goes on answering. It ends when this is dropped.
pub(in crate::repo) struct Helper(Child);

impl Helper {
    /// Starts it; what it says beside its answers is lost.
    pub(in crate::repo) fn start(command: &mut Command) -> Result<(Self, ChildStdin, ChildStdout), Failed> {
        let mut child = spawn(command, Stdio::piped(), Stdio::null())?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(ask), Some(said)) => Ok((Self(child), ask, said)),
            _ => Err(Failed::Stopped),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// Runs a process to its end, or to that of its bounds.
pub(in crate::repo) fn run(
    command: &mut Command,
    input: Input,
    bounds: &Bounds,
    stop: &Stop,
) -> Result<Ended, Failed> {
    let (stdin, bytes) = match input {
        Input::Nothing => (Stdio::null(), None),
        Input::Bytes(bytes) => (Stdio::piped(), Some(bytes)),
        Input::Held(file) => (Stdio::from(file), None),
    };
    let mut child = spawn(command, stdin, Stdio::piped())?;
    if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), bytes) {
        // One that does not read to the end has had enough.
        thread::spawn(move || pipe.write_all(&bytes).ok());
    }
    let read = read(&mut child, bounds.output);
    match wait(&read, bounds, stop) {
        Ok((Some(printed), said)) => match child.wait() {
            Ok(status) => Ok(Ended {
                status,
                printed,
                said,
            }),
            Err(error) => Err(Failed::NotStarted(error)),
        },
        Ok((None, _)) => {
            end(&mut child);
            Err(Failed::TooMuch(bounds.output))
        }
        Err(failed) => {
            end(&mut child);
            Err(failed)
        }
    }
}

/// What was printed, unless it is too much, and what was said.
type Streams = (Option<Vec<u8>>, String);

/// Reads both streams on threads; they are sent when both have ended, or when too much was printed.
fn read(child: &mut Child, limit: usize) -> Receiver<Streams> {
    let (done, read) = mpsc::channel();
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let said = thread::spawn(move || err.map(last_of).unwrap_or_default());
    thread::spawn(move || {
        let mut printed = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        // What a process that was ended has printed so far is not looked at.
        out.and_then(|out| out.take(most).read_to_end(&mut printed).ok());
        if printed.len() > limit {
            done.send((None, String::new())).ok();
        } else {
            let said = said.join().unwrap_or_default();
            done.send((Some(printed), said)).ok();
        }
    });
    read
}

/// Reads a stream to its end, and keeps the last of it.
fn last_of(mut stream: impl Read) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0_u8; 4096]);
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let surplus = kept.len().saturating_sub(MAX_SAID);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

fn wait(read: &Receiver<Streams>, bounds: &Bounds, stop: &Stop) -> Result<Streams, Failed> {
    let mut waited = Duration::ZERO;
    for tick in 0_u32.. {
        let pause = TICK.min(bounds.time.saturating_sub(waited));
        match read.recv_timeout(pause) {
            Ok(streams) => return Ok(streams),
            Err(RecvTimeoutError::Timeout) => waited += pause,
            Err(RecvTimeoutError::Disconnected) => return Err(Failed::Stopped),
        }
        if stop.is_set() {
            return Err(Failed::Stopped);
        }
        if waited >= bounds.time {
            return Err(Failed::TimedOut(bounds.time));
        }
        if let Some((dir, limit)) = bounds.size.as_ref().filter(|_| tick % SIZE_TICKS == 0)
            && size_of(dir, *limit) > *limit
        {
            return Err(Failed::TooLarge(dir.clone(), *limit));
        }
    }
    Err(Failed::TimedOut(bounds.time))
}

/// The bytes of all files below a directory; no more are counted once there are more than the limit.
pub(in crate::repo) fn size_of(dir: &Path, limit: u64) -> u64 {
    let (mut sum, mut open) = (0_u64, vec![dir.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => open.push(entry.path()),
                Ok(meta) => sum = sum.saturating_add(meta.len()),
                Err(_) => {}
            }
            if sum > limit {
                return sum;
            }
        }
    }
    sum
}
