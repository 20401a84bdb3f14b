//! The whole way on the real components: a repository on Gitea, one clone that pushes and one that a pull
//! keeps current, a control plane, metrics that the test decides, and the sidecar with the rights of
//! `deploy/serin.yaml` and no others.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use kube::Client;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};

use super::manifests::{Plan, Router, files};
use crate::common::lab::assets::Assets;
use crate::common::lab::flux;
use crate::common::lab::gitea::{CommitStatus, Gitea};
use crate::common::lab::process::{Sandbox, hermetic};
use crate::common::lab::{ADMIN, Lab, SERIN};
use crate::common::prometheus::{Answer, Prometheus, metric_names};

/// How long anything may take on a busy machine. Nothing here measures time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// Control planes at a time: each takes most of a processor while it starts.
static SCENES: Semaphore = Semaphore::const_new(2);
/// Where the sidecar's Lease and state are, as in `deploy/serin.yaml`.
pub(crate) const STATE_NAMESPACE: &str = "flux-system";
pub(crate) const REPOSITORY: &str = "fleet";
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/serin.yaml");
const DEPLOY_FLUX: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/flux.yaml");

/// How the manifests come to the cluster, and the commits to the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A checkout; the sidecar applies.
    Apply,
    /// Flux applies; its artifacts are read.
    Artifacts,
    /// The same, of an `OCIRepository`.
    Oci,
    /// Flux applies; a checkout is read, and Flux says what it applied.
    BesideFlux,
}

/// A running scene; everything ends with it.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) gitea: Gitea,
    pub(crate) prometheus: Prometheus,
    pub(crate) plan: Plan,
    admin: Client,
    folder: tempfile::TempDir,
    flags: Vec<String>,
    way: Way,
    starts: AtomicUsize,
    _permit: SemaphorePermit<'static>,
}

impl Scene {
    /// Sets everything up, up to an empty repository; the sidecar is not started.
    pub(crate) async fn set(plan: Plan) -> anyhow::Result<Self> {
        let permit = SCENES.acquire().await?;
        let mut lab = Lab::start().await?;
        lab.create_namespace("test").await?;
        lab.create_namespace(STATE_NAMESPACE).await?;
        let scene = Self {
            admin: lab.client(ADMIN).await?,
            gitea: Gitea::start().await?,
            prometheus: Prometheus::start(answers(100.0)).await?,
            folder: tempfile::tempdir()?,
            flags: Vec::new(),
            way: Way::Apply,
            starts: AtomicUsize::new(0),
            _permit: permit,
            plan,
            lab,
        };
        scene.apply(&scene.crds()?)?;
        scene.apply(&rights(DEPLOY)?)?;
        if plan.router == Router::Skipper {
            // Serin applies none: it belongs to whoever runs the cluster.
            let ingress = scene
                .files("6.0.0")?
                .into_iter()
                .find(|(path, _)| path.ends_with("ingress.yaml"));
            scene.apply(&ingress.context("no Ingress")?.1)?;
        }
        for crd in ["canaries", "metrictemplates", "alertproviders"] {
            let path = format!("/apis/flagger.app/v1beta1/namespaces/test/{crd}");
            scene
                .eventually(&format!("{crd} are served"), async || {
                    Ok(scene.get(&path).await?.is_some())
                })
                .await?;
        }
        scene.init_repository().await?;
        Ok(scene)
    }

    /// Adds flags to the command line of the sidecar.
    pub(crate) fn with_flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// Starts Flux, and lets the sidecar have its commits this way.
    pub(crate) async fn with_flux(mut self, way: Way) -> anyhow::Result<Self> {
        flux::start(&mut self.lab).await?;
        // In place of those of deploy/serin.yaml: Serin brings nothing from git here.
        self.kubectl(&["delete", "rolebinding/serin-apply", "--namespace=test"])?;
        self.apply(&rights(DEPLOY_FLUX)?)?;
        let nudge = [
            "--clusterrole=serin-flux-nudge",
            "--user",
            SERIN,
            "--namespace",
            STATE_NAMESPACE,
        ];
        let create = ["create", "rolebinding", "serin-flux-nudge"];
        self.kubectl(&[create.as_slice(), nudge.as_slice()].concat())?;
        self.way = way;
        Ok(self)
    }

