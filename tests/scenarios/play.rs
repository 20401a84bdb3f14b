//! Plays a scenario: sets the stage, takes the steps, and writes down what happens.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use serin::{
    canary::Status,
    cli::stage::{self, Ancestry, Stage, StageOptions},
    clock::Clock,
    manifest::{Object, ObjectKey, Resource},
    rehearsal::{
        Totals,
        store::{Change, Changes, Delete, Verb},
    },
    repo::git::Remote,
    runtime::RevertOptions,
};
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    ending,
    flux::{self, Flux},
    forge::Recorder,
    script::{Commit, Files, Gate, How, Insist, Patch, Reachable, Scenario, SetImage, Step, Wait},
    show,
    transcript::Transcript,
};

/// When every scenario begins.
const ORIGIN: &str = "2026-11-22T03:00:00Z";
/// How often a wait looks.
const LOOK: Duration = Duration::from_millis(100);

/// What came of a scenario.
pub(crate) struct Played {
    pub(crate) transcript: String,
    /// The last part of the transcript.
    pub(crate) ending: String,
    pub(crate) events: Vec<String>,
    /// Requests of clients that were lost since the last `count`.
    pub(crate) lost: u64,
    /// Requests of the sidecar since the last `count`.
    pub(crate) api_requests: usize,
    pub(crate) took: Duration,
}

/// The sidecar is killed at this time, and started again a moment later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accident {
    pub(crate) at: Duration,
    pub(crate) down: Duration,
}

/// Everything on the stage.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) recorder: Recorder,
    pub(crate) transcript: Transcript,
    pub(crate) before: Totals,
    began: Instant,
    files: Files,
    /// What the first commit brings.
    seed: Files,
    history: BTreeMap<String, Files>,
    gate: Arc<AtomicBool>,
    flux: Flux,
    accident: Option<Accident>,
    watcher: JoinHandle<()>,
    folder: tempfile::TempDir,
    /// Id of the newest commit.
    newest: Option<String>,
}

/// Plays a scenario.
pub(crate) async fn play(scenario: &Scenario, accident: Option<Accident>) -> Played {
    let mut scene = set(scenario, accident);
    for object in &scenario.setup {
        // A placeholder, for owners can be named only when they exist.
        let canary = scene.stage.object(Resource::CANARY, "test", "podinfo");
        let uid = canary.map(|canary| canary.uid().to_owned()).unwrap_or_default();
        let text = object.to_string().replace("CANARY_UID", &uid);
        stage::create(&scene.stage.cluster, serde_json::from_str(&text).unwrap()).unwrap();
    }
    for step in &scenario.steps {
        if let Err(why) = scene.take(step).await {
            panic!("{}: {why}\n{}", scenario.title, scene.transcript.render());
        }
    }
    scene.finish(scenario).await
}

fn set(scenario: &Scenario, accident: Option<Accident>) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let transcript = Transcript::new();
    let recorder = Recorder::new(transcript.clone());
    let gate = Arc::new(AtomicBool::new(false));
    let flux = Flux::default();
    let hosts = [
        ("gate".to_owned(), hooks(&gate, &transcript)),
        (flux::HOST.to_owned(), flux.host()),
    ];
    let options = StageOptions {
        apply: scenario.flags.apply,
        flux: scenario.flags.flux.then(Flux::source),
        status_unrelated: scenario.flags.status_unrelated,
        on_failure: scenario
            .flags
            .on_failure
            .as_ref()
            .map(|what| proposals(what, &folder.path().join("forge.git"))),
        verifier: scenario.flags.require_verified(),
        forges: vec![Arc::new(recorder.clone())],
        hosts: BTreeMap::from(hosts),
        repository: folder.path().join("repository"),
        world: scenario.world.clone(),
        clock: Clock::starting_at(ORIGIN.parse().unwrap()),
        defaults: scenario.defaults(),
    };
    std::fs::create_dir(&options.repository).unwrap();
    let stage = Stage::set(options).unwrap();
    if scenario.flags.flux {
        Flux::install(&stage.cluster);
    }
    let watcher = tokio::spawn(watch(stage.cluster.store().changes(), transcript.clone()));
    Scene {
        before: stage.world.totals(),
        stage,
        recorder,
        transcript,
        began: Instant::now(),
        files: Files::new(),
        seed: scenario.files.clone(),
        history: BTreeMap::new(),
        gate,
        flux,
        accident,
        watcher,
        folder,
        newest: None,
    }
}

