//! What can go wrong with a request. No text here holds a path, a query, a header or a body.

use std::{net::IpAddr, time::Duration};

use crate::error::{Class, Classified};

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address cannot be used.
    #[error("bad address: {reason}")]
    Address {
        /// What is wrong with it.
        reason: String,
    },
    /// A header value holds characters that a header cannot.
    #[error("bad value for header {name}")]
    Header {
        /// Name of the header.
        name: String,
    },
    /// Where a secret should be is none that can be used.
    #[error("secret {place}: {reason}")]
    Secret {
        /// The file or variable.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The egress rules forbid it.
    #[error("{origin} resolves to {address}, which outgoing requests may not reach")]
    Denied {
        /// Scheme, host and port.
        origin: String,
        /// The address that is forbidden.
        address: IpAddr,
    },
    /// A certificate or key that was configured cannot be used.
    #[error("the {what}: {reason}")]
    Certificate {
        /// Which one.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The address of a proxy cannot be used.
    #[error("the proxy's address: {reason}")]
    BadProxy {
        /// What is wrong with it.
        reason: String,
    },
    /// The proxy does not lead there.
    #[error("cannot reach {origin} through {proxy}: {reason}")]
    Proxy {
        /// Scheme, host and port.
        origin: String,
        /// Scheme, host and port of the proxy.
        proxy: String,
        /// What the HTTP library said.
        reason: String,
    },
    /// Nobody answers there.
    #[error("cannot reach {origin}: {reason}")]
    Connect {
        /// Scheme, host and port.
        origin: String,
        /// What the system said.
        reason: String,
    },
    /// The TLS handshake failed, or the settings for it are wrong.
    #[error("no TLS connection to {origin}: {reason}")]
    Tls {
        /// Scheme, host and port.
        origin: String,
        /// What the TLS library said.
        reason: String,
    },
    /// No complete answer in time.
    #[error("no answer from {origin} within {after:?}")]
    Timeout {
        /// Scheme, host and port.
        origin: String,
        /// The time allowed.
        after: Duration,
    },
    /// The answer is too large.
    #[error("the answer from {origin} is larger than {limit} bytes")]
    TooLarge {
        /// Scheme, host and port.
        origin: String,
        /// The cap.
        limit: usize,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("the answer from {origin} broke off: {reason}")]
    Broken {
        /// Scheme, host and port.
        origin: String,
        /// What the HTTP library said.
        reason: String,
    },
}

impl Error {
    /// Whether the time ran out.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Whether another try may succeed without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.class(), Class::Retry(_))
    }
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Connect { .. }
            | Self::Proxy { .. }
            | Self::Timeout { .. }
            | Self::Broken { .. }
            | Self::Tls { .. } => Class::Retry(Duration::from_secs(1)),
            Self::Address { .. }
            | Self::Header { .. }
            | Self::Secret { .. }
            | Self::Certificate { .. }
            | Self::BadProxy { .. }
            | Self::Denied { .. }
            | Self::TooLarge { .. } => Class::UserMustFix,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Denied { address, .. } => Some(format!(
                "if it is meant to be reached, start with `--allow-egress {address}/{}`",
                if address.is_ipv4() { 32 } else { 128 }
            )),
            Self::Secret { place, .. } if place.starts_with("environment") => {
                Some("set the variable for this process to the token, and nothing else".to_owned())
            }
            Self::Secret { .. } => {
                Some("write the token, and nothing else, into a file that this process can read".to_owned())
            }
            Self::Certificate { .. } => Some("give it as PEM: -----BEGIN …".to_owned()),
            Self::BadProxy { .. } => Some("give http://HOST:PORT or https://HOST:PORT".to_owned()),
            Self::Proxy { .. } => Some(
                "check the proxy's address, user and password; NO_PROXY names hosts that need none"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
