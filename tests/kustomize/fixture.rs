//! Reads fixtures, and compares objects.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use serin::manifest::{
    documents,
    kustomize::{Built, Rendered},
};

use crate::folder::Folder;

pub(crate) enum Expect {
    Objects(Vec<Value>),
    Beyond(String),
    Wrong(String),
}

pub(crate) struct Build {
    pub(crate) dir: String,
    pub(crate) expect: Expect,
}

pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) root: PathBuf,
    pub(crate) builds: Vec<Build>,
}

impl Fixture {
    pub(crate) fn files(&self) -> Folder {
        Folder::new(&self.root)
    }

    #[cfg_attr(not(feature = "real"), expect(dead_code, reason = "only the oracle writes"))]
    pub(crate) fn expected(&self, dir: &str) -> PathBuf {
        expected(&self.root, dir)
    }
}

fn expected(root: &Path, dir: &str) -> PathBuf {
    let name = if dir == "." {
        "top".to_owned()
    } else {
        dir.replace('/', "_")
    };
    root.join("expected").join(format!("{name}.yaml"))
}

pub(crate) fn fixtures() -> Vec<Fixture> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/kustomize");
    let mut roots: Vec<PathBuf> = fs::read_dir(all)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    roots.sort();
    roots.iter().map(|root| read(root)).collect()
}

fn read(root: &Path) -> Fixture {
    let builds = fs::read_to_string(root.join("builds")).unwrap_or_else(|_| ".\n".to_owned());
    Fixture {
        name: root.file_name().unwrap().to_string_lossy().into_owned(),
        root: root.to_owned(),
        builds: builds.lines().map(|line| build(root, line)).collect(),
    }
}

fn build(root: &Path, line: &str) -> Build {
    let (dir, rest) = line.split_once(' ').unwrap_or((line, ""));
    let expect = match rest.split_once(": ") {
        Some(("beyond", words)) => Expect::Beyond(words.to_owned()),
        Some(("wrong", words)) => Expect::Wrong(words.to_owned()),
        _ => Expect::Objects(printed(
            &fs::read_to_string(expected(root, dir)).unwrap_or_default(),
        )),
    };
    Build {
        dir: dir.to_owned(),
        expect,
    }
}

/// The objects that kustomize printed.
pub(crate) fn printed(text: &str) -> Vec<Value> {
    let found = documents(text.as_bytes(), "expected");
    assert_eq!((found.errors.len(), found.skipped.len()), (0, 0), "{found:?}");
    found
        .objects
        .iter()
        .map(|document| document.object.value().clone())
        .collect()
}

pub(crate) fn objects(built: &Built) -> Vec<Value> {
    let value = |rendered: &Rendered| rendered.object.value().clone();
    built.objects.iter().map(value).collect()
}

/// How two sets of objects differ, whatever their order.
pub(crate) fn difference(expected: &[Value], found: &[Value]) -> Option<String> {
    let key = |object: &Value| {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        [
            text("/apiVersion"),
            text("/kind"),
            text("/metadata/namespace"),
            text("/metadata/name"),
        ]
        .join(" ")
    };
    let by_key = |objects: &[Value]| -> BTreeMap<String, Vec<Value>> {
        let mut map: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for object in objects {
            map.entry(key(object)).or_default().push(object.clone());
        }
        map
    };
    let (expected, found) = (by_key(expected), by_key(found));
    let mut lines = Vec::new();
    for name in expected.keys().filter(|name| !found.contains_key(*name)) {
        lines.push(format!("  missing: {name}"));
    }
    for (name, objects) in &found {
        match expected.get(name) {
            None => lines.push(format!("  too much: {name}")),
            Some(wanted) if wanted != objects => {
                let show = |values: &[Value]| serde_json::to_string_pretty(values).unwrap();
                lines.push(format!(
                    "  {name}:\n{}",
                    first_lines(&show(wanted), &show(objects))
                ));
            }
            Some(_) => {}
        }
    }
    (!lines.is_empty()).then(|| format!("\n{}", lines.join("\n")))
}

/// The first lines at which two texts differ.
fn first_lines(wanted: &str, found: &str) -> String {
    let (wanted, found): (Vec<&str>, Vec<&str>) = (wanted.lines().collect(), found.lines().collect());
    let at = wanted.iter().zip(&found).take_while(|(a, b)| a == b).count();
    let show = |lines: &[&str], mark: &str| {
        let part: Vec<String> = lines
            .iter()
            .skip(at.saturating_sub(4))
            .take(9)
            .map(|line| format!("    {mark} {line}"))
            .collect();
        part.join("\n")
    };
    format!(
        "{}\n    ----\n{}",
        show(&wanted, "kustomize"),
        show(&found, "serin    ")
    )
}
