//! The client: one exchange at a time, within its time and size.

use std::{collections::BTreeMap, fmt, sync::Arc};

use axum::Router;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use super::{
    Egress, Error, Request, Response,
    transport::{InProcess, Incoming, Network, Transport, root_cause},
};

/// The one outbound client. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<dyn Transport>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Makes a client for the network.
    #[must_use]
    pub fn new(egress: Egress) -> Self {
        Self(Arc::new(Network::new(egress)))
    }

    /// Makes a client that leads requests to routers in this process by host name (without the port). Hosts
    /// that are not listed cannot be reached.
    #[must_use]
    pub fn in_process(hosts: BTreeMap<String, Router>) -> Self {
        Self(Arc::new(InProcess(hosts)))
    }

    /// Sends a request and reads the whole response. Any status is a response; redirects are not followed.
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        let (origin, after) = (request.origin(), request.timeout);
        let exchange = async {
            let response = self.0.send(request).await?;
            let (head, body) = response.into_parts();
            Ok(Response {
                status: head.status.as_u16(),
                headers: head.headers,
                body: collect(body, &origin).await?,
            })
        };
        match tokio::time::timeout(after, exchange).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { origin, after }),
        }
    }
}

async fn collect(mut body: Incoming, origin: &str) -> Result<Bytes, Error> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::Broken {
            origin: origin.to_owned(),
            reason: root_cause(&*error),
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len().saturating_add(data.len()) > Response::MAX_BYTES {
            return Err(Error::TooLarge {
                origin: origin.to_owned(),
                limit: Response::MAX_BYTES,
            });
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}
