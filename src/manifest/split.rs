//! Splits a YAML file into its documents, so that one broken document does not hide the others.

/// A document of a file, with the line it begins at (counted from one).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    pub(super) text: &'a str,
    pub(super) line: u32,
}

/// Splits at `---` and `...` markers. A marker in the first column ends a document even inside block scalars.
/// Chunks of comments and directives alone are left out.
pub(super) fn split(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut offset) = (0, 1, 0);
    for (line, number) in text.split_inclusive('\n').zip(1_u32..) {
        let end = offset + line.len();
        if is_marker(line, "---") {
            push(&mut chunks, text.get(start..offset), start_line);
            (start, start_line) = (offset, number);
        } else if is_marker(line, "...") {
            push(&mut chunks, text.get(start..offset), start_line);
            (start, start_line) = (end, number + 1);
        }
        offset = end;
    }
    push(&mut chunks, text.get(start..), start_line);
    chunks
}

fn push<'a>(chunks: &mut Vec<Chunk<'a>>, text: Option<&'a str>, line: u32) {
    let Some(text) = text else { return };
    let has_content = text.lines().any(|line| {
        let line = line.strip_prefix("---").unwrap_or(line).trim();
        !line.is_empty() && !line.starts_with(['#', '%'])
    });
    if has_content {
        chunks.push(Chunk { text, line });
    }
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<u32> {
        split(text).iter().map(|chunk| chunk.line).collect()
    }

    #[test]
    fn splits_at_markers_and_counts_lines() {
        assert_eq!(lines("a: 1\n---\nb: 2\n--- # c\nc: 3\n"), [1, 2, 4]);
        assert_eq!(lines("# licence\n---\n# only\n---\na: 1\n---\n"), [4]);
        assert_eq!(lines("%YAML 1.2\n---\na: 1\n...\nb: 2\n"), [2, 5]);
        assert_eq!(lines("a: |\n  ---\n  x\n----\n"), [1]);
        assert_eq!(lines("a: 1\r\n---\r\nb: 2\r\n"), [1, 2]);
        assert_eq!(lines("--- {a: 1}\n"), [1]);
        assert_eq!(lines(""), [] as [u32; 0]);
    }
}
