//! Follows Flux's own objects: brings the artifacts of a source, reads what its Kustomizations have attempted,
//! and nudges Flux when a commit is seen before it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use tokio::{sync::watch, time::Instant};

use super::{Shared, lock};
use crate::{
    clock,
    cluster::ClusterError,
    error::{Class, Classified as _},
    manifest::{Manager, Object, ObjectKey, Resource, Write},
    plan::flux::{Applier, FluxArtifact, FluxSource, Signature},
    repo::{Artifact, ArtifactError, Artifacts, CommitId, Download, Repository as _, Revision, Trigger},
};

/// An artifact that cannot be had is looked at again this often, for what no event tells.
const AGAIN: Duration = Duration::from_secs(60);
/// How many revisions of the source are remembered by the name that Flux gives them.
const REMEMBERED: usize = 16;
/// What asks Flux to look now.
const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// How a source of Flux is followed.
#[derive(Clone, Debug)]
pub struct FluxOptions {
    /// The GitRepository or OCIRepository.
    pub source: ObjectKey,
    /// Where its artifacts go. None: a checkout tells what is in git, Flux only what was applied.
    pub artifacts: Option<Arc<Artifacts>>,
    /// Fired when there is a new artifact.
    pub trigger: Trigger,
    /// Ask Flux to look when a commit is seen before it.
    pub nudge: bool,
}

/// A source of Flux that is followed.
#[derive(Clone, Debug)]
pub(super) struct Flux {
    options: FluxOptions,
    /// Revisions of the source as Flux names them, and the commits that they stand for.
    seen: Arc<Mutex<VecDeque<(String, CommitId)>>>,
}

/// Why an artifact is not there.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error("the artifact `{0}` does not say which commit it was made from")]
    NoOrigin(String),
    #[error("a bug: {0}")]
    Bug(String),
}

impl Fault {
    fn class(&self) -> Class {
        match self {
            Self::Artifact(error) => error.class(),
            Self::NoOrigin(_) => Class::UserMustFix,
            Self::Bug(_) => Class::Bug,
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Artifact(error) => error.hint().unwrap_or_default(),
            Self::NoOrigin(_) => {
                "push it with `flux push artifact … --revision=BRANCH@sha1:COMMIT`".to_owned()
            }
            Self::Bug(_) => String::new(),
        }
    }
}

impl Flux {
    pub(super) fn new(options: FluxOptions) -> Self {
        Self {
            options,
            seen: Arc::default(),
        }
    }

    /// Reads the source from the watches; none while it is not known.
    pub(super) fn source(&self, shared: &Shared) -> Option<FluxSource> {
        let key = &self.options.source;
        let snapshot = shared.cluster.read(std::slice::from_ref(key));
        let source = snapshot.get(key).map(FluxSource::read)?;
        if let Some(artifacts) = &self.options.artifacts {
            artifacts.made_from(source.repository.clone());
        }
        if let (Some(artifacts), Some(artifact)) = (&self.options.artifacts, &source.artifact) {
            match source.signature.clone() {
                Signature::Verified => artifacts.judge(&artifact.download, None),
                Signature::Bad(why) => artifacts.judge(&artifact.download, Some(why)),
                Signature::Unknown(why) => artifacts.wonder(&artifact.download, why),
            }
        }
        if let Some(artifact) = &source.artifact
            && let Some(revision) = &artifact.revision
        {
            self.remember(&artifact.named, &revision.id);
        }
        Some(source)
    }

    /// Reads the Kustomizations that use the source: those of its namespace and of the watched one, or all. Nothing
    /// while it is not known whether there are any.
    pub(super) fn appliers(&self, shared: &Shared) -> Option<Vec<Applier>> {
        let source = &self.options.source;
        let resource = Resource::KUSTOMIZATION;
        let listed = shared.cluster.list_with(resource, &source.namespace);
        let users = listed.iter().filter_map(|object| Applier::of(object, source));
        let users: Vec<Applier> = users.collect();
        let known = !users.is_empty() || shared.cluster.listed_with(resource, &source.namespace);
        known.then_some(users)
    }

