//! What kustomize makes of a folded block scalar (`>`): it prints it once on the way, with one line break too many
//! before a line that is indented more, and at an end that is kept.

/// Returns a folded scalar as it comes out of kustomize.
pub(super) fn refold(text: &str) -> String {
    let body = text.trim_start_matches('\n');
    // A text that begins with blanks, or that a folded scalar cannot hold as it is, is printed in another way.
    let is_plain = |c: char| c <= '\u{ffff}' && (!c.is_control() || matches!(c, '\n' | '\t' | '\u{85}'));
    let has_blank_before_break = text.contains(" \n") || text.ends_with(' ');
    if body.is_empty()
        || body.starts_with([' ', '\t'])
        || has_blank_before_break
        || !text.chars().all(is_plain)
    {
        return text.to_owned();
    }
    let mut made = String::with_capacity(text.len() + 8);
    let mut rest = text;
    let (mut is_indented, mut is_first) = (true, true);
    while !rest.is_empty() {
        let line = rest.split('\n').next().unwrap_or_default();
        rest = rest.get(line.len()..).unwrap_or_default();
        let after = rest.trim_start_matches('\n');
        let breaks = rest.len() - after.len();
        made.push_str(line);
        if !line.is_empty() {
            (is_indented, is_first) = (line.starts_with([' ', '\t']), false);
        }
        let is_kept = if after.is_empty() {
            breaks > 1
        } else {
            after.starts_with([' ', '\t'])
        };
        let more = usize::from(!is_first && !is_indented && is_kept);
        made.extend(std::iter::repeat_n('\n', breaks + more));
        rest = after;
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_is_added_before_lines_that_are_indented_more() {
        for (text, comes_out) in [
            ("a b\nc\n", "a b\nc\n"),
            ("x\n  y\nz\n", "x\n\n  y\nz\n"),
            ("x\n\n  y\n\n    q\nz", "x\n\n\n  y\n\n    q\nz"),
            ("x\n  y\n\n\n", "x\n\n  y\n\n\n"),
            ("x\n\n", "x\n\n\n"),
            ("\na\n  b\n", "\na\n\n  b\n"),
            ("  x\n y\nz\n", "  x\n y\nz\n"),
            ("a \n  b\n", "a \n  b\n"),
            ("a\n\tb\n", "a\n\n\tb\n"),
            ("é\n  ü\n", "é\n\n  ü\n"),
            ("é\n  😀\n", "é\n  😀\n"),
        ] {
            assert_eq!(refold(text), comes_out, "{text:?}");
        }
    }
}
