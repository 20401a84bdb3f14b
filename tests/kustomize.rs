//! `fixtures/kustomize/<name>/`: kustomizations, and what the real kustomize makes of them. Adding a case is adding
//! a folder: its file `builds` names the directories to build, one a line. After a directory may stand
//! `beyond: WORDS` (Serin does not render it, and says so with these words) or `wrong: WORDS` (kustomize refuses
//! it, and so does Serin). `expected/DIR.yaml` is what the real kustomize prints; the `real` tier holds it to that.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "kustomize/fixture.rs"]
mod fixture;
#[path = "kustomize/folder.rs"]
mod folder;
#[cfg(feature = "real")]
#[path = "kustomize/oracle.rs"]
mod oracle;
#[cfg(feature = "real")]
#[path = "kustomize/random.rs"]
mod random;

use fixture::{Expect, fixtures};
use serin::manifest::kustomize::{Fault, Overlay, Renderer};

#[test]
fn every_fixture_is_rendered_as_kustomize_renders_it() {
    let mut failures = Vec::new();
    let mut builds = 0;
    for fixture in fixtures() {
        // One renderer for all directories of a fixture: what they share must not leak from one to another.
        let files = fixture.files();
        let mut renderer = Renderer::new(&files);
        for build in &fixture.builds {
            builds += 1;
            let said = match renderer.build(&build.dir, &Overlay::default()) {
                Ok(built) => Ok(fixture::objects(&built)),
                Err(unrendered) => Err(unrendered.fault),
            };
            let complaint = match (&build.expect, said) {
                (Expect::Objects(expected), Ok(objects)) => fixture::difference(expected, &objects),
                (Expect::Objects(_), Err(fault)) => Some(format!("not rendered: {fault}")),
                (Expect::Beyond(words), Err(fault @ Fault::Beyond(_)))
                | (Expect::Wrong(words), Err(fault @ Fault::Wrong(_))) => {
                    (!fault.to_string().contains(words)).then(|| format!("says {fault}, without {words:?}"))
                }
                (_, Ok(_)) => Some("rendered, but should not be".to_owned()),
                (_, Err(fault)) => Some(format!("another kind of fault: {fault:?}")),
            };
            failures
                .extend(complaint.map(|complaint| format!("{}/{}: {complaint}", fixture.name, build.dir)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(builds >= 60, "only {builds} builds: the corpus is not complete");
}
