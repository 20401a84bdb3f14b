//! Tokens of a GitHub App: a statement that its private key signs is exchanged for a token of one installation,
//! which lives for an hour and is good for one repository.

use std::{fmt, time::Duration};

use ::http::Method;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures::{FutureExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{GitHub, HEADERS};
use crate::{
    clock::Clock,
    http::{Client, Request, Response, Secret},
    report::{
        AppKey, ForgeError, Installation, Remote,
        api::{Issuer, message},
    },
};

/// A token is renewed this long before it ends.
const EARLY: SignedDuration = SignedDuration::from_mins(5);
/// How long a statement is good for; GitHub takes up to ten minutes.
const STATEMENT: SignedDuration = SignedDuration::from_mins(9);

/// The tokens of one installation.
pub(super) struct Tokens {
    key: AppKey,
    url: String,
    owner: String,
    name: String,
    client: Client,
    clock: Clock,
    newest: Mutex<Option<Issued>>,
    /// A token that was refused before its time.
    refused: std::sync::Mutex<Option<Secret>>,
}

#[derive(Clone)]
struct Issued {
    token: Secret,
    until: Timestamp,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tokens of GitHub App {}", self.key.id)
    }
}

#[derive(Deserialize)]
struct AccessToken {
    token: String,
    expires_at: Timestamp,
}

#[derive(Deserialize)]
struct Found {
    id: u64,
}

impl Tokens {
    /// Makes the tokens for a repository; none is asked for yet, but the key is tried.
    pub(super) fn new(key: AppKey, owner: &str, name: &str, remote: &Remote) -> Result<Self, ForgeError> {
        let tokens = Self {
            key,
            url: remote.url.clone(),
            owner: owner.to_owned(),
            name: name.to_owned(),
            client: remote.client.clone(),
            clock: remote.clock,
            newest: Mutex::new(None),
            refused: std::sync::Mutex::new(None),
        };
        tokens.statement()?;
        Ok(tokens)
    }

    /// Says who the App is, signed by its key as it is in its file now.
    fn statement(&self) -> Result<Secret, ForgeError> {
        let pem = self.key.private_key.read_text();
        let pem = pem.map_err(|error| ForgeError::of_http(GitHub::NAME, &error))?;
        let pair = key_pair(&pem).map_err(|text| config(&text))?;
        let now = self.clock.now();
        // A minute back, for a clock that goes wrong.
        let issued = now.as_second().saturating_sub(60);
        let until = now.as_second().saturating_add(STATEMENT.as_secs());
        let encode = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let head = encode(json!({ "alg": "RS256", "typ": "JWT" }));
        let claims = encode(json!({ "iat": issued, "exp": until, "iss": self.key.id }));
        let said = format!("{head}.{claims}");
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            said.as_bytes(),
            &mut signature,
        )
        .map_err(|_| config("the private key cannot sign"))?;
        Ok(Secret::new(&format!(
            "{said}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(signature)
        )))
    }

    async fn ask(&self, method: Method, path: &[&str], body: Option<Value>) -> Result<Response, ForgeError> {
        let statement = self.statement()?;
        let request = match &body {
            Some(body) => Request::post_json(&self.url, body),
            None => Request::get(&self.url),
        };
        let request = request.and_then(|mut request| {
            request.method = method;
            if let Ok(mut segments) = request.url.path_segments_mut() {
                segments.pop_if_empty().extend(path);
            }
            for (name, value) in HEADERS {
                request = request.header(name, value)?;
            }
            request.authorization("Bearer", &statement)
        });
        let of_http = |error: crate::http::Error| ForgeError::of_http(GitHub::NAME, &error);
        self.client.send(request.map_err(of_http)?).await.map_err(of_http)
    }

    async fn find(&self) -> Result<String, ForgeError> {
        let owner = match &self.key.installation {
            Installation::Id(id) => return Ok(id.clone()),
            Installation::Owner(owner) => owner,
            Installation::OfRepository => {
                let path = ["repos", &self.owner, &self.name, "installation"];
                return self.found(&self.ask(Method::GET, &path, None).await?);
            }
        };
        let of_org = self
            .ask(Method::GET, &["orgs", owner, "installation"], None)
            .await?;
        if of_org.status != 404 {
            return self.found(&of_org);
        }
        self.found(
            &self
                .ask(Method::GET, &["users", owner, "installation"], None)
                .await?,
        )
    }

    fn found(&self, response: &Response) -> Result<String, ForgeError> {
        self.read::<Found>(response).map(|found| found.id.to_string())
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, response: &Response) -> Result<T, ForgeError> {
        let text = message(response);
        let unavailable = |text: String, retry_after: Option<Duration>| ForgeError::Unavailable {
            forge: GitHub::NAME.to_owned(),
            text,
            retry_after,
        };
        match response.status {
            200..=299 => response
                .json()
                .map_err(|_| unavailable("what it answered is no token".to_owned(), None)),
            401 => Err(config(&format!(
                "GitHub does not know App {} with this key: {text}",
                self.key.id
            ))),
            404 => Err(config(&format!(
                "App {} is not installed there: {text}",
                self.key.id
            ))),
            // The repository does not belong to the installation, or the App is suspended.
            403 | 422
                if response.retry_after(self.clock.now()).is_none()
                    && !text.to_lowercase().contains("rate limit") =>
            {
                Err(config(&format!(
                    "App {} gets no token for {}/{}: {text}",
                    self.key.id, self.owner, self.name
                )))
            }
            status => Err(unavailable(
                format!("it answered {status} to a GitHub App: {text}"),
                response.retry_after(self.clock.now()),
            )),
        }
    }

    async fn current(&self) -> Result<Secret, ForgeError> {
        let mut newest = self.newest.lock().await;
        let refused = self.refused.lock().ok().and_then(|refused| refused.clone());
        if let Some(issued) = &*newest
            && refused.as_ref() != Some(&issued.token)
            && issued.until.duration_since(self.clock.now()) > EARLY
        {
            return Ok(issued.token.clone());
        }
        let id = self.find().await?;
        let path = ["app", "installations", &id, "access_tokens"];
        let body = json!({ "repositories": [self.name] });
        let made: AccessToken = self.read(&self.ask(Method::POST, &path, Some(body)).await?)?;
        let token = Secret::new(&made.token);
        *newest = Some(Issued {
            token: token.clone(),
            until: made.expires_at,
        });
        Ok(token)
    }
}

impl Issuer for Tokens {
    fn token(&self) -> BoxFuture<'_, Result<Secret, ForgeError>> {
        self.current().boxed()
    }

    fn forget(&self, token: &Secret) {
        if let Ok(mut refused) = self.refused.lock() {
            *refused = Some(token.clone());
        }
    }
}

fn config(text: &str) -> ForgeError {
    ForgeError::Config {
        forge: GitHub::NAME.to_owned(),
        text: text.to_owned(),
        hint: "check --github-app-id, --github-app-installation-id and --github-app-private-key-file; the \
               App must be installed on the repository"
            .to_owned(),
    }
}

/// Reads the key in either of the forms that PEM holds (GitHub's own is PKCS #1). No text holds any of it.
fn key_pair(pem: &Secret) -> Result<RsaKeyPair, String> {
    let der = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes())
        .map_err(|_| "the private key is not in PEM".to_owned())?;
    let pair = match &der {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err("the private key is not an RSA key".to_owned()),
    };
    pair.map_err(|error| format!("the private key is not an RSA key that can be used: {error}"))
}
