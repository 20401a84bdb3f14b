//! How a plan reads in a terminal, without colour.

use std::fmt::Write as _;

use super::{Change, Effect, Plan, Reason, Touched};
use crate::repo::Since;

/// Renders a plan for people: the range, what starts and why, what does not, what is wrong.
#[must_use]
pub fn render_human(plan: &Plan) -> String {
    let mut text = String::new();
    header(plan, &mut text);
    for touched in &plan.touched {
        text.push('\n');
        canary(touched, &mut text);
    }
    let may = plan
        .touched
        .iter()
        .any(|touched| touched.effect == Effect::MayChange);
    if plan.since != Since::Gone && plan.starts().next().is_none() && !may {
        let line = if plan.touched.is_empty() {
            "\nno canary is touched\n"
        } else {
            "\nnothing starts a run\n"
        };
        text.push_str(line);
    }
    footer(plan, &mut text);
    text
}

fn header(plan: &Plan, text: &mut String) {
    let from = plan
        .from
        .as_ref()
        .map_or_else(|| "nothing".to_owned(), |from| from.id.short().to_owned());
    let to = &plan.to;
    let count = match plan.commits.len() {
        1 => "1 commit".to_owned(),
        count => format!("{count} commits"),
    };
    let remark = match (plan.since, plan.cut) {
        (Since::Rewritten, _) => ", history was rewritten",
        (Since::Gone, _) => ", the older revision is not in this clone: nothing can be compared",
        (_, true) => ", older commits are not in this clone",
        _ => "",
    };
    let _ = writeln!(text, "{} {from} → {}, {count}{remark}", to.branch, to.id.short());
    for commit in plan.commits.iter().take(20) {
        let _ = writeln!(text, "  {} {}", commit.id.short(), commit.subject);
    }
    if plan.commits.len() > 20 {
        let _ = writeln!(text, "  … and {} older", plan.commits.len() - 20);
    }
}

fn canary(touched: &Touched, text: &mut String) {
    let (canary, target) = (&touched.canary, &touched.target);
    let said = match touched.effect {
        Effect::Run => format!("start {canary} for {target}"),
        Effect::Initialize => format!("initialize {canary} for {target}"),
        Effect::MayChange => format!("may start {canary}: {target} comes from files that are not rendered"),
        Effect::AnalysisOnly => format!("no run for {canary}: only the analysis changes"),
        Effect::NoWorkloadChange => format!("no run for {canary}: no workload change in {target}"),
        Effect::Recommitted => {
            format!("no run for {canary}: {target} is as before, history was rewritten")
        }
        Effect::TargetRemoved => format!("no run for {canary}: {target} is removed"),
        Effect::CanaryRemoved => format!("remove {canary} of {target}"),
    };
    let _ = writeln!(text, "{said}, by {}", touched.commit.short());
    for reason in &touched.reasons {
        reason_lines(reason, text);
    }
    for note in &touched.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    for commit in &touched.superseded {
        let _ = writeln!(text, "  supersedes {}", commit.short());
    }
    for commit in &touched.unchanged {
        let _ = writeln!(text, "  no workload change by {}", commit.short());
    }
}

fn reason_lines(reason: &Reason, text: &mut String) {
    let mark = match reason.change {
        Change::Added => '+',
        Change::Changed => '~',
        Change::Removed => '-',
    };
    let _ = writeln!(
        text,
        "  {mark} {}  {}:{}",
        reason.object, reason.file, reason.line
    );
    for field in &reason.fields {
        let _ = writeln!(text, "      {field}");
    }
}

