//! Kubernetes events: what a rollout announced, as core/v1 Events on the Canary. Pure.

use jiff::{Timestamp, fmt::strtime};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    canary::Announced,
    manifest::{Object, ObjectKey, Resource, Write},
};

/// Who says it.
const COMPONENT: &str = "serin";
/// Greatest length of an event's message, in characters.
const MESSAGE: usize = 1024;
/// Greatest length of an object's name.
const NAME: usize = 253;

/// Makes the write that sends an announcement. The name is made of its content: sending it twice is once.
#[must_use]
pub fn event(canary: &ObjectKey, uid: &str, announced: &Announced) -> Write {
    let canary_kind = Resource::CANARY;
    let at = seconds(announced.at);
    let object = Object::from(json!({
        "apiVersion": Resource::EVENT.api_version(),
        "kind": Resource::EVENT.kind,
        "metadata": { "namespace": canary.namespace, "name": name(canary, uid, announced) },
        "involvedObject": {
            "apiVersion": canary_kind.api_version(),
            "kind": canary_kind.kind,
            "namespace": canary.namespace,
            "name": canary.name,
            "uid": uid
        },
        "type": if announced.warning { "Warning" } else { "Normal" },
        "reason": announced.reason,
        "message": crate::http::excerpt(&announced.text, MESSAGE),
        "source": { "component": COMPONENT },
        "reportingComponent": COMPONENT,
        "reportingInstance": "",
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1
    }));
    Write::Create { object }
}

fn name(canary: &ObjectKey, uid: &str, announced: &Announced) -> String {
    let mut hasher = Sha256::new();
    let tick = announced.tick.to_string();
    for part in [uid, &announced.run, &tick, &announced.reason, &announced.text] {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let digest: [u8; 8] = hasher.finalize().first_chunk().copied().unwrap_or_default();
    let suffix = format!(".{:016x}", u64::from_be_bytes(digest));
    let prefix = canary.name.get(..NAME - suffix.len()).unwrap_or(&canary.name);
    // A cut may leave a character before the dot that no name may have there.
    format!("{}{suffix}", prefix.trim_end_matches(['-', '.']))
}

/// Writes a time as `metav1.Time` does: whole seconds.
fn seconds(at: Timestamp) -> String {
    strtime::format("%Y-%m-%dT%H:%M:%SZ", at).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::canary::{Canary, Defaults, reason};

    fn canary(name: &str) -> Canary {
        let object = Object::from(json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
            "metadata": { "namespace": "test", "name": name, "uid": "u-1" },
            "spec": {
                "provider": "kubernetes",
                "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo" },
                "service": { "port": 9898 },
                "analysis": { "iterations": 2 }
            }
        }));
        Canary::parse(&object, &Defaults::default()).unwrap()
    }

    fn announced() -> Announced {
        Announced {
            warning: true,
            reason: reason::CHECK_FAILED.to_owned(),
            text: "Halt podinfo.test advancement success rate 97.20% < 99%".to_owned(),
            run: "3-ab".to_owned(),
            tick: 2,
            at: "2026-11-22T03:04:05.678901Z".parse().unwrap(),
        }
    }

    fn made(canary: &Canary, announced: &Announced) -> Object {
        match event(&canary.key(), &canary.uid, announced) {
            Write::Create { object } => object,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_is_about_the_canary_and_says_who_says_it() {
        let object = made(&canary("podinfo"), &announced());
        let name = object.name().to_owned();
        assert_eq!(object.key(), ObjectKey::new(Resource::EVENT, "test", &name));
        assert!(
            name.starts_with("podinfo.") && name.len() == "podinfo.".len() + 16,
            "{name}"
        );
        for (pointer, text) in [
            ("/involvedObject/kind", "Canary"),
            ("/involvedObject/apiVersion", "flagger.app/v1beta1"),
            ("/involvedObject/uid", "u-1"),
            ("/involvedObject/name", "podinfo"),
            ("/type", "Warning"),
            ("/reason", "CheckFailed"),
            (
                "/message",
                "Halt podinfo.test advancement success rate 97.20% < 99%",
            ),
            ("/source/component", "serin"),
            ("/reportingComponent", "serin"),
            ("/firstTimestamp", "2026-11-22T03:04:05Z"),
            ("/lastTimestamp", "2026-11-22T03:04:05Z"),
        ] {
            assert_eq!(object.str_at(pointer), text, "{pointer}");
        }
    }

    #[test]
    fn the_same_announcement_has_the_same_name_and_another_has_another() {
        let name = |change: fn(&mut Announced)| {
            let mut announced = announced();
            change(&mut announced);
            made(&canary("podinfo"), &announced).name().to_owned()
        };
        let base = name(|_| {});
        assert_eq!(base, name(|a| a.at = "2026-11-22T04:00:00Z".parse().unwrap()));
        for other in [
            name(|a| a.run = "4-ab".to_owned()),
            name(|a| a.tick = 3),
            name(|a| a.reason = "Other".to_owned()),
            name(|a| a.text.push('!')),
        ] {
            assert_ne!(base, other);
        }
        let mut reborn = canary("podinfo");
        reborn.uid = "u-2".to_owned();
        assert_ne!(base, made(&reborn, &announced()).name());
    }

    #[test]
    fn names_and_messages_are_bounded() {
        let long = canary(&format!("{}-.{}", "a".repeat(234), "b".repeat(17)));
        let mut announced = announced();
        announced.text = "x".repeat(5000);
        let object = made(&long, &announced);
        assert!(object.name().len() <= NAME);
        let prefix = object.name().rsplit_once('.').unwrap().0;
        assert!(prefix.ends_with('a'), "{prefix}");
        assert_eq!(object.str_at("/message").chars().count(), MESSAGE);
    }

    #[test]
    fn the_documentation_lists_every_reason_and_no_other() {
        let documented: BTreeSet<_> = include_str!("../../docs/events.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
            .map(|(reason, _)| reason)
            .collect();
        let known: BTreeSet<_> = reason::ALL.iter().copied().collect();
        assert_eq!(documented, known);
    }
}
