//! Revisions that are read one after the other, as the sidecar reads them.

use super::*;
use crate::{
    plan::testing::{config, flux},
    repo::testing::Repo,
};

/// What a test can compare of a revision.
fn said(found: &Manifests) -> String {
    let objects = found.objects.iter().map(|(key, placed)| {
        let (file, line, unknown) = (&placed.file, placed.line, &placed.unknown);
        format!("{key} {file}:{line} {unknown:?} {}", placed.object.value())
    });
    let mut errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
    errors.sort();
    let (clashes, skipped) = (&found.clashes, &found.skipped);
    format!(
        "{:#?} {errors:#?} {clashes:#?} {skipped:#?}",
        objects.collect::<Vec<_>>()
    )
}

#[test]
fn what_is_read_from_the_revision_before_is_what_is_read_anew() {
    let (one, two) = (config("one", "1"), config("two", "1"));
    let dirs = |dirs: &str| format!("resources: [{dirs}]\n");
    // Each commit: what is written; an empty text removes a file.
    let commits: Vec<Vec<(&str, String)>> = vec![
        vec![
            ("apps/base/one.yaml", one.clone()),
            ("apps/base/kustomization.yaml", dirs("one.yaml")),
            ("apps/a/kustomization.yaml", dirs("../base") + "namespace: a\n"),
            ("plain/x.yaml", two.clone()),
        ],
        vec![("apps/base/one.yaml", config("one", "2"))],
        vec![("apps/b/kustomization.yaml", dirs("../base") + "namespace: b\n")],
        vec![("apps/b/kustomization.yaml", dirs("../base") + "namespace: a\n")],
        vec![
            ("plain/y.yaml", config("two", "9")),
            ("plain/note.txt", "x".to_owned()),
        ],
        vec![("plain/x.yaml", String::new())],
        vec![("apps/a/kustomization.yaml", dirs("../none"))],
        vec![("plain/kustomization.yaml", dirs("y.yaml"))],
        vec![
            ("apps/a/kustomization.yaml", dirs("../../plain")),
            ("plain/Chart.yaml", "name: x\n".to_owned()),
        ],
        vec![
            ("plain/Chart.yaml", String::new()),
            ("plain/z.yaml", format!("{two}---\n{two}")),
        ],
        vec![
            ("plain/kustomization.yaml", String::new()),
            ("apps/a/kustomization.yaml", String::new()),
        ],
        vec![
            (
                "flux/one.yaml",
                flux("one", "./apps/base", "  targetNamespace: f\n"),
            ),
            ("flux/two.yaml", flux("two", "./plain", "")),
        ],
        vec![("flux/two.yaml", flux("two", "./apps/b", ""))],
        vec![("flux/one.yaml", String::new()), ("flux/two.yaml", String::new())],
    ];
    let (repo, warm) = (Repo::new(), Cache::default());
    let mut ids = Vec::new();
    for commit in &commits {
        for (path, _) in commit.iter().filter(|(_, text)| text.is_empty()) {
            repo.remove(path);
        }
        let written: Vec<(&str, &str)> = commit
            .iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(path, text)| (*path, text.as_str()))
            .collect();
        ids.push(repo.commit(&written));
    }
    let checkout = repo.checkout("");
    let read = |cache: &Cache, id| said(&manifests(&checkout, cache, &Settings::default(), id).unwrap());
    // Forward, backward, and in steps of several commits.
    let far = ids.iter().cycle().step_by(5).take(ids.len());
    for id in ids.iter().chain(ids.iter().rev()).chain(far) {
        assert_eq!(read(&warm, id), read(&Cache::default(), id), "{id}");
    }
}
