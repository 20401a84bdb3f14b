//! The HTTP API of one repository on a forge, as all adapters use it: leads requests, signs them, and says what
//! a refusal means.

mod list;
mod moved;
mod pulls;
mod refusal;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use ::http::Method;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(super) use self::{
    list::{By, Pages},
    pulls::{CommentsAt, Pull},
    refusal::message,
};
use super::{Credential, ForgeError};
use crate::{
    clock::Clock,
    http::{Client, Error, Request, Response, Secret, excerpt},
    repo::CommitId,
};

/// Least time between two texts that only tell progress, where a forge has no limit that matters.
pub(super) const PROGRESS: Duration = Duration::from_secs(5);

/// A repository on a forge, and how to get there. Every forge is made of one.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Address of the forge, with the path that it is served under. The operator's own: the client may be one
    /// with open egress.
    pub url: String,
    /// The repository, as the forge writes it in addresses.
    pub repository: String,
    /// The branch that is watched; some forges show a status only with the branch that it is for.
    pub branch: Option<String>,
    /// What the forge is asked with.
    pub credential: Credential,
    /// The client, with its way there: proxy, authorities, certificate.
    pub client: Client,
    /// The clock.
    pub clock: Clock,
}

/// How a forge wants a token.
#[derive(Clone)]
pub(super) enum Scheme {
    /// `Authorization: <word> <token>`.
    Word(&'static str),
    /// As the password of a user without a name.
    Password,
    /// `Authorization: Bearer <token>`; a token with one colon is a user and a password, as Flux has it.
    TokenOrPair,
    /// Whatever this gives is a bearer token.
    Issued(Arc<dyn Issuer>),
}

/// Makes tokens that live for a short time.
pub(super) trait Issuer: Send + Sync {
    /// Returns a token that is good for some minutes.
    fn token(&self) -> BoxFuture<'_, Result<Secret, ForgeError>>;

    /// Forgets a token that was refused.
    fn forget(&self, token: &Secret);
}

/// The API of one repository.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) forge: &'static str,
    /// Segments of the path to the repository, below the address.
    pub(super) root: Vec<String>,
    pub(super) scheme: Scheme,
    /// Headers and query of every request.
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) query: &'static [(&'static str, &'static str)],
    /// Says what a refused request was about, where the forge has a text for it.
    pub(super) about_commit: fn(status: u16, text: &str) -> bool,
    /// Leads to a commit, below the repository.
    pub(super) commits: &'static [&'static str],
    /// Who is not let in is led to a page where people sign in, instead of being refused.
    pub(super) leads_to_sign_in: bool,
    /// It was told that the repository has moved.
    pub(super) moved: Arc<AtomicBool>,
    pub(super) remote: Remote,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {} at {}",
            self.forge, self.remote.repository, self.remote.url
        )
    }
}

impl Api {
    /// Makes the API of a repository below a path of the address.
    pub(super) fn new(
        forge: &'static str,
        scheme: Scheme,
        root: &[&str],
        remote: Remote,
    ) -> Result<Self, ForgeError> {
        let config = |text: String, hint: &str| ForgeError::Config {
            forge: forge.to_owned(),
            text,
            hint: hint.to_owned(),
        };
        Request::get(&remote.url).map_err(|error| {
            config(
                error.to_string(),
                "give the address of the forge as --status-url https://HOST",
            )
        })?;
        if matches!(remote.credential, Credential::App(_)) && !matches!(scheme, Scheme::Issued(_)) {
            return Err(config(
                "only GitHub has GitHub Apps".to_owned(),
                "give a token as --status-token-file FILE",
            ));
        }
        Ok(Self {
            forge,
            root: root.iter().map(|&segment| segment.to_owned()).collect(),
            scheme,
            headers: &[("accept", "application/json")],
            query: &[],
            about_commit: |_, _| false,
            commits: &["commits"],
            leads_to_sign_in: false,
            moved: Arc::default(),
            remote,
        })
    }

    /// Returns the same API with another path below the address.
    pub(super) fn below(&self, root: &[&str]) -> Self {
        Self {
            root: root.iter().map(|&segment| segment.to_owned()).collect(),
            ..self.clone()
        }
    }

    pub(super) fn forge(&self) -> String {
        self.forge.to_owned()
    }

