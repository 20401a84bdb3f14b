//! What a proposed revert says: the message of its commit, and the text of its pull request. Pure.

use std::{collections::BTreeSet, fmt::Write as _};

use crate::{
    canary::{Measurement, Status},
    http::excerpt,
    manifest::ObjectKey,
    repo::{Commit, CommitId},
};

/// How many checks are shown.
const CHECKS: usize = 10;
/// Greatest length of a line of evidence, in characters.
const LINE: usize = 300;

/// What is known of a failed commit.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// The canary.
    pub canary: &'a ObjectKey,
    /// Its status after the failure.
    pub status: &'a Status,
    /// The commits that are taken back, newest first; the first is the one that failed.
    pub commits: &'a [Commit],
    /// The files that are taken back.
    pub files: &'a BTreeSet<String>,
    /// Image policies that would write a line again.
    pub policies: &'a BTreeSet<String>,
    /// Part of the contexts of commit statuses.
    pub cluster: Option<&'a str>,
    /// The word that marks a revert, for those who look for it.
    pub trailer: &'a str,
}

/// The name of the branch of a revert. Names in Kubernetes have no `_`: two canaries never share a branch.
#[must_use]
pub fn branch(commit: &CommitId, canary: &ObjectKey) -> String {
    format!(
        "serin/revert-{}-{}_{}",
        commit.short(),
        canary.namespace,
        canary.name
    )
}

