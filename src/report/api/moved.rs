//! A repository that was renamed or transferred: the forge leads requests to where it is now.

use std::sync::atomic::Ordering;

use ::http::{Method, header};
use bytes::Bytes;
use url::Url;

use super::{Api, lead};
use crate::http::{Error, Request, Response, excerpt};

/// How often one request is led on.
const MOST: usize = 2;

impl Api {
    /// Sends a request, and the same to where the forge says that the repository is now. Nothing is sent to
    /// anywhere else: the request holds the credential.
    pub(super) async fn deliver(&self, mut request: Request) -> Result<Response, Error> {
        let mut response = self.remote.client.send(request.clone()).await?;
        for _ in 0..MOST {
            let led = match response.status {
                405 if request.method != Method::GET => self.asked(&request).await?,
                _ => self.led_to(&request, &response),
            };
            let Some(url) = led else {
                break;
            };
            if !self.moved.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    forge = self.forge,
                    repository = self.remote.repository,
                    to = excerpt(url.path(), 200),
                    "The repository has moved; give its new name with --status-repo."
                );
            }
            request.url = url;
            response = self.remote.client.send(request.clone()).await?;
        }
        Ok(response)
    }

    /// Where a request belongs that would change something. GitLab leads on only those that read.
    async fn asked(&self, request: &Request) -> Result<Option<Url>, Error> {
        let mut asking = request.clone();
        (asking.method, asking.body) = (Method::GET, Bytes::new());
        asking.headers.remove(header::CONTENT_TYPE);
        asking.url = Request::get(&self.remote.url)?.url;
        lead(&mut asking, &self.root);
        let root = asking.url.path().to_owned();
        let response = self.remote.client.send(asking.clone()).await?;
        let led = self.led_to(&asking, &response);
        Ok(led
            .zip(request.url.path().strip_prefix(&root))
            .map(|(mut to, rest)| {
                to.set_path(&format!("{}{rest}", to.path()));
                to.set_query(request.url.query());
                to
            }))
    }

    /// Where a response leads to below the address of the forge. Only what keeps method and body: with the others
    /// forges lead to where people sign in.
    fn led_to(&self, request: &Request, response: &Response) -> Option<Url> {
        if !matches!(response.status, 301 | 307 | 308) {
            return None;
        }
        let to = response.headers.get(header::LOCATION)?.to_str().ok()?;
        let to = request.url.join(to).ok()?;
        let forge = Request::get(&self.remote.url).ok()?.url;
        let base = forge.path().trim_end_matches('/');
        let below = to.path().strip_prefix(base)?.starts_with('/');
        let plain = to.username().is_empty() && to.password().is_none();
        (below && plain && to.origin() == forge.origin() && to != request.url).then_some(to)
    }
}
