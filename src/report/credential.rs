//! What a forge is asked with.

use crate::http::SecretFile;

/// What a forge is asked with. Kept where it is, and read for each request: what is rotated counts at once.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A token; each forge has its own way to send it.
    Token(SecretFile),
    /// A user with a password, or with a token in place of it.
    Basic {
        /// Name of the user.
        username: String,
        /// Password or token.
        password: SecretFile,
    },
}

impl Credential {
    /// Reads the secret and forgets it: what is missing shall end the start, not a rollout.
    pub(super) fn check(&self) -> Result<(), crate::http::Error> {
        match self {
            Self::Token(file) | Self::Basic { password: file, .. } => file.read().map(drop),
        }
    }
}
