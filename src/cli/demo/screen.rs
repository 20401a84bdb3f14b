//! What the demo shows: one line per thing that happens; on a terminal in colour, with a line below that lives.

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
/// Goes back to the start of the line, and empties it.
const CLEAR: &str = "\r\x1b[2K";

pub(super) struct Screen<'a> {
    output: &'a mut Output,
    clock: Clock,
    colours: bool,
    /// Whether the last line is drawn anew all the time.
    live: bool,
    began: Timestamp,
    before: Totals,
    announced: Vec<Announced>,
    measured: Option<(String, u32)>,
    said: Option<CommitStatus>,
}

impl<'a> Screen<'a> {
    pub(super) fn new(output: &'a mut Output, clock: Clock) -> Self {
        Self {
            colours: output.colours(),
            live: output.can_redraw(),
            output,
            clock,
            began: clock.now(),
            before: Totals::default(),
            announced: Vec::new(),
            measured: None,
            said: None,
        }
    }

    pub(super) fn intro(&mut self, kept: Option<&PathBuf>) {
        for line in [
            "Serin demo: a git repository, an embedded cluster, and the real sidecar between them.",
            "All of it runs in this process, for half a minute: no Kubernetes, no Docker, no network.",
            "40 requests a second come in for app.example.com, through an Ingress of Skipper.",
        ] {
            self.output.line(line);
        }
        if let Some(folder) = kept {
            self.output
                .line(&format!("The repository is {}.", folder.display()));
        }
    }

    pub(super) fn scene(&mut self, title: &str, commit: &str, message: &str, totals: &Totals) {
        self.before = totals.clone();
        self.began = self.clock.now();
        self.said = None;
        let title = self.paint(BOLD, title);
        self.line(&format!("\n{title}"));
        let commit = self.paint(YELLOW, short(commit));
        self.row("commit", &format!("{commit} {message}"));
    }

    /// Shows what is new, in the order of the story: a commit is seen before anything happens for it, and
    /// judged after everything has.
    pub(super) fn show(&mut self, canary: Option<&Status>, commit: Option<&CommitStatus>) {
        if let (None, Some(commit)) = (&self.said, commit) {
            self.show_commit(commit);
        }
        if let (Some(_), Some(canary)) = (&self.said, canary) {
            self.show_canary(canary);
        }
        if let Some(commit) = commit {
            self.show_commit(commit);
        }
    }

    /// Draws the last line of a terminal anew: the time, the traffic, and what became of the requests.
    pub(super) fn tick(&mut self, canary: Option<&Status>, totals: &Totals) {
        if !self.live {
            return;
        }
        let weight = canary.map_or(0, |status| status.canary_weight);
        let mut text = format!(
            "{:6.1} s         {} {weight} %",
            self.seconds(),
            self.bar(usize::try_from(weight).unwrap_or_default()),
        );
        // Before anything serves, that requests fail says nothing.
        if let Some(status) = canary.filter(|status| status.run.is_some()) {
            let totals = totals.since(&self.before);
            let (phase, all, failed) = (status.phase.name(), totals.requests(), totals.failed());
            text = format!("{text}  {phase:<11} {all} requests, {failed} failed");
        }
        self.output.data(&format!("{CLEAR}{text}"));
    }

    fn show_canary(&mut self, status: &Status) {
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

    fn show_commit(&mut self, status: &CommitStatus) {
        if self.said.as_ref() == Some(status) {
            return;
        }
        let state = self.paint(colour(status.state), &format!("{:<7}", status.state.name()));
        self.row("status", &format!("{state} {}", status.description));
        self.said = Some(status.clone());
    }

    fn news(&mut self, news: &Announced) {
        let weight = news
            .text
            .rsplit_once("canary weight ")
            .and_then(|(_, weight)| weight.parse::<usize>().ok());
        match weight {
            Some(weight) => {
                let bar = self.bar(weight);
                self.row("traffic", &format!("{bar} {weight} % to the canary"));
            }
            None if news.warning => {
                let text = self.paint(RED, &news.text);
                self.row("event", &text);
            }
            None => self.row("event", &news.text),
        }
    }

    fn checks(&mut self, measurements: &[&Measurement]) {
        let width = measurements
            .iter()
            .map(|m| m.name.len())
            .max()
            .unwrap_or_default();
        for measurement in measurements {
            let (mark, colour) = match measurement.verdict {
                Verdict::Passed => ("✓", GREEN),
                verdict if verdict.is_error() => ("?", YELLOW),
                _ => ("✗", RED),
            };
            let mark = self.paint(colour, mark);
            let value = measurement
                .value
                .map(|value| format!(" {value:6.2}"))
                .unwrap_or_default();
            // "Halt podinfo.test advancement" is in the event already.
            let why = measurement
                .message
                .split_once(" advancement ")
                .map_or(measurement.message.as_str(), |(_, why)| why);
            let why = self.paint(colour, why);
            let text = format!("{mark} {:<width$}{value}  {why}", measurement.name);
            self.row("check", text.trim_end());
        }
    }

    pub(super) fn summary(&mut self, ends: &[End], totals: &Totals, kept: Option<&PathBuf>) {
        let title = self.paint(BOLD, "What git says now");
        self.line(&format!("\n{title}"));
        for end in ends {
            let (state, why) = match &end.status {
                Some(status) => (
                    self.paint(colour(status.state), &format!("{:<7}", status.state.name())),
                    status.description.clone(),
                ),
                None => (
                    self.paint(RED, "nothing"),
                    "no commit status came in time".to_owned(),
                ),
            };
            self.line(&format!("  {}  {}  {state}  {why}", short(&end.id), end.message));
        }
        self.line(&requests(totals));
        let hint = kept.map_or_else(
            || "To keep the repository: serin demo --keep DIR, then git -C DIR log --notes=serin".to_owned(),
            |folder| format!("See for yourself: git -C {} log --notes=serin", folder.display()),
        );
        self.line(&hint);
        if !ends.iter().all(End::is_as_wanted) {
            let text = self.paint(RED, "The demo did not end as it should.");
            self.line(&text);
        }
    }

    fn row(&mut self, kind: &str, text: &str) {
        let seconds = self.seconds();
        let kind = self.paint(DIM, &format!("{kind:<7}"));
        self.line(&format!("{seconds:6.1} s {kind} {text}"));
    }

    /// Prints a line that stays.
    fn line(&mut self, text: &str) {
        let clear = if self.live { CLEAR } else { "" };
        self.output.line(&format!("{clear}{text}"));
    }

    fn seconds(&self) -> f64 {
        self.clock.now().duration_since(self.began).as_secs_f64()
    }

    fn bar(&self, weight: usize) -> String {
        let canary = self.paint(YELLOW, &"█".repeat(weight / 5));
        let primary = self.paint(DIM, &"░".repeat(20_usize.saturating_sub(weight / 5)));
        format!("{canary}{primary}")
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colours && !text.is_empty() {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn requests(totals: &Totals) -> String {
    let (all, lost) = (totals.requests(), totals.lost());
    let failed = totals.failed().saturating_sub(lost);
    let lost = if lost == 0 {
        "none were".to_owned()
    } else {
        format!("{lost} were")
    };
    format!("Of {all} requests meanwhile, {failed} failed in the bad version and {lost} lost on the way.")
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
