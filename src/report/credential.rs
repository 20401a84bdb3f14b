//! What a forge is asked with.

use crate::http::SecretFile;

/// What a forge is asked with. Kept where it is, and read for each request: what is rotated counts at once.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// A GitHub App.
    App(AppKey),
}

/// A GitHub App: who it is, and where it is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppKey {
    /// Its id, or its client id.
    pub id: String,
    /// Where it is installed.
    pub installation: Installation,
    /// Its private key, in PEM.
    pub private_key: SecretFile,
}

/// Which installation of a GitHub App is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installation {
    /// The one with this id.
    Id(String),
    /// That of an organization or a user.
    Owner(String),
    /// The one that has the repository.
    OfRepository,
}

impl Credential {
    /// Reads the secret and forgets it: what is missing shall end the start, not a rollout.
    pub(super) fn check(&self) -> Result<(), crate::http::Error> {
        match self {
            Self::Token(file) | Self::Basic { password: file, .. } => file.read(),
            Self::App(app) => app.private_key.read_text(),
        }
        .map(drop)
    }
}
