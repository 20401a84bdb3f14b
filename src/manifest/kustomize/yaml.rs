//! Reads YAML as kustomize does, which is not as Kubernetes does: `yes` is a text, a plain date is a timestamp,
//! and what is empty is told from what is `null`.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Number, Value};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{refold::refold, scalar, separate::separate};
use crate::manifest::{
    Problem,
    ending::as_it_ends,
    split::{Chunk, split},
    yaml::{MAX_ALIAS_NODES, MAX_DEPTH, MAX_DOCUMENTS, content_line, snippet, text_of, whole_file},
};

/// A document of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text {
    /// What it says.
    pub(super) value: Arc<Value>,
    /// The line that it begins at.
    pub(super) line: u32,
    /// JSON pointers of the fields that are empty: kustomize forgets them where it keeps a `null`.
    pub(super) hollow: Vec<String>,
}

/// Who reads: kustomize reads objects and merge patches by rules of its own, and everything else as Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `yes` is a text, and a date is a time.
    Objects,
    /// `yes` is true, and a date is a text.
    Settings,
}

/// Reads the documents of a file; those that say nothing are left out.
pub(super) fn read(bytes: &[u8], file: &str, dialect: Dialect) -> Result<Vec<Text>, Box<Problem>> {
    let text = text_of(bytes, file)?;
    let chunks = match dialect {
        Dialect::Objects => separate(text).map_err(|line| Box::new(no_separator(file, line)))?,
        Dialect::Settings => split(text),
    };
    if chunks.len() > MAX_DOCUMENTS {
        let message = format!(
            "the file has {} documents, more than the limit of {MAX_DOCUMENTS}",
            chunks.len()
        );
        return Err(Box::new(whole_file(file, message, "split the file")));
    }
    let mut documents = Vec::with_capacity(chunks.len());
    for chunk in &chunks {
        match Reader::new(&as_it_ends(chunk.text), dialect).document() {
            Ok((Value::Null, _)) => {}
            Ok((value, hollow)) => documents.push(Text {
                value: Arc::new(value),
                line: content_line(chunk),
                hollow,
            }),
            Err(wrong) => return Err(Box::new(wrong.explain(chunk, text, file))),
        }
    }
    Ok(documents)
}

/// Reads one document as Kubernetes does.
pub(super) fn settings(text: &str) -> Option<Value> {
    let read = Reader::new(text, Dialect::Settings).document();
    read.ok().map(|(value, _)| value)
}

fn no_separator(file: &str, line: u32) -> Problem {
    Problem {
        line,
        ..whole_file(
            file,
            "kustomize takes no text after `---`".to_owned(),
            "begin the document on the next line",
        )
    }
}

/// What is wrong in a document, and where in it.
struct Wrong {
    line: usize,
    column: usize,
    message: String,
    hint: &'static str,
}

impl Wrong {
    fn at(span: Span, message: impl Into<String>, hint: &'static str) -> Self {
        Self {
            line: span.start.line(),
            column: span.start.col() + 1,
            message: message.into(),
            hint,
        }
    }

    fn explain(self, chunk: &Chunk<'_>, text: &str, file: &str) -> Problem {
        let line = chunk.line + u32::try_from(self.line.saturating_sub(1)).unwrap_or_default();
        let column = u32::try_from(self.column.max(1)).unwrap_or(1);
        let shown = if chunk.text.contains("Secret") {
            String::new()
        } else {
            snippet(text, line, column)
        };
        Problem {
            file: file.to_owned(),
            line,
            column,
            message: self.message,
            snippet: shown,
            hint: self.hint.to_owned(),
        }
    }
}

impl From<ScanError> for Wrong {
    fn from(error: ScanError) -> Self {
        let marker = error.marker();
        Self {
            line: marker.line(),
            column: marker.col() + 1,
            message: error.info(),
            hint: "compare with the lines above it",
        }
    }
}

