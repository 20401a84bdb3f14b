//! The difference of two texts, line by line.

use std::fmt::Write as _;

/// Shows what differs, with some lines around it.
pub(crate) fn lines(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut table = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            table[i][j] = if old[i] == new[j] {
                table[i + 1][j + 1] + 1
            } else {
                table[i + 1][j].max(table[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut marked) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            marked.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && table[i + 1][j] >= table[i][j + 1] {
            marked.push(('-', old[i]));
            i += 1;
        } else {
            marked.push(('+', new[j]));
            j += 1;
        }
    }
    shorten(&marked)
}

fn shorten(marked: &[(char, &str)]) -> String {
    const AROUND: usize = 3;
    let mut out = String::new();
    for (at, (mark, line)) in marked.iter().enumerate() {
        let around = &marked[at.saturating_sub(AROUND)..(at + AROUND + 1).min(marked.len())];
        if around.iter().any(|(mark, _)| *mark != ' ') {
            writeln!(out, "{mark} {line}").unwrap();
        } else if !out.ends_with("  …\n") {
            out.push_str("  …\n");
        }
    }
    out
}

#[test]
fn differences_are_shown_with_what_is_around_them() {
    let shown = lines("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nd\nx\nf\n");
    assert_eq!(shown, "  …\n  b\n  c\n  d\n- e\n+ x\n  f\n");
}
