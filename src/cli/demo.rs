//! `serin demo`: the real sidecar on the embedded cluster. A good commit goes green, a bad one red.

mod screen;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, time::Duration};

use serde_json::json;

use super::{
    Failure, Output,
    stage::{self, Stage, StageOptions},
};
use crate::{
    canary::{Defaults, Phase, Status},
    clock::Clock,
    manifest::Resource,
    rehearsal::WorldSpec,
    report::{CommitState, CommitStatus},
};
use screen::Screen;

const WORLD: &str = "
ingressClass: skipper
routerLag: 500ms
step: 250ms
cluster:
  start: 1s
clients:
- rate: 40
  host: app.example.com
answers:
- image: '*/podinfo:6.0.2'
  errors: 0.2
";

/// The manifests of `fixtures/podinfo`, as a user would have them in git.
const MANIFESTS: [(&str, &str); 4] = [
    (
        "apps/podinfo/canary.yaml",
        include_str!("../../fixtures/podinfo/canary.yaml"),
    ),
    (
        "apps/podinfo/config.yaml",
        include_str!("../../fixtures/podinfo/config.yaml"),
    ),
    (
        "apps/podinfo/deployment.yaml",
        include_str!("../../fixtures/podinfo/deployment.yaml"),
    ),
    (
        "apps/podinfo/metric-template.yaml",
        include_str!("../../fixtures/podinfo/metric-template.yaml"),
    ),
];
const INGRESS: &str = include_str!("../../fixtures/podinfo/ingress.yaml");
const DEPLOYMENT: &str = "apps/podinfo/deployment.yaml";

/// Longer than any scene takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(90);
const CONTEXT: &str = "serin/test/podinfo";

pub(super) fn run(args: &super::args::DemoArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let scratch = tempfile::Builder::new().prefix("serin-demo-").tempdir();
    let scratch = scratch
        .map_err(|error| Failure::user(format!("no place for the repository: {error}"), "set TMPDIR"))?;
    let repository = args
        .keep
        .clone()
        .unwrap_or_else(|| scratch.path().join("repository"));
    prepare(&repository)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::bug(error.to_string()))?;
    let played = runtime.block_on(async {
        tokio::select! {
            played = play(repository, args.keep.is_some(), output) => Some(played),
            () = super::run::interrupted() => None,
        }
    });
    // Not sooner: the scratch folder goes away by itself, also after Ctrl-C.
    played.unwrap_or_else(|| Ok(ExitCode::from(130)))
}

/// The folder must be new or empty: nothing of the user's is ever overwritten.
fn prepare(folder: &PathBuf) -> Result<(), Failure> {
    let refuse = |why: String| {
        Failure::user(
            format!("cannot use {} for the repository: {why}", folder.display()),
            "give a new or empty folder to --keep",
        )
    };
    std::fs::create_dir_all(folder).map_err(|error| refuse(error.to_string()))?;
    let mut entries = std::fs::read_dir(folder).map_err(|error| refuse(error.to_string()))?;
    if entries.next().is_some() {
        return Err(refuse("it is not empty".to_owned()));
    }
    Ok(())
}

