//! What only GitHub has: Apps and deployments.

use std::path::PathBuf;

use clap::Args;

use crate::{
    http::SecretFile,
    report::{AppKey, Installation, Settings},
};

/// What only GitHub has.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "GitHub")]
#[expect(clippy::struct_field_names, reason = "the fields are the names of the flags")]
pub(super) struct GitHubArgs {
    /// GitHub App to post as, in place of a token: its id or client id. It shows check runs with the
    /// measurements
    #[arg(
        long,
        value_name = "ID",
        requires = "github_app_private_key_file",
        conflicts_with_all = ["status_token_file", "status_token_env"]
    )]
    pub(super) github_app_id: Option<String>,

    /// Private key of the App, PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "github_app_id")]
    pub(super) github_app_private_key_file: Option<PathBuf>,

    /// Installation of the App [default: the one that has the repository]
    #[arg(long, value_name = "ID", requires = "github_app_id")]
    pub(super) github_app_installation_id: Option<String>,

    /// Environment of which each commit as a whole is a deployment, too
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(super) github_deployments: Option<String>,
}

impl GitHubArgs {
    /// Adds what the flags say to where outcomes are posted.
    pub(super) fn add_to(&self, settings: &mut Settings) {
        settings.deployments.clone_from(&self.github_deployments);
        if let (Some(id), Some(key)) = (&self.github_app_id, &self.github_app_private_key_file) {
            let installation = self.github_app_installation_id.clone();
            settings.app = Some(AppKey {
                id: id.clone(),
                installation: installation.map_or(Installation::OfRepository, Installation::Id),
                private_key: SecretFile::Path(key.clone()),
            });
        }
    }
}