/// Reverts go to a repository of their own.
fn proposals(what: &str, folder: &Path) -> RevertOptions {
    git2::Repository::init_bare(folder).unwrap();
    RevertOptions {
        pull_request: what == "pull-request",
        remote: Remote::new(folder.to_str().unwrap().parse().unwrap()),
    }
}

/// A host for hooks: agrees while its gate is open.
fn hooks(gate: &Arc<AtomicBool>, transcript: &Transcript) -> axum::Router {
    let (gate, transcript) = (Arc::clone(gate), transcript.clone());
    axum::Router::new().fallback(move |uri: http::Uri, body: axum::Json<Value>| {
        let (gate, transcript) = (Arc::clone(&gate), transcript.clone());
        async move {
            let open = gate.load(Ordering::Relaxed);
            let phase = body["phase"].as_str().unwrap_or_default();
            let answer = if open { "agrees" } else { "refuses" };
            transcript.line("hook", &format!("{} in phase {phase}: {answer}", uri.path()));
            if open {
                (http::StatusCode::OK, "")
            } else {
                (http::StatusCode::FORBIDDEN, "the gate is closed")
            }
        }
    })
}

impl Scene {
    async fn take(&mut self, step: &Step) -> Result<(), String> {
        // All that is on its way comes first, so that no order is left to chance.
        self.sleep(Duration::from_millis(1)).await;
        match step {
            Step::Start => {
                self.transcript.line("step", "the sidecar starts");
                self.stage.start()
            }
            Step::Kill => {
                self.transcript.line("step", "the sidecar is killed");
                self.stage.kill().await;
                Ok(())
            }
            Step::Stop => {
                self.stage.stop().await;
                self.transcript.line("step", "the sidecar ended");
                Ok(())
            }
            Step::Count => {
                self.stage.cluster.ledger().clear();
                self.before = self.stage.world.totals();
                Ok(())
            }
            Step::Note(text) => {
                self.transcript.line("note", text);
                Ok(())
            }
            Step::Sleep(span) => {
                self.sleep(span.0).await;
                Ok(())
            }
            Step::Commit(commit) => self.commit(commit).await,
            Step::Wait(wait) => self.wait(wait).await,
            Step::SetImage(set) => self.set_image(set),
            Step::Create(object) => {
                let key = Object::from(object.clone()).key();
                self.transcript
                    .line("step", &format!("kubectl create {} {}", key.kind, key.name));
                stage::create(&self.stage.cluster, object.clone())
            }
            Step::Patch(patch) => self.patch(patch),
            Step::Insist(insist) => self.insist(insist).await,
            Step::Delete(reference) => {
                let (kind, name) = (&reference.kind, &reference.name);
                self.transcript
                    .line("step", &format!("kubectl delete {kind} {name}"));
                let key = key(kind, &reference.namespace, name)?;
                let deleted = self.stage.cluster.store().delete(&key, &Delete::default());
                deleted.map(drop).map_err(|error| format!("{error:?}"))
            }
            Step::Prometheus(health) => {
                self.transcript.line("step", &format!("Prometheus is {health:?}"));
                self.stage.world.set_prometheus(Some(*health));
                Ok(())
            }
            Step::Gate(gate) => {
                self.transcript
                    .line("step", &format!("the gate of the hooks is {gate:?}"));
                self.gate.store(*gate == Gate::Open, Ordering::Relaxed);
                Ok(())
            }
            Step::Flux(deed) => {
                self.transcript
                    .line("step", &format!("Flux: {deed:?}").to_lowercase());
                let newest = self.newest.as_deref().ok_or("nothing was committed")?;
                self.flux.act(*deed, &self.stage.cluster, newest, &self.files)
            }
            Step::Forge(reachable) => {
                self.transcript
                    .line("step", &format!("the forge is {reachable:?}").to_lowercase());
                self.recorder.set_down(*reachable == Reachable::Down);
                Ok(())
            }
        }
    }

    /// Lets time pass; the accident happens when its time has come.
    async fn sleep(&mut self, span: Duration) {
        let until = Instant::now() + span;
        if let Some(accident) = self.accident
            && self.began + accident.at <= until
        {
            self.accident = None;
            tokio::time::sleep_until(self.began + accident.at).await;
            self.transcript.line("step", "the sidecar is killed");
            self.stage.kill().await;
            tokio::time::sleep(accident.down).await;
            self.transcript.line("step", "the sidecar starts");
            self.stage.start().unwrap();
        }
        tokio::time::sleep_until(until).await;
    }

