//! What Flux's own objects say: which artifact a source has, which revision its Kustomizations have attempted,
//! and what that means for a commit that waits to become live. Pure over live objects.

mod release;
mod signature;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    manifest::{Object, ObjectKey, Resource},
    repo::{CommitId, Download, Revision},
};

pub use release::Release;
pub use signature::Signature;

/// Longest message of Flux that is passed on, in characters.
const MESSAGE: usize = 200;
/// Where an OCI artifact says which commit it was made from.
const ORIGIN: &str = "/status/artifact/metadata/org.opencontainers.image.revision";
/// Where an OCI artifact says which repository it was made from.
const SOURCE: &str = "/status/artifact/metadata/org.opencontainers.image.source";

/// A GitRepository or an OCIRepository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FluxSource {
    /// Its key.
    pub key: ObjectKey,
    /// Address of the repository that it is made from, if it says.
    pub repository: Option<String>,
    /// Flux does not fetch it.
    pub suspended: bool,
    /// What it has now.
    pub artifact: Option<FluxArtifact>,
    /// Why Flux cannot fetch it.
    pub trouble: Option<String>,
    /// What Flux found of the signature of the artifact.
    pub signature: Signature,
    /// The commit that Flux makes no artifact of because of its signature, and why.
    pub turned_down: Option<(CommitId, String)>,
}

/// The artifact of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FluxArtifact {
    /// Its revision as Flux writes it.
    pub named: String,
    /// The commit that it was made from; none if it does not say.
    pub revision: Option<Revision>,
    /// Where it is.
    pub download: Download,
}

impl FluxSource {
    /// Reads a live source.
    #[must_use]
    pub fn read(object: &Object) -> Self {
        let artifact = artifact(object);
        Self {
            key: object.key(),
            repository: repository(object),
            suspended: is_suspended(object),
            signature: signature::of(object, artifact.as_ref()),
            turned_down: signature::turned_down(object, artifact.as_ref()),
            artifact,
            trouble: Condition::ready(object)
                .filter(Condition::is_fault)
                .map(|ready| ready.text()),
        }
    }
}

/// A GitRepository names it; an OCI artifact says where it came from.
fn repository(object: &Object) -> Option<String> {
    let url = match object.str_at("/kind") {
        "OCIRepository" => object.str_at(SOURCE),
        _ => object.str_at("/spec/url"),
    };
    Some(url.to_owned()).filter(|url| !url.is_empty())
}

fn artifact(object: &Object) -> Option<FluxArtifact> {
    let at = |field: &str| object.str_at(&format!("/status/artifact/{field}"));
    let named = Some(at("revision")).filter(|named| !named.is_empty())?;
    Some(FluxArtifact {
        named: named.to_owned(),
        revision: origin(object, named),
        download: Download {
            url: at("url").to_owned(),
            digest: at("digest").to_owned(),
        },
    })
}

/// The commit is in the revision of a GitRepository; an OCI artifact says where it came from.
fn origin(object: &Object, named: &str) -> Option<Revision> {
    let text = match object.str_at("/kind") {
        "OCIRepository" => object.str_at(ORIGIN),
        _ => named,
    };
    let mut revision: Revision = text.parse().ok()?;
    if let Some(branch) = revision.branch.strip_prefix("refs/heads/") {
        revision.branch = branch.to_owned();
    }
    if revision.branch.is_empty() {
        "HEAD".clone_into(&mut revision.branch);
    }
    Some(revision)
}

/// A Kustomization, as far as it tells what it has applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applier {
    /// Its key.
    pub key: ObjectKey,
    suspended: bool,
    attempted: String,
    applied: String,
    ready: Option<Condition>,
    /// Flux is at it: what Ready says may be of the revision before.
    at_work: bool,
    /// Namespace, name, group and kind of what it applied last.
    inventory: BTreeSet<(String, String, String, String)>,
}

