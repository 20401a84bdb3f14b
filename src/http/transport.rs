//! The seam below the client: how a request leaves. Real TCP, or routers in this process.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::http::Response;
use axum::Router;
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower::ServiceExt;
use url::Host;

use super::{Egress, Error, Proxy, Request, Tls};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body that is still coming.
pub(super) type Incoming = UnsyncBoxBody<Bytes, BoxError>;

/// How a request leaves.
pub(super) trait Transport: Send + Sync {
    /// Sends a request and returns once the head of the response is there.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response<Incoming>, Error>>;
}

/// Routers in this process, by host name.
pub(super) struct InProcess(pub(super) BTreeMap<String, Router>);

impl Transport for InProcess {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response<Incoming>, Error>> {
        let origin = request.origin();
        let router = request.url.host_str().and_then(|host| self.0.get(host)).cloned();
        async move {
            let Some(router) = router else {
                return Err(Error::Connect {
                    origin,
                    reason: "no such host".to_owned(),
                });
            };
            let mut outgoing = ::http::Request::new(axum::body::Body::from(request.body.clone()));
            *outgoing.method_mut() = request.method.clone();
            *outgoing.headers_mut() = request.headers.clone();
            *outgoing.uri_mut() = request.url.as_str().parse().map_err(|error| Error::Address {
                reason: format!("{error}"),
            })?;
            let response = match router.oneshot(outgoing).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync()))
        }
        .boxed()
    }
}

/// The network. Connections are kept; there is one pool per way of verifying servers.
pub(super) struct Network {
    egress: Egress,
    pools: Mutex<BTreeMap<Pool, reqwest::Client>>,
}

/// Which pool of connections a request needs. No TLS: certificates are loaded for nobody.
type Pool = (Option<Tls>, Proxy);

impl Network {
    /// How many pools are kept; canaries that bring ever new certificates cost reconnects, not memory.
    const POOLS: usize = 32;

    pub(super) fn new(egress: Egress) -> Self {
        Self {
            egress,
            pools: Mutex::default(),
        }
    }

    fn pool(&self, request: &Request) -> Result<reqwest::Client, Error> {
        // A proxy may be spoken to by TLS where the server is not.
        let tls = (request.url.scheme() == "https" || request.proxy.is_used()).then(|| request.tls.clone());
        let wanted = (tls, request.proxy.clone());
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = pools.get(&wanted) {
            return Ok(client.clone());
        }
        let client = build(&self.egress, wanted.0.as_ref(), &request.proxy)?;
        if pools.len() >= Self::POOLS {
            pools.clear();
        }
        pools.insert(wanted, client.clone());
        Ok(client)
    }

    /// A proxy resolves names itself: rules about addresses could not be kept behind it.
    fn check_proxy(&self, request: &Request) -> Result<(), Error> {
        if self.egress == Egress::Open || !request.proxy.is_used() {
            return Ok(());
        }
        Err(Error::Address {
            reason: "a proxy cannot be used where the egress rules hold".to_owned(),
        })
    }

    /// Refuses a literal address; the connector does not ask the resolver about these.
    fn check_literal(&self, request: &Request) -> Result<(), Error> {
        let literal = match request.url.host() {
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        if self.egress.permits(literal) {
            return Ok(());
        }
        Err(Error::Denied {
            origin: request.origin(),
            address: literal,
        })
    }
}

impl Transport for Network {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response<Incoming>, Error>> {
        async move {
            self.check_literal(&request)?;
            self.check_proxy(&request)?;
            let client = self.pool(&request)?;
            let (origin, proxy) = (request.origin(), request.proxy.clone());
            let response = client
                .request(request.method, request.url)
                .headers(request.headers)
                .body(request.body)
                .send()
                .await
                .map_err(|error| explain(&error, origin, &proxy))?;
            let response: Response<reqwest::Body> = response.into();
            Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync()))
        }
        .boxed()
    }
}

