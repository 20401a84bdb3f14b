//! What the documentation says is what the program says.

use serin::report::outcome;

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
        outcome::deleted(),
    ] {
        let row = format!("| {} | {} |", outcome.state, outcome.description);
        assert!(page.contains(&row), "docs/status.md has no row {row}");
    }
}