impl Applier {
    /// Reads a live Kustomization, if it uses this source.
    #[must_use]
    pub fn of(object: &Object, source: &ObjectKey) -> Option<Self> {
        let reference = |field: &str| object.str_at(&format!("/spec/sourceRef/{field}"));
        let namespace = match reference("namespace") {
            "" => object.namespace(),
            other => other,
        };
        let uses = reference("kind") == source.kind
            && reference("name") == source.name
            && namespace == source.namespace;
        uses.then(|| Self {
            key: object.key(),
            suspended: is_suspended(object),
            attempted: object.str_at("/status/lastAttemptedRevision").to_owned(),
            applied: object.str_at("/status/lastAppliedRevision").to_owned(),
            ready: Condition::ready(object),
            at_work: Condition::find(object, "Reconciling")
                .is_some_and(|condition| condition.status == "True" && condition.reason == "Progressing"),
            inventory: inventory(object),
        })
    }

    /// The revisions that it names.
    pub fn revisions(&self) -> impl Iterator<Item = String> {
        let named = [&self.attempted, &self.applied].map(String::clone);
        named.into_iter().filter(|named| !named.is_empty())
    }

    fn owns(&self, key: &ObjectKey) -> bool {
        let id = [&key.namespace, &key.name, &key.group, &key.kind].map(String::clone);
        let [namespace, name, group, kind] = id;
        self.inventory.contains(&(namespace, name, group, kind))
    }

    /// Says what this Kustomization means for a commit, given which revisions have the commit in them.
    fn word(&self, source: &FluxSource, contains: &dyn Fn(&str) -> bool) -> Word {
        let tried = !self.attempted.is_empty() && contains(&self.attempted);
        let fault = self.ready.as_ref().filter(|ready| ready.is_fault());
        match fault {
            _ if !self.applied.is_empty() && contains(&self.applied) => Word::Applied,
            _ if tried && self.at_work => Word::Attempted,
            Some(fault) if tried && fault.is_after_apply() => Word::Applied,
            Some(fault) if tried => Word::Failed(format!("{}: {}", self.key, fault.text())),
            None if tried => Word::Attempted,
            _ if source.suspended => Word::Suspended(source.key.clone()),
            _ if self.suspended => Word::Suspended(self.key.clone()),
            // It has not tried this revision; what keeps it from trying is worth telling.
            Some(fault) => Word::Waiting(Some(format!("{}: {}", self.key, fault.text()))),
            None => match &self.ready {
                Some(ready) if ready.reason == "DependencyNotReady" => {
                    Word::Waiting(Some(format!("{}: {}", self.key, ready.message)))
                }
                _ => Word::Waiting(None),
            },
        }
    }
}

/// What Flux says of a commit that waits to become live. In the order of how much it holds back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// It is applied: what is live is what Flux made of it.
    Applied,
    /// It is being applied.
    Attempted,
    /// Flux has not come to it; with a reason, if it gives one.
    Waiting(Option<String>),
    /// Flux was told to stand still.
    Suspended(ObjectKey),
    /// Flux cannot apply it.
    Failed(String),
}

/// Says what Flux means for a commit of a canary. The Kustomizations that applied the Canary, its target or the
/// HelmRelease of the target before answer; if none did, all that use the source.
#[must_use]
pub fn word(
    source: &FluxSource,
    appliers: &[Applier],
    target: &ObjectKey,
    canary: &ObjectKey,
    release: Option<&Release>,
    contains: &dyn Fn(&str) -> bool,
) -> Word {
    let brings = |applier: &Applier| release.is_some_and(|release| applier.owns(&release.key));
    let owners: Vec<&Applier> = appliers
        .iter()
        .filter(|applier| applier.owns(target) || applier.owns(canary) || brings(applier))
        .collect();
    let asked = if owners.is_empty() {
        appliers.iter().collect()
    } else {
        owners
    };
    let fetched = source
        .artifact
        .as_ref()
        .is_some_and(|artifact| contains(&artifact.named));
    let answers = asked.iter().map(|applier| applier.word(source, contains));
    match answers.max() {
        Some(Word::Waiting(None)) if !fetched => Word::Waiting(
            source
                .trouble
                .clone()
                .map(|trouble| format!("{}: {trouble}", source.key)),
        ),
        // The target comes by another way, such as a HelmRelease that was applied.
        Some(Word::Applied) if !asked.iter().any(|applier| applier.owns(target)) => match release {
            Some(release) if asked.iter().any(|applier| brings(applier)) => release.word(),
            _ => Word::Attempted,
        },
        Some(word) => word,
        None if source.suspended => Word::Suspended(source.key.clone()),
        None => Word::Waiting(Some(format!("no Kustomization uses {}", source.key))),
    }
}

