//! Reads the documents of a file: YAML as Kubernetes reads it (or JSON), with positions, within limits.
//!
//! Decides what is an object, what is skipped and why, and what is an error. Never decides whether an object
//! matters to anyone.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use serde_saphyr::Options;

use super::{
    Object,
    ending::as_it_ends,
    kustomize,
    split::{Chunk, split},
};
use crate::error::{Class, Classified};

/// The largest file that is read.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// The most that is read of one revision.
pub const MAX_TOTAL_BYTES: usize = 64 << 20;
/// The most documents in one file.
pub(super) const MAX_DOCUMENTS: usize = 1_000;
/// The deepest nesting.
pub(super) const MAX_DEPTH: usize = 64;
/// The most nodes that the aliases of one document may expand to.
pub(super) const MAX_ALIAS_NODES: usize = 10_000;

/// What a pointer to Git LFS begins with.
const LFS: &[u8] = b"version https://git-lfs";

/// An object and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The object.
    pub object: Object,
    /// The file, relative to the top of the repository.
    pub file: Arc<str>,
    /// The line that the document begins at, counted from one.
    pub line: u32,
}

/// A document that is no Kubernetes object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Skipped {
    /// The file.
    pub file: String,
    /// The line that the document begins at.
    pub line: u32,
    /// Why it was skipped.
    pub why: String,
}

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Documents {
    /// Its objects, in order; the items of lists one by one.
    pub objects: Vec<Document>,
    /// What is no object.
    pub skipped: Vec<Skipped>,
    /// What cannot be read.
    pub errors: Vec<Problem>,
    /// The size of the file.
    pub bytes: usize,
}

/// Something that is wrong in a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error, Serialize)]
#[error("{file}:{line}:{column}: {message}")]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, counted from one.
    pub line: u32,
    /// The column, counted from one.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// The line of the file with a mark below the column; empty where it could show a secret.
    pub snippet: String,
    /// What to do about it; empty when there is nothing to add.
    pub hint: String,
}

impl Classified for Problem {
    fn class(&self) -> Class {
        Class::UserMustFix
    }

    fn hint(&self) -> Option<String> {
        (!self.hint.is_empty()).then(|| self.hint.clone())
    }
}

/// Reads the documents of a file.
#[must_use]
pub fn documents(bytes: &[u8], file: &str) -> Documents {
    let mut found = Documents {
        bytes: bytes.len(),
        ..Documents::default()
    };
    let text = match text_of(bytes, file) {
        Ok(text) => text,
        Err(error) if !looks_like_object(&String::from_utf8_lossy(bytes)) && !bytes.starts_with(LFS) => {
            found.skipped.push(Skipped {
                file: error.file,
                line: 1,
                why: error.message,
            });
            return found;
        }
        Err(error) => {
            found.errors.push(*error);
            return found;
        }
    };
    let chunks = split(text);
    if chunks.len() > MAX_DOCUMENTS {
        let message = format!(
            "the file has {} documents, more than the limit of {MAX_DOCUMENTS}",
            chunks.len()
        );
        found.errors.push(whole_file(file, message, "split the file"));
        return found;
    }
    let name: Arc<str> = Arc::from(file);
    for chunk in &chunks {
        match value_of(chunk) {
            Ok(value) => sort_in(value, chunk, &name, &mut found),
            Err(_) if is_template(chunk.text) => found.skip(file, chunk, "a template, not plain YAML"),
            Err(error) if !is_limit(&error) && !looks_like_object(chunk.text) => {
                found.skip(file, chunk, "not a Kubernetes object, nor YAML that can be read");
            }
            Err(error) => found.errors.push(explain(&error, chunk, text, file)),
        }
    }
    found
}

impl Documents {
    fn skip(&mut self, file: &str, chunk: &Chunk<'_>, why: &str) {
        self.skipped.push(Skipped {
            file: file.to_owned(),
            line: content_line(chunk),
            why: why.to_owned(),
        });
    }
}

pub(super) fn whole_file(file: &str, message: String, hint: &str) -> Problem {
    let (file, hint) = (file.to_owned(), hint.to_owned());
    Problem {
        file,
        line: 1,
        column: 1,
        message,
        snippet: String::new(),
        hint,
    }
}

