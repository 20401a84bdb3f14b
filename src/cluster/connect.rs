//! Finds the cluster as kubectl does: `--kubeconfig`, `$KUBECONFIG`, the default file, or the service account
//! of the pod.

use std::path::PathBuf;

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};

/// What kubectl's flags say.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
}

/// No cluster to be had.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be read or is wrong.
    #[error("cannot use kubeconfig `{path}`: {source}")]
    Kubeconfig {
        /// Which file.
        path: String,
        /// Why.
        source: Box<KubeconfigError>,
    },
    /// Neither a kubeconfig nor a service account.
    #[error("no cluster: no kubeconfig was given or found, and this is not a pod with a service account")]
    Nowhere,
    /// The client cannot be made.
    #[error("cannot make a client for the cluster: {0}")]
    Client(Box<kube::Error>),
}

/// Connects. Gives the client, whether the credentials are a pod's service account, and the host of the API
/// server.
pub async fn connect(connection: &Connection) -> Result<(Client, bool, Option<String>), ConnectError> {
    let options = KubeConfigOptions {
        context: connection.context.clone(),
        ..KubeConfigOptions::default()
    };
    let (mut config, in_cluster) = match &connection.kubeconfig {
        Some(path) => (from_file(path, &options).await?, false),
        None => match Config::from_kubeconfig(&options).await {
            Ok(config) => (config, false),
            Err(outside) => match Config::incluster() {
                Ok(config) => (config, true),
                Err(_) if is_there(&outside) => {
                    return Err(ConnectError::Kubeconfig {
                        path: default_path(),
                        source: Box::new(outside),
                    });
                }
                Err(_) => return Err(ConnectError::Nowhere),
            },
        },
    };
    // Watches end by themselves after five minutes; nothing else may take that long.
    config.read_timeout = Some(std::time::Duration::from_secs(295));
    let host = config.cluster_url.host().map(str::to_owned);
    let client = Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))?;
    Ok((client, in_cluster, host))
}

/// Whether there is a kubeconfig, and only something in it is wrong.
fn is_there(error: &KubeconfigError) -> bool {
    !matches!(error, KubeconfigError::ReadConfig(..) | KubeconfigError::FindPath)
        || std::env::var_os("KUBECONFIG").is_some_and(|files| !files.is_empty())
}

/// Where kubectl looks when it is not told.
fn default_path() -> String {
    std::env::var("KUBECONFIG").unwrap_or_else(|_| "~/.kube/config".to_owned())
}

async fn from_file(path: &PathBuf, options: &KubeConfigOptions) -> Result<Config, ConnectError> {
    let refuse = |source| ConnectError::Kubeconfig {
        path: path.display().to_string(),
        source: Box::new(source),
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(refuse)?;
    Config::from_custom_kubeconfig(kubeconfig, options)
        .await
        .map_err(refuse)
}

impl crate::error::Classified for ConnectError {
    fn class(&self) -> crate::error::Class {
        crate::error::Class::UserMustFix
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Nowhere => {
                "give one by --kubeconfig FILE or KUBECONFIG; to try Serin without a cluster: serin demo"
            }
            Self::Kubeconfig { source, .. }
                if matches!(
                    **source,
                    KubeconfigError::LoadContext(_) | KubeconfigError::CurrentContextNotSet
                ) =>
            {
                "`kubectl config get-contexts` lists the contexts; choose one by --context NAME"
            }
            Self::Kubeconfig { .. } => {
                "give another by --kubeconfig FILE, or try it with `kubectl cluster-info`"
            }
            Self::Client(_) => "check the files that the kubeconfig names, with `kubectl cluster-info`",
        };
        Some(hint.to_owned())
    }
}
