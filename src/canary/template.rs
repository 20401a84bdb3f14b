//! Templates of metric queries: the part of Go's text/template that Flagger documents. Actions are the names
//! `name`, `namespace`, `target`, `service`, `ingress`, `route`, `interval`, and `variables.key` or
//! `index variables "key"`; comments and the trim marks `{{-` and `-}}` work.
//!
//! Values are inserted as they are, as Flagger does: who writes the Canary writes its variables. An unknown
//! name, a missing variable or any other action is an error with its position, never an empty text.

use std::{collections::BTreeMap, time::Duration};

use super::Canary;

/// Greatest size of a rendered query, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// What the names in a template stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Name of the Canary.
    pub name: String,
    /// Namespace of the Canary.
    pub namespace: String,
    /// Name of the target.
    pub target: String,
    /// Name of the apex Service.
    pub service: String,
    /// Name of the Ingress; empty if there is none.
    pub ingress: String,
    /// Name of the route; empty if there is none.
    pub route: String,
    /// Window of the query, such as `1m`.
    pub interval: String,
    /// The metric's `templateVariables`.
    pub variables: BTreeMap<String, String>,
}

impl Names {
    /// Collects the names of a canary for one of its metrics.
    #[must_use]
    pub fn of(canary: &Canary, interval: Duration, variables: &BTreeMap<String, String>) -> Self {
        Self {
            name: canary.name.clone(),
            namespace: canary.namespace.clone(),
            target: canary.spec.target.name.clone(),
            service: canary.spec.service.name.clone(),
            ingress: canary.spec.ingress.clone().unwrap_or_default(),
            route: String::new(),
            interval: window(interval),
            variables: variables.clone(),
        }
    }

    fn value(&self, path: &[&str]) -> Result<&str, String> {
        match path {
            ["name"] => Ok(&self.name),
            ["namespace"] => Ok(&self.namespace),
            ["target"] => Ok(&self.target),
            ["service"] => Ok(&self.service),
            ["ingress"] => Ok(&self.ingress),
            ["route"] => Ok(&self.route),
            ["interval"] => Ok(&self.interval),
            ["variables", key] => self.variables.get(*key).map(String::as_str).ok_or_else(|| {
                format!("`variables` has no `{key}`; set it in the metric's templateVariables")
            }),
            ["variables"] => Err("`variables` needs a key: `variables.key`".to_owned()),
            _ => Err(format!(
                "unknown name `{}`; known are name, namespace, target, service, ingress, route, interval, variables.key",
                path.join(".")
            )),
        }
    }
}

/// Writes a window as Prometheus reads it: `1m`, `90s`, `500ms`.
#[must_use]
pub fn window(duration: Duration) -> String {
    let millis = duration.as_millis();
    match (millis % 60_000, millis % 1000) {
        (0, _) if millis > 0 => format!("{}m", millis / 60_000),
        (_, 0) => format!("{}s", millis / 1000),
        _ => format!("{millis}ms"),
    }
}

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct TemplateError {
    /// Line of the action, from 1.
    pub line: usize,
    /// Column of the action, in characters from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Renders a template.
pub fn render(template: &str, names: &Names) -> Result<String, TemplateError> {
    let mut out = String::new();
    let mut rest = template;
    let mut trim_next = false;
    loop {
        let (text, action) = match rest.split_once("{{") {
            Some((text, after)) => (text, Some(after)),
            None => (rest, None),
        };
        let trim_this = action.is_some_and(|after| trim_mark(after).is_some());
        let text = if trim_next { text.trim_start() } else { text };
        out.push_str(if trim_this { text.trim_end() } else { text });
        let Some(after) = action else { break };
        let fail = |message: String| locate(template, template.len() - after.len() - 2, message);
        let action = parse(trim_mark(after).unwrap_or(after)).map_err(&fail)?;
        match &action.content {
            Content::Comment => {}
            Content::Value(path) => out.push_str(names.value(path).map_err(&fail)?),
            Content::Literal(text) => out.push_str(text),
        }
        if out.len() > MAX_BYTES {
            return Err(fail(format!("the query is longer than {MAX_BYTES} bytes")));
        }
        trim_next = action.trim;
        rest = action.rest;
    }
    if out.len() > MAX_BYTES {
        let message = format!("the query is longer than {MAX_BYTES} bytes");
        return Err(locate(template, 0, message));
    }
    Ok(out)
}

/// Returns what follows `{{-`; the mark must be followed by white space, else it is a sign.
fn trim_mark(after: &str) -> Option<&str> {
    after
        .strip_prefix('-')
        .filter(|rest| rest.starts_with(char::is_whitespace))
}

/// One action, without its braces.
struct Action<'a> {
    content: Content<'a>,
    trim: bool,
    rest: &'a str,
}