async fn play(repository: PathBuf, kept: bool, output: &mut Output) -> Result<ExitCode, Failure> {
    let clock = Clock::system();
    let world = WorldSpec::parse(WORLD).map_err(|error| Failure::bug(error.to_string()))?;
    let defaults = Defaults {
        metrics_server: stage::PROMETHEUS.to_owned(),
        drain: Duration::from_secs(1),
        ..Defaults::default()
    };
    let options = StageOptions {
        apply: true,
        flux: None,
        status_unrelated: false,
        on_failure: None,
        verifier: None,
        forges: Vec::new(),
        hosts: BTreeMap::new(),
        repository: repository.clone(),
        world,
        clock,
        defaults,
    };
    let mut stage = Stage::set(options).map_err(Failure::bug)?;
    let mut screen = Screen::new(output, clock);
    screen.intro(kept.then_some(&repository));
    surroundings(&stage)?;
    let first = files("6.0.0");
    let baseline = commit(&stage, "Add podinfo 6.0.0", first).await?;
    stage.start().map_err(Failure::bug)?;
    let title = "Serin takes over podinfo";
    screen.scene(title, &baseline, "Add podinfo 6.0.0", &stage.world.totals());
    let phase = follow(&stage, &mut screen, &baseline, &[Phase::Initialized]).await;
    if phase != Some(Phase::Initialized) {
        return Err(Failure::bug(
            "podinfo was not initialized in time; run again with --log-level debug",
        ));
    }
    let before = stage.world.totals();
    let mut ends = Vec::new();
    for (title, version, wanted) in [
        ("A good commit", "6.0.1", CommitState::Success),
        (
            "A bad commit: one request in five fails",
            "6.0.2",
            CommitState::Failure,
        ),
    ] {
        let message = format!("Update podinfo to {version}");
        let id = commit(&stage, &message, files(version)).await?;
        screen.scene(title, &id, &message, &stage.world.totals());
        follow(&stage, &mut screen, &id, &[Phase::Succeeded, Phase::Failed]).await;
        ends.push(End {
            message,
            wanted,
            status: said(&stage, &id).await,
            id,
        });
    }
    let totals = stage.world.totals().since(&before);
    stage.stop().await;
    let good = ends.iter().all(End::is_as_wanted);
    screen.summary(&ends, &totals, kept.then_some(&repository));
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// How a commit of the demo ended.
struct End {
    id: String,
    message: String,
    wanted: CommitState,
    status: Option<CommitStatus>,
}

impl End {
    fn is_as_wanted(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|status| status.state == self.wanted)
    }
}

/// What Serin does not bring: the namespace, and the Ingress that clients come through.
fn surroundings(stage: &Stage) -> Result<(), Failure> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "test"}});
    let ingress = serde_saphyr::from_str(INGRESS).map_err(|error| Failure::bug(error.to_string()))?;
    for object in [namespace, ingress] {
        stage::create(&stage.cluster, object).map_err(Failure::bug)?;
    }
    Ok(())
}

/// The manifests with this version, at the pace of a demo.
fn files(version: &str) -> Vec<(String, Option<String>)> {
    let paced = |text: &str| {
        text.replace(
            "    interval: 10s\n    threshold",
            "    interval: 3s\n    threshold",
        )
        .replace("      interval: 10s", "      interval: 5s")
    };
    let versioned = |path: &str, text: &str| match path {
        DEPLOYMENT => text.replace("podinfo:6.0.0", &format!("podinfo:{version}")),
        _ => paced(text),
    };
    MANIFESTS
        .iter()
        .map(|(path, text)| ((*path).to_owned(), Some(versioned(path, text))))
        .collect()
}

async fn commit(
    stage: &Stage,
    message: &str,
    files: Vec<(String, Option<String>)>,
) -> Result<String, Failure> {
    stage.commit(message, files).await.map_err(Failure::bug)
}

/// Shows what happens until the canary is in one of these phases and the commit has its last word.
async fn follow(stage: &Stage, screen: &mut Screen<'_>, commit: &str, until: &[Phase]) -> Option<Phase> {
    let waiting = tokio::time::Instant::now() + PATIENCE;
    let began = status(stage)
        .and_then(|status| status.run)
        .map_or(0, |run| run.counter);
    while tokio::time::Instant::now() < waiting {
        let commit_status = said(stage, commit).await;
        let said = commit_status
            .as_ref()
            .is_some_and(|status| status.state.is_terminal());
        let now = status(stage);
        screen.show(now.as_ref(), commit_status.as_ref());
        screen.tick(now.as_ref(), &stage.world.totals());
        if let Some(status) = now {
            let ran = status.phase == Phase::Initialized
                || status.run.as_ref().is_some_and(|run| run.counter > began);
            if ran && said && until.contains(&status.phase) {
                return Some(status.phase);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    None
}

fn status(stage: &Stage) -> Option<Status> {
    let object = stage.object(Resource::CANARY, "test", "podinfo")?;
    serde_json::from_value(object.at("/status")?.clone()).ok()
}

async fn said(stage: &Stage, commit: &str) -> Option<CommitStatus> {
    let statuses = stage.statuses(commit).await.ok()?;
    statuses.into_iter().find(|status| status.context == CONTEXT)
}