    async fn init_repository(&self) -> anyhow::Result<()> {
        let address = self.gitea.create_repo(REPOSITORY).await?;
        let publisher = self.path("publisher");
        std::fs::create_dir_all(&publisher)?;
        self.git("publisher", &["init", "--quiet", "--initial-branch=main"])?;
        self.git("publisher", &["remote", "add", "origin", &address])?;
        Ok(())
    }

    /// Returns what `serin crd` prints.
    pub(crate) fn crds(&self) -> anyhow::Result<String> {
        output(hermetic(Path::new(serin()), self.folder.path()).arg("crd"))
    }

    /// Names a file or folder of the scene, such as the clone `publisher`.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Runs git in one of the clones, `publisher` or `checkout`.
    pub(crate) fn git(&self, clone: &str, arguments: &[&str]) -> anyhow::Result<String> {
        output(self.gitea.git(&self.path(clone)).args(arguments))
    }

    fn files(&self, tag: &str) -> anyhow::Result<Vec<(String, String)>> {
        files(self.plan, tag, self.prometheus.url())
    }

    /// Commits the manifests with this version of the image, pushes them, and gives the commit.
    pub(crate) fn push(&self, tag: &str) -> anyhow::Result<String> {
        self.push_with(tag, &[])
    }

    /// The same, with texts replaced in all files.
    pub(crate) fn push_with(&self, tag: &str, changes: &[(&str, &str)]) -> anyhow::Result<String> {
        for (path, mut content) in self.files(tag)? {
            for (from, to) in changes {
                content = content.replace(from, to);
            }
            self.write(&path, &content)?;
        }
        self.publish(&format!("Run podinfo {tag}"))
    }

    /// The same, with one more file in the same commit.
    pub(crate) fn push_beside(&self, tag: &str, path: &str, content: &str) -> anyhow::Result<String> {
        self.write(path, content)?;
        self.push(tag)
    }

    /// Commits one file, pushes it, and gives the commit.
    pub(crate) fn push_file(&self, path: &str, content: &str) -> anyhow::Result<String> {
        self.write(path, content)?;
        self.publish(&format!("Write {path}"))
    }

    fn write(&self, path: &str, content: &str) -> anyhow::Result<()> {
        let path = self.path("publisher").join(path);
        std::fs::create_dir_all(path.parent().context("a file needs a folder")?)?;
        Ok(std::fs::write(path, content)?)
    }

    fn publish(&self, message: &str) -> anyhow::Result<String> {
        self.record(message)?;
        self.git("publisher", &["push", "--quiet", "origin", "main"])?;
        self.git("publisher", &["rev-parse", "HEAD"])
    }

    fn record(&self, message: &str) -> anyhow::Result<()> {
        self.git("publisher", &["add", "--all"])?;
        let message = format!("--message={message}");
        self.git("publisher", &["commit", "--quiet", &message]).map(drop)
    }

    /// Commits the manifests with this version of the image to the branch that is checked out, and pushes nothing.
    pub(crate) fn commit(&self, tag: &str) -> anyhow::Result<()> {
        for (path, content) in self.files(tag)? {
            self.write(&path, &content)?;
        }
        self.record(&format!("Run podinfo {tag}"))
    }

    /// Gives the administrator's client.
    pub(crate) fn admin(&self) -> &Client {
        &self.admin
    }

    /// Brings the sidecar's checkout up to date, as a cron job would.
    pub(crate) fn pull(&self) -> anyhow::Result<()> {
        if self.path("checkout").exists() {
            self.git("checkout", &["pull", "--quiet", "--ff-only"])?;
        } else {
            let address = format!("{}/{}/{REPOSITORY}.git", self.gitea.url(), Gitea::OWNER);
            output(
                self.gitea
                    .git(self.folder.path())
                    .args(["clone", "--quiet", &address, "checkout"]),
            )?;
        }
        Ok(())
    }

