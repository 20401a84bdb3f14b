//! What the demo shows: one line per thing that happens, in colour on a terminal.

use std::path::PathBuf;

use jiff::Timestamp;

use super::{End, Output};
use crate::{
    canary::{Announced, Measurement, Status, Verdict, reason},
    clock::Clock,
    rehearsal::Totals,
    report::{CommitState, CommitStatus},
};

const GREEN: &str = "32";
const RED: &str = "31";
const YELLOW: &str = "33";
const DIM: &str = "2";
const BOLD: &str = "1";

pub(super) struct Screen<'a> {
    output: &'a mut Output,
    clock: Clock,
    colours: bool,
    began: Timestamp,
    announced: Vec<Announced>,
    measured: Option<(String, u32)>,
    said: Option<CommitStatus>,
}

impl<'a> Screen<'a> {
    pub(super) fn new(output: &'a mut Output, clock: Clock) -> Self {
        let colours = output.colours();
        Self {
            output,
            clock,
            colours,
            began: clock.now(),
            announced: Vec::new(),
            measured: None,
            said: None,
        }
    }

    pub(super) fn intro(&mut self, kept: Option<&PathBuf>) {
        self.output
            .line("Serin demo: a repository, a cluster with traffic, and the sidecar, all in this process.");
        self.output
            .line("40 requests a second come in for app.example.com; router: skipper.");
        if let Some(folder) = kept {
            self.output
                .line(&format!("The repository is {}.", folder.display()));
        }
    }

    pub(super) fn scene(&mut self, title: &str, commit: &str, message: &str) {
        self.began = self.clock.now();
        self.said = None;
        let title = self.paint(BOLD, title);
        self.output.line(&format!(
            "\n{title}\n         commit {}  {message}",
            short(commit)
        ));
    }

    /// Shows what is new in the canary's status.
    pub(super) fn show(&mut self, status: &Status) {
        if let Some(last) = status.measurements.last() {
            let check = (last.run.clone(), last.tick);
            if self.measured.as_ref() != Some(&check) {
                let of_check: Vec<&Measurement> = status
                    .measurements
                    .iter()
                    .filter(|m| m.run == check.0 && m.tick == check.1)
                    .collect();
                self.checks(&of_check);
                self.measured = Some(check);
            }
        }
        if status.announced != self.announced {
            for news in &status.announced {
                // The line of the check says it already.
                if !self.announced.contains(news) && news.reason != reason::CHECK_FAILED {
                    self.news(news);
                }
            }
            self.announced.clone_from(&status.announced);
        }
    }

    /// Shows the commit status when it changes.
    pub(super) fn show_commit(&mut self, status: &CommitStatus) {
        if self.said.as_ref() == Some(status) {
            return;
        }
        let state = self.paint(colour(status.state), status.state.name());
        self.row("status", &format!("{state}: {}", status.description));
        self.said = Some(status.clone());
    }

    fn news(&mut self, news: &Announced) {
        let weight = news
            .text
            .rsplit_once("canary weight ")
            .and_then(|(_, weight)| weight.parse::<usize>().ok());
        match weight {
            Some(weight) => {
                let canary = self.paint(YELLOW, &"█".repeat(weight / 5));
                let primary = self.paint(DIM, &"░".repeat(20_usize.saturating_sub(weight / 5)));
                self.row("traffic", &format!("{canary}{primary} {weight} % to the canary"));
            }
            None if news.warning => {
                let text = self.paint(RED, &news.text);
                self.row("event", &text);
            }
            None => self.row("event", &news.text),
        }
    }

    fn checks(&mut self, measurements: &[&Measurement]) {
        for measurement in measurements {
            let value = measurement
                .value
                .map(|value| format!(" {value:.2}"))
                .unwrap_or_default();
            let (mark, colour) = match measurement.verdict {
                Verdict::Passed => ("✓", GREEN),
                verdict if verdict.is_error() => ("?", YELLOW),
                _ => ("✗", RED),
            };
            let mark = self.paint(colour, mark);
            let why = if measurement.message.is_empty() {
                String::new()
            } else {
                format!("  {}", self.paint(DIM, &measurement.message))
            };
            self.row("check", &format!("{mark} {}{value}{why}", measurement.name));
        }
    }

    pub(super) fn summary(&mut self, ends: &[End], totals: &Totals, kept: Option<&PathBuf>) {
        let title = self.paint(BOLD, "What git says now");
        self.output.line(&format!("\n{title}"));
        for end in ends {
            let (state, why) = match &end.status {
                Some(status) => {
                    let state = format!("{:<8}", status.state.name());
                    (
                        self.paint(colour(status.state), &state),
                        status.description.clone(),
                    )
                }
                None => (
                    self.paint(RED, "nothing "),
                    "no commit status came in time".to_owned(),
                ),
            };
            self.output
                .line(&format!("  {}  {}  {state}  {why}", short(&end.id), end.message));
        }
        self.output.line(&format!(
            "  {} requests meanwhile: {} failed in the bad version, {} were lost on the way.",
            totals.requests(),
            totals.failed() - totals.lost().min(totals.failed()),
            totals.lost()
        ));
        if let Some(folder) = kept {
            self.output
                .line(&format!("  git -C {} log --notes=serin", folder.display()));
        }
        if !ends.iter().all(End::is_as_wanted) {
            let text = self.paint(RED, "The demo did not end as it should.");
            self.output.line(&text);
        }
    }

    fn row(&mut self, kind: &str, text: &str) {
        let seconds = self.clock.now().duration_since(self.began).as_secs_f64();
        let kind = self.paint(DIM, &format!("{kind:<7}"));
        self.output.line(&format!("{seconds:6.1} s {kind} {text}"));
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn colour(state: CommitState) -> &'static str {
    match state {
        CommitState::Pending => YELLOW,
        CommitState::Success => GREEN,
        CommitState::Failure | CommitState::Error => RED,
    }
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}
