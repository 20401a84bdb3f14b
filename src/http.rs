//! The one outbound HTTP client: time limits, size caps, egress rules and redaction in one place.
//!
//! Rooms hand it plain values ([`Request`]) and get plain values ([`Response`]). It decides what may be
//! reached ([`Egress`]) and what an error may say (never more of an address than its origin: paths and
//! queries of webhooks hold secrets). It must not know what is said to whom, or follow redirects.
//!
//! Two kinds of client: one for addresses from custom resources ([`Client::new`]), which never uses a proxy,
//! for behind one the egress rules could not be kept (it resolves the names itself); and one for servers that
//! the operator names ([`Client::of_operator`]), with the operator's proxy, authorities and certificate.
//!
//! In virtual time there is no TCP: [`Client::in_process`] leads requests to routers by host name.

mod client;
mod egress;
mod error;
mod message;
mod redact;
mod route;
mod secret;
mod transport;

#[cfg(test)]
mod tests;

pub use client::Client;
pub use egress::{Egress, Rules};
pub use error::Error;
pub use message::{Request, Response, Tls, excerpt};
pub use route::{Identity, Proxy, Route, RouteFiles};
pub use secret::{Secret, SecretFile};

/// Chooses ring as the TLS implementation of this process. May be called again; only the first call counts.
pub fn install_crypto() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    // An error means that a provider is installed already, which can only be ours: no other is linked.
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}
