//! The house of DESIGN: which room may import which, and how its files are made.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Room, and what it may import beside the leaves.
const ROOMS: &[(&str, &[&str])] = &[
    ("repo", &["http"]),
    ("manifest", &[]),
    ("canary", &["manifest"]),
    ("plan", &["repo", "manifest", "canary"]),
    ("rollout", &["canary"]),
    ("workload", &["manifest", "canary", "rollout"]),
    ("traffic", &["manifest", "canary", "rollout"]),
    ("metrics", &["manifest", "canary", "rollout", "http"]),
    ("hooks", &["manifest", "canary", "rollout", "http"]),
    (
        "report",
        &["repo", "manifest", "canary", "plan", "rollout", "http"],
    ),
    ("cluster", &["manifest", "canary"]),
    (
        "runtime",
        &[
            "repo", "manifest", "canary", "plan", "rollout", "workload", "traffic", "metrics", "hooks",
            "report", "cluster", "http",
        ],
    ),
    ("rehearsal", &["manifest", "canary"]),
    (
        "cli",
        &[
            "repo",
            "manifest",
            "canary",
            "plan",
            "rollout",
            "workload",
            "traffic",
            "metrics",
            "hooks",
            "report",
            "cluster",
            "runtime",
            "rehearsal",
            "http",
        ],
    ),
    ("error", &[]),
    ("clock", &[]),
    ("http", &[]),
];

const LEAVES: &[&str] = &["error", "clock"];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

fn all() -> Vec<PathBuf> {
    let mut found = Vec::new();
    sources(Path::new("src"), &mut found);
    found.sort();
    assert!(found.len() > 50, "the sources are where the test looks");
    found
}

fn room(path: &Path) -> String {
    let first = path.strip_prefix("src").unwrap().components().next().unwrap();
    first
        .as_os_str()
        .to_str()
        .unwrap()
        .trim_end_matches(".rs")
        .to_owned()
}

/// Every `crate::<room>` and every room of a `use crate::{…}` list.
fn imports(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        if let Some(list) = after.strip_prefix('{') {
            found.extend(heads(list));
        } else {
            found.insert(word(after));
        }
    }
    found
}

/// The first words of the entries of a braced list, at its own depth.
fn heads(list: &str) -> Vec<String> {
    let (mut depth, mut heads, mut fresh) = (0, Vec::new(), true);
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            letter if fresh && depth == 0 && letter.is_alphabetic() => {
                heads.push(word(&list[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect()
}

#[test]
fn imports_are_read_from_lists_and_paths() {
    let text = "use crate::{\n    canary::{Canary, Spec},\n    http,\n};\nlet x = crate::plan::y();\n// crate::cli\n";
    assert_eq!(
        imports(text),
        ["canary", "http", "plan"].map(str::to_owned).into()
    );
}

#[test]
fn rooms_import_only_what_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for path in all() {
        let room = room(&path);
        if room == "lib" || room == "main" {
            continue;
        }
        let may = allowed
            .get(room.as_str())
            .unwrap_or_else(|| panic!("{room} is not a room of DESIGN"));
        for import in imports(&fs::read_to_string(&path).unwrap()) {
            let is_room = allowed.contains_key(import.as_str());
            let fine = import == room || LEAVES.contains(&import.as_str()) || may.contains(&import.as_str());
            if is_room && !fine {
                wrong.push(format!("{} imports {import}", path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that the house does not have:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn files_are_short_and_named_for_what_they_hold() {
    let mut wrong = Vec::new();
    for path in all() {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if ["mod", "utils", "util", "helpers", "manager", "common", "misc"].contains(&name.as_str()) {
            wrong.push(format!("{}: not a name", path.display()));
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        if lines > 700 {
            wrong.push(format!("{}: {lines} lines", path.display()));
        }
        if name != "tests" && !text.trim_start().starts_with("//!") {
            wrong.push(format!("{}: does not say what it is for", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_room_writes_to_the_cluster_and_one_file_prints() {
    for path in all() {
        let text = fs::read_to_string(&path).unwrap();
        let room = room(&path);
        if !["cluster", "rehearsal", "cli"].contains(&room.as_str()) {
            assert!(
                !text.contains("kube::"),
                "{} talks to the API server itself",
                path.display()
            );
        }
        if path != Path::new("src/cli/output.rs") {
            assert!(!text.contains("std::io::stdout()"), "{} prints", path.display());
        }
    }
}

#[test]
fn the_tree_has_no_second_tls_library() {
    let lock = fs::read_to_string("Cargo.lock").unwrap();
    for banned in ["aws-lc-rs", "openssl-sys", "chrono", "serde_yaml", "serde_yml"] {
        assert!(
            !lock.contains(&format!("name = \"{banned}\"\n")),
            "{banned} came into the tree"
        );
    }
    let packages = lock.matches("[[package]]").count();
    assert!(
        packages <= 360,
        "{packages} packages in Cargo.lock: argue for more, or drop one"
    );
}