    /// Starts the sidecar, or starts it again.
    pub(crate) fn start_serin(&mut self) -> anyhow::Result<()> {
        self.starts.fetch_add(1, Ordering::Relaxed);
        let token = self.path("token");
        std::fs::write(&token, self.gitea.token())?;
        let mut command = hermetic(Path::new(serin()), self.folder.path());
        command
            .env("RUST_BACKTRACE", "1")
            .env("SERIN_LOG", "serin=debug")
            .args([
                "run",
                "--path=apps",
                "--namespace=test",
                "--drain=1s",
                "--listen=127.0.0.1:0",
            ])
            .args(["--no-cross-namespace-refs", "--source-name=apps"])
            .arg(format!("--state-namespace={STATE_NAMESPACE}"))
            .args(self.source_flags())
            .arg(flag("kubeconfig", &self.lab.kubeconfig_for(SERIN)))
            .arg(format!("--metrics-server={}", self.prometheus.url()))
            .args(self.forge_flags())
            .args(&self.flags);
        self.sandbox().spawn("serin", &mut command)
    }

    fn source_flags(&self) -> Vec<String> {
        let checkout = flag("checkout", &self.path("checkout"));
        let flux = format!("--flux={STATE_NAMESPACE}/{REPOSITORY}");
        match self.way {
            Way::Apply => vec!["--apply".to_owned(), checkout],
            Way::Artifacts => vec![flux],
            Way::Oci => vec![format!("--flux=OCIRepository/{STATE_NAMESPACE}/{REPOSITORY}")],
            Way::BesideFlux => vec![flux, checkout],
        }
    }

    fn forge_flags(&self) -> Vec<String> {
        // Notes need a checkout to be kept in.
        let has_checkout = matches!(self.way, Way::Apply | Way::BesideFlux);
        let notes = has_checkout.then(|| "--status=notes".to_owned());
        let gitea = [
            "--status=gitea".to_owned(),
            format!("--status-url={}", self.gitea.url()),
            format!("--status-repo={}/{REPOSITORY}", Gitea::OWNER),
            flag("status-token-file", &self.path("token")),
        ];
        notes.into_iter().chain(gitea).collect()
    }

    /// Kills the sidecar as `kill -9` does, and starts it again.
    pub(crate) fn crash_serin(&mut self) -> anyhow::Result<()> {
        self.sandbox().kill("serin")?;
        self.start_serin()
    }

    /// Asks the sidecar to end, as a kubelet does.
    pub(crate) fn terminate_serin(&self) -> anyhow::Result<()> {
        let id = self.lab.id("serin").context("serin is not running")?;
        output(Command::new("kill").args(["-TERM", &id.to_string()])).map(drop)
    }

    /// Gives access to the sidecar's process.
    pub(crate) fn sandbox(&mut self) -> &mut Sandbox {
        self.lab.sandbox()
    }

