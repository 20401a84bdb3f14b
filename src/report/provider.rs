//! What a forge is made of where the cluster keeps it: a Secret, or a notification `Provider` of Flux, which is
//! taken as it is. Pure: from objects to settings. Keys and meanings are those of Flux's documentation.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    AppKey, Credential, Dialect, Forge, ForgeError, ForgeKind, Installation, Origin, Remote,
    address::forge_and_repository, settings::place_of,
};
use crate::{
    clock::Clock,
    http::{Client, Identity, Proxy, Route, Secret, SecretFile, Tls, excerpt},
    manifest::{Object, ObjectKey, Resource},
};

/// What a forge is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lent {
    /// Which forge.
    pub kind: ForgeKind,
    /// Its address.
    pub url: String,
    /// The repository there.
    pub repository: String,
    /// What it is asked with.
    pub credential: Credential,
    /// How it is reached.
    pub route: Route,
    /// What of it is not used.
    pub ignored: Vec<String>,
}

impl Lent {
    /// Makes the forge. Blocks.
    pub fn forge(
        self,
        client: &Client,
        clock: Clock,
        branch: Option<String>,
        origin: Option<&Origin>,
    ) -> Result<Arc<dyn Forge>, ForgeError> {
        let (kind, route) = (self.kind, self.route);
        let remote = Remote {
            url: self.url,
            repository: self.repository,
            branch,
            credential: self.credential,
            client: client.with_route(move || Ok(route.clone())),
            clock,
        };
        let made = kind.make(remote, origin)?;
        made.ok_or_else(|| refusal(kind.name(), "it is no forge", "name a forge with --status"))
    }
}

/// The types of a Provider that set commit statuses.
const TYPES: &[(&str, ForgeKind)] = &[
    ("github", ForgeKind::GitHub),
    ("gitlab", ForgeKind::GitLab),
    ("gitea", ForgeKind::Gitea),
    ("bitbucket", ForgeKind::Bitbucket),
    ("bitbucketserver", ForgeKind::BitbucketServer),
    ("azuredevops", ForgeKind::AzureDevOps),
];

/// The Secrets that a Provider refers to, all in its namespace.
#[must_use]
pub fn secrets_of(provider: &Object) -> Vec<ObjectKey> {
    let names = ["secretRef", "certSecretRef", "proxySecretRef"]
        .map(|field| provider.str_at(&format!("/spec/{field}/name")).to_owned());
    let named = names.iter().filter(|name| !name.is_empty());
    named
        .map(|name| ObjectKey::new(Resource::SECRET, provider.namespace(), name))
        .collect()
}

/// Says what a Provider and its Secrets make.
pub fn of_provider(provider: &Object, secrets: &[Object]) -> Result<Lent, ForgeError> {
    let place = format!("Provider {}/{}", provider.namespace(), provider.name());
    let refuse = |text: String, hint: &str| refusal(&place, &text, hint);
    if provider.at("/spec/suspend").and_then(serde_json::Value::as_bool) == Some(true) {
        return Err(refuse("it is suspended".to_owned(), "take `suspend` out of it"));
    }
    let wanted = provider.str_at("/spec/type");
    let Some((_, kind)) = TYPES.iter().find(|(name, _)| *name == wanted) else {
        return Err(refuse(
            format!("type `{}` sets no commit statuses", excerpt(wanted, 40)),
            "name a Provider of type github, gitlab, gitea, bitbucket, bitbucketserver or azuredevops",
        ));
    };
    let kind = *kind;
    let secret = |field: &str| {
        let name = provider.str_at(&format!("/spec/{field}/name"));
        if name.is_empty() {
            return Ok(None);
        }
        let found = secrets.iter().find(|secret| secret.name() == name);
        let found = found.ok_or_else(|| {
            refuse(
                format!("there is no Secret {}/{name}, its {field}", provider.namespace()),
                "make the Secret",
            )
        });
        found.map(|secret| Some(Data::read(secret)))
    };
    let Some(main) = secret("secretRef")? else {
        let text = match provider.str_at("/spec/serviceAccountName") {
            "" => "it has no secretRef".to_owned(),
            _ => "the identity of a service account cannot be used".to_owned(),
        };
        return Err(refuse(text, "give it a secretRef with a token"));
    };
    let address = main
        .get(&["address"])
        .unwrap_or_else(|| provider.str_at("/spec/address").to_owned());
    let (url, repository) = forge_and_repository(&address, kind.dialect()).map_err(|error| {
        let hint = match kind.dialect() {
            Dialect::DataCenter => "give the https address to clone from as its address",
            _ => "give the address of the repository as its address",
        };
        refuse(format!("its address: {error}"), hint)
    })?;
    let proxy = match secret("proxySecretRef")? {
        Some(data) => data.proxy(),
        None => main.get(&["proxy"]).or_else(|| text(provider, "/spec/proxy")),
    };
    let certificates = secret("certSecretRef")?;
    let username = text(provider, "/spec/username");
    let mut ignored = Vec::new();
    if !provider.str_at("/spec/commitStatusExpr").is_empty() {
        ignored.push("commitStatusExpr: Serin's statuses have contexts of their own".to_owned());
    }
    Ok(Lent {
        kind,
        url,
        repository,
        credential: main
            .credential(kind, username)
            .map_err(|text| refuse(text.to_owned(), "put it into the Secret that secretRef names"))?,
        route: Route {
            proxy: proxy_at(&place, proxy)?,
            tls: certificates.unwrap_or_default().tls(&place)?,
            timeout: timeout(provider.str_at("/spec/timeout")),
        },
        ignored,
    })
}

