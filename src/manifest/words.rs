//! How values read in a difference: short, on one line, and never a password.

use serde_json::Value;

use super::canonical;

/// The longest value that is shown, in characters.
const MAX_SHOWN: usize = 60;

pub(super) fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    [
        "PASSWORD",
        "PASSWD",
        "SECRET",
        "TOKEN",
        "CREDENTIAL",
        "API_KEY",
        "APIKEY",
        "PRIVATE_KEY",
    ]
    .iter()
    .any(|word| name.contains(word))
}

pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) if text.trim_end().contains('\n') => {
            return format!("({} lines)", text.lines().count());
        }
        Value::String(text) => text.trim_end().to_owned(),
        other => canonical(other),
    };
    cut(&text)
}

pub(super) fn shown_variable(value: &Value) -> String {
    if let Some(from) = value.get("valueFrom").and_then(Value::as_object) {
        let at = |kind: &str, field: &str| Some(from.get(kind)?.get(field)?.as_str()?.to_owned());
        for (kind, word) in [("configMapKeyRef", "config map"), ("secretKeyRef", "secret")] {
            if let (Some(name), Some(key)) = (at(kind, "name"), at(kind, "key")) {
                return format!("{word} {name}/{key}");
            }
        }
        return at("fieldRef", "fieldPath")
            .map_or_else(|| "a reference".to_owned(), |path| format!("field {path}"));
    }
    match value.get("value") {
        Some(value) => shown(value),
        None => "\"\"".to_owned(),
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= MAX_SHOWN {
        return text.to_owned();
    }
    let start: String = text.chars().take(MAX_SHOWN - 1).collect();
    format!("{start}…")
}

/// Shows only the tags when the repository stays the same.
pub(super) fn images(name: &str, old: &str, new: &str) -> String {
    let ((old_repository, old_tag), (new_repository, new_tag)) = (image_parts(old), image_parts(new));
    if old_repository == new_repository && !old_tag.is_empty() && !new_tag.is_empty() {
        format!("{name} {old_tag} → {new_tag}")
    } else {
        format!("{name} {old} → {new}")
    }
}

fn image_parts(image: &str) -> (&str, String) {
    let (name, digest) = image
        .split_once('@')
        .map_or((image, None), |(name, digest)| (name, Some(digest)));
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let colon = name
        .get(slash..)
        .and_then(|last| last.find(':'))
        .map(|at| slash + at);
    let (repository, tag) = colon
        .and_then(|at| name.split_at_checked(at))
        .unwrap_or((name, ""));
    let tag = tag.trim_start_matches(':');
    let digest = digest.map(|digest| digest.chars().take("sha256:".len() + 8).collect::<String>());
    (
        repository,
        match (tag, digest) {
            (tag, None) => tag.to_owned(),
            ("", Some(digest)) => digest,
            (tag, Some(digest)) => format!("{tag}@{digest}"),
        },
    )
}
