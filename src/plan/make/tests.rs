//! Plans of real repositories.

use super::*;
use crate::{
    plan::{
        Change, apply_set, manifests,
        testing::{canary, config, deployment, service},
    },
    repo::{Since, testing::Repo},
};

fn base() -> Repo {
    let repo = Repo::new();
    repo.commit_as(
        "base",
        &[
            ("app/deployment.yaml", &deployment("6.0.0", 2)),
            ("app/config.yaml", &config("settings", "blue")),
            ("app/canary.yaml", &canary("Deployment", 10)),
        ],
    );
    repo
}

fn plan_of(repo: &Repo, range: &str) -> Plan {
    let checkout = repo.checkout("");
    let (from, to) = checkout.range(range).unwrap();
    plan(
        &checkout,
        &Cache::default(),
        &Settings::default(),
        from.as_ref(),
        &to,
    )
    .unwrap()
}

fn effects(plan: &Plan) -> Vec<Effect> {
    plan.touched.iter().map(|touched| touched.effect).collect()
}

fn fields(touched: &Touched) -> Vec<String> {
    touched
        .reasons
        .iter()
        .flat_map(|reason| &reason.fields)
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_new_image_and_a_new_config_start_a_run_with_their_fields() {
    let repo = base();
    let id = repo.commit_as(
        "bump",
        &[
            ("app/deployment.yaml", &deployment("6.0.1", 2)),
            ("app/config.yaml", &config("settings", "green")),
        ],
    );
    let plan = plan_of(&repo, "");
    assert_eq!(plan.errors, []);
    let start = plan.starts().next().unwrap();
    assert_eq!(start.canary.to_string(), "Canary/default/podinfo");
    assert_eq!(start.target.to_string(), "Deployment/default/podinfo");
    assert_eq!(start.commit, id);
    assert_eq!(
        fields(start),
        ["image podinfo 6.0.0 → 6.0.1", "data.key blue → green"]
    );
    assert_eq!(
        (start.reasons[1].file.as_str(), start.reasons[1].line),
        ("app/config.yaml", 1)
    );
}

#[test]
fn the_baseline_and_new_canaries_initialize() {
    let repo = base();
    let plan = plan_of(&repo, "");
    assert_eq!(
        (plan.from.as_ref(), effects(&plan)),
        (None, vec![Effect::Initialize])
    );
    assert_eq!(plan.starts().count(), 0);
}

#[test]
fn replicas_or_a_reordered_file_are_no_workload_change() {
    let repo = base();
    let id = repo.commit_as("scale", &[("app/deployment.yaml", &deployment("6.0.0", 3))]);
    let plan = plan_of(&repo, "");
    assert_eq!(effects(&plan), [Effect::NoWorkloadChange]);
    assert_eq!(fields(&plan.touched[0]), ["spec.replicas 2 → 3"]);
    assert_eq!(plan.touched[0].commit, id);
    repo.commit_as("move", &[("other/app.yaml", &deployment("6.0.0", 3))]);
    repo.remove("app/deployment.yaml");
    repo.commit_as("remove", &[]);
    let moved = plan_of(&repo, "HEAD~2..HEAD");
    assert_eq!(effects(&moved), [Effect::NoWorkloadChange]);
    assert_eq!(moved.touched[0].reasons, [], "a moved file is no change at all");
}

#[test]
fn an_edit_of_the_canary_changes_only_the_analysis() {
    let repo = base();
    repo.commit_as("tune", &[("app/canary.yaml", &canary("Deployment", 20))]);
    let plan = plan_of(&repo, "");
    assert_eq!(effects(&plan), [Effect::AnalysisOnly]);
    assert_eq!(fields(&plan.touched[0]), ["spec.analysis.stepWeight 10 → 20"]);
}

#[test]
fn a_commit_that_touches_no_target_is_silent() {
    let repo = base();
    repo.commit_as(
        "docs",
        &[("README.md", "hello"), ("app/other.yaml", &config("other", "1"))],
    );
    let plan = plan_of(&repo, "");
    assert_eq!((plan.touched.len(), plan.errors.len()), (0, 0));
}

#[test]
fn of_several_commits_the_newest_that_changed_the_revision_answers() {
    let repo = base();
    let first = repo.commit_as("6.0.1", &[("app/deployment.yaml", &deployment("6.0.1", 2))]);
    let second = repo.commit_as("6.0.2", &[("app/deployment.yaml", &deployment("6.0.2", 2))]);
    let scale = repo.commit_as("scale", &[("app/deployment.yaml", &deployment("6.0.2", 5))]);
    let docs = repo.commit_as("docs", &[("README.md", "hello")]);
    let plan = plan_of(&repo, "HEAD~4..HEAD");
    assert_eq!(plan.touched[0].unchanged, [scale]);
    assert_eq!(plan.unrelated, [docs]);
    let start = plan.starts().next().unwrap();
    assert_eq!((&start.commit, &start.superseded), (&second, &vec![first]));
    assert_eq!(plan.of_commit(&second).count(), 1);
    assert_eq!(plan.commits.len(), 4);
}

#[test]
fn what_breaks_a_target_and_mends_it_again_does_not_answer_for_the_change_before() {
    let repo = base();
    let changed = repo.commit_as("6.0.1", &[("app/deployment.yaml", &deployment("6.0.1", 2))]);
    repo.commit_as(
        "break",
        &[("app/deployment.yaml", "apiVersion: apps/v1\nkind: [\n")],
    );
    repo.commit_as("mend", &[("app/deployment.yaml", &deployment("6.0.1", 2))]);
    let plan = plan_of(&repo, "HEAD~3..HEAD");
    assert_eq!(plan.starts().next().unwrap().commit, changed);

    repo.commit_as(
        "break",
        &[("app/deployment.yaml", "apiVersion: apps/v1\nkind: [\n")],
    );
    let mended = repo.commit_as("mend", &[("app/deployment.yaml", &deployment("6.0.2", 2))]);
    let plan = plan_of(&repo, "HEAD~5..HEAD");
    assert_eq!(plan.starts().next().unwrap().commit, mended);
}

#[test]
fn a_change_that_is_reverted_within_the_range_starts_nothing() {
    let repo = base();
    let bad = repo.commit_as("bad", &[("app/deployment.yaml", &deployment("6.0.1", 2))]);
    repo.git(&["revert", "--no-edit", bad.as_str()]);
    let both = plan_of(&repo, "HEAD~2..HEAD");
    assert_eq!(effects(&both), [Effect::NoWorkloadChange]);
    assert_eq!(
        (&both.touched[0].commit, &both.touched[0].superseded),
        (&repo.head(), &vec![bad])
    );
    assert_eq!(
        plan_of(&repo, "HEAD~1..HEAD").starts().count(),
        1,
        "alone, the revert is a new revision"
    );
}

#[test]
fn comments_touch_the_target_unless_another_object_of_the_file_explains_the_edit() {
    let repo = base();
    let id = repo.commit_as(
        "explain",
        &[(
            "app/deployment.yaml",
            &format!("# why\n{}", deployment("6.0.0", 2)),
        )],
    );
    let plan = plan_of(&repo, "");
    assert_eq!(effects(&plan), [Effect::NoWorkloadChange]);
    assert_eq!((&plan.touched[0].commit, plan.unrelated.len()), (&id, 0));
    let both = |value: &str| format!("{}---\n{}", deployment("6.0.0", 2), config("other", value));
    repo.commit(&[("app/deployment.yaml", &both("1"))]);
    let other = repo.commit_as("other", &[("app/deployment.yaml", &both("2"))]);
    let plan = plan_of(&repo, "");
    assert_eq!((plan.touched.len(), &plan.unrelated), (0, &vec![other]));
}

#[test]
fn a_merge_answers_for_what_its_branch_brought_and_a_squash_for_all_of_it() {
    let repo = base();
    repo.git(&["checkout", "-q", "-b", "side"]);
    repo.commit_as("on the side", &[("app/deployment.yaml", &deployment("6.0.1", 2))]);
    repo.commit_as("also", &[("app/config.yaml", &config("settings", "green"))]);
    repo.git(&["checkout", "-q", "main"]);
    repo.commit_as("docs", &[("README.md", "hello")]);
    repo.git(&["merge", "-q", "--no-ff", "-m", "merge side", "side"]);
    let plan = plan_of(&repo, "HEAD~2..HEAD");
    assert_eq!(plan.touched[0].commit, repo.head());
    assert_eq!(
        fields(&plan.touched[0]),
        ["image podinfo 6.0.0 → 6.0.1", "data.key blue → green"]
    );
    assert_eq!((plan.touched[0].superseded.len(), plan.unrelated.len()), (0, 1));
    repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    repo.git(&["merge", "-q", "--squash", "side"]);
    repo.git(&["commit", "-q", "-m", "squash side"]);
    let plan = plan_of(&repo, "");
    assert_eq!(plan.touched[0].commit, repo.head());
    assert_eq!(fields(&plan.touched[0]).len(), 2);
}

#[test]
fn the_same_change_under_another_commit_is_found_after_a_force_push() {
    let repo = base();
    let old = repo.commit_as("typo", &[("app/deployment.yaml", &deployment("6.0.1", 2))]);
    repo.git(&["commit", "-q", "--amend", "-m", "no typo"]);
    let new = repo.head();
    let from = Revision {
        branch: "main".into(),
        id: old,
    };
    let checkout = repo.checkout("");
    let plan = plan(
        &checkout,
        &Cache::default(),
        &Settings::default(),
        Some(&from),
        &checkout.newest().unwrap(),
    )
    .unwrap();
    assert_eq!(effects(&plan), [Effect::Recommitted]);
    assert_eq!(plan.touched[0].commit, new);
}

#[test]
fn a_rewritten_history_is_compared_by_its_trees_and_a_lost_one_not_at_all() {
    let repo = base();
    let old = repo.commit_as("old", &[("app/deployment.yaml", &deployment("6.0.1", 2))]);
    repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let new = repo.commit_as("new", &[("app/deployment.yaml", &deployment("6.0.2", 2))]);
    let plan_from = |id: &CommitId| {
        let checkout = repo.checkout("");
        let from = Revision {
            branch: "main".into(),
            id: id.clone(),
        };
        let to = checkout.newest().unwrap();
        plan(
            &checkout,
            &Cache::default(),
            &Settings::default(),
            Some(&from),
            &to,
        )
        .unwrap()
    };
    let rewritten = plan_from(&old);
    assert_eq!(
        (rewritten.since, fields(&rewritten.touched[0])),
        (Since::Rewritten, vec!["image podinfo 6.0.1 → 6.0.2".to_owned()])
    );
    assert_eq!(rewritten.touched[0].commit, new);
    let lost = plan_from(&"0123456789012345678901234567890123456789".parse().unwrap());
    assert_eq!(
        (lost.since, effects(&lost)),
        (Since::Gone, vec![Effect::MayChange])
    );
    assert_eq!(lost.touched[0].commit, new, "the cluster will tell");
}

#[test]
fn a_service_target_runs_on_its_spec() {
    let repo = Repo::new();
    repo.commit(&[("a.yaml", &service(80)), ("c.yaml", &canary("Service", 10))]);
    repo.commit(&[("a.yaml", &service(81))]);
    let plan = plan_of(&repo, "");
    assert_eq!(plan.errors, []);
    assert_eq!(effects(&plan), [Effect::Run]);
    assert_eq!(plan.touched[0].target.to_string(), "Service/default/podinfo");
}

#[test]
fn removed_and_added_targets_and_canaries_are_told_apart() {
    let repo = base();
    repo.remove("app/deployment.yaml");
    repo.commit_as("target away", &[]);
    assert_eq!(effects(&plan_of(&repo, "")), [Effect::TargetRemoved]);
    repo.commit_as("target back", &[("app/deployment.yaml", &deployment("6.0.0", 2))]);
    assert_eq!(effects(&plan_of(&repo, "")), [Effect::Initialize]);
    repo.remove("app/canary.yaml");
    repo.commit_as("canary away", &[]);
    let plan = plan_of(&repo, "");
    assert_eq!(effects(&plan), [Effect::CanaryRemoved]);
    assert_eq!(plan.touched[0].reasons[0].change, Change::Removed);
}

#[test]
fn configs_that_opt_out_do_not_count() {
    let repo = base();
    let untracked = |value: &str| {
        let annotation = "name: settings\n  annotations: {flagger.app/config-tracking: disabled}";
        config("settings", value).replace("name: settings", annotation)
    };
    repo.commit(&[("app/config.yaml", &untracked("blue"))]);
    repo.commit(&[("app/config.yaml", &untracked("green"))]);
    assert_eq!(plan_of(&repo, "").touched, []);
}

#[test]
fn changed_files_of_a_kustomization_that_is_not_rendered_are_named_and_no_error() {
    let repo = base();
    repo.commit(&[
        (
            "base/kustomization.yaml",
            "resources: [a.yaml]\nhelmCharts: [{name: x}]\n",
        ),
        ("base/a.yaml", &config("a", "1")),
    ]);
    repo.commit(&[("base/a.yaml", &config("a", "2"))]);
    let plan = plan_of(&repo, "");
    assert_eq!(plan.not_rendered[0].file, "base/a.yaml");
    assert_eq!(
        (plan.not_rendered.len(), plan.errors.len(), plan.touched.len()),
        (1, 0, 0)
    );
}

#[test]
fn a_canary_that_is_not_valid_is_an_error_at_its_field() {
    let repo = base();
    let bad = canary("Deployment", 10).replace("interval: 10s", "interval: soon");
    repo.commit(&[("app/canary.yaml", &format!("---\n# note\n{bad}"))]);
    let plan = plan_of(&repo, "");
    let error = plan.errors[0].to_string();
    assert!(
        error.starts_with("app/canary.yaml:20:15: Canary/default/podinfo: spec.analysis.interval:"),
        "{error}"
    );
    assert!(!plan.errors[0].hint.is_empty());
}

#[test]
fn two_canaries_on_one_target_are_an_error() {
    let repo = base();
    let second = canary("Deployment", 10).replacen("name: podinfo", "name: second", 1);
    repo.commit(&[("app/second.yaml", &second)]);
    let error = plan_of(&repo, "").errors[0].to_string();
    assert!(
        error.contains("has the same target as Canary/default/podinfo at app/canary.yaml:1"),
        "{error}"
    );
}

#[test]
fn a_path_that_appears_later_counts_as_empty_before() {
    let repo = base();
    repo.commit(&[
        ("late/canary.yaml", &canary("Deployment", 10)),
        ("late/d.yaml", &deployment("1", 1)),
    ]);
    let checkout = repo.checkout("late");
    let (from, to) = checkout.range("").unwrap();
    let plan = plan(
        &checkout,
        &Cache::default(),
        &Settings::default(),
        from.as_ref(),
        &to,
    )
    .unwrap();
    assert_eq!(effects(&plan), [Effect::Initialize]);
}

#[test]
fn the_plan_serialises_with_plain_names() {
    let repo = base();
    repo.commit_as("bump", &[("app/deployment.yaml", &deployment("6.0.1", 2))]);
    let json = serde_json::to_value(plan_of(&repo, "")).unwrap();
    assert_eq!(json["touched"][0]["effect"], "run");
    assert_eq!(json["touched"][0]["canary"], "Canary/default/podinfo");
    assert_eq!(
        json["touched"][0]["reasons"][0]["fields"][0]["after"],
        "podinfo:6.0.1"
    );
    assert_eq!(json["since"], "linear");
}

#[test]
fn the_example_application_is_sound_and_a_new_image_starts_its_canary() {
    let repo = Repo::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/podinfo");
    let files: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| {
            (
                format!("deploy/{}", path.file_name().unwrap().display()),
                std::fs::read_to_string(path).unwrap(),
            )
        })
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    repo.commit_as("base", &files);
    let baseline = plan_of(&repo, "");
    assert_eq!((&baseline.errors, &baseline.skipped), (&Vec::new(), &Vec::new()));
    assert_eq!(effects(&baseline), [Effect::Initialize]);
    assert_eq!(
        baseline.touched[0].notes,
        Vec::<String>::new(),
        "all of it is implemented"
    );

    let found = manifests(
        &repo.checkout(""),
        &Cache::default(),
        &Settings::default(),
        &repo.head(),
    )
    .unwrap();
    let set = apply_set(&found);
    let keys: Vec<_> = set.writes.iter().map(|planned| planned.key.to_string()).collect();
    assert_eq!(
        keys,
        [
            "MetricTemplate/test/not-found-percentage",
            "ConfigMap/test/podinfo",
            "Deployment/test/podinfo",
            "Canary/test/podinfo",
        ]
    );
    assert_eq!(set.refused, []);

    let text = std::fs::read_to_string(repo.dir().join("deploy/deployment.yaml")).unwrap();
    repo.commit_as(
        "bump",
        &[("deploy/deployment.yaml", &text.replace(":6.0.0", ":6.0.1"))],
    );
    let plan = plan_of(&repo, "");
    assert_eq!(
        fields(plan.starts().next().unwrap()),
        ["image podinfo 6.0.0 → 6.0.1"]
    );
}
