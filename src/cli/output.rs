//! The only place that prints. A reader that went away is not an error.

use std::io::{Error, ErrorKind, IsTerminal as _, Write as _};

/// Standard output and standard error.
pub(super) struct Output {
    closed: bool,
    fault: Option<Error>,
}

impl Output {
    pub(super) fn new() -> Self {
        Self {
            closed: false,
            fault: None,
        }
    }

    /// Whether a person watches.
    pub(super) fn is_terminal(&self) -> bool {
        std::io::stdout().is_terminal() && !self.closed
    }

    /// Whether a line can be drawn anew.
    pub(super) fn can_redraw(&self) -> bool {
        self.is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
    }

    /// Whether colours are wanted.
    pub(super) fn colours(&self) -> bool {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        self.can_redraw() && !refused
    }

    /// Prints data, and flushes it.
    pub(super) fn data(&mut self, text: &str) {
        if self.closed {
            return;
        }
        let mut out = std::io::stdout().lock();
        if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            self.closed = true;
            self.fault = (error.kind() != ErrorKind::BrokenPipe).then_some(error);
        }
    }

    /// Returns why data was lost; none if its reader went away.
    pub(super) fn fault(&self) -> Option<&Error> {
        self.fault.as_ref()
    }

    /// Prints a line of data.
    pub(super) fn line(&mut self, text: &str) {
        self.data(&format!("{text}\n"));
    }

    /// Prints for people, beside the data.
    #[expect(clippy::unused_self, reason = "whoever prints has been given the output")]
    pub(super) fn note(&mut self, text: &str) {
        writeln!(std::io::stderr().lock(), "{text}").ok();
    }
}
