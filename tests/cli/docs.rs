//! What the documentation says is what the program says.

use serin::{repo::revert::RevertError, report::outcome};

#[test]
fn the_texts_of_statuses_are_documented() {
    let page = include_str!("../../docs/status.md");
    let id = "0123456789abcdef0123456789abcdef01234567";
    for outcome in [
        outcome::detected(),
        outcome::initialized(),
        outcome::no_workload_change(),
        outcome::already_promoted(),
        outcome::superseded(id),
        outcome::reverted(Some(id)),
        outcome::not_applied(),
        outcome::refused("…"),
        outcome::not_verified("…"),
        outcome::deleted(),
    ] {
        let row = format!("| {} | {} |", outcome.state, outcome.description);
        assert!(page.contains(&row), "docs/status.md has no row {row}");
    }
}

#[test]
fn the_reasons_against_a_revert_are_documented() {
    let page = include_str!("../../docs/policy.md");
    let file = || "FILE".to_owned();
    for error in [
        RevertError::Conflict { file: file() },
        RevertError::Moved { file: file() },
        RevertError::OwnRevert,
        RevertError::Sha256,
    ] {
        assert!(
            page.contains(&format!("| {error} |")),
            "docs/policy.md has no row {error}"
        );
    }
}
