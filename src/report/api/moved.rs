//! A repository that was renamed or transferred: the forge leads requests to where it is now.

use std::sync::atomic::Ordering;

use ::http::header;
use url::Url;

use super::Api;
use crate::http::{Error, Request, Response, excerpt};

/// How often one request is led on.
const MOST: usize = 2;

impl Api {
    /// Sends a request, and the same to where the forge says that the repository is now. Nothing is sent to
    /// anywhere else: the request holds the credential.
    pub(super) async fn deliver(&self, mut request: Request) -> Result<Response, Error> {
        let mut response = self.remote.client.send(request.clone()).await?;
        for _ in 0..MOST {
            let Some(url) = self.led_to(&request, &response) else {
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
