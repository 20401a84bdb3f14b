//! The client: one exchange at a time, within its time and size.

use std::{collections::BTreeMap, fmt, sync::Arc};

use axum::Router;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use super::{
    Egress, Error, Request, Response, Route, Tls, redact,
    transport::{InProcess, Incoming, Network, Transport, root_cause},
};

/// The one outbound client. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    route: Option<Arc<MakeRoute>>,
}

type MakeRoute = dyn Fn() -> Result<Route, Error> + Send + Sync;

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Makes a client for the network that uses no proxy.
    #[must_use]
    pub fn new(egress: Egress) -> Self {
        Self {
            transport: Arc::new(Network::new(egress)),
            route: None,
        }
    }

    /// Makes a client for servers that the operator names: everything may be reached. Each request asks for
    /// its route.
    #[must_use]
    pub fn of_operator(route: impl Fn() -> Result<Route, Error> + Send + Sync + 'static) -> Self {
        Self::new(Egress::Open).with_route(route)
    }

    /// The same connections with another route.
    #[must_use]
    pub fn with_route(&self, route: impl Fn() -> Result<Route, Error> + Send + Sync + 'static) -> Self {
        Self {
            transport: Arc::clone(&self.transport),
            route: Some(Arc::new(route)),
        }
    }

    /// Makes a client that leads requests to routers in this process by host name (without the port). Hosts
    /// that are not listed cannot be reached.
    #[must_use]
    pub fn in_process(hosts: BTreeMap<String, Router>) -> Self {
        Self {
            transport: Arc::new(InProcess(hosts)),
            route: None,
        }
    }

    /// Sends a request and reads the whole response. Any status is a response; redirects are not followed. The
    /// body of a refusal, which may be told, does not hold the request's secrets.
    pub async fn send(&self, mut request: Request) -> Result<Response, Error> {
        if let Some(route) = &self.route {
            let route = route()?;
            request.proxy = route.proxy;
            request.timeout = route.timeout.unwrap_or(request.timeout);
            if request.tls == Tls::default() {
                request.tls = route.tls;
            }
        }
        let (origin, after, limit) = (request.origin(), request.timeout, request.body_limit);
        let secrets = redact::secrets(&request.headers, &request.proxy);
        let exchange = async {
            let response = self.transport.send(request).await?;
            let (head, body) = response.into_parts();
            let mut body = collect(body, &origin, limit).await?;
            if !head.status.is_success() {
                body = redact::redact(body, &secrets);
            }
            Ok(Response {
                status: head.status.as_u16(),
                headers: head.headers,
                body,
            })
        };
        match tokio::time::timeout(after, exchange).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { origin, after }),
        }
    }
}

async fn collect(mut body: Incoming, origin: &str, limit: usize) -> Result<Bytes, Error> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::Broken {
            origin: origin.to_owned(),
            reason: root_cause(&*error),
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len().saturating_add(data.len()) > limit {
            return Err(Error::TooLarge {
                origin: origin.to_owned(),
                limit,
            });
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}