struct Reader<'a> {
    dialect: Dialect,
    events: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
    anchors: BTreeMap<usize, (Value, usize)>,
    replayed: usize,
    path: Vec<String>,
    hollow: Vec<String>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, dialect: Dialect) -> Self {
        Self {
            dialect,
            events: Parser::new_from_str(text),
            anchors: BTreeMap::new(),
            replayed: 0,
            path: Vec::new(),
            hollow: Vec::new(),
            nodes: 0,
        }
    }

    fn document(mut self) -> Result<(Value, Vec<String>), Wrong> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(..) => {}
                Event::StreamEnd | Event::DocumentEnd => return Ok((Value::Null, Vec::new())),
                event => {
                    let value = self.node(event, span)?;
                    self.rest()?;
                    return Ok((value, self.hollow));
                }
            }
        }
    }

    /// Reads the end of the document. What follows it says nothing to kustomize; of settings, it has to be right.
    fn rest(&mut self) -> Result<(), Wrong> {
        if self.dialect == Dialect::Objects {
            return self.next().map(drop);
        }
        while let Some(event) = self.events.next_event() {
            event?;
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Wrong> {
        loop {
            let (event, span) = self.events.next_event().ok_or_else(|| Wrong {
                line: 1,
                column: 1,
                message: "the document ends too early".to_owned(),
                hint: "close what is open",
            })??;
            if is_node_or_mark(&event) {
                return Ok((event, span));
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Value, Wrong> {
        if self.path.len() > MAX_DEPTH {
            let message = format!("the document is nested deeper than {MAX_DEPTH} levels");
            return Err(Wrong::at(span, message, "flatten it"));
        }
        let before = self.nodes;
        self.nodes += 1;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(&text, style, tag.as_deref(), span)?, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), &["seq", "omap"], span)?;
                (self.list()?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), &["map"], span)?;
                (self.map()?, anchor)
            }
            Event::Alias(id) => (self.alias(id, span)?, 0),
            _ => {
                return Err(Wrong::at(
                    span,
                    "a value is expected here",
                    "compare with the lines above it",
                ));
            }
        };
        if anchor != 0 {
            let size = self.nodes - before;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok(value)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<Value, Wrong> {
        let Some((value, size)) = self.anchors.get(&id) else {
            return Err(Wrong::at(
                span,
                "an alias inside of what it stands for",
                "write it out",
            ));
        };
        self.replayed += size;
        if self.replayed > MAX_ALIAS_NODES {
            return Err(Wrong::at(
                span,
                "the document expands to more than the limits allow",
                "write out what the aliases stand for, or split the document",
            ));
        }
        self.nodes += size;
        Ok(value.clone())
    }

    fn list(&mut self) -> Result<Value, Wrong> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Value::Array(items));
            }
            self.path.push(items.len().to_string());
            items.push(self.node(event, span)?);
            self.path.pop();
        }
    }

    fn map(&mut self) -> Result<Value, Wrong> {
        let mut fields = Map::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let (key, plain) = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, ..) => self.key(text.into_owned(), style),
                Event::Alias(id) => match self.alias(id, span)? {
                    Value::String(text) => (text, false),
                    other => (other.to_string(), false),
                },
                _ => {
                    return Err(Wrong::at(
                        span,
                        "a key is not a plain text",
                        "quote a value that begins with `{` or `[`",
                    ));
                }
            };
            self.refuse_key(&key, plain, span)?;
            self.path.push(key.replace('~', "~0").replace('/', "~1"));
            let (event, at) = self.next()?;
            let value = self.node(event, at)?;
            self.path.pop();
            if plain && key == "<<" {
                if self.dialect == Dialect::Objects && !merged.is_empty() {
                    return Err(Wrong::at(span, "`<<` occurs twice", "give one `<<` a list"));
                }
                merged.push((value, span));
            } else if fields.contains_key(&key) && self.dialect == Dialect::Objects {
                let message = format!("the key `{key}` occurs twice");
                return Err(Wrong::at(span, message, "remove one of the two"));
            } else {
                fields.insert(key, value);
            }
        }
        for (value, span) in merged {
            merge(&mut fields, value, span)?;
        }
        Ok(Value::Object(fields))
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<Value, Wrong> {
        let tag = match tag {
            None => None,
            Some(tag) if tag.handle() == CORE => Some(tag.suffix()),
            // `!` asks for nothing; of a tag that somebody made up kustomize keeps the text.
            Some(tag) if tag.suffix().is_empty() || tag.suffix() == "!" => None,
            Some(_) => Some("str"),
        };
        let value = match (tag, style) {
            (None | Some("str"), ScalarStyle::Folded) if self.dialect == Dialect::Objects => {
                return Ok(Value::String(refold(text)));
            }
            (None, ScalarStyle::Plain) | (Some("int" | "float" | "bool" | "null"), _) => {
                scalar::resolve(text, self.dialect)
            }
            (None | Some("str"), _) => return Ok(Value::String(text.to_owned())),
            _ => return Err(foreign_tag(span)),
        };
        let Some(value) = value else {
            return Err(Wrong::at(
                span,
                format!("{text} cannot be written as JSON"),
                "quote it",
            ));
        };
        if value.is_null() && span.start.index() == span.end.index() {
            self.hollow.push(format!("/{}", self.path.join("/")));
        }
        if !value.is_null() && self.is_annotation() {
            return Ok(Value::String(text.to_owned()));
        }
        Ok(value)
    }

    /// kustomize writes every annotation as a text, as it was spelled.
    fn is_annotation(&self) -> bool {
        let mut path = self.path.as_slice();
        while let [items, _, rest @ ..] = path
            && items == "items"
        {
            path = rest;
        }
        self.dialect == Dialect::Objects && matches!(path, [a, b, _] if a == "metadata" && b == "annotations")
    }

    /// Reads a key, and tells whether it is plain. Of settings every key is made a text.
    fn key(&self, text: String, style: ScalarStyle) -> (String, bool) {
        let is_plain = style == ScalarStyle::Plain;
        match scalar::resolve(&text, self.dialect) {
            Some(value @ (Value::Bool(_) | Value::Number(_)))
                if is_plain && self.dialect == Dialect::Settings =>
            {
                (value.to_string(), true)
            }
            _ => (text, is_plain),
        }
    }

    /// A key of an object is a text.
    fn refuse_key(&self, text: &str, is_plain: bool, span: Span) -> Result<(), Wrong> {
        let is_text = || matches!(scalar::resolve(text, self.dialect), Some(Value::String(_)));
        if self.dialect == Dialect::Settings || !is_plain || text == "<<" {
            return Ok(());
        }
        if !is_text() || scalar::is_timestamp(text) {
            let message = format!("the key `{text}` is not a text, and kustomize refuses such keys");
            return Err(Wrong::at(span, message, "quote it"));
        }
        Ok(())
    }
}

