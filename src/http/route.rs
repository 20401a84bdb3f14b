//! How servers are reached that the operator names himself: through which proxy, with which certificates.
//!
//! Only for a client of the operator's own ([`Client::of_operator`](super::Client::of_operator)). Requests to
//! addresses from custom resources never go through a proxy: it would resolve their names itself, and the
//! egress rules could not be kept.

use std::{path::PathBuf, time::Duration};

use url::Url;

use super::{Error, Secret, SecretFile, Tls};

/// The proxy in front of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proxy {
    /// None at all.
    #[default]
    None,
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    Environment,
    /// This one; its address may hold a user and a password.
    At(Secret),
}

impl Proxy {
    /// Takes an address as a proxy; what is wrong with it is told without quoting it.
    pub fn at(address: Secret) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::BadProxy {
            reason: reason.to_owned(),
        };
        let url = Url::parse(address.expose()).map_err(|error| refuse(&error.to_string()))?;
        if matches!(url.scheme(), "http" | "https") {
            return Ok(Self::At(address));
        }
        Err(refuse("only proxies that speak http or https can be used"))
    }

    /// Whether a request may pass a proxy.
    pub(super) fn is_used(&self) -> bool {
        *self != Self::None
    }

    /// The addresses that may be the proxy's, with their secrets.
    pub(super) fn addresses(&self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::At(address) => vec![address.expose().to_owned()],
            Self::Environment => {
                let names = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"];
                let names = names
                    .iter()
                    .flat_map(|name| [(*name).to_owned(), name.to_lowercase()]);
                names.filter_map(|name| std::env::var(name).ok()).collect()
            }
        }
    }

    /// As much of the proxy's address as may be told.
    pub(super) fn place(&self) -> String {
        match self {
            Self::None => "no proxy".to_owned(),
            Self::Environment => "the proxy of the environment".to_owned(),
            Self::At(address) => match Url::parse(address.expose()) {
                Ok(url) => format!("the proxy {}", url.origin().ascii_serialization()),
                Err(_) => "the proxy".to_owned(),
            },
        }
    }
}

/// A client's certificate and the key of it, both PEM.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The certificate, with the chain above it.
    pub certificate: String,
    /// Its key.
    pub key: Secret,
}

/// How one request reaches its server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Through which proxy.
    pub proxy: Proxy,
    /// How the two sides prove who they are. A request that says so itself is left alone.
    pub tls: Tls,
    /// Time for the whole exchange, instead of the usual.
    pub timeout: Option<Duration>,
}

/// Where the parts of a [`Route`] are kept. They are read for each request, so a certificate that is renewed
/// counts at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteFiles {
    /// The proxy's address; what the environment says if there is none.
    pub proxy: Option<SecretFile>,
    /// PEM bundle of the only authorities to trust.
    pub ca: Option<PathBuf>,
    /// The client's certificate, PEM.
    pub certificate: Option<PathBuf>,
    /// The key of the client's certificate, PEM.
    pub key: Option<PathBuf>,
}

impl RouteFiles {
    /// Reads the parts.
    pub fn read(&self) -> Result<Route, Error> {
        let proxy = match &self.proxy {
            Some(address) => Proxy::at(address.read()?)?,
            None => Proxy::Environment,
        };
        let pem = |what: &'static str, path: &PathBuf| {
            let text = SecretFile::Path(path.clone()).read_text();
            text.map_err(|error| match error {
                Error::Secret { place, reason } => Error::Certificate {
                    what,
                    reason: format!("{place}: {reason}"),
                },
                other => other,
            })
        };
        let ca = self.ca.as_ref().map(|path| pem("CA bundle", path)).transpose()?;
        let identity = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some(Identity {
                certificate: pem("client certificate", certificate)?.expose().to_owned(),
                key: pem("key of the client certificate", key)?,
            }),
            (None, None) => None,
            _ => {
                return Err(Error::Address {
                    reason: "a client certificate needs its key, and a key its certificate".to_owned(),
                });
            }
        };
        let tls = Tls {
            skip_verify: false,
            ca: ca.map(|ca| ca.expose().to_owned()),
            identity,
        };
        tls.check()?;
        Ok(Route {
            proxy,
            tls,
            timeout: None,
        })
    }
}