fn footer(plan: &Plan, text: &mut String) {
    if !plan.not_rendered.is_empty() || !plan.clashes.is_empty() {
        text.push('\n');
    }
    for clash in &plan.clashes {
        let more = match clash.objects {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let _ = writeln!(
            text,
            "clash: {} and {} both declare {}{more}; {0} is taken here, choose one by --path",
            clash.taken, clash.left, clash.example
        );
    }
    for one in &plan.not_rendered {
        let _ = writeln!(text, "not rendered: {} ({})", one.file, one.why);
    }
    for error in &plan.errors {
        let _ = writeln!(text, "\nerror: {error}");
        for line in error.snippet.lines() {
            let _ = writeln!(text, "  {line}");
        }
        if !error.hint.is_empty() {
            let _ = writeln!(text, "  hint: {}", error.hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::{
            Cache, Settings, plan,
            testing::{canary, config, deployment},
        },
        repo::testing::Repo,
    };

    fn rendered(repo: &Repo, range: &str) -> String {
        let checkout = repo.checkout("");
        let (from, to) = checkout.range(range).unwrap();
        let plan = plan(
            &checkout,
            &Cache::default(),
            &Settings::default(),
            from.as_ref(),
            &to,
        )
        .unwrap();
        // Ids change from run to run: name commits by their place.
        let mut text = render_human(&plan);
        for (index, commit) in checkout.history(&to.id, 10).unwrap().iter().enumerate() {
            text = text.replace(commit.id.short(), &format!("HEAD~{index}"));
        }
        text
    }

    #[test]
    fn a_plan_reads_as_a_short_story() {
        let repo = Repo::new();
        repo.commit_as(
            "Add podinfo",
            &[
                ("app/deployment.yaml", &deployment("6.0.0", 2)),
                ("app/config.yaml", &config("settings", "blue")),
                ("app/canary.yaml", &canary("Deployment", 10)),
            ],
        );
        assert_eq!(
            rendered(&repo, ""),
            "main nothing → HEAD~0, 1 commit\n  HEAD~0 Add podinfo\n\n\
             initialize Canary/default/podinfo for Deployment/default/podinfo, by HEAD~0\n  \
               + Canary/default/podinfo  app/canary.yaml:1\n\n\
             nothing starts a run\n"
        );
        repo.commit_as("Try 6.0.1", &[("app/deployment.yaml", &deployment("6.0.1", 2))]);
        repo.commit_as(
            "Bump podinfo, paint it green",
            &[
                ("app/deployment.yaml", &deployment("6.0.2", 2)),
                ("app/config.yaml", &config("settings", "green")),
                (
                    "base/kustomization.yaml",
                    "helmCharts: [{name: x}]\nresources: [x.yaml]\n",
                ),
                ("base/x.yaml", &config("x", "1")),
                ("bad.yaml", "kind: a\nkind: b\n"),
            ],
        );
        assert_eq!(
            rendered(&repo, "HEAD~2..HEAD"),
            "main HEAD~2 → HEAD~0, 2 commits\n  HEAD~0 Bump podinfo, paint it green\n  HEAD~1 Try 6.0.1\n\n\
             start Canary/default/podinfo for Deployment/default/podinfo, by HEAD~0\n  \
               ~ Deployment/default/podinfo  app/deployment.yaml:1\n      image podinfo 6.0.0 → 6.0.2\n  \
               ~ ConfigMap/default/settings  app/config.yaml:1\n      data.key blue → green\n  \
               supersedes HEAD~1\n\n\
             not rendered: base/kustomization.yaml (base/kustomization.yaml:1: Helm charts are not rendered)\n\
             not rendered: base/x.yaml (base/kustomization.yaml:1: Helm charts are not rendered)\n\n\
             error: bad.yaml:2:1: the key `kind` occurs twice\n    \
               |\n  2 | kind: b\n    | ^\n  hint: remove one of the two\n"
        );
        repo.commit_as("Docs", &[("README.md", "x")]);
        repo.remove("bad.yaml");
        repo.commit_as("Clean up", &[]);
        assert_eq!(
            rendered(&repo, ""),
            "main HEAD~1 → HEAD~0, 1 commit\n  HEAD~0 Clean up\n\nno canary is touched\n"
        );
    }
}
