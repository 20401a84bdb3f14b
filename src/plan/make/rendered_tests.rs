//! Plans of repositories that kustomize, Flux and Helm render.

use super::*;
use crate::{
    manifest::{Object, Resource},
    plan::{
        Change, Ties, apply_set,
        testing::{canary, config, deployment, flux, release},
    },
    repo::testing::Repo,
};

/// Plans a range with a cache that is used before and after.
fn plan_of(repo: &Repo, range: &str) -> Plan {
    plan_in(repo, "", range, &Settings::default())
}

fn plan_in(repo: &Repo, path: &str, range: &str, settings: &Settings) -> Plan {
    let checkout = repo.checkout(path);
    let (from, to) = checkout.range(range).unwrap();
    let fresh = plan(&checkout, &Cache::default(), settings, from.as_ref(), &to).unwrap();
    let warm = Cache::default();
    if let Some(revision) = &from {
        crate::plan::manifests(&checkout, &warm, settings, &revision.id).unwrap();
    }
    let incremental = plan(&checkout, &warm, settings, from.as_ref(), &to).unwrap();
    assert_eq!(fresh, incremental, "what is known already must not matter");
    fresh
}

fn touched(plan: &Plan) -> Vec<(String, Effect)> {
    let touched = plan.touched.iter();
    touched
        .map(|touched| (touched.canary.to_string(), touched.effect))
        .collect()
}

fn why(touched: &Touched) -> Vec<String> {
    let lines = touched.reasons.iter().map(|reason| {
        let fields: Vec<_> = reason.fields.iter().map(ToString::to_string).collect();
        format!("{} {}", reason.file, fields.join(", "))
            .trim_end()
            .to_owned()
    });
    lines.collect()
}

const CANARY: &str = "Canary/default/podinfo";

/// A base and two overlays in namespaces of their own.
fn overlays() -> Repo {
    let repo = Repo::new();
    let overlay = |namespace: &str| format!("namespace: {namespace}\nresources: [../base]\n");
    repo.commit_as(
        "base",
        &[
            (
                "apps/base/kustomization.yaml",
                "resources: [deployment.yaml, canary.yaml]\n\
                 configMapGenerator: [{name: settings, files: [page.txt]}]\n",
            ),
            ("apps/base/deployment.yaml", &deployment("6.0.0", 2)),
            ("apps/base/canary.yaml", &canary("Deployment", 10)),
            ("apps/base/page.txt", "hello"),
            ("apps/production/kustomization.yaml", &overlay("production")),
            ("apps/staging/kustomization.yaml", &overlay("staging")),
        ],
    );
    repo
}

#[test]
fn a_change_of_a_base_reaches_the_canaries_of_all_overlays() {
    let repo = overlays();
    let id = repo.commit_as("bump", &[("apps/base/deployment.yaml", &deployment("6.0.1", 2))]);
    let plan = plan_of(&repo, "");
    assert_eq!((&plan.errors, &plan.not_rendered), (&Vec::new(), &Vec::new()));
    assert_eq!(
        touched(&plan),
        [
            ("Canary/production/podinfo".to_owned(), Effect::Run),
            ("Canary/staging/podinfo".to_owned(), Effect::Run)
        ]
    );
    assert_eq!(plan.touched[0].commit, id);
    assert_eq!(
        why(&plan.touched[0]),
        ["apps/base/deployment.yaml image podinfo 6.0.0 → 6.0.1"]
    );
}

#[test]
fn a_change_of_one_overlay_reaches_only_its_canary_and_names_the_file_of_the_change() {
    let repo = overlays();
    let text = "namespace: staging\nresources: [../base]\nimages: [{name: podinfo, newTag: 6.0.9}]\n";
    repo.commit(&[("apps/staging/kustomization.yaml", text)]);
    let plan = plan_of(&repo, "");
    assert_eq!(
        touched(&plan),
        [("Canary/staging/podinfo".to_owned(), Effect::Run)]
    );
    assert_eq!(
        why(&plan.touched[0]),
        ["apps/staging/kustomization.yaml image podinfo 6.0.0 → 6.0.9"]
    );
}

#[test]
fn a_file_of_a_generator_starts_a_run() {
    let repo = overlays();
    repo.commit(&[("apps/base/page.txt", "good morning")]);
    let plan = plan_in(&repo, "apps/production", "", &Settings::default());
    assert_eq!(
        touched(&plan),
        [("Canary/production/podinfo".to_owned(), Effect::Run)]
    );
    let reasons = &plan.touched[0].reasons;
    assert!(
        reasons.iter().all(|reason| reason.file == "apps/base/page.txt"),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().any(|reason| reason.change == Change::Added),
        "a new name"
    );
    assert_eq!(plan.unrelated, []);
}

