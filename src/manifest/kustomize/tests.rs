//! What no fixture can show: whose rules hold, what a Flux Kustomization adds, what a build depends on, and limits.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;

#[derive(Default)]
struct Memory(BTreeMap<String, Arc<File>>);

impl Memory {
    fn of(files: &[(&str, &str)]) -> Self {
        let made = |(path, text): &(&str, &str)| {
            let file = File::new(path, text.as_bytes().to_vec());
            ((*path).to_owned(), Arc::new(file))
        };
        Self(files.iter().map(made).collect())
    }
}

impl Files for Memory {
    fn file(&self, path: &str) -> Result<Option<Arc<File>>, ReadError> {
        Ok(self.0.get(path).cloned())
    }

    fn is_dir(&self, path: &str) -> bool {
        path.is_empty() || self.0.keys().any(|file| file.starts_with(&format!("{path}/")))
    }

    fn list(&self, dir: &str) -> Vec<String> {
        let prefix = if dir.is_empty() {
            String::new()
        } else {
            format!("{dir}/")
        };
        let names: BTreeSet<String> = self
            .0
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix)?.split('/').next().map(str::to_owned))
            .collect();
        names.into_iter().collect()
    }
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n";
const POD: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: app:1}]}\n";

fn flux() -> Overlay {
    Overlay {
        rules: Rules::Flux,
        ..Overlay::default()
    }
}

fn names(built: &Built) -> Vec<String> {
    built
        .objects
        .iter()
        .map(|rendered| rendered.object.key().to_string())
        .collect()
}

fn said(files: &Memory, dir: &str) -> String {
    build(files, dir, &Overlay::default())
        .unwrap_err()
        .fault
        .to_string()
}

#[test]
fn flux_takes_every_manifest_of_a_directory_and_kustomizations_as_they_are() {
    let files = Memory::of(&[
        ("apps/a.yaml", MAP),
        ("apps/deep/p.yml", POD),
        (
            "apps/unit/kustomization.yaml",
            "resources: [b.yaml]\nnamePrefix: x-\n",
        ),
        ("apps/unit/b.yaml", &MAP.replace("name: a", "name: b")),
        ("apps/unit/unused.yaml", "not: an object\n"),
        ("apps/.sops.yaml", "creation_rules: []\n"),
        ("apps/README.md", "x"),
    ]);
    let built = build(&files, "apps", &flux()).unwrap();
    assert_eq!(names(&built), ["ConfigMap/a", "ConfigMap/x-b", "Pod/p"]);
    assert_eq!(
        (&*built.objects[2].file, built.objects[2].line),
        ("apps/deep/p.yml", 1)
    );
    // A file that is added to one of the directories belongs to it.
    assert!(built.inputs.contains("apps/deep/") && !built.inputs.contains("apps/unit/unused.yaml"));
    assert!(said(&files, "apps").contains("no kustomization file in this directory"));
    assert!(said(&files, "nope").contains("no such directory"));
}

#[test]
fn flux_reads_files_anywhere_in_the_repository_but_not_outside() {
    let files = Memory::of(&[
        ("a/kustomization.yaml", "resources: [../b.yaml]\n"),
        ("b.yaml", MAP),
    ]);
    assert!(said(&files, "a").contains("not below"));
    assert_eq!(names(&build(&files, "a", &flux()).unwrap()), ["ConfigMap/a"]);
    let files = Memory::of(&[("a/kustomization.yaml", "resources: [../../b.yaml]\n")]);
    let outside = build(&files, "a", &flux()).unwrap_err();
    assert!(
        outside
            .fault
            .to_string()
            .contains("a/kustomization.yaml:1:13: ../../b.yaml is outside")
    );
}

