//! The HTTP API of one repository on a forge, as all adapters use it: leads requests, signs them, says what a
//! refusal means, and reads lists to their end.

use std::time::Duration;

use ::http::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Credential, ForgeError};
use crate::{
    clock::Clock,
    http::{Client, Error, Request, Response, Secret, Tls, excerpt},
    repo::CommitId,
};

/// Pages of a list that are read at most.
const PAGES: usize = 20;

/// A repository on a forge, and how to get there. Every forge is made of one.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Address of the forge, with the path that it is served under. The operator's own: the client may be one
    /// with open egress.
    pub url: String,
    /// The repository, as the forge writes it in addresses.
    pub repository: String,
    /// What the forge is asked with.
    pub credential: Credential,
    /// The client.
    pub client: Client,
    /// How the forge is verified.
    pub tls: Tls,
    /// The clock.
    pub clock: Clock,
}

/// How a forge wants a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `Authorization: <word> <token>`.
    Word(&'static str),
}

/// The API of one repository.
#[derive(Clone, Debug)]
pub(super) struct Api {
    forge: &'static str,
    /// Segments of the path to the repository, below the address.
    root: Vec<String>,
    scheme: Scheme,
    remote: Remote,
}

impl Api {
    /// Makes the API of a repository below a path of the address.
    pub(super) fn new(
        forge: &'static str,
        scheme: Scheme,
        root: &[&str],
        remote: Remote,
    ) -> Result<Self, ForgeError> {
        Request::get(&remote.url).map_err(|error| ForgeError::Config {
            forge: forge.to_owned(),
            text: error.to_string(),
            hint: "give the address of the forge as --status-url https://HOST".to_owned(),
        })?;
        Ok(Self {
            forge,
            root: root.iter().map(|&segment| segment.to_owned()).collect(),
            scheme,
            remote,
        })
    }

    pub(super) fn forge(&self) -> String {
        self.forge.to_owned()
    }

    /// Asks for a part of the repository.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Response, ForgeError> {
        self.send(Method::GET, path, query, None).await
    }

    /// Sends a request to a part of the repository.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Response, ForgeError> {
        self.exchange(method, path, query, body)
            .await
            .map_err(|error| ForgeError::of_http(self.forge, &error))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Response, Error> {
        let mut request = match body {
            Some(body) => Request::post_json(&self.remote.url, body)?,
            None => Request::get(&self.remote.url)?,
        };
        request.method = method;
        // The path of the address stays in front.
        if let Ok(mut segments) = request.url.path_segments_mut() {
            segments.pop_if_empty().extend(&self.root).extend(path);
        }
        if !query.is_empty() {
            request.url.query_pairs_mut().extend_pairs(query);
        }
        let request = request
            .header("accept", "application/json")?
            .tls(self.remote.tls.clone());
        let (request, secret) = self.sign(request)?;
        let mut response = self.remote.client.send(request).await?;
        if !response.is_success() {
            // What a forge says of a refusal is told; it might say back what it was asked with.
            let body = String::from_utf8_lossy(&response.body).replace(secret.expose(), "***");
            response.body = body.into();
        }
        Ok(response)
    }

    fn sign(&self, request: Request) -> Result<(Request, Secret), Error> {
        match &self.remote.credential {
            Credential::Token(file) => {
                let secret = file.read()?;
                let Scheme::Word(word) = self.scheme;
                Ok((request.authorization(word, &secret)?, secret))
            }
            Credential::Basic { username, password } => {
                let secret = password.read()?;
                Ok((request.basic(username, &secret)?, secret))
            }
        }
    }

    /// Reads what a successful response holds.
    pub(super) fn parse<T: DeserializeOwned>(
        &self,
        response: &Response,
        what: &str,
    ) -> Result<T, ForgeError> {
        if !response.is_success() {
            return Err(self.refusal(response));
        }
        response.json().map_err(|_| ForgeError::Unavailable {
            forge: self.forge(),
            text: format!("what it answered is no {what}"),
            retry_after: None,
        })
    }

    /// Whether a response tells success.
    pub(super) fn done(&self, response: &Response) -> Result<(), ForgeError> {
        if response.is_success() {
            return Ok(());
        }
        Err(self.refusal(response))
    }

    /// Reads a list page by page. `size` is the name and the value of the parameter for what a page holds.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        size: (&str, usize),
    ) -> Result<Vec<T>, ForgeError> {
        let refused = |response: &Response| self.refusal(response);
        self.list_or(path, query, size, refused).await
    }

    /// Reads a list page by page; `refused` says what a refusal means.
    pub(super) async fn list_or<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        (name, size): (&str, usize),
        refused: impl Fn(&Response) -> ForgeError,
    ) -> Result<Vec<T>, ForgeError> {
        let limit = size.to_string();
        let mut all = Vec::new();
        for page in 1..=PAGES {
            let page = page.to_string();
            let query = [query, &[("page", page.as_str()), (name, limit.as_str())]].concat();
            let response = self.get(path, &query).await?;
            if !response.is_success() {
                return Err(refused(&response));
            }
            let rows: Vec<T> = self.parse(&response, "list")?;
            let count = rows.len();
            all.extend(rows);
            if count < size {
                break;
            }
        }
        Ok(all)
    }

    /// Says what a response without success means, by its status alone.
    pub(super) fn refusal(&self, response: &Response) -> ForgeError {
        let (forge, repository) = (self.forge(), self.remote.repository.clone());
        let text = message(response);
        match response.status {
            401 => ForgeError::Unauthorized { forge },
            403 => ForgeError::Forbidden {
                forge,
                repository,
                text,
            },
            404 => ForgeError::NoRepository { forge, repository },
            status @ (408 | 409 | 423 | 425 | 429 | 500..) => ForgeError::Unavailable {
                forge,
                text: format!("it answered {status}: {text}"),
                retry_after: response.retry_after(),
            },
            status => ForgeError::Invalid {
                forge,
                text: format!("it answered {status}: {text}"),
            },
        }
    }

    pub(super) fn unknown(&self, commit: &CommitId) -> ForgeError {
        ForgeError::UnknownCommit {
            forge: self.forge(),
            commit: commit.to_string(),
        }
    }

    /// Whether the forge answers, and says that a part of the repository is not there.
    pub(super) async fn lacks(&self, path: &[&str]) -> bool {
        self.get(path, &[])
            .await
            .is_ok_and(|response| response.status == 404)
    }
}

/// Returns the message of an error, or what there is instead of one.
pub(super) fn message(response: &Response) -> String {
    #[derive(Deserialize)]
    struct Fault {
        message: String,
    }
    match response.json::<Fault>() {
        Ok(fault) => excerpt(&fault.message, 200),
        Err(_) => response.text(),
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
        _ => Err(ForgeError::Config {
            forge: forge.to_owned(),
            text: format!("`{}` is not a repository", excerpt(repository, 100)),
            hint: "give the repository as --status-repo OWNER/NAME".to_owned(),
        }),
    }
}

fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && !matches!(text, "." | "..")
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Least time between two texts that only tell progress, where a forge has no limit that matters.
pub(super) const PROGRESS: Duration = Duration::from_secs(5);
