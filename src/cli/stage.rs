//! The whole of Serin in one process: a repository, the embedded cluster with its world, and the real sidecar
//! between them. The demo runs on it in real time, the scenarios in virtual time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use git2::{IndexAddOption, Repository, Signature, Time};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    canary::{Defaults, crd},
    clock::{self, Clock},
    cluster::Cluster,
    http::Client,
    manifest::{Object, ObjectKey, Resource},
    rehearsal::{self, World, WorldSpec},
    repo::{Artifacts, Checkout, Hints, Options, Trigger, verify::Verifier},
    report::{CommitStatus, Forge, Notes},
    runtime::{FluxOptions, RevertOptions, Runtime, Source, SourceOptions},
};

/// The address at which canaries on the stage find their metric server.
pub const PROMETHEUS: &str = "http://prometheus:9090";

/// What the stage is set with.
#[derive(Clone, Debug)]
pub struct StageOptions {
    /// The sidecar applies what is in git, as `--apply` says.
    pub apply: bool,
    /// The commits come as artifacts of this source of Flux; one of the hosts serves them. None: a checkout is read.
    pub flux: Option<ObjectKey>,
    /// Commits that touch no canary are told so, as `--status-unrelated success` says.
    pub status_unrelated: bool,
    /// What the sidecar does with a commit that a canary failed with.
    pub on_failure: Option<RevertOptions>,
    /// The sidecar acts only on commits that this verifies.
    pub verifier: Option<Arc<dyn Verifier>>,
    /// Where commit statuses go, beside the git notes.
    pub forges: Vec<Arc<dyn Forge>>,
    /// Hosts that the sidecar reaches by their names, beside Prometheus.
    pub hosts: BTreeMap<String, axum::Router>,
    /// Folder of the repository; must be empty.
    pub repository: PathBuf,
    /// Clients, images and how they behave.
    pub world: WorldSpec,
    /// The time.
    pub clock: Clock,
    /// What flags would say.
    pub defaults: Defaults,
}

/// How a commit follows from the newest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ancestry {
    /// It is its child.
    #[default]
    Follows,
    /// It merges a branch that was made from it.
    Merges,
    /// It takes its place, as after a force-push.
    Replaces,
}

/// A running stage. The sidecar ends with it.
pub struct Stage {
    /// The embedded cluster.
    pub cluster: rehearsal::Cluster,
    /// Its clients.
    pub world: World,
    options: StageOptions,
    trigger: Trigger,
    sidecar: Option<Sidecar>,
}

struct Sidecar {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Stage {
    /// Sets the stage: a cluster with the custom resources and an empty repository; the sidecar comes with
    /// [`Stage::start`].
    pub fn set(options: StageOptions) -> Result<Self, String> {
        let cluster = rehearsal::Cluster::new(options.clock);
        install_crds(&cluster)?;
        let world = World::start(&cluster, options.world.clone());
        let mut init = git2::RepositoryInitOptions::new();
        init.initial_head("main").external_template(false);
        Repository::init_opts(&options.repository, &init)
            .map_err(|error| format!("cannot make a repository: {}", error.message()))?;
        Ok(Self {
            cluster,
            world,
            options,
            trigger: Trigger::default(),
            sidecar: None,
        })
    }

    /// Starts the sidecar.
    pub fn start(&mut self) -> Result<(), String> {
        let say = |error: &dyn std::error::Error| error.to_string();
        let checkout =
            Checkout::open(&self.options.repository, Options::default()).map_err(|error| say(&error))?;
        let checkout = Arc::new(checkout);
        let notes = Notes::choose(checkout.dir(), None, self.options.clock).map_err(|error| say(&error))?;
        let mut forges: Vec<Arc<dyn Forge>> = vec![Arc::new(notes)];
        forges.extend(self.options.forges.iter().cloned());
        let source = self.source(checkout, forges)?;
        let (cluster, changes) = Cluster::new(self.cluster.client("serin"), None);
        let mut hosts = self.options.hosts.clone();
        hosts.insert("prometheus".to_owned(), self.world.prometheus());
        let runtime = Runtime {
            cluster,
            changes,
            clock: self.options.clock,
            http: Client::in_process(hosts),
            defaults: self.options.defaults.clone(),
            lease: None,
            source: Some(source),
        };
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(runtime.run(stopped, drop));
        self.trigger.fire();
        self.sidecar = Some(Sidecar { stop, task });
        Ok(())
    }

    fn source(&self, checkout: Arc<Checkout>, forges: Vec<Arc<dyn Forge>>) -> Result<Source, String> {
        let options = SourceOptions {
            name: "stage".to_owned(),
            namespace: "default".to_owned(),
            state_namespace: "default".to_owned(),
            defaults: self.options.defaults.clone(),
            cluster_name: None,
            apply: self.options.apply,
            apply_deadline: Duration::from_secs(1800),
            status_unrelated: self.options.status_unrelated,
            on_failure: self.options.on_failure.clone(),
            verifier: self.options.verifier.clone(),
        };
        let (hints, clock) = (Hints::Trigger(self.trigger.clone()), self.options.clock);
        let Some(source) = &self.options.flux else {
            return Ok(Source::new(checkout, hints, forges, options, clock));
        };
        let artifacts = Artifacts::new(&source.name, "").map_err(|error| error.to_string())?;
        let artifacts = Arc::new(artifacts);
        let flux = FluxOptions {
            source: source.clone(),
            artifacts: Some(Arc::clone(&artifacts)),
            trigger: self.trigger.clone(),
            nudge: false,
        };
        Ok(Source::new(artifacts, hints, forges, options, clock).with_flux(flux))
    }