#[test]
fn a_path_is_rendered_with_what_it_refers_to_outside_of_it() {
    let repo = overlays();
    let settings = Settings::default();
    let checkout = repo.checkout("apps/production");
    let found = crate::plan::manifests(&checkout, &Cache::default(), &settings, &repo.head()).unwrap();
    let keys: Vec<_> = found.objects.keys().map(ToString::to_string).collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
    let set = apply_set(&found);
    assert_eq!(
        (set.writes.len(), set.refused.len()),
        (3, 0),
        "what is rendered is applied"
    );
    repo.commit_as(
        "other",
        &[(
            "apps/staging/kustomization.yaml",
            "namespace: stage\nresources: [../base]\n",
        )],
    );
    let plan = plan_in(&repo, "apps/production", "", &settings);
    assert_eq!((plan.touched.len(), plan.unrelated.len()), (0, 1));
}

#[test]
fn two_environments_with_the_same_objects_are_named_once_and_told_apart_by_the_path() {
    let repo = overlays();
    let same = "resources: [../base]\n";
    repo.commit(&[
        ("apps/production/kustomization.yaml", same),
        ("apps/staging/kustomization.yaml", same),
    ]);
    repo.commit(&[("apps/base/deployment.yaml", &deployment("6.0.1", 2))]);
    let both = plan_of(&repo, "");
    assert_eq!(both.errors, []);
    let [clash] = both.clashes.as_slice() else {
        panic!("{:?}", both.clashes)
    };
    assert_eq!(
        (clash.taken.as_str(), clash.left.as_str(), clash.objects),
        ("apps/production", "apps/staging", 3)
    );
    assert_eq!(touched(&both), [(CANARY.to_owned(), Effect::Run)]);
    let one = plan_in(&repo, "apps/staging", "", &Settings::default());
    assert_eq!(
        (one.clashes.len(), touched(&one)),
        (0, vec![(CANARY.to_owned(), Effect::Run)])
    );
    let found = crate::plan::manifests(
        &repo.checkout(""),
        &Cache::default(),
        &Settings::default(),
        &repo.head(),
    );
    assert_eq!(apply_set(&found.unwrap()).writes.len(), 0, "neither is applied");
}

/// The layout that Flux documents: clusters, infrastructure, apps with a base and an overlay per cluster.
fn flux_repository(apps: &str) -> Repo {
    let repo = Repo::new();
    let variables = config("cluster-vars", "x").replace(
        "name: cluster-vars",
        "name: cluster-vars\n  namespace: flux-system",
    );
    let variables = variables.replace("key: \"x\"", "tag: 6.0.0\n  color: blue");
    repo.commit_as(
        "base",
        &[
            (
                "clusters/production/flux-system/gotk-sync.yaml",
                &flux("flux-system", "./clusters/production", ""),
            ),
            (
                "clusters/production/flux-system/kustomization.yaml",
                "resources: [gotk-sync.yaml]\n",
            ),
            ("clusters/production/vars.yaml", &variables),
            (
                "clusters/production/apps.yaml",
                &flux("apps", "./apps/production", apps),
            ),
            (
                "apps/base/kustomization.yaml",
                "resources: [deployment.yaml, canary.yaml, config.yaml]\n",
            ),
            ("apps/base/deployment.yaml", &deployment("${tag:=5.0.0}", 2)),
            ("apps/base/canary.yaml", &canary("Deployment", 10)),
            ("apps/base/config.yaml", &config("settings", "${color}")),
            ("apps/production/kustomization.yaml", "resources: [../base]\n"),
        ],
    );
    repo
}

const SUBSTITUTE: &str =
    "  targetNamespace: prod\n  postBuild:\n    substituteFrom: [{kind: ConfigMap, name: cluster-vars}]\n";

#[test]
fn flux_kustomizations_say_what_is_rendered_with_their_overlay_and_variables() {
    let repo = flux_repository(SUBSTITUTE);
    let found = crate::plan::manifests(
        &repo.checkout(""),
        &Cache::default(),
        &Settings::default(),
        &repo.head(),
    )
    .unwrap();
    assert_eq!(found.errors, []);
    let target = ObjectKey::new(Resource::DEPLOYMENT, "prod", "podinfo");
    let image = found
        .object(&target)
        .map(|object| object.str_at("/spec/template/spec/containers/0/image").to_owned());
    assert_eq!(image.as_deref(), Some("podinfo:6.0.0"));
    let vars = repo.dir().join("clusters/production/vars.yaml");
    let text = std::fs::read_to_string(vars).unwrap();
    repo.commit_as(
        "bump by a variable",
        &[("clusters/production/vars.yaml", &text.replace("6.0.0", "6.0.1"))],
    );
    for path in ["", "clusters/production"] {
        let plan = plan_in(&repo, path, "", &Settings::default());
        assert_eq!(
            touched(&plan),
            [("Canary/prod/podinfo".to_owned(), Effect::Run)],
            "{path}"
        );
        assert_eq!(
            why(&plan.touched[0]),
            ["clusters/production/vars.yaml image podinfo 6.0.0 → 6.0.1"]
        );
    }
    let set = apply_set(&found);
    assert_eq!((set.writes.len(), set.refused.len()), (3, 0));
}

