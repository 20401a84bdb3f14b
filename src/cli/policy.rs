//! What the user can say about whose rules count.

use clap::{Args, ValueEnum};

use crate::canary::JudgeBy;

/// Whose rules count.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Policy")]
pub(super) struct PolicyArgs {
    /// Whose thresholds judge a commit that edits them
    #[arg(long, value_enum, default_value = "commit", value_name = "WHOSE")]
    judge_by: Judge,
}

/// Whose thresholds judge a commit that edits them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Judge {
    /// Its own, as with Flagger
    Commit,
    /// Those of the promoted revision; its own count from its promotion on
    Promoted,
}

impl PolicyArgs {
    /// Whose thresholds judge.
    pub(super) fn judge_by(&self) -> JudgeBy {
        match self.judge_by {
            Judge::Commit => JudgeBy::Commit,
            Judge::Promoted => JudgeBy::Promoted,
        }
    }
}