/// A condition of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    status: String,
    reason: String,
    message: String,
}

impl Condition {
    fn ready(object: &Object) -> Option<Self> {
        Self::find(object, "Ready")
    }

    fn find(object: &Object, kind: &str) -> Option<Self> {
        let conditions = object.value().pointer("/status/conditions")?.as_array()?;
        let text = |condition: &Value, field: &str| {
            let text = condition.get(field).and_then(Value::as_str).unwrap_or_default();
            text.to_owned()
        };
        let found = conditions
            .iter()
            .find(|condition| text(condition, "type") == kind)?;
        Some(Self {
            status: text(found, "status"),
            reason: text(found, "reason"),
            message: text(found, "message"),
        })
    }

    /// Not ready, and not because it is still at work or waits for another one.
    fn is_fault(&self) -> bool {
        let at_work = [
            "Progressing",
            "ProgressingWithRetry",
            "DependencyNotReady",
            "Suspended",
        ];
        self.status == "False" && !at_work.contains(&self.reason.as_str())
    }

    /// What went wrong came after the objects were applied: they are live.
    fn is_after_apply(&self) -> bool {
        ["HealthCheckFailed", "HealthCheckCanceled", "PruneFailed"].contains(&self.reason.as_str())
    }

    fn text(&self) -> String {
        let message = self.message.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{}: {message}", self.reason)
            .chars()
            .take(MESSAGE)
            .collect()
    }
}

/// Whether Flux was told to leave an object alone.
#[must_use]
pub fn is_suspended(object: &Object) -> bool {
    object.value().pointer("/spec/suspend") == Some(&Value::Bool(true))
}

/// The objects that a Kustomization applied last: `<namespace>_<name>_<group>_<kind>`.
pub(super) fn inventory(object: &Object) -> BTreeSet<(String, String, String, String)> {
    let entries = object
        .value()
        .pointer("/status/inventory/entries")
        .and_then(Value::as_array);
    let ids = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.get("id")?.as_str());
    ids.filter_map(|id| {
        let mut parts = id.splitn(4, '_').map(str::to_owned);
        Some((parts.next()?, parts.next()?, parts.next()?, parts.next()?))
    })
    .collect()
}

/// The resources that Flux's sources and Kustomizations are.
#[must_use]
pub fn source_resource(kind: &str) -> Option<Resource> {
    [Resource::GIT_REPOSITORY, Resource::OCI_REPOSITORY]
        .into_iter()
        .find(|resource| resource.kind == kind)
}

#[cfg(test)]
#[expect(
    clippy::needless_pass_by_value,
    reason = "json! reads better as an argument without a reference"
)]
mod tests {
    use serde_json::json;

    use super::*;

