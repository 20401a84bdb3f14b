//! What a refusal is about, which forges tell in their own ways.

use super::{CommitState, Forge, ForgeError, TOKEN, hex, status};

/// A forge of one repository, asked with a token.
pub(super) type Asked<'a> = &'a dyn Fn(&str, &str) -> Box<dyn Forge>;

/// Posts what is refused.
pub(super) async fn refusal(forge: &dyn Forge, digit: char) -> ForgeError {
    let said = status("serin", CommitState::Pending, "detected");
    forge.post(&hex(digit), &said).await.unwrap_err()
}

/// A token that nobody has, a repository that is not there, and a commit that is not in it are told apart.
pub(super) async fn refusals_are_told_apart(asked: Asked<'_>, repository: &str, missing: &str) {
    let error = refusal(&*asked("wrong", repository), 'a').await;
    assert!(matches!(error, ForgeError::Unauthorized { .. }), "{error}");
    let error = refusal(&*asked(TOKEN, missing), 'a').await;
    assert!(matches!(error, ForgeError::NoRepository { .. }), "{error}");
    let error = refusal(&*asked(TOKEN, repository), 'c').await;
    assert!(matches!(error, ForgeError::UnknownCommit { .. }), "{error}");
}