    fn remember(&self, named: &str, commit: &CommitId) {
        let mut seen = lock(&self.seen);
        if seen.iter().any(|(known, _)| known == named) {
            return;
        }
        seen.push_back((named.to_owned(), commit.clone()));
        if seen.len() > REMEMBERED {
            seen.pop_front();
        }
    }

    /// Returns the commit that a revision stands for, by the name that Flux gives it.
    pub(super) fn commit_of(&self, named: &str) -> Option<CommitId> {
        let known = lock(&self.seen)
            .iter()
            .find(|(known, _)| known == named)
            .map(|(_, commit)| commit.clone());
        known.or_else(|| named.parse::<Revision>().ok().map(|revision| revision.id))
    }

    /// Returns the commit that Flux makes no artifact of because of its signature, where artifacts are what is read.
    pub(super) fn turned_down(&self, shared: &Shared) -> Option<(CommitId, String)> {
        self.options.artifacts.as_ref()?;
        self.source(shared)?.turned_down
    }

    /// Returns the newest revision if it is not the one that was handled, and why Flux has not verified it; nothing if it
    /// has.
    pub(super) fn judged(&self, handled: Option<&Revision>) -> Option<(Revision, Option<String>)> {
        let artifacts = self.options.artifacts.as_ref()?;
        let newest = artifacts.newest().ok()?;
        let is_news = handled.is_none_or(|handled| handled.id != newest.id);
        let why = artifacts.verification(&newest.id).filter(|_| is_news)?;
        Some((newest, why))
    }

