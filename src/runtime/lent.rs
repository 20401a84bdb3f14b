//! A forge whose settings the cluster keeps: a Secret, or a notification Provider of Flux. It is made anew when
//! they change, so that a token that is rotated, or another address, counts without a restart.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};

use super::lock;
use crate::{
    clock::{self, Clock},
    cluster::Cluster,
    http::Client,
    manifest::{Object, ObjectKey, Reading, Resource},
    repo::CommitId,
    report::{
        CommitStatus, Forge, ForgeError, NewPullRequest, Origin, PullRequest, PullRequests, Rate, Remote,
        provider::{self, Given, Lent},
    },
};

/// Who keeps the settings.
#[derive(Clone, Debug)]
pub enum Lender {
    /// A Secret, and flags for what it does not hold.
    Secret(ObjectKey, Given),
    /// A Provider, and the Secrets that it names.
    Provider(ObjectKey),
}

/// A forge made of what the cluster keeps.
pub struct LentForge {
    name: &'static str,
    lender: Lender,
    cluster: Cluster,
    client: Client,
    clock: Clock,
    branch: Option<String>,
    origin: Option<Origin>,
    made: Mutex<Option<(Lent, Arc<dyn Forge>)>>,
}

impl LentForge {
    /// Makes it; nothing is read before it is used.
    #[must_use]
    pub fn new(
        lender: Lender,
        cluster: Cluster,
        client: Client,
        clock: Clock,
        branch: Option<String>,
        origin: Option<Origin>,
    ) -> Self {
        Self {
            name: match &lender {
                Lender::Secret(_, given) => given.kind.name(),
                Lender::Provider(_) => "provider",
            },
            lender,
            cluster,
            client,
            clock,
            branch,
            origin,
            made: Mutex::default(),
        }
    }

    /// Whether an object that has changed is one that it is made of.
    pub(super) fn is_made_of(&self, key: &ObjectKey) -> bool {
        match &self.lender {
            Lender::Secret(secret, _) => secret == key,
            Lender::Provider(provider) if provider == key => true,
            // A list of one Secret has no name.
            Lender::Provider(provider) => {
                key.kind == Resource::SECRET.kind
                    && key.namespace == provider.namespace
                    && matches!(self.read(provider), Ok(object)
                        if key.name.is_empty() || provider::secrets_of(&object).contains(key))
            }
        }
    }

    fn read(&self, key: &ObjectKey) -> Result<Object, ForgeError> {
        let what = format!("{} {}/{}", key.kind, key.namespace, key.name);
        match self.cluster.read(std::slice::from_ref(key)).read(key) {
            Reading::Present(object) => Ok(object.clone()),
            Reading::Absent => Err(ForgeError::Config {
                forge: what,
                text: "it does not exist".to_owned(),
                hint: "make it, or name another".to_owned(),
            }),
            Reading::Unknown => Err(ForgeError::Unavailable {
                forge: self.name.to_owned(),
                text: format!("{what} could not be read yet"),
                retry_after: Some(Duration::from_secs(1)),
            }),
        }
    }

    fn lent(&self) -> Result<Lent, ForgeError> {
        match &self.lender {
            Lender::Secret(key, given) => provider::of_secret(given, &self.read(key)?),
            Lender::Provider(key) => {
                let object = self.read(key)?;
                let mut secrets = Vec::new();
                for key in provider::secrets_of(&object) {
                    match self.read(&key) {
                        Ok(secret) => secrets.push(secret),
                        // The Provider says what it would be for.
                        Err(ForgeError::Config { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                provider::of_provider(&object, &secrets)
            }
        }
    }

    /// The forge as it is to be now.
    async fn forge(&self) -> Result<Arc<dyn Forge>, ForgeError> {
        let lent = self.lent()?;
        if let Some((of, forge)) = &*lock(&self.made)
            && *of == lent
        {
            return Ok(Arc::clone(forge));
        }
        for ignored in &lent.ignored {
            tracing::warn!(forge = self.name, "Ignored: {ignored}.");
        }
        let route = lent.route.clone();
        let remote = Remote {
            url: lent.url.clone(),
            repository: lent.repository.clone(),
            branch: self.branch.clone(),
            credential: lent.credential.clone(),
            client: self.client.with_route(move || Ok(route.clone())),
            clock: self.clock,
        };
        let (kind, origin) = (lent.kind, self.origin.clone());
        let made = clock::off_thread(clock::Turn::Notes, move || kind.make(remote, origin.as_ref()));
        let made = made.await.map_err(|error| ForgeError::Unavailable {
            forge: self.name.to_owned(),
            text: error.to_string(),
            retry_after: Some(Duration::from_secs(1)),
        })?;
        let forge = made?.ok_or_else(|| ForgeError::Config {
            forge: self.name.to_owned(),
            text: "it is no forge".to_owned(),
            hint: "name a forge with --status".to_owned(),
        })?;
        tracing::info!(
            forge = self.name,
            url = lent.url,
            repository = lent.repository,
            "The forge is taken from the cluster."
        );
        *lock(&self.made) = Some((lent, Arc::clone(&forge)));
        Ok(forge)
    }

    fn last(&self) -> Option<Arc<dyn Forge>> {
        lock(&self.made).as_ref().map(|(_, forge)| Arc::clone(forge))
    }

    fn without_pulls(&self) -> ForgeError {
        ForgeError::Config {
            forge: self.name.to_owned(),
            text: "it has no pull requests".to_owned(),
            hint: "leave --pull-request-comment out".to_owned(),
        }
    }
}

impl fmt::Debug for LentForge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?}", self.name, self.lender)
    }
}

impl Forge for LentForge {
    fn name(&self) -> &str {
        self.name
    }

    fn post<'a>(
        &'a self,
        commit: &'a CommitId,
        status: &'a CommitStatus,
    ) -> BoxFuture<'a, Result<(), ForgeError>> {
        async move { self.forge().await?.post(commit, status).await }.boxed()
    }

    fn read<'a>(&'a self, commit: &'a CommitId) -> BoxFuture<'a, Result<Vec<CommitStatus>, ForgeError>> {
        async move { self.forge().await?.read(commit).await }.boxed()
    }

    fn progress_interval(&self) -> Duration {
        let last = self.last();
        last.map_or(Duration::from_secs(60), |forge| forge.progress_interval())
    }

    fn rate(&self) -> Option<Rate> {
        self.last().and_then(|forge| forge.rate())
    }

    fn pull_requests(&self) -> Option<&dyn PullRequests> {
        Some(self)
    }
}

impl PullRequests for LentForge {
    fn open<'a>(&'a self, request: &'a NewPullRequest) -> BoxFuture<'a, Result<PullRequest, ForgeError>> {
        async move {
            let forge = self.forge().await?;
            let pulls = forge.pull_requests().ok_or_else(|| self.without_pulls())?;
            pulls.open(request).await
        }
        .boxed()
    }

    fn of_commit<'a>(&'a self, commit: &'a CommitId) -> BoxFuture<'a, Result<Vec<u64>, ForgeError>> {
        async move {
            let forge = self.forge().await?;
            let pulls = forge.pull_requests().ok_or_else(|| self.without_pulls())?;
            pulls.of_commit(commit).await
        }
        .boxed()
    }

    fn upsert_comment<'a>(
        &'a self,
        number: u64,
        marker: &'a str,
        body: &'a str,
    ) -> BoxFuture<'a, Result<(), ForgeError>> {
        async move {
            let forge = self.forge().await?;
            let pulls = forge.pull_requests().ok_or_else(|| self.without_pulls())?;
            pulls.upsert_comment(number, marker, body).await
        }
        .boxed()
    }
}