/// What flags say of a forge whose credentials are in a Secret.
#[derive(Clone, Debug)]
pub struct Given {
    /// Which forge.
    pub kind: ForgeKind,
    /// `--status-url`.
    pub url: Option<String>,
    /// `--status-repo`.
    pub repository: Option<String>,
}

impl Given {
    /// Whether the flags alone say where the forge is.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.url.is_some() && self.repository.is_some()
    }
}

/// Says what flags and a Secret make. The Secret may hold all that those of a Provider may. Where neither says it, the
/// forge is where the source is cloned from.
pub fn of_secret(given: &Given, source: Option<&str>, secret: &Object) -> Result<Lent, ForgeError> {
    let place = format!("Secret {}/{}", secret.namespace(), secret.name());
    let data = Data::read(secret);
    let (url, repository) = match (&given.url, &given.repository, data.get(&["address"])) {
        (Some(url), Some(repository), _) => (url.clone(), repository.clone()),
        (_, _, Some(address)) => {
            let (url, repository) = forge_and_repository(&address, given.kind.dialect())
                .map_err(|error| refusal(&place, &format!("its address: {error}"), ""))?;
            (
                given.url.clone().unwrap_or(url),
                given.repository.clone().unwrap_or(repository),
            )
        }
        (url, repository, None) => {
            let told = place_of(given.kind, url.as_deref(), repository.as_deref(), source);
            told.map_err(|flag| {
                let text =
                    format!("it has no address, {flag} is missing, and the source's address does not tell it");
                let hint = "give --status-url URL --status-repo OWNER/NAME, or put the repository's address into the \
                            Secret";
                refusal(&place, &text, hint)
            })?
        }
    };
    Ok(Lent {
        kind: given.kind,
        url,
        repository,
        credential: data
            .credential(given.kind, None)
            .map_err(|text| refusal(&place, text, "put it into the Secret"))?,
        route: Route {
            proxy: proxy_at(&place, data.get(&["proxy"]))?,
            tls: data.tls(&place)?,
            timeout: None,
        },
        ignored: Vec::new(),
    })
}

fn refusal(place: &str, text: &str, hint: &str) -> ForgeError {
    ForgeError::Config {
        forge: place.to_owned(),
        text: text.to_owned(),
        hint: hint.to_owned(),
    }
}

fn text(object: &Object, pointer: &str) -> Option<String> {
    Some(object.str_at(pointer).to_owned()).filter(|text| !text.is_empty())
}

fn proxy_at(place: &str, address: Option<String>) -> Result<Proxy, ForgeError> {
    let Some(address) = address else {
        return Ok(Proxy::Environment);
    };
    Proxy::at(Secret::new(&address))
        .map_err(|error| refusal(place, &error.to_string(), "correct the address of the proxy"))
}

