//! What Flux says of signatures: the condition SourceVerified, matched to the commit that it speaks of. It stands in
//! the status of the source before and after the artifact changes, so it may be about another commit.

use serde_json::Value;

use super::{Condition, FluxArtifact};
use crate::{
    manifest::{Object, Resource},
    repo::CommitId,
};

/// How a condition that is true names a commit, in a line of its own.
const NAMES_COMMIT: &str = "- commit '";
/// How it names a tag.
const NAMES_TAG: &str = "- tag '";
/// How a condition that is false names a commit.
const TURNS_DOWN: &str = "signature verification of commit '";
/// How the condition of an OCIRepository names the revision.
const NAMES_REVISION: &str = "verified signature of revision ";

/// What Flux found of the signature of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Flux verified it.
    Verified,
    /// Flux looked, and it is not; says why.
    Bad(String),
    /// Flux does not say, or speaks of another commit; says what it does say.
    Unknown(String),
}

/// Says what Flux found of the signature of the artifact that a source has now.
pub(super) fn of(object: &Object, artifact: Option<&FluxArtifact>) -> Signature {
    let key = object.key();
    if object.at("/spec/verify").is_none_or(Value::is_null) {
        return Signature::Unknown(format!("{key} has no spec.verify, so Flux verifies nothing"));
    }
    if includes(object) {
        return Signature::Bad(format!(
            "{key} includes other repositories (spec.include), which its signature does not cover"
        ));
    }
    let Some(condition) = Condition::find(object, "SourceVerified") else {
        return Signature::Unknown("Flux has not verified it yet".to_owned());
    };
    let about = artifact.is_some_and(|artifact| is_about(object, &condition, artifact));
    match condition.status.as_str() {
        "True" if !is_current(object) => {
            Signature::Unknown(format!("Flux has not seen the newest spec of {key} yet"))
        }
        "True" if about => Signature::Verified,
        "False" if about => Signature::Bad(why(&condition)),
        "False" => Signature::Unknown(why(&condition)),
        _ => Signature::Unknown("what Flux verified is another commit".to_owned()),
    }
}

/// Returns the commit that Flux makes no artifact of because of its signature, and why.
pub(super) fn turned_down(object: &Object, artifact: Option<&FluxArtifact>) -> Option<(CommitId, String)> {
    let condition =
        Condition::find(object, "SourceVerified").filter(|condition| condition.status == "False")?;
    let commit: CommitId = quoted(&condition.message, TURNS_DOWN)?.parse().ok()?;
    let has = artifact.and_then(|artifact| artifact.revision.as_ref());
    has.is_none_or(|has| has.id != commit)
        .then(|| (commit, why(&condition)))
}

/// Whether source-controller has worked with the spec as it is now. The generation of the condition alone tells too
/// little: a change of the interval verifies nothing anew.
fn is_current(object: &Object) -> bool {
    let conditions = object.at("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    let verified = conditions.find(|condition| condition["type"] == "SourceVerified");
    let of_condition = verified.and_then(|condition| condition["observedGeneration"].as_i64());
    let newest = Some(object.generation());
    object.i64_at("/status/observedGeneration") == newest || of_condition == newest
}

fn includes(object: &Object) -> bool {
    let included = object.at("/spec/include").and_then(Value::as_array);
    included.is_some_and(|included| !included.is_empty())
}

/// Whether a condition is about what is in the artifact.
fn is_about(object: &Object, condition: &Condition, artifact: &FluxArtifact) -> bool {
    let message = condition.message.as_str();
    if object.str_at("/kind") == Resource::OCI_REPOSITORY.kind {
        return message.strip_prefix(NAMES_REVISION) == Some(artifact.named.as_str());
    }
    let Some(revision) = &artifact.revision else {
        return false;
    };
    let is_it = |named: &str| named == revision.id.as_str();
    if let Some(commit) = quoted(message, TURNS_DOWN) {
        return is_it(commit);
    }
    let line = |names: &str| message.lines().find_map(|line| quoted(line.trim(), names));
    match (line(NAMES_COMMIT), line(NAMES_TAG)) {
        (Some(commit), _) => is_it(commit),
        // Only the tag is signed. It answers for its commit once that is what the artifact was made from.
        (None, Some(tag)) => {
            let name = tag.rsplit_once('@').map_or(tag, |(name, _)| name);
            let outdated = Condition::find(object, "ArtifactOutdated");
            let is_newest = outdated.is_none_or(|outdated| outdated.status != "True");
            condition.status == "True" && is_newest && name == bare(&revision.branch)
        }
        (None, None) => false,
    }
}

fn bare(reference: &str) -> &str {
    reference.strip_prefix("refs/tags/").unwrap_or(reference)
}

/// Returns what stands in quotes after a text that a line begins with.
fn quoted<'a>(line: &'a str, begins: &str) -> Option<&'a str> {
    line.strip_prefix(begins)?.split('\'').next()
}