const CORE: &str = "tag:yaml.org,2002:";

fn is_node_or_mark(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd
            | Event::Alias(_)
    )
}

fn foreign_tag(span: Span) -> Wrong {
    Wrong::at(span, "a tag that is not one of JSON's types", "leave the tag out")
}

fn refuse_tag(tag: Option<&Tag>, own: &[&str], span: Span) -> Result<(), Wrong> {
    match tag {
        Some(tag) if tag.handle() == CORE && !own.contains(&tag.suffix()) => Err(foreign_tag(span)),
        _ => Ok(()),
    }
}

/// Brings in the fields of a `<<`; a field of one's own wins.
fn merge(fields: &mut Map<String, Value>, value: Value, span: Span) -> Result<(), Wrong> {
    match value {
        Value::Object(more) => {
            for (key, value) in more {
                fields.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::Array(list) => list.into_iter().try_for_each(|value| merge(fields, value, span)),
        _ => Err(Wrong::at(
            span,
            "`<<` stands for something that is not a map",
            "give it a map",
        )),
    }
}

/// Makes a JSON number of a float; whole ones are written without a fraction. None: infinite, or no number.
pub(super) fn number(float: f64) -> Option<Value> {
    if float.fract() == 0.0
        && let Ok(whole) = float.to_string().parse::<i64>()
    {
        return Some(Value::from(whole));
    }
    Number::from_f64(float).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(text: &str) -> Text {
        read(text.as_bytes(), "f", Dialect::Objects).unwrap().remove(0)
    }

    fn wrong(text: &str) -> String {
        read(text.as_bytes(), "f", Dialect::Objects)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn scalars_are_read_as_kustomize_reads_them() {
        let text = "a: yes\nb: 0400\nc: 1.0\nd: 2001-01-01\ne: 1_000\nf: 0x1F\ng: '1'\nh: !!str 5\ni: 1e3\nj: 0o17\nk: ~\nl: true\n";
        assert_eq!(
            *one(text).value,
            json!({"a": "yes", "b": 256, "c": 1, "d": "2001-01-01T00:00:00Z", "e": 1000, "f": 31, "g": "1",
                "h": "5", "i": 1000, "j": 15, "k": null, "l": true})
        );
    }

    #[test]
    fn settings_are_read_as_kubernetes_reads_them() {
        let read = read(b"a: yes\nb: n\nc: 2001-01-01\nd: 'on'\n", "f", Dialect::Settings).unwrap();
        assert_eq!(
            *read[0].value,
            json!({"a": true, "b": false, "c": "2001-01-01", "d": "on"})
        );
    }

    #[test]
    fn annotations_are_texts_as_they_were_spelled() {
        let read = one("metadata:\n  annotations: {a: 1.0, b: true, c: x}\n  labels: {a: 1.0}\n");
        assert_eq!(
            *read.value,
            json!({"metadata": {"annotations": {"a": "1.0", "b": "true", "c": "x"}, "labels": {"a": 1}}})
        );
    }

    #[test]
    fn what_is_empty_is_remembered_and_what_is_null_is_not() {
        let read = one("a:\nb: null\nc:\n- x/y:\n");
        assert_eq!(
            ((*read.value).clone(), read.hollow),
            (
                json!({"a": null, "b": null, "c": [{"x/y": null}]}),
                vec!["/a".to_owned(), "/c/0/x~1y".to_owned()]
            )
        );
    }

    #[test]
    fn aliases_and_merge_keys_are_written_out() {
        let read = one("a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\nd: {<<: [{x: 5}, *a]}\n");
        assert_eq!(
            *read.value,
            json!({"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 3}, "d": {"x": 5, "y": 2}})
        );
    }

    #[test]
    fn documents_know_their_lines_and_empty_ones_are_left_out() {
        let lines: Vec<u32> = read(
            b"# x\n---\na: 1\n---\n---\n# note\n\nb: 2\n",
            "f",
            Dialect::Objects,
        )
        .unwrap()
        .iter()
        .map(|document| document.line)
        .collect();
        assert_eq!(lines, [3, 8]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        assert_eq!(wrong("a: 1\nb: 2\na: 3\n"), "f:3:1: the key `a` occurs twice");
        assert!(
            wrong("a: 1\n---\nb: [1\n").starts_with("f:"),
            "{}",
            wrong("a: [1\n")
        );
        assert!(wrong("a: !!float x\nb: !!set {}\n").contains("tag"));
        assert!(wrong("80: x\n").contains("`80` is not a text"));
        assert!(wrong("2001-01-01: x\n").contains("not a text"));
        assert!(wrong("a: &a {x: 1}\nb: {<<: *a, <<: *a}\n").contains("`<<` occurs twice"));
        assert_eq!(
            wrong("a: 1\n--- {b: 2}\n"),
            "f:2:1: kustomize takes no text after `---`"
        );
        assert!(wrong("a: .inf\n").contains("JSON"));
        assert!(wrong(&format!("a: {}1{}\n", "[".repeat(70), "]".repeat(70))).contains("deep"));
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d]\n";
        assert!(wrong(bomb).contains("limits"));
    }
}
