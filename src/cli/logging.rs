//! Logs go to stderr: for people on a terminal, as JSON elsewhere.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

pub(super) fn start(level: &str) {
    let filter = EnvFilter::try_new(filter(level)).unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start (in tests) keeps the first.
    if std::io::stderr().is_terminal() {
        logs.with_target(false).try_init().ok();
    } else {
        logs.json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init()
            .ok();
    }
}

/// A bare level is Serin's; libraries stay one step quieter.
fn filter(level: &str) -> String {
    match level {
        "error" | "warn" | "info" | "debug" => format!("warn,serin={level}"),
        "trace" => "debug,serin=trace".to_owned(),
        other => other.to_owned(),
    }
}