    async fn commit(&mut self, commit: &Commit) -> Result<(), String> {
        let before = self.files.clone();
        if self.history.is_empty() {
            self.files = std::mem::take(&mut self.seed);
        }
        if let Some(message) = &commit.revert {
            let earlier = self.history.get(message);
            self.files = earlier
                .cloned()
                .ok_or_else(|| format!("no commit \"{message}\""))?;
        }
        for (path, content) in &commit.files {
            match content {
                Some(content) => self.files.insert(path.clone(), content.clone()),
                None => self.files.remove(path),
            };
        }
        for replace in &commit.replace {
            let file = &replace.file;
            let text = self
                .files
                .get_mut(file)
                .ok_or_else(|| format!("no file {file}"))?;
            if !text.contains(&replace.from) {
                return Err(format!("{file} does not contain {:?}", replace.from));
            }
            *text = text.replace(&replace.from, &replace.to);
        }
        let changed = changes(&before, &self.files);
        self.history.insert(commit.message.clone(), before);
        let message = &commit.message;
        let changed_paths: Vec<&str> = changed.iter().map(|(path, _)| path.as_str()).collect();
        let ancestry = commit.how.ancestry();
        let how = match ancestry {
            Ancestry::Follows => "commit",
            Ancestry::Merges => "merge",
            Ancestry::Replaces => "push --force",
        };
        let line = format!("git {how} \"{message}\": {}", changed_paths.join(" "));
        self.transcript.line("step", &line);
        let replaced = self.newest.clone();
        let id = self.stage.record(message, changed, ancestry).await?;
        self.transcript.learn(&id, message);
        self.newest = Some(id);
        if let Some(replaced) = replaced.filter(|_| commit.how == How::ReplaceAndPrune) {
            self.prune(&replaced);
        }
        if !commit.unseen {
            self.stage.pull();
        }
        Ok(())
    }

    /// Removes the object of a commit, as `git gc` does in time with what no branch holds.
    fn prune(&self, id: &str) {
        std::fs::remove_file(self.object_file(id)).unwrap();
    }

    /// Whether a commit is gone from the repository.
    pub(crate) fn is_pruned(&self, id: &str) -> bool {
        !self.object_file(id).exists()
    }

    fn object_file(&self, id: &str) -> std::path::PathBuf {
        let (folder, file) = id.split_at(2);
        let objects = self.folder.path().join("repository/.git/objects");
        objects.join(folder).join(file)
    }