    /// Runs `serin status` on a commit: the exit code, and what it prints.
    pub(crate) fn serin_status(&self, commit: &str) -> anyhow::Result<(Option<i32>, String)> {
        let mut command = hermetic(Path::new(serin()), self.folder.path());
        command
            .arg("status")
            .arg(flag("checkout", &self.path("checkout")))
            .args(self.forge_flags())
            .arg(commit);
        let done = command.output()?;
        let text = [done.stdout, done.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat();
        Ok((done.status.code(), text))
    }

    /// Runs `serin doctor` as the administrator: the exit code, and what it finds.
    pub(crate) fn doctor(&self) -> anyhow::Result<(Option<i32>, Value)> {
        self.doctor_as(ADMIN, &[])
    }

    /// Runs it with the rights of the sidecar, and flags that it is run with: what it says about rights.
    pub(crate) fn missing_rights(&self, flags: &[&str]) -> anyhow::Result<Vec<Value>> {
        let state = format!("--state-namespace={STATE_NAMESPACE}");
        let flags = [&["--namespace=test", state.as_str()], flags].concat();
        let (_, found) = self.doctor_as(SERIN, &flags)?;
        let found = found["findings"].as_array().cloned().unwrap_or_default();
        Ok(found
            .into_iter()
            .filter(|finding| finding["code"] == "rbac")
            .collect())
    }

    fn doctor_as(&self, user: &str, flags: &[&str]) -> anyhow::Result<(Option<i32>, Value)> {
        let mut command = hermetic(Path::new(serin()), self.folder.path());
        command
            .args(["doctor", "--output=json"])
            .args(flags)
            .arg(flag("kubeconfig", &self.lab.kubeconfig_for(user)));
        let done = command.output()?;
        let found = serde_json::from_slice(&done.stdout)
            .with_context(|| String::from_utf8_lossy(&done.stderr).into_owned())?;
        Ok((done.status.code(), found))
    }

    /// Runs a command line as the administrator would type it.
    pub(crate) fn shell(&self, line: &str) -> anyhow::Result<String> {
        let kubectl = Assets::locate()?.binary("kubectl")?;
        let mut command = hermetic(Path::new("sh"), self.folder.path());
        let mut paths = vec![kubectl.parent().context("kubectl has no folder")?.to_owned()];
        paths.extend(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        ));
        command
            .env("PATH", std::env::join_paths(paths)?)
            .env("KUBECONFIG", self.lab.kubeconfig_for(ADMIN))
            .args(["-c", line]);
        output(&mut command)
    }

    /// Runs kubectl as the administrator.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = hermetic(&Assets::locate()?.binary("kubectl")?, self.folder.path());
        output(
            command
                .arg(flag("kubeconfig", &self.lab.kubeconfig_for(ADMIN)))
                .args(arguments),
        )
    }

    /// Merges a patch into an object of Flux as the administrator. `more` are further arguments.
    pub(crate) fn patch(&self, kind: &str, name: &str, patch: &Value, more: &[&str]) -> anyhow::Result<()> {
        let patch = patch.to_string();
        let namespace = format!("--namespace={STATE_NAMESPACE}");
        let arguments = ["patch", kind, name, "--type=merge", "--patch", &patch, &namespace];
        self.kubectl(&[arguments.as_slice(), more].concat()).map(drop)
    }

    /// Applies manifests as the administrator.
    pub(crate) fn apply(&self, manifests: &str) -> anyhow::Result<()> {
        let file = self.path("apply.yaml");
        std::fs::write(&file, manifests)?;
        self.kubectl(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            &flag("filename", &file),
        ])
        .map(drop)
    }

    /// Reads an object by its path, as the administrator; none if there is none.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let request = http::Request::get(path).body(Vec::new())?;
        match self.admin().request::<Value>(request).await {
            Ok(value) => Ok(Some(value)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {path}")),
        }
    }

    /// Reads a Deployment of namespace test.
    pub(crate) async fn deployment(&self, name: &str) -> anyhow::Result<Option<Value>> {
        self.get(&format!("/apis/apps/v1/namespaces/test/deployments/{name}"))
            .await
    }

    /// Reads the status of the Canary; null while there is none.
    pub(crate) async fn status(&self) -> anyhow::Result<Value> {
        let canary = self
            .get("/apis/flagger.app/v1beta1/namespaces/test/canaries/podinfo")
            .await?;
        Ok(canary
            .and_then(|canary| canary.get("status").cloned())
            .unwrap_or_default())
    }

    /// Reads what Gitea says of a commit now: the newest status of each context.
    pub(crate) async fn said(&self, commit: &str, context: &str) -> anyhow::Result<Option<CommitStatus>> {
        let statuses = self.gitea.statuses(REPOSITORY, commit).await?;
        Ok(statuses.into_iter().find(|status| status.context == context))
    }

    /// Reads everything that was ever said of a commit, newest first.
    pub(crate) async fn history(&self, commit: &str) -> anyhow::Result<Vec<CommitStatus>> {
        self.gitea.statuses(REPOSITORY, commit).await
    }

    /// Waits until the Canary is in this phase, for a run of its own if `commit` is given.
    pub(crate) async fn await_phase(&self, phase: &str, commit: Option<&str>) -> anyhow::Result<Value> {
        let arrived = async || {
            let status = self.status().await?;
            let for_commit = commit.is_none_or(|commit| status["commit"] == commit);
            Ok(status["phase"] == phase && for_commit)
        };
        self.eventually(&format!("phase {phase}"), arrived).await?;
        self.status().await
    }

    /// Waits until Gitea says this of a commit, and gives the description.
    pub(crate) async fn await_said(
        &self,
        commit: &str,
        context: &str,
        state: &str,
    ) -> anyhow::Result<String> {
        let said = async || {
            Ok(self
                .said(commit, context)
                .await?
                .is_some_and(|said| said.state == state))
        };
        self.eventually(&format!("{state} in {context} of {commit}"), said)
            .await?;
        let said = self.said(commit, context).await?.context("a status is gone")?;
        Ok(said.description)
    }

    /// Polls until the probe says yes. A failure shows how far the sidecar came.
    pub(crate) async fn eventually(
        &self,
        what: &str,
        mut probe: impl AsyncFnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let last = match probe().await {
                Ok(true) => return Ok(()),
                Ok(false) => String::new(),
                Err(error) => format!(" (last error: {error:#})"),
            };
            if Instant::now() >= deadline {
                bail!(
                    "not within {} s: {what}{last}\n{}",
                    PATIENCE.as_secs(),
                    self.report().await
                );
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Shows what is, for a failed test.
    pub(crate) async fn report(&self) -> String {
        let status = self.status().await.unwrap_or_default();
        let log = self.lab.log("serin");
        let lines: Vec<_> = log.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(60)..)
            .unwrap_or_default()
            .join("\n");
        format!(
            "status of the canary: {status:#}\nserin was started {} times; its log ends:\n{tail}",
            self.starts.load(Ordering::Relaxed)
        )
    }
}

