//! The end of a text that ends without a line break.

use std::borrow::Cow;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};

/// Where a text ends without a line break inside of a block scalar, Kubernetes reads the scalar without one too;
/// the parser adds one. Returns a text that says so.
pub(super) fn as_it_ends(text: &str) -> Cow<'_, str> {
    let last = text.rsplit('\n').next().unwrap_or_default();
    if last.trim().is_empty() || last.len() == text.len() {
        return Cow::Borrowed(text);
    }
    let Some((start, end)) = last_block(text) else {
        return Cow::Borrowed(text);
    };
    let index = |chars: usize| text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    let head = text.get(..index(start)).unwrap_or_default().trim_end();
    let line = head.rsplit('\n').next().unwrap_or_default();
    let header = line.split(" #").next().unwrap_or_default().trim_end();
    let name = header.trim_end_matches(|c: char| matches!(c, '|' | '>' | '+' | '-' | '0'..='9'));
    let signs = header.get(name.len()..).unwrap_or_default();
    if !signs.starts_with(['|', '>']) || signs.contains('-') || index(end) < text.len() {
        return Cow::Borrowed(text);
    }
    let at = head.len() - line.len() + name.len();
    let mut made = text.to_owned();
    made.replace_range(at..at + signs.len(), &format!("{}-", signs.replace('+', "")));
    Cow::Owned(made)
}

/// Where the last value is written, in characters, if that is a block scalar.
fn last_block(text: &str) -> Option<(usize, usize)> {
    let mut parser = Parser::new_from_str(text);
    let mut last = None;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.ok()?;
        match event {
            Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..) => {
                last = Some((span.start.index(), span.end.index()));
            }
            Event::Scalar(..) | Event::Alias(_) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                last = None;
            }
            _ => {}
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_block_at_the_very_end_is_stripped() {
        for (text, made) in [
            ("é: |\n  x", "é: |-\n  x"),
            ("a: >2\n  x\n\n  y", "a: >2-\n  x\n\n  y"),
            ("a: &b |+ # c\n  x", "a: &b |- # c\n  x"),
            ("a: |\n\n  x", "a: |-\n\n  x"),
            ("a1: |\n  |\n  x", "a1: |-\n  |\n  x"),
            ("a: |-\n  x", "a: |-\n  x"),
            ("a: |\n  x\n", "a: |\n  x\n"),
            ("a: |\n  x\nb: y", "a: |\n  x\nb: y"),
            ("a: |\n  x\n# c", "a: |\n  x\n# c"),
            ("a: |\n  x\n  ", "a: |\n  x\n  "),
            ("a:\n- |\n  x", "a:\n- |-\n  x"),
            ("a: [", "a: ["),
        ] {
            assert_eq!(as_it_ends(text), made, "{text:?}");
        }
    }
}