impl Evidence<'_> {
    /// The first line.
    #[must_use]
    pub fn title(&self) -> String {
        let subject = self.commits.first().map_or("", |commit| commit.subject.as_str());
        let name = format!("{}.{}", self.canary.name, self.canary.namespace);
        excerpt(&format!("Revert \"{}\" for {name}", excerpt(subject, 100)), 180)
    }

    /// The text of a pull request.
    #[must_use]
    pub fn body(&self) -> String {
        self.text(true)
    }

    /// The message of the commit.
    #[must_use]
    pub fn message(&self) -> String {
        format!("{}\n\n{}", self.title(), self.text(false))
    }

    fn text(&self, markdown: bool) -> String {
        let mut text = String::new();
        let code = |word: &str| {
            let word = excerpt(word, LINE).replace('`', "'");
            if markdown { format!("`{word}`") } else { word }
        };
        let run = self.status.run.as_ref();
        let why = self.status.reason.as_deref().unwrap_or("the analysis failed");
        let name = format!("{}.{}", self.canary.name, self.canary.namespace);
        let failed = self
            .commits
            .first()
            .map_or_else(String::new, |commit| commit.id.to_string());
        writeln!(text, "Serin rolled canary {} back: {}\n", code(&name), code(why)).ok();
        writeln!(text, "- commit: {failed}").ok();
        for commit in self.commits.iter().skip(1) {
            let subject = code(&commit.subject);
            writeln!(text, "- also taken back, never promoted: {} {subject}", commit.id).ok();
        }
        writeln!(text, "- files taken back: {}", self.files(code)).ok();
        if let Some(run) = run {
            if let Some(began) = run.started_at {
                writeln!(text, "- run {} began at {began:.0}", code(&run.id)).ok();
            }
            writeln!(text, "- failed checks: {}", self.status.failed_checks).ok();
        }
        let context = super::context(self.cluster, self.canary);
        writeln!(text, "- status: context {} of that commit", code(&context)).ok();
        let checks = self.checks();
        if !checks.is_empty() {
            writeln!(text, "\nThe last checks that did not pass:\n").ok();
            for check in checks {
                let value = check.value.map(|value| format!(" {value}")).unwrap_or_default();
                let (name, words) = (code(&check.name), code(&check.message));
                let (at, weight) = (check.at, check.weight);
                writeln!(text, "- {at:.0} at {weight} %: {name}{value}: {words}").ok();
            }
        }
        if !self.policies.is_empty() {
            let names: Vec<String> = self.policies.iter().take(CHECKS).map(|name| code(name)).collect();
            writeln!(
                text,
                "\nBefore you merge: image policies ({}) mark lines that are taken back. Suspend the \
                 ImageUpdateAutomation, or exclude this version in the policy, or the next run of the automation \
                 writes it again.",
                names.join(", ")
            )
            .ok();
        }
        writeln!(
            text,
            "\n{}: {failed} {}/{}",
            self.trailer, self.canary.namespace, self.canary.name
        )
        .ok();
        text
    }

    fn files(&self, code: impl Fn(&str) -> String) -> String {
        let shown: Vec<String> = self.files.iter().take(CHECKS).map(|file| code(file)).collect();
        let more = self.files.len().saturating_sub(shown.len());
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        shown.join(", ") + &more
    }

    /// The newest checks of the run that did not pass.
    fn checks(&self) -> Vec<&Measurement> {
        let run = self.status.run.as_ref().map_or("", |run| run.id.as_str());
        let bad = |check: &&Measurement| {
            check.run == run && (check.verdict.is_failure() || check.verdict.is_error())
        };
        let mut checks: Vec<&Measurement> = self.status.measurements.iter().filter(bad).collect();
        checks.drain(..checks.len().saturating_sub(CHECKS));
        checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        canary::{RunStatus, Verdict},
        manifest::Resource,
    };

    fn commit(number: u8, subject: &str) -> Commit {
        Commit {
            id: format!("{number:040x}").parse().unwrap(),
            subject: subject.to_owned(),
            reverts: None,
        }
    }

    fn status() -> Status {
        let check = |tick: u32, run: &str, verdict| Measurement {
            name: "request-success-rate".to_owned(),
            run: run.to_owned(),
            tick,
            weight: 20,
            verdict,
            value: Some(80.0),
            message: "success rate 80.00% < 99%".to_owned(),
            at: jiff::Timestamp::from_second(i64::from(tick)).unwrap(),
        };
        Status {
            failed_checks: 2,
            reason: Some("success rate 80.00% < 99%".to_owned()),
            run: Some(RunStatus {
                id: "3-ab".to_owned(),
                started_at: Some(jiff::Timestamp::UNIX_EPOCH),
                ..RunStatus::default()
            }),
            measurements: vec![
                check(1, "2-aa", Verdict::Failed),
                check(1, "3-ab", Verdict::Passed),
                check(2, "3-ab", Verdict::Failed),
            ],
            ..Status::default()
        }
    }

    fn evidence(commits: &[Commit], policies: &[&str], markdown: bool) -> String {
        let canary = ObjectKey::new(Resource::CANARY, "test", "podinfo");
        let evidence = Evidence {
            canary: &canary,
            status: &status(),
            commits,
            files: &BTreeSet::from(["apps/podinfo.yaml".to_owned()]),
            policies: &policies.iter().map(|name| (*name).to_owned()).collect(),
            cluster: Some("prod"),
            trailer: "Serin-Reverts",
        };
        if markdown {
            evidence.body()
        } else {
            evidence.message()
        }
    }

    #[test]
    fn the_message_tells_what_was_seen_and_ends_with_the_trailer() {
        let message = evidence(&[commit(7, "Update podinfo"), commit(6, "Try it")], &[], false);
        assert_eq!(
            message,
            "Revert \"Update podinfo\" for podinfo.test\n\n\
             Serin rolled canary podinfo.test back: success rate 80.00% < 99%\n\n\
             - commit: 0000000000000000000000000000000000000007\n\
             - also taken back, never promoted: 0000000000000000000000000000000000000006 Try it\n\
             - files taken back: apps/podinfo.yaml\n\
             - run 3-ab began at 1970-01-01T00:00:00Z\n\
             - failed checks: 2\n\
             - status: context serin/prod/test/podinfo of that commit\n\n\
             The last checks that did not pass:\n\n\
             - 1970-01-01T00:00:02Z at 20 %: request-success-rate 80: success rate 80.00% < 99%\n\n\
             Serin-Reverts: 0000000000000000000000000000000000000007 test/podinfo\n"
        );
    }

    #[test]
    fn what_strangers_wrote_cannot_break_out_of_the_text() {
        let hostile = commit(7, "a `b` <!--\nSerin-Reverts: x \"");
        let body = evidence(&[commit(8, "ok"), hostile], &[], true);
        assert!(body.contains("`a 'b' <!--\\nSerin-Reverts: x \"`"), "{body}");
        assert_eq!(
            body.lines()
                .filter(|line| line.starts_with("Serin-Reverts"))
                .count(),
            1
        );
    }

    #[test]
    fn image_policies_are_warned_of() {
        let body = evidence(&[commit(7, "Bump")], &["flux-system/podinfo"], true);
        assert!(body.contains("image policies (`flux-system/podinfo`)"), "{body}");
        assert!(body.contains("Suspend the ImageUpdateAutomation"), "{body}");
    }

    #[test]
    fn two_canaries_never_share_a_branch() {
        let id = commit(7, "").id;
        let name =
            |namespace: &str, name: &str| branch(&id, &ObjectKey::new(Resource::CANARY, namespace, name));
        assert_eq!(name("test", "podinfo"), "serin/revert-0000000-test_podinfo");
        assert_ne!(name("a-b", "c"), name("a", "b-c"));
    }
}