/// Answers both built-in metrics of both routers: this share of good requests, and a short duration.
pub(crate) fn answers(success_rate: f64) -> impl Fn(&str) -> Answer + Send + Sync + 'static {
    move |query| {
        let names = metric_names(query);
        let counted = [
            "skipper_response_duration_seconds_bucket",
            "http_request_duration_seconds_count",
        ];
        let timed = [
            "skipper_serve_route_duration_seconds_sum",
            "http_request_duration_seconds_bucket",
        ];
        match () {
            () if query.contains("code!=\"404\"") => Answer::Value(1.0),
            () if counted.iter().any(|name| names.contains(name)) => Answer::Value(success_rate),
            () if timed.iter().any(|name| names.contains(name)) => Answer::Value(20.0),
            () => Answer::Error(400, format!("the test knows no metric of `{query}`")),
        }
    }
}

/// Returns the roles and bindings of a file of `deploy/`, for the user that the sidecar is here.
fn rights(deploy: &str) -> anyhow::Result<String> {
    let mut documents = Vec::new();
    let text = std::fs::read_to_string(deploy).with_context(|| format!("{deploy} cannot be read"))?;
    for text in text.split("\n---\n") {
        let mut object: Value =
            serde_saphyr::from_str(text).with_context(|| format!("{deploy} is not YAML"))?;
        if !object["apiVersion"]
            .as_str()
            .is_some_and(|version| version.starts_with("rbac."))
        {
            continue;
        }
        if let Some(subjects) = object.get_mut("subjects") {
            *subjects =
                serde_json::json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": SERIN}]);
        }
        documents.push(object.to_string());
    }
    ensure!(
        documents.len() >= 6,
        "{deploy} has only {} objects of RBAC",
        documents.len()
    );
    Ok(documents.join("\n---\n"))
}

fn serin() -> &'static str {
    env!("CARGO_BIN_EXE_serin")
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// Runs a command and gives what it prints; fails with what it complains of.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let done = command
        .output()
        .with_context(|| format!("{command:?} cannot be run"))?;
    let complaint = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{command:?} failed: {}", complaint.trim());
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}