enum Content<'a> {
    Comment,
    Value(Vec<&'a str>),
    Literal(&'a str),
}

fn parse(after: &str) -> Result<Action<'_>, String> {
    if let Some(comment) = after.trim_start().strip_prefix("/*") {
        let (_, rest) = comment.split_once("*/").ok_or("unclosed comment")?;
        let (trim, rest) = close(rest).ok_or("unexpected text after a comment")?;
        let content = Content::Comment;
        return Ok(Action { content, trim, rest });
    }
    let mut words = Vec::new();
    let mut rest = after;
    loop {
        if let Some((trim, rest)) = close(rest) {
            let content = meaning(&words)?;
            return Ok(Action { content, trim, rest });
        }
        let (word, after) = next_word(rest.trim_start())?;
        words.push(word);
        rest = after;
    }
}

/// Reads the end of an action: whether it trims what follows, and what follows.
fn close(text: &str) -> Option<(bool, &str)> {
    let trimmed = text.trim_start();
    if let Some(rest) = trimmed.strip_prefix("}}") {
        return Some((false, rest));
    }
    let spaced = trimmed.len() < text.len();
    trimmed
        .strip_prefix("-}}")
        .filter(|_| spaced)
        .map(|rest| (true, rest))
}

enum Word<'a> {
    Path(&'a str),
    Text(&'a str),
}

fn next_word(text: &str) -> Result<(Word<'_>, &str), String> {
    for quote in ['"', '`'] {
        if let Some(rest) = text.strip_prefix(quote) {
            let (inner, rest) = rest.split_once(quote).ok_or("unclosed string")?;
            if inner.contains(['\n', '\\']) {
                return Err("strings with escapes or line breaks are not supported".to_owned());
            }
            return Ok((Word::Text(inner), rest));
        }
    }
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.')))
        .unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    match text.chars().next() {
        None => Err("unclosed action: `}}` is missing".to_owned()),
        Some(c) if word.is_empty() => Err(format!(
            "unexpected `{}`; functions, pipes and control actions are not supported",
            c.escape_debug()
        )),
        Some(_) => Ok((Word::Path(word), rest)),
    }
}

fn meaning<'a>(words: &[Word<'a>]) -> Result<Content<'a>, String> {
    match words {
        [] => Err("empty action".to_owned()),
        [Word::Text(text)] => Ok(Content::Literal(text)),
        [Word::Path("index"), Word::Path("variables"), Word::Text(key)] => {
            Ok(Content::Value(vec!["variables", key]))
        }
        [Word::Path(path)] => Ok(Content::Value(path.split('.').collect())),
        [Word::Path(first), ..] => Err(format!("`{first}` with arguments is not supported")),
        [Word::Text(_), ..] => Err("a string must stand alone".to_owned()),
    }
}