    /// Returns once there is a first artifact, if artifacts are what is read.
    pub(super) async fn arrived(&self, shared: &Shared) {
        let Some(artifacts) = &self.options.artifacts else {
            return;
        };
        let mut news = shared.flux_news();
        while artifacts.newest().is_err() {
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    /// Keeps the artifacts up to what the source says. Never ends.
    pub(super) async fn bring(&self, shared: &Arc<Shared>) {
        let Some(artifacts) = &self.options.artifacts else {
            return std::future::pending().await;
        };
        let mut news = shared.flux_news();
        let mut have: Option<Download> = None;
        let (mut told, mut trouble) = (String::new(), String::new());
        let mut failures = 0_u32;
        loop {
            news.borrow_and_update();
            let source = self.source(shared);
            tell_trouble(source.as_ref(), &mut trouble);
            let wanted = source.and_then(|source| source.artifact);
            let wanted = wanted.filter(|artifact| have.as_ref() != Some(&artifact.download));
            let mut pause = None;
            if let Some(artifact) = wanted {
                match fetch(shared, &artifact).await {
                    Ok(fetched) => {
                        artifacts.put(fetched);
                        have = Some(artifact.download);
                        (failures, told) = (0, String::new());
                        self.options.trigger.fire();
                        shared.tell_flux_news();
                    }
                    Err(fault) => {
                        failures = failures.saturating_add(1);
                        tell(&artifact.named, &fault, &mut told);
                        pause = Some(again(&fault, failures));
                    }
                }
            }
            wait(&mut news, pause).await;
        }
    }

    /// Brings back an older artifact that an earlier process handled, if Flux still has it: what has changed
    /// since can be told then.
    pub(super) async fn bring_back(&self, shared: &Arc<Shared>, revision: &Revision, download: &Download) {
        let Some(artifacts) = &self.options.artifacts else {
            return;
        };
        if artifacts.tree(&revision.id).is_ok() {
            return;
        }
        let artifact = FluxArtifact {
            named: revision.to_string(),
            revision: Some(revision.clone()),
            download: download.clone(),
        };
        match fetch(shared, &artifact).await {
            Ok(fetched) => artifacts.put_before(fetched),
            Err(fault) => {
                tracing::warn!(%revision, error = %fault, "What changed since cannot be told: the artifact is gone.");
            }
        }
    }

    /// Returns where the artifact of a commit was.
    pub(super) fn download_of(&self, commit: &CommitId) -> Option<Download> {
        self.options.artifacts.as_ref()?.download_of(commit)
    }

    /// Asks Flux to fetch the source now, if it does not have this commit yet.
    pub(super) async fn nudge(&self, shared: &Arc<Shared>, commit: &CommitId) {
        if !self.options.nudge {
            return;
        }
        let key = &self.options.source;
        match self.ask(shared, commit).await {
            Ok(true) => tracing::info!(source = %key, %commit, "Asked Flux to fetch the source."),
            Ok(false) => {}
            Err(error) => {
                let hint = error.hint().unwrap_or_default();
                tracing::warn!(source = %key, %error, hint, "Cannot ask Flux to fetch the source.");
            }
        }
    }

    async fn ask(&self, shared: &Arc<Shared>, commit: &CommitId) -> Result<bool, ClusterError> {
        let key = &self.options.source;
        let Some(object) = shared.cluster.get(key).await? else {
            return Ok(false);
        };
        let source = FluxSource::read(&object);
        let has = |artifact: &FluxArtifact| artifact.revision.as_ref().is_some_and(|has| has.id == *commit);
        if source.suspended || source.artifact.as_ref().is_some_and(has) {
            return Ok(false);
        }
        let Some(resource) = key.resource() else {
            return Ok(false);
        };
        // With the uid, so that a source that was deleted meanwhile is not made anew.
        let asking = json!({"apiVersion": resource.api_version(), "kind": key.kind,
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": object.uid(),
                "annotations": {REQUESTED_AT: shared.now().to_string()}}});
        let write = Write::Apply {
            manager: Manager::Serin,
            object: Object::from(asking),
            force: true,
        };
        shared.cluster.write(write).await.map(|_| true)
    }
}

async fn fetch(shared: &Arc<Shared>, artifact: &FluxArtifact) -> Result<Artifact, Fault> {
    let no_origin = || Fault::NoOrigin(artifact.named.clone());
    let revision = artifact.revision.clone().ok_or_else(no_origin)?;
    let download = artifact.download.clone();
    let archive = download.fetch(&shared.http).await?;
    let reader = download.clone();
    let unpacked = clock::off_thread(clock::Turn::Watch, move || reader.read(&archive)).await;
    let unpacked = unpacked.map_err(|error| Fault::Bug(error.to_string()))??;
    tracing::info!(%revision, files = unpacked.files.len(), "Took an artifact of Flux.");
    Ok(Artifact {
        revision,
        download,
        unpacked,
    })
}

/// Tells once why Flux cannot fetch its source.
fn tell_trouble(source: Option<&FluxSource>, told: &mut String) {
    let now = source
        .and_then(|source| source.trouble.clone())
        .unwrap_or_default();
    if *told == now {
        return;
    }
    if let Some(source) = source.filter(|_| !now.is_empty()) {
        tracing::warn!(source = %source.key, error = now, "Flux cannot make an artifact of its source.");
    }
    *told = now;
}

/// Tells a fault once, until there is another one.
fn tell(named: &str, fault: &Fault, told: &mut String) {
    let text = fault.to_string();
    if *told != text {
        tracing::warn!(
            revision = named,
            error = text,
            hint = fault.hint(),
            "Cannot take the artifact of Flux."
        );
        *told = text;
    }
}

fn again(fault: &Fault, failures: u32) -> Duration {
    match fault.class() {
        Class::Retry(pause) => AGAIN.min(pause * failures),
        Class::WaitForChange | Class::UserMustFix | Class::Bug => AGAIN,
    }
}

async fn wait(news: &mut watch::Receiver<u64>, pause: Option<Duration>) {
    let timer = async {
        match pause {
            Some(pause) => tokio::time::sleep_until(Instant::now() + pause).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        _ = news.changed() => {}
        () = timer => {}
    }
}
