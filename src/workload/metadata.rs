//! Labels and annotations of primaries.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    canary::{Canary, generated::copied},
    manifest::Object,
    rollout::Revision,
};

/// What an object was made from, on a primary.
pub(super) const PROMOTED_FROM: &str = "serin.dev/promoted-from";
/// Digest of the tracked configs, on the pods of a primary, so that they roll when a config changes.
pub(super) const CONFIG_DIGEST: &str = "serin.dev/config-digest";

/// Returns the labels (or annotations, by `field`) of an object that the primary has: those with the prefixes that
/// the Canary asks for.
pub(super) fn included(canary: &Canary, object: &Object, field: &str) -> BTreeMap<String, String> {
    let prefixes = &canary.spec.include_label_prefix;
    let wanted = |key: &str| {
        prefixes
            .iter()
            .any(|prefix| prefix == "*" || (!prefix.is_empty() && key.starts_with(prefix.as_str())))
    };
    let mut map = copied(object, field);
    map.retain(|key, _| wanted(key));
    map
}

/// Writes a revision into an annotation.
pub(super) fn write_revision(revision: &Revision) -> String {
    json!({ "template": revision.template(), "configs": revision.configs() }).to_string()
}

/// Reads the revision that an object was made from.
pub(super) fn read_revision(object: &Object) -> Option<Revision> {
    let value: Value = serde_json::from_str(object.annotation(PROMOTED_FROM)?).ok()?;
    let configs = value.get("configs")?.as_object()?;
    let configs = configs
        .iter()
        .map(|(name, digest)| Some((name.clone(), digest.as_str()?.to_owned())))
        .collect::<Option<_>>()?;
    Some(Revision::new(value.get("template")?.as_str()?, configs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(key: &str, text: &str) -> Object {
        Object::from(json!({ "metadata": { "annotations": { key: text } } }))
    }

    #[test]
    fn a_revision_survives_its_annotation() {
        let configs = BTreeMap::from([("secret/a".to_owned(), "v1:01".to_owned())]);
        for revision in [
            Revision::new("v1:ab", configs),
            Revision::new("", BTreeMap::new()),
        ] {
            let object = annotated(PROMOTED_FROM, &write_revision(&revision));
            assert_eq!(read_revision(&object), Some(revision));
        }
        assert_eq!(read_revision(&annotated(PROMOTED_FROM, "{}")), None);
        assert_eq!(read_revision(&annotated(PROMOTED_FROM, "x")), None);
    }
}