#[test]
fn a_directory_that_is_not_there_any_more_removes_nothing() {
    let repo = flux_repository(SUBSTITUTE);
    repo.git(&["mv", "apps/production", "apps/live"]);
    repo.commit_as("move the directory", &[]);
    let plan = plan_of(&repo, "");
    let canary = || "Canary/prod/podinfo".to_owned();
    assert_eq!(touched(&plan), [(canary(), Effect::MayChange)]);
    assert_eq!(why(&plan.touched[0]), ["clusters/production/apps.yaml"]);
    let note = "Kustomization/flux-system/apps: spec.path apps/production is not in this repository: \
                Flux fails, and removes nothing";
    assert_eq!(plan.touched[0].notes, [note]);
    let path = "clusters/production/apps.yaml";
    let text = std::fs::read_to_string(repo.dir().join(path)).unwrap();
    repo.commit_as("follow", &[(path, &text.replace("apps/production", "apps/live"))]);
    assert_eq!(touched(&plan_of(&repo, "")), [(canary(), Effect::MayChange)]);
    let both = touched(&plan_of(&repo, "HEAD~2..HEAD"));
    assert_eq!(both, [(canary(), Effect::NoWorkloadChange)]);
}

#[test]
fn an_image_of_a_flux_kustomization_and_a_suspension_are_told() {
    let repo = flux_repository(SUBSTITUTE);
    repo.commit(&[("apps/base/deployment.yaml", &deployment("6.0.0", 2))]);
    let more = format!("{SUBSTITUTE}  suspend: true\n  images: [{{name: podinfo, newTag: 7.0.0}}]\n");
    repo.commit(&[(
        "clusters/production/apps.yaml",
        &flux("apps", "./apps/production", &more),
    )]);
    let plan = plan_of(&repo, "");
    assert_eq!(touched(&plan), [("Canary/prod/podinfo".to_owned(), Effect::Run)]);
    assert_eq!(
        why(&plan.touched[0]),
        ["clusters/production/apps.yaml image podinfo 6.0.0 → 7.0.0"]
    );
    assert!(
        plan.touched[0].notes[0].contains("is suspended"),
        "{:?}",
        plan.touched[0].notes
    );
}

#[test]
fn variables_that_only_the_cluster_knows_make_it_a_may() {
    let from_cluster = "  postBuild:\n    substituteFrom: [{kind: Secret, name: of-the-cluster}]\n";
    let repo = flux_repository(from_cluster);
    let id = repo.commit_as(
        "bump",
        &[(
            "apps/base/deployment.yaml",
            &deployment("${tag}", 5).replace("podinfo:", "podinfo/new:"),
        )],
    );
    let plan = plan_of(&repo, "");
    assert_eq!(touched(&plan), [(CANARY.to_owned(), Effect::MayChange)]);
    assert_eq!(plan.touched[0].commit, id);
    let found = crate::plan::manifests(
        &repo.checkout(""),
        &Cache::default(),
        &Settings::default(),
        &repo.head(),
    )
    .unwrap();
    let refused: Vec<_> = apply_set(&found)
        .refused
        .into_iter()
        .map(|refusal| refusal.why)
        .collect();
    assert!(
        refused
            .iter()
            .any(|why| why.contains("the value of ${color} is not in git")),
        "{refused:?}"
    );
}

#[test]
fn values_of_secrets_in_git_are_substituted_and_not_shown() {
    let repo = flux_repository(
        "  postBuild:\n    substituteFrom: [{kind: Secret, name: s}]\n    substitute: {tag: \"1\"}\n",
    );
    let secret = |value: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s, namespace: flux-system}}\nstringData: {{color: {value}}}\n"
        )
    };
    repo.commit(&[("clusters/production/secret.yaml", &secret("hunter2"))]);
    repo.commit(&[("clusters/production/secret.yaml", &secret("hunter3"))]);
    let plan = plan_of(&repo, "");
    assert_eq!(touched(&plan), [(CANARY.to_owned(), Effect::Run)]);
    let all = serde_json::to_string(&plan).unwrap();
    assert!(
        all.contains("data.key changed") && !all.contains("hunter"),
        "{all}"
    );
}