pub(super) fn text_of<'a>(bytes: &'a [u8], file: &str) -> Result<&'a str, Box<Problem>> {
    let fail = |message: &str, hint: &str| Err(Box::new(whole_file(file, message.to_owned(), hint)));
    if bytes.len() > MAX_FILE_BYTES {
        let message = format!(
            "the file has {} bytes, more than the limit of {MAX_FILE_BYTES}",
            bytes.len()
        );
        return fail(&message, "split the file, or move it out of --path");
    }
    if bytes.starts_with(LFS) {
        return fail(
            "the file is a pointer to Git LFS, not a manifest",
            "commit manifests as plain files",
        );
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return fail("the file is not UTF-8", "save it as UTF-8");
    };
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

pub(super) fn options() -> Options {
    let mut options = Options::default();
    options.legacy_octal_numbers = true; // `defaultMode: 0400` is 256, as Kubernetes reads it
    options.with_snippet = false;
    options.alias_limits.max_total_replayed_events = MAX_ALIAS_NODES;
    options.budget = options.budget.map(|mut budget| {
        budget.max_depth = MAX_DEPTH;
        budget
    });
    options
}

fn value_of(chunk: &Chunk<'_>) -> Result<Value, serde_saphyr::Error> {
    let text = as_it_ends(chunk.text);
    match serde_saphyr::from_str_with_options(&text, options()) {
        Ok(value) => Ok(whole_numbers(value)),
        // To Kubernetes a number that is too large, such as the commit 12e4567, is a text.
        Err(error) if error.to_string().contains("non-finite") => kustomize::settings(&text).ok_or(error),
        Err(error) => Err(error),
    }
}

/// Writes `1.0` as `1`, as Kubernetes' own conversion to JSON does.
fn whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 => float
                .to_string()
                .parse::<i64>()
                .map_or(Value::Number(number), Value::from),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(whole_numbers).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (key, whole_numbers(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other,
    }
}

/// Puts a document where it belongs.
fn sort_in(value: Value, chunk: &Chunk<'_>, file: &Arc<str>, found: &mut Documents) {
    let is_object = |value: &Value| {
        let text = |pointer: &str| {
            value
                .pointer(pointer)
                .and_then(Value::as_str)
                .is_some_and(|s| !s.is_empty())
        };
        text("/apiVersion") && text("/kind")
    };
    if value.is_null() {
        return;
    }
    if !is_object(&value) {
        return found.skip(file, chunk, "not a Kubernetes object (no apiVersion or kind)");
    }
    let is_list = value
        .get("kind")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.ends_with("List"));
    if let Some(items) = value.get("items").and_then(Value::as_array).filter(|_| is_list) {
        for item in items {
            if is_object(item) {
                sort_in(item.clone(), chunk, file, found);
            } else {
                found.skip(file, chunk, "a list item that is not a Kubernetes object");
            }
        }
        return;
    }
    let name = value
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if name.is_empty() {
        return found.skip(file, chunk, "an object without metadata.name");
    }
    if name.contains("{{") {
        return found.skip(file, chunk, "a template, not plain YAML");
    }
    found.objects.push(Document {
        object: value.into(),
        file: Arc::clone(file),
        line: content_line(chunk),
    });
}

/// Returns the line of the first field of a document.
pub(super) fn content_line(chunk: &Chunk<'_>) -> u32 {
    let blank = |line: &&str| {
        let line = line.strip_prefix("---").unwrap_or(line).trim();
        line.is_empty() || line.starts_with('#')
    };
    let skip = chunk.text.lines().take_while(blank).count();
    chunk.line + u32::try_from(skip).unwrap_or_default()
}

/// Tells whether somebody meant an object here: other files in the repository are nobody's error.
fn looks_like_object(text: &str) -> bool {
    text.contains("apiVersion") || text.contains("kind")
}

/// Tells whether a limit was the reason, not the text itself.
fn is_limit(error: &serde_saphyr::Error) -> bool {
    let raw = error.to_string();
    raw.contains("budget breached") || raw.contains("alias") && raw.contains("limit")
}

fn is_template(text: &str) -> bool {
    text.contains("{{") && text.contains("}}")
}

