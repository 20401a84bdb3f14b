//! Splits a file into documents as kustomize does: at lines that begin with `---` and go on with nothing or a comment.
//! Of what lies between two such lines only the first document counts.

use crate::manifest::split::Chunk;

/// Splits a file. The error is the number of a line that begins with `---` and is no separator.
pub(super) fn separate(text: &str) -> Result<Vec<Chunk<'_>>, u32> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut offset, mut after_separator) = (0, 1, 0, true);
    for (line, number) in text.split_inclusive('\n').zip(1_u32..) {
        let end = offset + line.len();
        // The first line of the file, and one right below a separator, belong to the document.
        let is_separator = line.starts_with("---") && line.ends_with('\n') && !after_separator;
        if is_separator {
            let rest = line.get(3..).unwrap_or_default().trim();
            if !rest.is_empty() && !rest.starts_with('#') {
                return Err(number);
            }
            push(&mut chunks, text.get(start..offset), start_line);
            (start, start_line) = (end, number + 1);
        }
        after_separator = is_separator;
        offset = end;
    }
    push(&mut chunks, text.get(start..), start_line);
    Ok(chunks)
}

fn push<'a>(chunks: &mut Vec<Chunk<'a>>, text: Option<&'a str>, line: u32) {
    let text = text.unwrap_or_default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_blank = |line: &str| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#')
    };
    if !text.lines().all(is_blank) {
        chunks.push(Chunk { text, line });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(&str, u32)> {
        let chunks = separate(text).unwrap();
        chunks.iter().map(|chunk| (chunk.text, chunk.line)).collect()
    }

    #[test]
    fn lines_of_dashes_part_documents() {
        assert_eq!(
            split("a: 1\n---\nb: 2\n--- # c\nc: 3\n---# d\nd: 4"),
            [("a: 1\n", 1), ("b: 2\n", 3), ("c: 3\n", 5), ("d: 4", 7),]
        );
        assert_eq!(split("# licence\n---\n---\na: 1\n---\n"), [("---\na: 1\n", 3)]);
        assert_eq!(split("a: 1\n...\nb: 2\n"), [("a: 1\n...\nb: 2\n", 1)]);
        assert_eq!(
            split("a: 1\r\n---\r\n\u{feff}b: 2\r\n"),
            [("a: 1\r\n", 1), ("b: 2\r\n", 3)]
        );
        assert_eq!(separate("a: 1\n--- {b: 2}\n"), Err(2));
        assert_eq!(separate("a: 1\n----\n"), Err(2));
    }
}