    const A: &str = "main@sha1:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "main@sha1:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn git(spec: Value, revision: &str) -> Object {
        Object::from(
            json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "fleet", "namespace": "flux-system"}, "spec": spec,
            "status": {"artifact": {"revision": revision, "url": "http://s/a.tar.gz", "digest": "sha256:1"}}}),
        )
    }

    fn kustomization(name: &str, status: Value, suspend: bool) -> Object {
        Object::from(
            json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": name, "namespace": "flux-system"},
            "spec": {"suspend": suspend, "sourceRef": {"kind": "GitRepository", "name": "fleet"}},
            "status": status}),
        )
    }

    fn ready(status: &str, reason: &str, message: &str) -> Value {
        json!([{"type": "Ready", "status": status, "reason": reason, "message": message}])
    }

    fn inventory() -> Value {
        json!({"entries": [{"id": "test_podinfo_apps_Deployment", "v": "v1"}]})
    }

    fn said(source: &Object, kustomizations: &[Object]) -> Word {
        let source = FluxSource::read(source);
        let appliers: Vec<Applier> = kustomizations
            .iter()
            .filter_map(|object| Applier::of(object, &source.key))
            .collect();
        let target = ObjectKey::new(Resource::DEPLOYMENT, "test", "podinfo");
        let canary = ObjectKey::new(Resource::CANARY, "test", "podinfo");
        word(&source, &appliers, &target, &canary, None, &|named| named == B)
    }

    #[test]
    fn a_helm_release_answers_once_it_is_applied() {
        let release = |observed: i64| {
            let ready = json!([{"type": "Ready", "status": "True", "reason": "UpgradeSucceeded"}]);
            let object = json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
                "metadata": {"name": "shop", "namespace": "test", "generation": 2},
                "status": {"observedGeneration": observed, "conditions": ready}});
            Release::read(&Object::from(object), true)
        };
        let source = FluxSource::read(&git(json!({}), B));
        let entries =
            |kind: &str| json!({"entries": [{"id": format!("test_shop_helm.toolkit.fluxcd.io_{kind}")}]});
        let at = |revision: &str, inventory: Value, release: Option<&Release>| {
            let status = json!({"lastAttemptedRevision": revision, "lastAppliedRevision": revision,
                "inventory": inventory});
            let appliers = [Applier::of(&kustomization("apps", status, false), &source.key).unwrap()];
            let target = ObjectKey::new(Resource::DEPLOYMENT, "test", "podinfo");
            let canary = ObjectKey::new(Resource::CANARY, "test", "podinfo");
            word(&source, &appliers, &target, &canary, release, &|named| named == B)
        };
        let ours = || entries("HelmRelease");
        assert_eq!(at(B, ours(), Some(&release(2))), Word::Applied);
        assert_eq!(at(B, ours(), Some(&release(1))), Word::Attempted);
        assert_eq!(
            at(A, ours(), Some(&release(2))),
            Word::Waiting(None),
            "it is of the commit before"
        );
        assert_eq!(at(B, ours(), None), Word::Attempted);
        let other = entries("HelmRepository");
        assert_eq!(
            at(B, other, Some(&release(2))),
            Word::Attempted,
            "nobody knows who applied it"
        );
    }

    #[test]
    fn a_commit_is_applied_when_its_revision_was() {
        let source = git(json!({}), B);
        let at = |attempted: &str, applied: &str, conditions: Value| {
            let status = json!({"lastAttemptedRevision": attempted, "lastAppliedRevision": applied,
                "conditions": conditions, "inventory": inventory()});
            said(&source, &[kustomization("apps", status, false)])
        };
        assert_eq!(
            at(A, A, ready("True", "ReconciliationSucceeded", "")),
            Word::Waiting(None)
        );
        assert_eq!(at(B, A, ready("Unknown", "Progressing", "")), Word::Attempted);
        assert_eq!(
            at(B, B, ready("True", "ReconciliationSucceeded", "")),
            Word::Applied
        );
        let unhealthy = ready(
            "False",
            "HealthCheckFailed",
            "timeout waiting for: [Deployment/test/podinfo]",
        );
        assert_eq!(at(B, A, unhealthy), Word::Applied, "lastApplied waits for health");
        let failed = at(
            B,
            A,
            ready("False", "BuildFailed", "kustomize build failed:\n  no such\tfile"),
        );
        let text = "Kustomization/flux-system/apps: BuildFailed: kustomize build failed: no such file";
        assert_eq!(failed, Word::Failed(text.to_owned()));
        let mut begun = ready("False", "BuildFailed", "of the revision before");
        begun
            .as_array_mut()
            .unwrap()
            .push(json!({"type": "Reconciling", "status": "True", "reason": "Progressing"}));
        assert_eq!(
            at(B, A, begun),
            Word::Attempted,
            "Ready is not of this revision yet"
        );
    }

    #[test]
    fn what_keeps_flux_from_a_revision_is_told() {
        let status = |reason: &str, message: &str| json!({"lastAttemptedRevision": A, "lastAppliedRevision": A, "conditions": ready("False", reason, message)});
        let of = |status: Value| said(&git(json!({}), B), &[kustomization("apps", status, false)]);
        let text = |text: &str| Word::Waiting(Some(format!("Kustomization/flux-system/apps: {text}")));
        let dependency = of(status(
            "DependencyNotReady",
            "dependency 'flux-system/infra' is not ready",
        ));
        assert_eq!(dependency, text("dependency 'flux-system/infra' is not ready"));
        assert_eq!(
            of(status("BuildFailed", "old")),
            text("BuildFailed: old"),
            "of an older revision: no error"
        );
        let mut broken = git(json!({}), A).value().clone();
        broken["status"]["conditions"] = ready("False", "GitOperationFailed", "authentication required");
        let word = said(&Object::from(broken), &[kustomization("apps", json!({}), false)]);
        let trouble = "GitRepository/flux-system/fleet: GitOperationFailed: authentication required";
        assert_eq!(word, Word::Waiting(Some(trouble.to_owned())));
    }

    #[test]
    fn suspension_is_told_until_the_revision_is_attempted() {
        let key = |kind: Resource, name: &str| ObjectKey::new(kind, "flux-system", name);
        let behind = json!({"lastAttemptedRevision": A});
        let suspended = kustomization("apps", behind.clone(), true);
        let word = said(&git(json!({}), B), &[suspended]);
        assert_eq!(word, Word::Suspended(key(Resource::KUSTOMIZATION, "apps")));
        let word = said(
            &git(json!({"suspend": true}), A),
            &[kustomization("apps", behind, false)],
        );
        assert_eq!(word, Word::Suspended(key(Resource::GIT_REPOSITORY, "fleet")));
        let done = json!({"lastAttemptedRevision": B, "lastAppliedRevision": B, "inventory": inventory()});
        assert_eq!(
            said(&git(json!({}), B), &[kustomization("apps", done, true)]),
            Word::Applied
        );
    }

    #[test]
    fn the_kustomization_that_owns_the_target_answers() {
        let owner = json!({"lastAttemptedRevision": B, "lastAppliedRevision": B,
            "inventory": inventory()});
        let other = json!({"lastAttemptedRevision": A});
        let all = [
            kustomization("apps", owner, false),
            kustomization("infra", other, false),
        ];
        assert_eq!(said(&git(json!({}), B), &all), Word::Applied);
        assert_eq!(said(&git(json!({}), B), &all[1..]), Word::Waiting(None));
        let by_helm = kustomization(
            "apps",
            json!({"lastAttemptedRevision": B, "lastAppliedRevision": B}),
            false,
        );
        assert_eq!(
            said(&git(json!({}), B), &[by_helm]),
            Word::Attempted,
            "the target is not its own"
        );
        let none = said(&git(json!({}), B), &[]);
        assert!(matches!(none, Word::Waiting(Some(text)) if text.contains("no Kustomization uses")));
    }

    #[test]
    fn only_kustomizations_of_the_source_count() {
        let source = ObjectKey::new(Resource::GIT_REPOSITORY, "flux-system", "fleet");
        let mut other = kustomization("apps", json!({}), false).value().clone();
        assert!(Applier::of(&Object::from(other.clone()), &source).is_some());
        other["spec"]["sourceRef"]["namespace"] = json!("team");
        assert!(Applier::of(&Object::from(other.clone()), &source).is_none());
        other["spec"]["sourceRef"] = json!({"kind": "OCIRepository", "name": "fleet"});
        assert!(Applier::of(&Object::from(other), &source).is_none());
    }

    #[test]
    fn the_commit_is_that_of_git_wherever_the_artifact_comes_from() {
        let commit = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let of = |named: &str| {
            let read = FluxSource::read(&git(json!({}), named)).artifact.unwrap();
            read.revision
                .map(|revision| (revision.branch, revision.id.to_string()))
        };
        for (named, branch) in [
            (format!("main@sha1:{commit}"), "main"),
            (format!("refs/heads/feature/x@sha1:{commit}"), "feature/x"),
            (format!("v1.0@sha1:{commit}"), "v1.0"),
            (format!("sha1:{commit}"), "HEAD"),
            (format!("main/{commit}"), "main"),
        ] {
            assert_eq!(
                of(&named),
                Some((branch.to_owned(), commit.to_owned())),
                "{named}"
            );
        }
        assert_eq!(of("main@md5:0"), None);
        let oci = |origin: &str| {
            let metadata = json!({"org.opencontainers.image.revision": origin});
            let object = json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository",
                "metadata": {"name": "fleet", "namespace": "flux-system"}, "status": {"artifact": {
                "revision": format!("latest@sha256:{}", "0".repeat(64)), "metadata": metadata}}});
            FluxSource::read(&Object::from(object)).artifact.unwrap().revision
        };
        for origin in [
            format!("main@sha1:{commit}"),
            format!("main/{commit}"),
            commit.to_owned(),
        ] {
            assert_eq!(oci(&origin).unwrap().id.as_str(), commit, "{origin}");
        }
        assert_eq!(oci(""), None, "the digest of an image is no commit");
    }
}