fn explain(error: &serde_saphyr::Error, chunk: &Chunk<'_>, text: &str, file: &str) -> Problem {
    let at = error.location().filter(|at| at.line() > 0);
    let line = chunk.line + at.map_or(0, |at| u32::try_from(at.line() - 1).unwrap_or_default());
    let column = at.map_or(1, |at| u32::try_from(at.column().max(1)).unwrap_or(1));
    let raw = error.to_string();
    let raw = raw.split(" at line ").next().unwrap_or(&raw);
    let (message, hint) = in_our_words(raw, error);
    let secret = chunk.text.contains("Secret");
    let snippet = if secret {
        String::new()
    } else {
        snippet(text, line, column)
    };
    Problem {
        file: file.to_owned(),
        line,
        column,
        message,
        snippet,
        hint: hint.to_owned(),
    }
}

fn in_our_words(raw: &str, error: &serde_saphyr::Error) -> (String, &'static str) {
    if let Some(rest) = raw.strip_prefix("duplicate mapping key: ") {
        let key = rest.split(", set ").next().unwrap_or(rest);
        return (format!("the key `{key}` occurs twice"), "remove one of the two");
    }
    if raw.contains("Depth {") {
        return (
            format!("the document is nested deeper than {MAX_DEPTH} levels"),
            "flatten it",
        );
    }
    if is_limit(error) {
        return (
            "the document expands to more than the limits allow".to_owned(),
            "write out what the aliases stand for, or split the document",
        );
    }
    if raw == "expected string scalar" {
        return (
            "a key is not a plain text".to_owned(),
            "quote a value that begins with `{` or `[`",
        );
    }
    let hints = [
        ("unclosed", "close it"),
        (
            "unknown anchor",
            "define the anchor with `&` above the alias, or quote a value that begins with `*`",
        ),
        ("tabs", "indent with spaces"),
    ];
    let hint = hints.into_iter().find(|(words, _)| raw.contains(words));
    (
        raw.to_owned(),
        hint.map_or("compare with the lines above it", |(_, hint)| hint),
    )
}