#[test]
fn a_kustomization_that_another_yields_is_followed() {
    let repo = flux_repository("");
    repo.commit(&[
        (
            "clusters/production/apps.yaml",
            &flux("tenants", "./tenants", "  targetNamespace: flux-system\n"),
        ),
        ("tenants/kustomization.yaml", "resources: [team.yaml]\n"),
        (
            "tenants/team.yaml",
            &flux(
                "team",
                "./apps/production",
                "  targetNamespace: team\n  postBuild: {substitute: {color: red}}\n",
            ),
        ),
    ]);
    let found = crate::plan::manifests(
        &repo.checkout(""),
        &Cache::default(),
        &Settings::default(),
        &repo.head(),
    )
    .unwrap();
    let canary = ObjectKey::new(Resource::CANARY, "team", "podinfo");
    assert!(
        found.object(&canary).is_some(),
        "{:?}",
        found.objects.keys().collect::<Vec<_>>()
    );
}

#[test]
fn a_release_may_change_what_is_named_after_it() {
    let repo = Repo::new();
    let values = config("values", "1");
    repo.commit(&[
        (
            "release.yaml",
            &release(
                "podinfo",
                "6.0.0",
                "  valuesFrom: [{kind: ConfigMap, name: values}]\n",
            ),
        ),
        ("values.yaml", &values),
        ("canary.yaml", &canary("Deployment", 10)),
    ]);
    let id = repo.commit_as(
        "bump",
        &[(
            "release.yaml",
            &release(
                "podinfo",
                "6.0.1",
                "  valuesFrom: [{kind: ConfigMap, name: values}]\n",
            ),
        )],
    );
    let plan = plan_of(&repo, "");
    assert_eq!(touched(&plan), [(CANARY.to_owned(), Effect::MayChange)]);
    assert_eq!((&plan.touched[0].commit, plan.unrelated.len()), (&id, 0));
    assert_eq!(
        why(&plan.touched[0]),
        ["release.yaml spec.chart.spec.version 6.0.0 → 6.0.1"]
    );
    repo.commit(&[("values.yaml", &config("values", "2"))]);
    assert_eq!(
        why(&plan_of(&repo, "").touched[0]),
        ["values.yaml data.key 1 → 2"]
    );
    repo.commit(&[("other.yaml", &release("other", "6.0.1", ""))]);
    assert_eq!(touched(&plan_of(&repo, "")), []);
}

#[test]
fn a_chart_in_git_and_the_labels_of_the_live_target_count() {
    let repo = Repo::new();
    let more = "  targetNamespace: prod\n";
    let of_git = release("shop", "1", more)
        .replace("chart: podinfo", "chart: ./charts/shop")
        .replace("HelmRepository", "GitRepository");
    repo.commit(&[
        ("release.yaml", &of_git),
        ("canary.yaml", &canary("Deployment", 10)),
        ("charts/shop/Chart.yaml", "name: shop\n"),
        ("charts/shop/values.yaml", "replicas: 1\n"),
    ]);
    repo.commit(&[("charts/shop/values.yaml", "replicas: 2\n")]);
    assert_eq!(
        touched(&plan_of(&repo, "")),
        [],
        "podinfo in default is not named after shop in prod"
    );
    let live = serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "podinfo",
        "namespace": "default", "labels": {"helm.toolkit.fluxcd.io/name": "shop", "helm.toolkit.fluxcd.io/namespace": "default"}}});
    let mut settings = Settings::default();
    settings.ties.add(
        ObjectKey::new(Resource::CANARY, "default", "podinfo"),
        &Object::from(live),
    );
    let plan = plan_in(&repo, "", "", &settings);
    assert_eq!(touched(&plan), [(CANARY.to_owned(), Effect::MayChange)]);
    assert_eq!(why(&plan.touched[0]), ["charts/shop/values.yaml"]);
}

#[test]
fn a_directory_that_cannot_be_rendered_is_attributed_by_its_files() {
    let repo = Repo::new();
    repo.commit(&[
        (
            "app/kustomization.yaml",
            "resources: [https://example.com/base, deployment.yaml, canary.yaml]\n",
        ),
        ("app/deployment.yaml", &deployment("6.0.0", 2)),
        ("app/canary.yaml", &canary("Deployment", 10)),
        ("other.yaml", &config("other", "1")),
    ]);
    let id = repo.commit_as("bump", &[("app/deployment.yaml", &deployment("6.0.1", 2))]);
    let plan = plan_of(&repo, "");
    assert_eq!((&plan.errors, plan.not_rendered.len()), (&Vec::new(), 1));
    assert_eq!(plan.not_rendered[0].file, "app/deployment.yaml");
    assert_eq!(touched(&plan), [(CANARY.to_owned(), Effect::MayChange)]);
    assert_eq!(
        (&plan.touched[0].commit, why(&plan.touched[0])),
        (&id, vec!["app/deployment.yaml".to_owned()])
    );
    repo.commit(&[("other.yaml", &config("other", "2"))]);
    assert_eq!(touched(&plan_of(&repo, "")), []);
    let ties = Ties::default();
    assert_eq!(ties, Settings::default().ties);
}
