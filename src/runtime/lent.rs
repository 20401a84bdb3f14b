//! A forge whose settings the cluster keeps: a Secret, or a notification Provider of Flux. It is made anew when
//! they change, so that a token that is rotated, or another address, counts without a restart.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};

use super::lock;
use crate::{
    clock::{self, Clock},
    cluster::{Cluster, ClusterError},
    error::{Class, Classified},
    http::Client,
    manifest::{Object, ObjectKey, Reading, Resource},
    repo::CommitId,
    report::{
        CommitStatus, Draft, Forge, ForgeError, NewPullRequest, Origin, PullRequest, PullRequests, Rate,
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

impl Lender {
    /// The object that is named.
    #[must_use]
    pub fn key(&self) -> &ObjectKey {
        match self {
            Self::Secret(key, _) | Self::Provider(key) => key,
        }
    }

    /// Whether the address that the source is cloned from may be what says where the forge is.
    fn asks_for_source(&self) -> bool {
        matches!(self, Self::Secret(_, given) if !given.is_complete())
    }

    /// Says what its objects make, with what reads them.
    pub fn lent(
        &self,
        source: Option<&str>,
        read: impl Fn(&ObjectKey) -> Result<Object, ForgeError>,
    ) -> Result<Lent, ForgeError> {
        match self {
            Self::Secret(key, given) => provider::of_secret(given, source, &read(key)?),
            Self::Provider(key) => {
                let object = read(key)?;
                let mut secrets = Vec::new();
                for key in provider::secrets_of(&object) {
                    match read(&key) {
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

    /// Reads its objects once, past the watches, and says what they make.
    pub async fn look(&self, source: Option<&str>, cluster: &Cluster) -> Result<Lent, LookError> {
        let mut found = BTreeMap::new();
        let mut wanted = vec![self.key().clone()];
        while let Some(key) = wanted.pop() {
            let object = cluster.get(&key).await?;
            if let (Some(object), Self::Provider(provider)) = (&object, self)
                && key == *provider
            {
                wanted.extend(provider::secrets_of(object));
            }
            found.extend(object.map(|object| (key, object)));
        }
        let read = |key: &ObjectKey| found.get(key).cloned().ok_or_else(|| absent(key));
        Ok(self.lent(source, read)?)
    }
}

/// Why what the cluster keeps makes no forge.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It cannot be read.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It is wrong.
    #[error(transparent)]
    Forge(#[from] ForgeError),
}

impl Classified for LookError {
    fn class(&self) -> Class {
        match self {
            Self::Cluster(error) => error.class(),
            Self::Forge(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Cluster(error) => error.hint(),
            Self::Forge(error) => error.hint(),
        }
    }
}

fn named(key: &ObjectKey) -> String {
    format!("{} {}/{}", key.kind, key.namespace, key.name)
}

fn absent(key: &ObjectKey) -> ForgeError {
    ForgeError::Config {
        forge: named(key),
        text: "it does not exist".to_owned(),
        hint: "make it, or name another".to_owned(),
    }
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
        match self.cluster.read(std::slice::from_ref(key)).read(key) {
            Reading::Present(object) => Ok(object.clone()),
            Reading::Absent => Err(absent(key)),
            Reading::Unknown => {
                let text = format!("{} could not be read yet", named(key));
                Err(self.unavailable(text))
            }
        }
    }

    fn unavailable(&self, text: String) -> ForgeError {
        ForgeError::Unavailable {
            forge: self.name.to_owned(),
            text,
            retry_after: Some(Duration::from_secs(1)),
        }
    }

    /// Runs what blocks.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ForgeError> {
        let done = clock::off_thread(clock::Turn::Notes, work).await;
        done.map_err(|error| self.unavailable(error.to_string()))
    }

    /// The address that the source is cloned from, if that is asked for.
    async fn source(&self) -> Result<Option<String>, ForgeError> {
        let mirrors = |origin: &&Origin| origin.mirror_of.is_some();
        let Some(origin) = self.origin.as_ref().filter(|origin| !mirrors(origin)) else {
            return Ok(None);
        };
        if !self.lender.asks_for_source() {
            return Ok(None);
        }
        let source = Arc::clone(&origin.source);
        let url = self.aside(move || source.url()).await?;
        url.map_err(|error| {
            self.unavailable(format!(
                "it is not known yet where the commits come from: {error}"
            ))
        })
    }

    /// The forge as it is to be now.
    async fn forge(&self) -> Result<Arc<dyn Forge>, ForgeError> {
        let source = self.source().await?;
        let lent = self.lender.lent(source.as_deref(), |key| self.read(key))?;
        if let Some((of, forge)) = &*lock(&self.made)
            && *of == lent
        {
            return Ok(Arc::clone(forge));
        }
        for ignored in &lent.ignored {
            tracing::warn!(forge = self.name, "Ignored: {ignored}.");
        }
        let (making, client, clock) = (lent.clone(), self.client.clone(), self.clock);
        let (branch, origin) = (self.branch.clone(), self.origin.clone());
        let make = move || making.forge(&client, clock, branch, origin.as_ref());
        let forge = self.aside(make).await??;
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
        draft: &'a Draft<'a>,
    ) -> BoxFuture<'a, Result<(), ForgeError>> {
        async move {
            let forge = self.forge().await?;
            let pulls = forge.pull_requests().ok_or_else(|| self.without_pulls())?;
            pulls.upsert_comment(number, marker, draft).await
        }
        .boxed()
    }
}