#[test]
fn a_flux_kustomization_adds_to_that_of_its_path() {
    let files = Memory::of(&[
        (
            "a/kustomization.yaml",
            "resources: [m.yaml, p.yaml]\nnamespace: own\nimages: [{name: app, newTag: '2'}, {name: x, newTag: '3'}]\n",
        ),
        ("a/m.yaml", MAP),
        ("a/p.yaml", POD),
        (
            "c/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\ncommonAnnotations: {c: d}\n",
        ),
    ]);
    let overlay = Overlay {
        target_namespace: Some("shop".to_owned()),
        name_prefix: Some("x-".to_owned()),
        name_suffix: Some("-y".to_owned()),
        patches: vec![
            OverlayPatch {
                patch: "- {op: add, path: /data/new, value: '1'}".to_owned(),
                target: Some(Target {
                    kind: "ConfigMap".to_owned(),
                    ..Target::default()
                }),
            },
            OverlayPatch {
                patch: "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {hostname: h}\n".to_owned(),
                target: None,
            },
        ],
        images: vec![Image {
            name: "app".to_owned(),
            new_tag: "9".to_owned(),
            ..Image::default()
        }],
        components: vec!["../c".to_owned(), "../missing".to_owned()],
        ignore_missing_components: true,
        common_metadata: CommonMetadata {
            labels: BTreeMap::from([("team".to_owned(), "t".to_owned())]),
            annotations: BTreeMap::from([("c".to_owned(), "last".to_owned())]),
        },
        ..flux()
    };
    let built = build(&files, "a", &overlay).unwrap();
    assert_eq!(names(&built), ["ConfigMap/shop/x-a-y", "Pod/shop/x-p-y"]);
    let (map, pod) = (&built.objects[0].object, &built.objects[1].object);
    assert_eq!(map.str_at("/data/new"), "1");
    assert_eq!(
        (
            pod.str_at("/spec/containers/0/image"),
            pod.str_at("/spec/hostname")
        ),
        ("app:9", "h")
    );
    assert_eq!(
        (map.label("team"), map.annotation("c")),
        (Some("t"), Some("last"))
    );
    let strict = Overlay {
        ignore_missing_components: false,
        ..overlay
    };
    assert!(
        build(&files, "a", &strict)
            .unwrap_err()
            .fault
            .to_string()
            .contains("no directory ../missing")
    );
}

#[test]
fn a_build_depends_on_what_it_read_and_looked_for() {
    let files = Memory::of(&[
        (
            "o/kustomization.yaml",
            "resources: [../b]\npatches: [{path: p.yaml, target: {kind: ConfigMap}}]\n",
        ),
        ("o/p.yaml", "- {op: add, path: /data/x, value: '1'}\n"),
        ("o/other.yaml", MAP),
        (
            "b/kustomization.yml",
            "resources: [a.yaml]\nconfigMapGenerator: [{name: g, files: [k=f.txt]}]\n",
        ),
        ("b/a.yaml", MAP),
        ("b/f.txt", "text"),
    ]);
    let built = build(&files, "o", &Overlay::default()).unwrap();
    let read: Vec<&str> = built
        .inputs
        .iter()
        .map(String::as_str)
        .filter(|path| files.0.contains_key(*path))
        .collect();
    assert_eq!(
        read,
        [
            "b/a.yaml",
            "b/f.txt",
            "b/kustomization.yml",
            "o/kustomization.yaml",
            "o/p.yaml"
        ]
    );
    // A second kustomization file would be an error, so its absence counts.
    assert!(built.inputs.contains("b/kustomization.yaml"));
}

#[test]
fn what_cannot_be_rendered_depends_on_what_its_kustomizations_name() {
    let files = Memory::of(&[
        ("o/kustomization.yaml", "resources: [../b]\n"),
        (
            "b/kustomization.yaml",
            "helmCharts: [{name: web, valuesFile: v.yaml}]\nhelmGlobals: {chartHome: charts}\nconfigMapGenerator: [{name: g, files: [k=f.txt]}]\n",
        ),
        ("b/v.yaml", "a: 1\n"),
        ("b/f.txt", "text"),
        ("b/charts/web/Chart.yaml", "name: web\n"),
        ("b/unrelated.yaml", MAP),
    ]);
    let unrendered = build(&files, "o", &Overlay::default()).unwrap_err();
    assert!(matches!(unrendered.fault, Fault::Beyond(_)));
    assert_eq!(
        unrendered.fault.to_string(),
        "b/kustomization.yaml:1:13: Helm charts are not rendered"
    );
    for path in [
        "b/v.yaml",
        "b/f.txt",
        "b/charts/web/Chart.yaml",
        "o/kustomization.yaml",
    ] {
        assert!(unrendered.inputs.contains(path), "{path}");
    }
    assert!(!unrendered.inputs.contains("b/unrelated.yaml"));
}

