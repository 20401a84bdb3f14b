//! `serin crd`.

use std::process::ExitCode;

use super::Output;

pub(super) fn run(output: &mut Output) -> ExitCode {
    output.data(&crate::canary::crd::yaml());
    ExitCode::SUCCESS
}
