//! The real kustomize holds the expected outputs, and what Serin refuses, to what it does itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::fixture::{Expect, fixtures};

#[path = "../common/lab/assets.rs"]
#[expect(dead_code, reason = "kustomize reads no files of its own")]
mod assets;

pub(crate) fn kustomize() -> PathBuf {
    assets::Assets::locate().unwrap().binary("kustomize").unwrap()
}

/// What kustomize prints for a directory; none if it refuses it.
pub(crate) fn build(kustomize: &Path, root: &Path, dir: &str) -> Option<String> {
    let output = Command::new(kustomize)
        .args(["build", dir])
        .current_dir(root)
        .output()
        .unwrap();
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

/// `SERIN_UPDATE=1` writes the expected outputs anew.
#[test]
fn the_expected_outputs_are_what_kustomize_prints() {
    let write = std::env::var_os("SERIN_UPDATE").is_some();
    let kustomize = kustomize();
    let mut failures = Vec::new();
    for fixture in fixtures() {
        for one in &fixture.builds {
            let printed = build(&kustomize, &fixture.root, &one.dir);
            let path = fixture.expected(&one.dir);
            let complaint = match (&one.expect, printed) {
                (Expect::Objects(_), Some(printed)) if write => {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(&path, printed).unwrap();
                    None
                }
                (Expect::Objects(_), Some(printed)) => {
                    let kept = fs::read_to_string(&path).unwrap_or_default();
                    (kept != printed).then_some("the expected output is not what kustomize prints")
                }
                (Expect::Objects(_), None) => Some("kustomize refuses it"),
                (Expect::Wrong(_), Some(_)) => Some("kustomize renders it"),
                (Expect::Wrong(_), None) | (Expect::Beyond(_), _) => None,
            };
            failures.extend(complaint.map(|complaint| format!("{}/{}: {complaint}", fixture.name, one.dir)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