/// A Go duration, within what makes sense.
fn timeout(text: &str) -> Option<Duration> {
    let found = crate::canary::duration::parse(text).ok()?;
    Some(found.clamp(Duration::from_secs(1), Duration::from_secs(60)))
}

/// The values of a Secret that are texts.
#[derive(Default)]
struct Data(BTreeMap<String, String>);

impl Data {
    fn read(secret: &Object) -> Self {
        let data = secret.at("/data").and_then(serde_json::Value::as_object);
        let texts = data.into_iter().flatten().filter_map(|(key, value)| {
            let bytes = BASE64_STANDARD.decode(value.as_str()?).ok()?;
            Some((key.clone(), String::from_utf8(bytes).ok()?.trim().to_owned()))
        });
        Self(texts.filter(|(_, text)| !text.is_empty()).collect())
    }

    /// The first of these keys that has a value.
    fn get(&self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| self.0.get(*key).cloned())
    }

    fn secret(&self, key: &str) -> Option<SecretFile> {
        let text = self.0.get(key)?;
        Some(SecretFile::Fixed(Secret::new(text)))
    }

    fn credential(&self, kind: ForgeKind, username: Option<String>) -> Result<Credential, &'static str> {
        if let Some(private_key) = self
            .secret("githubAppPrivateKey")
            .filter(|_| kind == ForgeKind::GitHub)
        {
            return self.app(private_key).map(Credential::App);
        }
        if let (Some(token), true) = (self.get(&["token"]), kind == ForgeKind::Bitbucket) {
            // Flux wants `<user>:<password>`; a token of a repository or workspace has no user.
            if let Some((username, password)) = token.split_once(':') {
                return Ok(Credential::Basic {
                    username: username.to_owned(),
                    password: SecretFile::Fixed(Secret::new(password)),
                });
            }
        }
        if let Some(token) = self.secret("token") {
            return Ok(Credential::Token(token));
        }
        match (self.secret("password"), self.get(&["username"]).or(username)) {
            (Some(password), Some(username)) => Ok(Credential::Basic { username, password }),
            (Some(_), None) => Err("a password has no username"),
            (None, _) => Err("there is no token"),
        }
    }

    fn app(&self, private_key: SecretFile) -> Result<AppKey, &'static str> {
        let id = self
            .get(&["githubAppID"])
            .ok_or("the GitHub App has no githubAppID")?;
        let installation = match (
            self.get(&["githubAppInstallationID"]),
            self.get(&["githubAppInstallationOwner"]),
        ) {
            (Some(id), _) => Installation::Id(id),
            (None, Some(owner)) => Installation::Owner(owner),
            (None, None) => Installation::OfRepository,
        };
        Ok(AppKey {
            id,
            installation,
            private_key,
        })
    }

    fn tls(&self, place: &str) -> Result<Tls, ForgeError> {
        let certificate = self.get(&["tls.crt", "certFile"]);
        let key = self.get(&["tls.key", "keyFile"]);
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(Identity {
                certificate,
                key: Secret::new(&key),
            }),
            (None, None) => None,
            _ => {
                return Err(refusal(
                    place,
                    "of a client certificate and its key, one is missing",
                    "put both tls.crt and tls.key into the Secret",
                ));
            }
        };
        let tls = Tls {
            skip_verify: false,
            ca: self.get(&["ca.crt", "caFile"]),
            identity,
        };
        tls.check()
            .map_err(|error| refusal(place, &error.to_string(), "give it as PEM"))?;
        Ok(tls)
    }

    /// The Secret of a proxy: its address, and what it is asked with.
    fn proxy(&self) -> Option<String> {
        let address = self.get(&["address"])?;
        let (Some(username), Some(password)) = (self.get(&["username"]), self.get(&["password"])) else {
            return Some(address);
        };
        let Ok(mut url) = url::Url::parse(&address) else {
            return Some(address);
        };
        url.set_username(&username).ok();
        url.set_password(Some(&password)).ok();
        Some(url.into())
    }
}

#[cfg(test)]
mod tests;