#[test]
fn a_shared_base_is_rendered_once_and_each_overlay_knows_its_inputs() {
    let mut list = vec![
        (
            "base/kustomization.yaml".to_owned(),
            "resources: [p.yaml]\n".to_owned(),
        ),
        ("base/p.yaml".to_owned(), POD.to_owned()),
    ];
    for n in 0..3 {
        list.push((
            format!("o{n}/kustomization.yaml"),
            format!("resources: [../base]\nnamePrefix: n{n}-\n"),
        ));
    }
    let list: Vec<(&str, &str)> = list
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let files = Memory::of(&list);
    let mut renderer = Renderer::new(&files);
    for n in 0..3 {
        let built = renderer.build(&format!("o{n}"), &Overlay::default()).unwrap();
        assert_eq!(names(&built), [format!("Pod/n{n}-p")]);
        assert!(
            built.inputs.contains("base/p.yaml") && built.inputs.len() == 7,
            "{:?}",
            built.inputs
        );
    }
}

#[test]
fn a_cycle_is_found_also_through_what_was_rendered_before() {
    let files = Memory::of(&[
        ("a/kustomization.yaml", "resources: [../b]\n"),
        ("b/kustomization.yaml", "resources: [../c]\n"),
        ("c/kustomization.yaml", "resources: [m.yaml]\n"),
        ("c/m.yaml", MAP),
        ("c/d/kustomization.yaml", "resources: [../../b]\n"),
    ]);
    let mut renderer = Renderer::new(&files);
    assert!(renderer.build("a", &Overlay::default()).is_ok());
    // `b` is known by now; from inside of `c` it leads back.
    let cycle = renderer.build("c/d", &Overlay::default()).unwrap_err();
    assert!(
        cycle.fault.to_string().contains("a cycle: c contains c/d"),
        "{}",
        cycle.fault
    );
}

#[test]
fn there_are_limits() {
    let mut list = Vec::new();
    for n in 0..40 {
        list.push((
            format!("d{n}/kustomization.yaml"),
            format!("resources: [../d{}]\n", n + 1),
        ));
    }
    let deep: Vec<(&str, &str)> = list
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let fault = build(&Memory::of(&deep), "d0", &Overlay::default())
        .unwrap_err()
        .fault;
    assert!(
        matches!(fault, Fault::TooMuch(_)) && fault.to_string().contains("deeper than 32"),
        "{fault}"
    );
    let item = |n| format!("- {{apiVersion: v1, kind: ConfigMap, metadata: {{name: m{n}}}}}\n");
    let items: String = (0..10_001).map(item).collect();
    let items = format!("apiVersion: v1\nkind: List\nitems:\n{items}");
    let files = Memory::of(&[
        ("kustomization.yaml", "resources: [m.yaml]\n"),
        ("m.yaml", &items),
    ]);
    assert!(said(&files, ".").contains("more than 10000 objects"));
}

#[test]
fn objects_that_nothing_changes_are_not_copied() {
    let files = Memory::of(&[("kustomization.yaml", "resources: [m.yaml]\n"), ("m.yaml", MAP)]);
    let pointer = |built: &Built| std::ptr::from_ref::<Value>(built.objects[0].object.value());
    let first = build(&files, "", &Overlay::default()).unwrap();
    let second = build(&files, "", &Overlay::default()).unwrap();
    assert_eq!(pointer(&first), pointer(&second));
}