    /// Asks for a part of the repository.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Response, ForgeError> {
        self.send(Method::GET, path, query, None).await
    }

    /// Posts to a part of the repository.
    pub(super) async fn post(&self, path: &[&str], body: &Value) -> Result<Response, ForgeError> {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// Sends a request to a part of the repository.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Response, ForgeError> {
        let (response, secret) = self.exchange(method.clone(), path, query, body).await?;
        match &self.scheme {
            // A token that was issued may have been taken back before its time.
            Scheme::Issued(issuer) if response.status == 401 => {
                issuer.forget(&secret);
                Ok(self.exchange(method, path, query, body).await?.0)
            }
            _ => Ok(response),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(Response, Secret), ForgeError> {
        let of_http = |error: Error| ForgeError::of_http(self.forge, &error);
        let request = self.request(method, path, query, body).map_err(of_http)?;
        let (request, secret) = self.sign(request).await?;
        let mut response = self.deliver(request).await.map_err(of_http)?;
        if self.leads_to_sign_in && matches!(response.status, 203 | 302) {
            response.status = 401;
        }
        if response.is_success() && !response.may_be_json() {
            return Err(ForgeError::Unavailable {
                forge: self.forge(),
                text: format!("it answered {} with a page: {}", response.status, response.text()),
                retry_after: None,
            });
        }
        Ok((response, secret))
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Request, Error> {
        let mut request = match body {
            Some(body) => Request::post_json(&self.remote.url, body)?,
            None => Request::get(&self.remote.url)?,
        };
        request.method = method;
        lead(&mut request, &self.root);
        lead(&mut request, path);
        if !(query.is_empty() && self.query.is_empty()) {
            request
                .url
                .query_pairs_mut()
                .extend_pairs(query)
                .extend_pairs(self.query);
        }
        for (name, value) in self.headers {
            request = request.header(name, value)?;
        }
        Ok(request)
    }

    async fn sign(&self, request: Request) -> Result<(Request, Secret), ForgeError> {
        let of_http = |error: Error| ForgeError::of_http(self.forge, &error);
        let secret = match (&self.scheme, &self.remote.credential) {
            (Scheme::Issued(issuer), Credential::App(_)) => issuer.token().await?,
            (_, Credential::Token(file) | Credential::Basic { password: file, .. }) => {
                file.read().map_err(of_http)?
            }
            // `new` refuses it.
            (_, Credential::App(_)) => Secret::new(""),
        };
        let signed = match (&self.scheme, &self.remote.credential) {
            (_, Credential::Basic { username, .. }) => request.basic(username, &secret),
            (Scheme::Word(word), _) => request.authorization(word, &secret),
            (Scheme::Issued(_), _) => request.authorization("Bearer", &secret),
            (Scheme::Password, _) => request.basic("", &secret),
            (Scheme::TokenOrPair, _) => match pair(secret.expose()) {
                Some((user, password)) => request.basic(user, &Secret::new(password)),
                None => request.authorization("Bearer", &secret),
            },
        };
        Ok((signed.map_err(of_http)?, secret))
    }

    /// Reads what a successful response holds.
    pub(super) fn parse<T: DeserializeOwned>(
        &self,
        response: &Response,
        what: &str,
    ) -> Result<T, ForgeError> {
        self.done(response)?;
        response.json().map_err(|_| self.odd(what))
    }

    /// Whether a response tells success.
    pub(super) fn done(&self, response: &Response) -> Result<(), ForgeError> {
        if response.is_success() {
            return Ok(());
        }
        Err(self.refusal(response))
    }

    fn odd(&self, what: &str) -> ForgeError {
        ForgeError::Unavailable {
            forge: self.forge(),
            text: format!("what it answered is no {what}"),
            retry_after: None,
        }
    }

    pub(super) fn unknown(&self, commit: &CommitId) -> ForgeError {
        ForgeError::UnknownCommit {
            forge: self.forge(),
            commit: commit.to_string(),
        }
    }
}

/// Splits `user:password`.
fn pair(token: &str) -> Option<(&str, &str)> {
    token
        .split_once(':')
        .filter(|(user, password)| !user.is_empty() && !password.contains(':'))
}

/// Leads a request to a path below the one that it has.
fn lead(request: &mut Request, path: &[impl AsRef<str>]) {
    if let Ok(mut segments) = request.url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
}

/// Returns the address of a page of a site.
pub(super) fn page(site: &str, path: &[&str]) -> String {
    match Request::get(site) {
        Ok(mut request) => {
            lead(&mut request, path);
            request.url.to_string()
        }
        Err(_) => site.to_owned(),
    }
}

/// Splits `OWNER/NAME`; a `.git` at the end is not part of it.
pub(super) fn owner_and_name(forge: &str, repository: &str) -> Result<(String, String), ForgeError> {
    let name = repository.trim_matches('/');
    let name = name.strip_suffix(".git").unwrap_or(name);
    match name.split_once('/') {
        Some((owner, name)) if is_segment(owner) && is_segment(name) => {
            Ok((owner.to_owned(), name.to_owned()))
        }
        _ => Err(no_repository(forge, repository, "OWNER/NAME")),
    }
}

/// Says that a text does not name a repository.
pub(super) fn no_repository(forge: &str, repository: &str, form: &str) -> ForgeError {
    ForgeError::Config {
        forge: forge.to_owned(),
        text: format!("`{}` is not a repository", excerpt(repository, 100)),
        hint: format!("give the repository as --status-repo {form}"),
    }
}

/// Whether a text is one segment of the address of a repository.
pub(super) fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && !matches!(text, "." | "..")
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~'))
}
