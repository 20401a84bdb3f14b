//! Replays the corpus of the fuzz targets (`scripts/fuzz` grows it): whatever was found once stays mended.

use std::path::Path;

#[path = "../fuzz/inputs.rs"]
mod inputs;

fn replay(target: &str, feed: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/fuzz")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let fed = std::panic::catch_unwind(|| feed(&bytes));
        assert!(fed.is_ok(), "{} fails; its message is above", file.display());
    }
}

#[test]
fn yaml_documents() {
    replay("documents", inputs::documents);
}

#[test]
fn git_trees() {
    replay("git_trees", inputs::git_trees);
}

#[test]
fn artifacts() {
    replay("artifacts", inputs::artifacts);
}

#[test]
fn kustomizations() {
    replay("kustomizations", inputs::kustomizations);
}

#[test]
fn webhooks() {
    replay("webhooks", inputs::webhooks);
}