fn build(egress: &Egress, tls: Option<&Tls>, proxy: &Proxy) -> Result<reqwest::Client, Error> {
    super::install_crypto();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("serin/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(4)
        .dns_resolver(Arc::new(Resolver(egress.clone())));
    builder = match proxy {
        Proxy::None => builder.no_proxy(),
        Proxy::Environment => builder,
        Proxy::At(address) => {
            let made = reqwest::Proxy::all(address.expose()).map_err(|_| Error::BadProxy {
                reason: "it cannot be used".to_owned(),
            })?;
            // Only this one: what the environment says would be asked first.
            builder.no_proxy().proxy(made)
        }
    };
    let Some(tls) = tls else {
        return made(builder.tls_certs_only([]));
    };
    if let Some(identity) = tls.identity()? {
        builder = builder.identity(identity);
    }
    if tls.skip_verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    } else if let Some(authorities) = tls.authorities()? {
        builder = builder.tls_certs_only(authorities);
    }
    made(builder)
}

fn made(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Error> {
    builder.build().map_err(|error| Error::Certificate {
        what: "settings for TLS",
        reason: root_cause(&error),
    })
}

impl Tls {
    /// Checks that certificates and key can be used.
    pub fn check(&self) -> Result<(), Error> {
        self.authorities()?;
        self.identity().map(drop)
    }

    fn authorities(&self) -> Result<Option<Vec<reqwest::Certificate>>, Error> {
        let refuse = |reason: &str| Error::Certificate {
            what: "CA bundle",
            reason: reason.to_owned(),
        };
        let Some(pem) = &self.ca else { return Ok(None) };
        let found = reqwest::Certificate::from_pem_bundle(pem.as_bytes());
        match found.map_err(|_| refuse("it is not PEM"))? {
            none if none.is_empty() => Err(refuse("it holds no certificate")),
            found => Ok(Some(found)),
        }
    }

    fn identity(&self) -> Result<Option<reqwest::Identity>, Error> {
        let Some(identity) = &self.identity else {
            return Ok(None);
        };
        let both = format!("{}\n{}\n", identity.certificate, identity.key.expose());
        // What the library says may quote the file.
        let made = reqwest::Identity::from_pem(both.as_bytes()).map_err(|_| Error::Certificate {
            what: "client certificate and its key",
            reason: "they are not a PEM certificate and a PEM key".to_owned(),
        })?;
        Ok(Some(made))
    }
}

/// Resolves names and refuses forbidden addresses. The connector connects to exactly what is returned here, so
/// a name that changes its addresses between a check and the connection gains nothing.
struct Resolver(Egress);

/// The error by which the resolver refuses.
#[derive(Debug, thiserror::Error)]
#[error("forbidden address {0}")]
struct Forbidden(IpAddr);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One forbidden address condemns the name: else its owner could try until we pick that one.
            match found.iter().find(|address| !egress.permits(address.ip())) {
                Some(address) => Err(Forbidden(address.ip()).into()),
                None => Ok(Box::new(found.into_iter()) as Addrs),
            }
        })
    }
}

fn explain(error: &reqwest::Error, origin: String, proxy: &Proxy) -> Error {
    if let Some(Forbidden(address)) = find(error) {
        return Error::Denied {
            origin,
            address: *address,
        };
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return Error::Tls {
            origin,
            reason: tls.to_string(),
        };
    }
    let reason = root_cause(error);
    // Whether the environment's proxy was used is only known from what went wrong with it.
    let blamed = matches!(proxy, Proxy::At(_)) || reason.contains("proxy") || reason.contains("tunnel");
    if error.is_connect() && proxy.is_used() && blamed {
        let proxy = proxy.place();
        return Error::Proxy {
            origin,
            proxy,
            reason,
        };
    }
    if error.is_connect() {
        return Error::Connect { origin, reason };
    }
    Error::Broken { origin, reason }
}

/// Finds an error of one type below another, also inside `io::Error`s, whose `source` leaves out what they hold.
fn find<'a, T: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = match error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Returns the text of the deepest error: the ones above it only add the address.
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    super::excerpt(&deepest.to_string(), 200)
}