/// Flux's reason and message, without what the reader knows: which commit it is.
fn why(condition: &Condition) -> String {
    let rest = quoted(&condition.message, TURNS_DOWN)
        .and_then(|_| condition.message.split_once("' failed: "))
        .map_or(condition.message.as_str(), |(_, rest)| rest);
    let short = Condition {
        message: rest.to_owned(),
        ..condition.clone()
    };
    format!("Flux says {}", short.text())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::flux::FluxSource;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn verified(commit: &str) -> Value {
        json!({"type": "SourceVerified", "status": "True", "reason": "Succeeded", "observedGeneration": 2,
            "message": format!("verified signature of\n\t- commit '{commit}' with key '0B5E'")})
    }

    fn failed(commit: &str) -> Value {
        json!({"type": "SourceVerified", "status": "False", "reason": "InvalidCommitSignature",
            "observedGeneration": 2, "message": format!("signature verification of commit '{commit}' failed: unable to \
            verify Git commit: unable to verify payload as the provided signature is empty")})
    }

    /// A GitRepository whose artifact is of commit A.
    fn git(conditions: &[Value]) -> Value {
        json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "fleet", "namespace": "flux-system", "generation": 2},
            "spec": {"verify": {"mode": "HEAD", "secretRef": {"name": "keys"}}},
            "status": {"observedGeneration": 2, "conditions": conditions,
                "artifact": {"revision": format!("main@sha1:{A}")}}})
    }

    fn said(object: &Value) -> Signature {
        FluxSource::read(&Object::from(object.clone())).signature
    }

    fn turned_down(object: &Value) -> Option<(String, String)> {
        let read = FluxSource::read(&Object::from(object.clone())).turned_down;
        read.map(|(commit, why)| (commit.to_string(), why))
    }

    #[test]
    fn a_commit_is_verified_that_the_condition_names() {
        assert_eq!(said(&git(&[verified(A)])), Signature::Verified);
        assert!(
            matches!(said(&git(&[verified(B)])), Signature::Unknown(_)),
            "on its way to the next"
        );
        let mut nothing_named = verified(A);
        nothing_named["message"] = json!(format!("all is well with {A}"));
        assert!(matches!(said(&git(&[nothing_named])), Signature::Unknown(_)));
    }

    #[test]
    fn a_condition_that_is_false_speaks_of_the_commit_that_it_names() {
        let why = "Flux says InvalidCommitSignature: unable to verify Git commit: unable to verify payload as the \
                   provided signature is empty";
        assert_eq!(said(&git(&[failed(A)])), Signature::Bad(why.to_owned()));
        assert_eq!(turned_down(&git(&[failed(A)])), None, "it is the artifact");
        assert_eq!(said(&git(&[failed(B)])), Signature::Unknown(why.to_owned()));
        assert_eq!(
            turned_down(&git(&[failed(B)])),
            Some((B.to_owned(), why.to_owned()))
        );
        let no_secret = json!({"type": "SourceVerified", "status": "False", "reason": "VerificationError",
            "message": "PGP public keys secret error: secrets \"keys\" not found"});
        let text = "Flux says VerificationError: PGP public keys secret error: secrets \"keys\" not found";
        assert_eq!(said(&git(&[no_secret])), Signature::Unknown(text.to_owned()));
    }

    #[test]
    fn what_is_not_said_is_not_verified() {
        let text = |object: &Value| match said(object) {
            Signature::Unknown(text) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(text(&git(&[])), "Flux has not verified it yet");
        let mut without = git(&[verified(A)]);
        without["spec"] = json!({});
        let none = "GitRepository/flux-system/fleet has no spec.verify, so Flux verifies nothing";
        assert_eq!(
            text(&without),
            none,
            "whatever the condition says, it is left over"
        );
        let mut unseen = git(&[verified(A)]);
        unseen["metadata"]["generation"] = json!(3);
        assert!(text(&unseen).contains("has not seen the newest spec"));
        unseen["status"]["observedGeneration"] = json!(3);
        assert_eq!(
            said(&unseen),
            Signature::Verified,
            "a new interval verifies nothing anew"
        );
    }

    #[test]
    fn included_repositories_are_not_covered() {
        let mut object = git(&[verified(A)]);
        object["spec"]["include"] = json!([{"repository": {"name": "other"}}]);
        assert!(matches!(said(&object), Signature::Bad(why) if why.contains("spec.include")));
    }

    #[test]
    fn a_signed_tag_answers_for_the_commit_of_the_artifact() {
        let tagged = |message: &str| {
            let mut object = git(&[
                json!({"type": "SourceVerified", "status": "True", "message": message,
                "observedGeneration": 2}),
            ]);
            object["spec"]["verify"]["mode"] = json!("Tag");
            object["status"]["artifact"]["revision"] = json!(format!("v1.0@sha1:{A}"));
            object
        };
        let tag = format!("verified signature of\n\t- tag 'v1.0@{B}' with key '0B5E'");
        assert_eq!(said(&tagged(&tag)), Signature::Verified);
        let other = tag.replace("v1.0", "v1.1");
        assert!(matches!(said(&tagged(&other)), Signature::Unknown(_)));
        let mut moving = tagged(&tag);
        let outdated = json!({"type": "ArtifactOutdated", "status": "True"});
        moving["status"]["conditions"]
            .as_array_mut()
            .unwrap()
            .push(outdated);
        assert!(
            matches!(said(&moving), Signature::Unknown(_)),
            "the tag was moved: it speaks of the next"
        );
        let both = format!("{tag}\n\t- commit '{B}' with key '0B5E'");
        assert!(
            matches!(said(&tagged(&both)), Signature::Unknown(_)),
            "the commit is another one"
        );
        assert_eq!(
            said(&tagged(
                &both.replace(&format!("commit '{B}"), &format!("commit '{A}"))
            )),
            Signature::Verified
        );
    }

    #[test]
    fn an_oci_artifact_is_verified_by_its_digest() {
        let named = format!("latest@sha256:{}", "0".repeat(64));
        let of = |status: &str, message: &str| {
            said(
                &json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository",
                "metadata": {"name": "fleet", "namespace": "flux-system", "generation": 1},
                "spec": {"verify": {"provider": "cosign"}},
                "status": {"observedGeneration": 1,
                    "conditions": [{"type": "SourceVerified", "status": status, "message": message,
                        "reason": "VerificationError", "observedGeneration": 1}],
                    "artifact": {"revision": named,
                        "metadata": {"org.opencontainers.image.revision": format!("main@sha1:{A}")}}}}),
            )
        };
        assert_eq!(
            of("True", &format!("verified signature of revision {named}")),
            Signature::Verified
        );
        let other = format!("verified signature of revision latest@sha256:{}", "1".repeat(64));
        assert!(matches!(of("True", &other), Signature::Unknown(_)));
        let why = "failed to verify the signature using provider 'cosign': no matching signatures";
        assert!(
            matches!(of("False", why), Signature::Unknown(text) if text.contains("no matching signatures"))
        );
    }
}
