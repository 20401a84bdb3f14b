//! How a forge is reached, and with which credentials: the flags, and what they make.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use url::Url;

use super::Failure;
use crate::{
    clock::Clock,
    cluster::Cluster,
    http::{Client, RouteFiles, Secret, SecretFile},
    manifest::{ObjectKey, Resource},
    report::{ForgeKind, Origin, Settings, provider::Given},
    runtime::{Lender, LentForge},
};

/// How a forge is reached.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Reaching the forge")]
#[expect(clippy::struct_field_names, reason = "fields are named as their flags")]
pub(super) struct ReachArgs {
    /// Environment variable that holds the forge's token
    #[arg(long, value_name = "NAME", conflicts_with = "status_token_file")]
    pub(super) status_token_env: Option<String>,

    /// Proxy in front of the forge [default: what HTTPS_PROXY and NO_PROXY say]
    #[arg(long, value_name = "URL")]
    pub(super) status_proxy: Option<String>,

    /// File that holds the proxy's address, if that needs a user and a password
    #[arg(long, value_name = "FILE", conflicts_with = "status_proxy")]
    pub(super) status_proxy_file: Option<PathBuf>,

    /// Authorities that the forge's certificate is trusted by, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(super) status_ca_file: Option<PathBuf>,

    /// Certificate to show to the forge, PEM
    #[arg(long, value_name = "FILE", requires = "status_key_file")]
    pub(super) status_cert_file: Option<PathBuf>,

    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "status_cert_file")]
    pub(super) status_key_file: Option<PathBuf>,
}

/// Credentials that the cluster keeps.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Reaching the forge")]
pub(super) struct LenderArgs {
    /// Secret with the forge's token, and more
    #[arg(
        long,
        value_name = "NAMESPACE/NAME",
        value_parser = reference,
        conflicts_with_all = ["status_token_file", "status_token_env", "status_proxy", "status_proxy_file",
            "status_ca_file", "status_cert_file"]
    )]
    pub(super) status_secret: Option<(String, String)>,

    /// Notification Provider of Flux that is reused as it is: forge, repository, credentials
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = reference)]
    pub(super) status_provider: Option<(String, String)>,
}

/// What `serin run` makes of the forges.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Reaching the forge")]
pub(super) struct LendArgs {
    #[command(flatten)]
    pub(super) lenders: LenderArgs,

    /// The forge's repository mirrors the one at this address, which is where the source is cloned from; else the
    /// two must be the same
    #[arg(long, value_name = "URL")]
    pub(super) status_mirror_of: Option<String>,

    /// Keep one comment on each pull request that a commit came from: statuses of a merge commit are not shown there
    #[arg(long)]
    pub(super) pull_request_comment: bool,
}

impl ReachArgs {
    /// Where the parts of the way are kept.
    pub(super) fn route(&self) -> Result<RouteFiles, Failure> {
        let given = self.status_proxy.as_deref();
        if given.is_some_and(holds_credentials) {
            return Err(Failure::user(
                "the address in --status-proxy holds credentials, which others can read there",
                "write it into a file and give that by --status-proxy-file",
            ));
        }
        let file = self.status_proxy_file.clone().map(SecretFile::Path);
        Ok(RouteFiles {
            proxy: file.or_else(|| given.map(|address| SecretFile::Fixed(Secret::new(address)))),
            ca: self.status_ca_file.clone(),
            certificate: self.status_cert_file.clone(),
            key: self.status_key_file.clone(),
        })
    }
}

/// What lent forges need beside their flags.
pub(super) struct Lending {
    pub(super) cluster: Cluster,
    pub(super) clock: Clock,
    pub(super) client: Client,
    pub(super) branch: Option<String>,
    pub(super) origin: Origin,
}

impl LenderArgs {
    /// Takes the forges whose credentials the cluster keeps out of the settings.
    pub(super) fn lenders(&self, settings: &mut Settings) -> Result<Vec<Lender>, Failure> {
        let mut lenders = Vec::new();
        if let Some((namespace, name)) = &self.status_secret {
            let given = given(settings)?;
            let key = ObjectKey::new(Resource::SECRET, namespace, name);
            lenders.push(Lender::Secret(key, given));
        }
        if let Some((namespace, name)) = &self.status_provider {
            let key = ObjectKey::new(Resource::PROVIDER, namespace, name);
            lenders.push(Lender::Provider(key));
        }
        if !lenders.is_empty() && settings.kinds.is_empty() {
            // Notes are the default only where nothing else is said.
            settings.kinds = vec![ForgeKind::None];
        }
        Ok(lenders)
    }
}

impl LendArgs {
    /// Makes the forges whose credentials the cluster keeps; their settings are watched.
    pub(super) fn lent(
        &self,
        settings: &mut Settings,
        lending: &Lending,
    ) -> Result<Vec<Arc<LentForge>>, Failure> {
        let make = |lender| {
            Arc::new(LentForge::new(
                lender,
                lending.cluster.clone(),
                lending.client.clone(),
                lending.clock,
                lending.branch.clone(),
                Some(lending.origin.clone()),
            ))
        };
        Ok(self.lenders.lenders(settings)?.into_iter().map(make).collect())
    }
}

/// The one forge that a Secret is for.
fn given(settings: &mut Settings) -> Result<Given, Failure> {
    let is_forge = |kind: &ForgeKind| !matches!(kind, ForgeKind::Notes | ForgeKind::None);
    let forges: Vec<ForgeKind> = settings.kinds.iter().copied().filter(is_forge).collect();
    let [kind] = forges[..] else {
        return Err(Failure::user(
            "--status-secret needs one forge that it is for",
            "name it with --status",
        ));
    };
    settings.kinds.retain(|kind| !is_forge(kind));
    Ok(Given {
        kind,
        url: settings.url.clone(),
        repository: settings.repository.clone(),
    })
}

/// A password has no place on a command line, where everybody can read it.
fn holds_credentials(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
}

fn reference(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("give NAMESPACE/NAME".to_owned()),
    }
}