fn locate(template: &str, offset: usize, message: String) -> TemplateError {
    let before = template.get(..offset).unwrap_or_default();
    let last_line = before.rsplit('\n').next().unwrap_or_default();
    TemplateError {
        line: before.matches('\n').count() + 1,
        column: last_line.chars().count() + 1,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            name: "podinfo".to_owned(),
            namespace: "test".to_owned(),
            target: "podinfo-dep".to_owned(),
            service: "podinfo-svc".to_owned(),
            ingress: "podinfo-ing".to_owned(),
            route: String::new(),
            interval: "1m".to_owned(),
            variables: BTreeMap::from([("dir".to_owned(), "in{{x}}".to_owned())]),
        }
    }

    fn rendered(template: &str) -> String {
        render(template, &names()).unwrap()
    }

    #[test]
    fn names_are_replaced_verbatim_and_once() {
        assert_eq!(
            rendered(r#"sum(rate(x{ns="{{ namespace }}",t="{{target}}"}[{{ interval }}]))"#),
            r#"sum(rate(x{ns="test",t="podinfo-dep"}[1m]))"#
        );
        assert_eq!(
            rendered("{{ name }}/{{ service }}/{{ ingress }}/{{ route }}"),
            "podinfo/podinfo-svc/podinfo-ing/"
        );
        assert_eq!(rendered("{{ variables.dir }}"), "in{{x}}");
        assert_eq!(
            rendered("{{ index variables \"dir\" }}|{{ index variables `dir`}}"),
            "in{{x}}|in{{x}}"
        );
        assert_eq!(rendered("{{ \"{{\" }}"), "{{");
        assert_eq!(rendered("no action } {"), "no action } {");
    }

    #[test]
    fn trim_marks_and_comments_work() {
        assert_eq!(rendered("a \n {{- name -}} \n b"), "apodinfob");
        assert_eq!(rendered("a {{- name }} b"), "apodinfo b");
        assert_eq!(rendered("a {{/* why */}} b{{- /* x */ -}} c"), "a  bc");
    }

    #[test]
    fn what_is_unknown_is_an_error_with_its_position() {
        for (template, line, column, part) in [
            ("x\n  {{ nme }}", 2, 3, "unknown name `nme`"),
            ("é{{ variables.other }}", 1, 2, "has no `other`"),
            ("{{ variables }}", 1, 1, "needs a key"),
            ("{{ name", 1, 1, "unclosed action"),
            ("{{", 1, 1, "unclosed action"),
            ("{{ }}", 1, 1, "empty action"),
            ("{{ name | quote }}", 1, 1, "unexpected `|`"),
            ("{{ if name }}x{{ end }}", 1, 1, "`if` with arguments"),
            ("{{ .Name }}", 1, 1, "unknown name `.Name`"),
            ("{{ name.x }}", 1, 1, "unknown name `name.x`"),
            ("{{-name}}", 1, 1, "unexpected `-`"),
            ("{{ name-}}", 1, 1, "unexpected `-`"),
            ("{{ index variables \"a }}", 1, 1, "unclosed string"),
            ("{{/* x }}", 1, 1, "unclosed comment"),
        ] {
            let error = render(template, &names()).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{template}: {error}");
            assert!(error.message.contains(part), "{template}: {error}");
        }
    }

    #[test]
    fn the_result_is_bounded() {
        let mut names = names();
        names
            .variables
            .insert("big".to_owned(), "x".repeat(MAX_BYTES / 2 + 1));
        assert!(render("{{ variables.big }}", &names).is_ok());
        assert!(render("{{ variables.big }}{{ variables.big }}", &names).is_err());
        assert!(render(&"x".repeat(MAX_BYTES + 1), &names).is_err());
    }

    #[test]
    fn windows_are_written_for_prometheus() {
        for (seconds, text) in [(60, "1m"), (90, "90s"), (30, "30s"), (3600, "60m"), (1, "1s")] {
            assert_eq!(window(Duration::from_secs(seconds)), text);
        }
        assert_eq!(window(Duration::from_millis(1500)), "1500ms");
    }
}