/// Prints a line with a mark below a column.
pub(super) fn snippet(text: &str, line: u32, column: u32) -> String {
    const WIDTH: usize = 100;
    let Some(shown) = text.lines().nth(line.saturating_sub(1) as usize) else {
        return String::new();
    };
    let column = column.saturating_sub(1) as usize;
    let from = column.saturating_sub(WIDTH / 2);
    let shown: String = shown
        .chars()
        .skip(from)
        .take(WIDTH)
        .map(|c| if c == '\t' { ' ' } else { c })
        .collect();
    let gutter = " ".repeat(line.to_string().len());
    format!(
        "{gutter} |\n{line} | {shown}\n{gutter} | {}^",
        " ".repeat(column - from)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n";

    fn read(text: &str) -> Documents {
        documents(text.as_bytes(), "d/f.yaml")
    }

    fn names(found: &Documents) -> Vec<(&str, u32)> {
        found
            .objects
            .iter()
            .map(|document| (document.object.name(), document.line))
            .collect()
    }

    fn error(text: &str) -> Problem {
        let found = read(text);
        assert_eq!((found.objects.len(), found.errors.len()), (0, 1), "{found:?}");
        found.errors.into_iter().next().unwrap()
    }

    #[test]
    fn reads_several_documents_with_their_lines() {
        let found = read(&format!(
            "# licence\n---\n{MAP}---\n# note\n\n{}---\n",
            MAP.replace("a\n", "b\n")
        ));
        assert_eq!(names(&found), [("a", 3), ("b", 10)]);
        assert_eq!((found.skipped.len(), found.errors.len()), (0, 0));
    }

    #[test]
    fn scalars_are_read_as_kubernetes_reads_them() {
        let found = read(&format!(
            "{MAP}data:\n  a: 0400\n  b: yes\n  c: 1.0\n  d: \"012\"\n  80: 1.5\n"
        ));
        let data = found.objects[0].object.at("/data").unwrap();
        assert_eq!(data.to_string(), r#"{"80":1.5,"a":256,"b":true,"c":1,"d":"012"}"#);
        let found = read(&format!(
            "{MAP}data:\n  a: 12e4567\n  b: on\n  c: 1e16\n  d: |\n    no line break"
        ));
        let data = found.objects[0].object.at("/data").unwrap();
        assert_eq!(
            data.to_string(),
            r#"{"a":"12e4567","b":true,"c":10000000000000000,"d":"no line break"}"#
        );
        assert_eq!(read(&format!("{MAP}data: {{a: .inf}}\n")).errors.len(), 1);
    }

    #[test]
    fn crlf_bom_json_and_aliases_are_fine() {
        let found = read(&format!("\u{feff}{}", MAP.replace('\n', "\r\n")));
        assert_eq!(names(&found), [("a", 1)]);
        let json = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "j"}}"#;
        assert_eq!(names(&read(json)), [("j", 1)]);
        let merged = format!("{MAP}x: &x {{b: 1}}\ny:\n  <<: *x\n  c: 2\n");
        assert_eq!(
            read(&merged).objects[0].object.at("/y").unwrap().to_string(),
            r#"{"b":1,"c":2}"#
        );
    }

    #[test]
    fn lists_are_taken_apart() {
        let list = format!(
            "apiVersion: v1\nkind: List\nitems:\n- {}- 3\n",
            MAP.replace('\n', "\n  ").trim_end()
        )
        .replace("- 3", "\n- 3");
        let found = read(&list);
        assert_eq!(names(&found), [("a", 1)]);
        assert_eq!(found.skipped.len(), 1);
    }

    #[test]
    fn what_is_no_object_is_skipped_with_a_reason() {
        for (text, why) in [
            (
                "replicaCount: 1\nimage: x\n",
                "not a Kubernetes object (no apiVersion or kind)",
            ),
            ("- a\n- b\n", "not a Kubernetes object (no apiVersion or kind)"),
            (
                "metadata:\n  name: {{ .Release.Name }}\n",
                "a template, not plain YAML",
            ),
            (
                "{{- if .Values.on }}\nkind: X\n{{- end }}\n",
                "a template, not plain YAML",
            ),
            (
                "apiVersion: v1\nkind: X\nmetadata: {name: \"{{ .x }}\"}\n",
                "a template, not plain YAML",
            ),
            ("apiVersion: v1\nkind: X\n", "an object without metadata.name"),
            ("a: [\n", "not a Kubernetes object, nor YAML that can be read"),
        ] {
            let found = read(text);
            assert_eq!((found.objects.len(), found.errors.len()), (0, 0), "{text}");
            assert_eq!(found.skipped[0].why, why, "{text}");
        }
        assert_eq!(
            read("# nothing\n"),
            Documents {
                bytes: 10,
                ..Documents::default()
            }
        );
    }

    #[test]
    fn one_broken_document_does_not_hide_the_others() {
        let found = read(&format!("{MAP}---\nkind: [\n---\n{MAP}"));
        assert_eq!(names(&found), [("a", 1), ("a", 8)]);
        assert_eq!((found.errors[0].line, found.errors[0].column), (6, 7));
    }

    #[test]
    fn an_error_says_what_where_and_what_to_do() {
        let twice = error(&format!("---\n{MAP}  name: b\n"));
        assert_eq!(twice.to_string(), "d/f.yaml:6:3: the key `name` occurs twice");
        assert_eq!(twice.snippet, "  |\n6 |   name: b\n  |   ^");
        assert_eq!(twice.hint, "remove one of the two");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let broken = error("apiVersion: v1\nkind: Secret\nstringData:\n  password: \"hunter2\n");
        assert!(!format!("{broken:?}").contains("hunter2"), "{broken:?}");
    }

    #[test]
    fn bombs_and_giants_are_errors() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let before = format!("*a{}, ", level - 1).repeat(10);
            let _ = std::fmt::Write::write_fmt(
                &mut bomb,
                format_args!("a{level}: &a{level} [{}]\n", before.trim_end_matches(", ")),
            );
        }
        assert!(
            error(&bomb).message.contains("expands to more"),
            "{:?}",
            error(&bomb)
        );
        let deep = format!("{}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
        assert!(error(&deep).message.contains("nested deeper"));
        assert!(
            error(&"a: 1\n---\n".repeat(MAX_DOCUMENTS + 1))
                .message
                .contains("documents")
        );
        assert!(
            error(&format!("kind: {}", "x".repeat(MAX_FILE_BYTES)))
                .message
                .contains("bytes")
        );
        assert!(
            error("version https://git-lfs.example/spec/v1\noid sha256:0\n")
                .message
                .contains("LFS")
        );
        assert!(
            documents(b"kind: \xff\xfe", "f").errors[0]
                .message
                .contains("UTF-8")
        );
    }
}