    fn set_image(&self, set: &SetImage) -> Result<(), String> {
        let (name, image) = (&set.deployment, &set.image);
        let how = match set.by.as_str() {
            "kubectl-set" => "kubectl set image".to_owned(),
            by => format!("{by} sets the image of"),
        };
        self.transcript
            .line("step", &format!("{how} deployment/{name} {image}"));
        let key = key("Deployment", &set.namespace, name)?;
        let store = self.stage.cluster.store();
        let done = store.modify(&set.by, &key, |value| {
            value["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        });
        done.map(drop).map_err(|error| format!("{error:?}"))
    }

    async fn insist(&mut self, insist: &Insist) -> Result<(), String> {
        let (every, during) = (insist.every.0, insist.during.0);
        let text = format!("every {every:?} for {during:?}:");
        self.transcript.line("step", &text);
        self.tell_patch(&insist.patch);
        let until = Instant::now() + during;
        while Instant::now() < until {
            self.apply_patch(&insist.patch)?;
            self.sleep(every).await;
        }
        self.transcript.line("step", "and no more");
        Ok(())
    }

    fn patch(&self, patch: &Patch) -> Result<(), String> {
        self.tell_patch(patch);
        self.apply_patch(patch)
    }

    fn tell_patch(&self, patch: &Patch) {
        let part = if patch.status { " status" } else { "" };
        let text = format!(
            "{} patches {} {}{part}: {}",
            patch.by, patch.kind, patch.name, patch.merge
        );
        self.transcript.line("step", &text);
    }

    fn apply_patch(&self, patch: &Patch) -> Result<(), String> {
        let key = key(&patch.kind, &patch.namespace, &patch.name)?;
        let store = self.stage.cluster.store();
        let edit = |value: &mut Value| json_patch::merge(value, &patch.merge);
        let done = if patch.status {
            store.modify_status(&patch.by, &key, edit)
        } else {
            store.modify(&patch.by, &key, edit)
        };
        done.map(drop).map_err(|error| format!("{error:?}"))
    }

    async fn wait(&mut self, wait: &Wait) -> Result<(), String> {
        let until = Instant::now() + wait.within.0;
        while !self.holds(wait)? {
            if Instant::now() >= until {
                return Err(format!("waited in vain for {wait:?}"));
            }
            self.sleep(LOOK).await;
        }
        Ok(())
    }

    fn holds(&self, wait: &Wait) -> Result<bool, String> {
        let (namespace, name) = wait.canary.split_once('/').ok_or("namespace/name")?;
        let object = self.stage.object(Resource::CANARY, namespace, name);
        let object = object.unwrap_or_else(|| Object::from(Value::Null));
        let text = |pointer: &str, wanted: &Option<String>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| object.str_at(pointer) == wanted)
        };
        let number = |pointer: &str, wanted: Option<i64>| {
            wanted.is_none_or(|wanted| object.i64_at(pointer).unwrap_or_default() == wanted)
        };
        Ok(text("/status/phase", &wait.phase)
            && text("/status/run/wait/kind", &wait.waits)
            && number("/status/canaryWeight", wait.weight)
            && number("/status/run/counter", wait.run)
            && number("/status/failedChecks", wait.failed_checks)
            && wait
                .commit
                .iter()
                .all(|(message, state)| self.state_of(message, &wait.canary).as_deref() == Some(state)))
    }

    fn state_of(&self, message: &str, canary: &str) -> Option<String> {
        let id = self.transcript.id_of(message)?.parse().ok()?;
        let statuses = self.recorder.statuses();
        let status = statuses.get(&id)?.get(&format!("serin/{canary}"))?;
        Some(status.state.to_string())
    }

    async fn finish(mut self, scenario: &Scenario) -> Played {
        self.sleep(Duration::from_secs(5)).await;
        let took = self.began.elapsed();
        self.stage.stop().await;
        self.watcher.abort();
        let ending = ending::render(&self).await;
        let shows = scenario.shows.trim().lines().map(|line| format!("  {line}\n"));
        let transcript = format!(
            "{}\n{}\n{}\n{ending}{}",
            scenario.title,
            shows.collect::<String>(),
            self.transcript.render(),
            ending::cost(&self)
        );
        Played {
            transcript,
            ending,
            events: self.transcript.of_kind("event"),
            lost: self.stage.world.totals().since(&self.before).lost(),
            api_requests: self.stage.cluster.ledger().of("serin").len(),
            took,
        }
    }
}

fn changes(before: &Files, after: &Files) -> Vec<(String, Option<String>)> {
    let gone = before.keys().filter(|path| !after.contains_key(*path));
    let gone = gone.map(|path| (path.clone(), None));
    let new = after
        .iter()
        .filter(|(path, text)| before.get(*path) != Some(text));
    gone.chain(new.map(|(path, text)| (path.clone(), Some(text.clone()))))
        .collect()
}

fn key(kind: &str, namespace: &str, name: &str) -> Result<ObjectKey, String> {
    let resource = Resource::ALL.into_iter().find(|resource| resource.kind == kind);
    let resource = resource.ok_or_else(|| format!("no kind {kind}"))?;
    Ok(ObjectKey::new(resource, namespace, name))
}

/// Writes down every change that says something about a rollout.
async fn watch(mut changes: Changes, transcript: Transcript) {
    loop {
        let change = changes.next().await.expect("the watcher keeps up");
        told(&change, &transcript);
    }
}

fn told(change: &Change, transcript: &Transcript) {
    let object = &change.object;
    match object.key().kind.as_str() {
        "Event" if change.verb == Verb::Added && object.str_at("/source/component") == "serin" => {
            let text = |pointer: &str| object.str_at(pointer);
            let line = format!("{} {}: {}", text("/type"), text("/reason"), text("/message"));
            transcript.line("event", &line);
        }
        "Canary" => canary(change, transcript),
        _ => {
            let Some(now) = show::object(object) else { return };
            let before = change.previous.as_ref().and_then(show::object);
            if change.verb == Verb::Deleted {
                transcript.line("object", &format!("{now}: deleted"));
            } else if before.as_ref() != Some(&now) {
                transcript.line("object", &now);
            }
        }
    }
}

fn canary(change: &Change, transcript: &Transcript) {
    let status = |object: &Object| object.at("/status").map(Status::parse).unwrap_or_default();
    let now = status(&change.object);
    let before = change.previous.as_ref().map(status).unwrap_or_default();
    for measurement in &now.measurements {
        if !before.measurements.contains(measurement) {
            transcript.line("check", &show::measurement(measurement));
        }
    }
    let text = show::status(&now);
    if text != show::status(&before) {
        transcript.line("canary", &format!("{}: {text}", change.object.name()));
    }
}
