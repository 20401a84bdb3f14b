//! The script of a scenario: `scenario.yaml` and the manifests beside it.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use serin::{
    canary::{Defaults, JudgeBy},
    cli::stage::Ancestry,
    rehearsal::{Span, WorldSpec, traffic_world::Health},
    repo::{
        CommitId, Repository,
        verify::{Verifier, VerifyError},
    },
};

use crate::{flux::Deed, play::Played};

/// Paths and contents of a tree.
pub(crate) type Files = BTreeMap<String, String>;

/// `scenario.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Scenario {
    /// What it is called.
    pub(crate) title: String,
    /// What it shows.
    pub(crate) shows: String,
    /// Start from these folders of `fixtures`; the scenario's own `manifests` are laid over them.
    #[serde(default)]
    base: Vec<String>,
    /// The world around the cluster.
    #[serde(default)]
    pub(crate) world: WorldSpec,
    /// What flags say.
    #[serde(default)]
    pub(crate) flags: Flags,
    /// Objects that are not in git, beside the namespace `test`.
    #[serde(default)]
    pub(crate) setup: Vec<Value>,
    /// Files of `fixtures` with such objects.
    #[serde(default)]
    setup_files: Vec<String>,
    /// What happens.
    pub(crate) steps: Vec<Step>,
    /// What must hold, whatever `expected.txt` says.
    #[serde(default)]
    demand: Demand,
    #[serde(skip)]
    pub(crate) files: Files,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Flags {
    mesh_provider: Option<String>,
    drain: Option<Span>,
    no_cross_namespace_refs: bool,
    pub(crate) apply: bool,
    /// `--flux`: commits come as artifacts.
    pub(crate) flux: bool,
    pub(crate) status_unrelated: bool,
    /// `--judge-by`.
    judge_by: Option<String>,
    /// `--require-verified`: the words that a commit's message has if nobody signed it.
    unsigned: Option<String>,
    /// `--on-failure`, to a repository beside the checkout.
    pub(crate) on_failure: Option<String>,
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            mesh_provider: None,
            drain: None,
            no_cross_namespace_refs: false,
            apply: true,
            flux: false,
            status_unrelated: false,
            judge_by: None,
            unsigned: None,
            on_failure: None,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Demand {
    /// Requests lost since the last `count`.
    lost: Option<u64>,
    /// Requests of the sidecar to the API server since the last `count`, at most.
    api_requests: Option<usize>,
}

/// Something that happens.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// The sidecar starts.
    Start,
    /// The sidecar ends as by SIGKILL.
    Kill,
    /// The sidecar ends in good order.
    Stop,
    /// Counts begin anew.
    Count,
    /// A line in the transcript.
    Note(String),
    /// Time passes.
    Sleep(Span),
    /// A commit.
    Commit(Commit),
    /// Time passes until all of this holds.
    Wait(Wait),
    /// `kubectl set image deployment/…`, or what comes to the same by another manager.
    SetImage(SetImage),
    /// `kubectl create` of an object.
    Create(Value),
    /// `kubectl patch --type merge` of an object.
    Patch(Patch),
    /// The same patch again and again.
    Insist(Insist),
    /// `kubectl delete` of an object.
    Delete(Reference),
    /// Prometheus is up, down, hangs or is slow from now on.
    Prometheus(Health),
    /// The gate of the hooks' host opens or closes.
    Gate(Gate),
    /// The forge is up or down from now on; git notes are not affected.
    Forge(Reachable),
    /// Flux does something.
    Flux(Deed),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Reachable {
    Up,
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Gate {
    Open,
    Closed,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Commit {
    pub(crate) message: String,
    /// Files with new content; no content deletes.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, Option<String>>,
    /// Texts that are replaced.
    #[serde(default)]
    pub(crate) replace: Vec<Replace>,
    /// The tree becomes again what it was before the commit with this message.
    #[serde(default)]
    pub(crate) revert: Option<String>,
    /// How it follows from the newest commit.
    #[serde(default)]
    pub(crate) how: How,
    /// The sidecar sees it only together with the next one.
    #[serde(default)]
    pub(crate) unseen: bool,
}

/// How a commit follows from the newest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum How {
    /// It is its child.
    #[default]
    Follow,
    /// It merges a branch that was made from it.
    Merge,
    /// It is pushed over it by force.
    Replace,
    /// The same, and the one that it replaces is gone from the repository.
    ReplaceAndPrune,
}

impl How {
    pub(crate) fn ancestry(self) -> Ancestry {
        match self {
            Self::Follow => Ancestry::Follows,
            Self::Merge => Ancestry::Merges,
            Self::Replace | Self::ReplaceAndPrune => Ancestry::Replaces,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Replace {
    pub(crate) file: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wait {
    /// `namespace/name` of the canary.
    #[serde(default = "podinfo")]
    pub(crate) canary: String,
    #[serde(default)]
    pub(crate) phase: Option<String>,
    #[serde(default)]
    pub(crate) weight: Option<i64>,
    #[serde(default)]
    pub(crate) run: Option<i64>,
    #[serde(default)]
    pub(crate) failed_checks: Option<i64>,
    /// Name of the wait in the status.
    #[serde(default)]
    pub(crate) waits: Option<String>,
    /// State of a commit, by its message.
    #[serde(default)]
    pub(crate) commit: BTreeMap<String, String>,
    /// At most this long.
    #[serde(default = "patience")]
    pub(crate) within: Span,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Reference {
    pub(crate) kind: String,
    #[serde(default = "test")]
    pub(crate) namespace: String,
    pub(crate) name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Patch {
    pub(crate) kind: String,
    #[serde(default = "test")]
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Who does it: a manager of fields.
    #[serde(default = "kubectl")]
    pub(crate) by: String,
    /// It is the status that is patched.
    #[serde(default)]
    pub(crate) status: bool,
    pub(crate) merge: Value,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Insist {
    pub(crate) every: Span,
    #[serde(rename = "for")]
    pub(crate) during: Span,
    pub(crate) patch: Patch,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SetImage {
    pub(crate) deployment: String,
    #[serde(default = "test")]
    pub(crate) namespace: String,
    pub(crate) image: String,
    /// Who does it: a manager of fields.
    #[serde(default = "kubectl_set")]
    pub(crate) by: String,
}

fn kubectl_set() -> String {
    "kubectl-set".to_owned()
}

fn podinfo() -> String {
    "test/podinfo".to_owned()
}

fn test() -> String {
    "test".to_owned()
}

fn kubectl() -> String {
    "kubectl-patch".to_owned()
}

fn patience() -> Span {
    Span(Duration::from_secs(300))
}

/// Knows who signed by what a message says.
#[derive(Debug)]
struct BySubject(String);

impl Verifier for BySubject {
    fn verify(&self, repository: &dyn Repository, id: &CommitId) -> Result<Option<String>, VerifyError> {
        let subject = repository.history(id, 1)?.remove(0).subject;
        Ok(subject.contains(&self.0).then(|| "it is not signed".to_owned()))
    }
}

impl Flags {
    pub(crate) fn require_verified(&self) -> Option<Arc<dyn Verifier>> {
        let unsigned = self.unsigned.clone()?;
        Some(Arc::new(BySubject(unsigned)))
    }
}

impl Scenario {
    /// Reads a folder.
    pub(crate) fn read(folder: &Path) -> Self {
        let file = folder.join("scenario.yaml");
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut scenario: Self =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        for base in &scenario.base {
            scenario
                .files
                .extend(tree(&fixtures.join(base), &format!("apps/{base}/")));
        }
        scenario.files.extend(tree(&folder.join("manifests"), ""));
        let mut setup = vec![json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "test"}})];
        for file in &scenario.setup_files {
            if file.ends_with("ingress.yaml") {
                scenario.files.remove(&format!("apps/{file}"));
            }
            let text = fs::read_to_string(fixtures.join(file)).unwrap();
            setup.push(serde_saphyr::from_str(&text).unwrap());
        }
        setup.append(&mut scenario.setup);
        scenario.setup = setup;
        scenario
    }

    pub(crate) fn defaults(&self) -> Defaults {
        let mut defaults = Defaults::default();
        if let Some(provider) = &self.flags.mesh_provider {
            defaults.mesh_provider.clone_from(provider);
        }
        if let Some(drain) = self.flags.drain {
            defaults.drain = drain.0;
        }
        if self.flags.judge_by.as_deref() == Some("promoted") {
            defaults.judge_by = JudgeBy::Promoted;
        }
        defaults.no_cross_namespace_refs = self.flags.no_cross_namespace_refs;
        defaults
    }

    /// Holds what happened against the demands.
    pub(crate) fn check(&self, played: &Played) {
        if let Some(lost) = self.demand.lost {
            assert_eq!(played.lost, lost, "requests lost; {}", self.title);
        }
        if let Some(limit) = self.demand.api_requests {
            let made = played.api_requests;
            assert!(
                made <= limit,
                "{made} API requests, more than {limit}; {}",
                self.title
            );
        }
    }
}

fn tree(folder: &Path, prefix: &str) -> Files {
    let mut files = Files::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return files;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            files.extend(tree(&path, &format!("{name}/")));
        } else {
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    files
}
