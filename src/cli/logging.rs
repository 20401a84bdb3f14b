//! Logs go to stderr: for people on a terminal, as JSON elsewhere.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Parses what `--log-level` gives; an empty text is as good as none.
pub(super) fn level(text: &str) -> Result<String, String> {
    let filter = filter(text);
    // A bare word would be the name of a module, and silence all others.
    let known = text.is_empty() || filter.contains('=') || text == "off";
    if !known {
        return Err(
            "it is none of error, warn, info, debug, trace, and no filter such as serin=debug".into(),
        );
    }
    EnvFilter::try_new(&filter).map_err(|error| error.to_string())?;
    Ok(filter)
}

/// Starts logging with what [`level`] gave.
pub(super) fn start(level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
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

/// What the Kubernetes client logs of requests that fail, Serin logs as well, with what it does about them.
const QUIET: &str = "kube_client::client=off";

/// A bare level is Serin's; libraries stay one step quieter.
pub(super) fn filter(level: &str) -> String {
    match level {
        "error" => format!("error,{QUIET}"),
        "warn" | "info" | "debug" => format!("warn,{QUIET},serin={level}"),
        "trace" => "debug,serin=trace".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_levels_or_filters() {
        assert_eq!(level("debug").unwrap(), format!("warn,{QUIET},serin=debug"));
        assert_eq!(level("serin=debug,kube=info").unwrap(), "serin=debug,kube=info");
        assert_eq!(level("off").unwrap(), "off");
        assert!(level("verbose").unwrap_err().contains("none of error, warn"));
        assert!(level("serin=loud").is_err());
    }
}