    /// Ends the sidecar as `kill -9` would: nothing is finished, nothing released.
    pub async fn kill(&mut self) {
        if let Some(sidecar) = self.sidecar.take() {
            sidecar.task.abort();
            sidecar.task.await.ok();
        }
    }

    /// Ends the sidecar in good order.
    pub async fn stop(&mut self) {
        if let Some(sidecar) = self.sidecar.take() {
            sidecar.stop.send_replace(true);
            sidecar.task.await.ok();
        }
    }

    /// Commits files (path to content; no content deletes) and lets the sidecar see it. Gives the commit's id.
    pub async fn commit(
        &self,
        message: &str,
        files: Vec<(String, Option<String>)>,
    ) -> Result<String, String> {
        let id = self.record(message, files, Ancestry::Follows).await?;
        self.pull();
        Ok(id)
    }

    /// Commits files. The sidecar does not see it before [`Stage::pull`].
    pub async fn record(
        &self,
        message: &str,
        files: Vec<(String, Option<String>)>,
        ancestry: Ancestry,
    ) -> Result<String, String> {
        let (folder, message) = (self.options.repository.clone(), message.to_owned());
        let seconds = self.options.clock.now().as_second();
        let work = move || commit(&folder, &message, &files, ancestry, seconds);
        let made = clock::off_thread(clock::Turn::Stage, work).await;
        made.map_err(|error| error.to_string())?
    }

    /// Lets the sidecar see what was committed.
    pub fn pull(&self) {
        self.trigger.fire();
    }

    /// Reads what the forge of the stage (git notes) says of a commit.
    pub async fn statuses(&self, commit: &str) -> Result<Vec<CommitStatus>, String> {
        let notes = Notes::choose(&self.options.repository, None, self.options.clock)
            .map_err(|error| error.to_string())?;
        let id = commit.parse().map_err(|error| format!("{error}"))?;
        notes.read(&id).await.map_err(|error| error.to_string())
    }

    /// Reads an object of the cluster.
    #[must_use]
    pub fn object(&self, resource: Resource, namespace: &str, name: &str) -> Option<Object> {
        self.cluster
            .store()
            .get(&ObjectKey::new(resource, namespace, name))
    }
}

fn commit(
    folder: &Path,
    message: &str,
    files: &[(String, Option<String>)],
    ancestry: Ancestry,
    seconds: i64,
) -> Result<String, String> {
    for (path, content) in files {
        let path = folder.join(path);
        let done = match content {
            Some(content) => path
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| std::fs::write(&path, content)),
            None => std::fs::remove_file(&path),
        };
        done.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    record(folder, message, ancestry, seconds).map_err(|error| format!("cannot commit: {}", error.message()))
}

fn record(folder: &Path, message: &str, ancestry: Ancestry, seconds: i64) -> Result<String, git2::Error> {
    let repository = Repository::open(folder)?;
    let mut index = repository.index()?;
    index.add_all(["*"], IndexAddOption::DEFAULT, None)?;
    index.update_all(["*"], None)?;
    index.write()?;
    let tree = repository.find_tree(index.write_tree()?)?;
    let author = Signature::new("Demo", "demo@localhost", &Time::new(seconds, 0))?;
    let head = repository.head().ok().and_then(|head| head.peel_to_commit().ok());
    let mut parents: Vec<git2::Commit<'_>> = head.iter().cloned().collect();
    match ancestry {
        Ancestry::Follows => {}
        Ancestry::Merges => {
            let on_branch = format!("{message}, on a branch");
            let branch: Vec<&git2::Commit<'_>> = head.iter().collect();
            let id = repository.commit(None, &author, &author, &on_branch, &tree, &branch)?;
            parents.push(repository.find_commit(id)?);
        }
        Ancestry::Replaces => parents = head.iter().flat_map(|head| head.parents()).collect(),
    }
    let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
    let id = repository.commit(None, &author, &author, message, &tree, &parents)?;
    repository.reference("refs/heads/main", id, true, "commit")?;
    Ok(id.to_string())
}

/// Installs the custom resources that Serin brings.
pub fn install_crds(cluster: &rehearsal::Cluster) -> Result<(), String> {
    for resource in crd::all() {
        create(cluster, resource)?;
    }
    Ok(())
}

/// Creates an object on the embedded cluster, as `kubectl create` would.
pub fn create(cluster: &rehearsal::Cluster, object: Value) -> Result<(), String> {
    cluster
        .store()
        .create("kubectl-create", object)
        .map(drop)
        .map_err(|error| format!("{error:?}"))
}
