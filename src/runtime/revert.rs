//! After a failure: the revert of the commit that a canary failed with is proposed, once, on a branch of its own.
//! The branch on the remote is what was done: whoever finds it there, after a crash or from another cluster,
//! makes no second one.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    canary::{Announced, Phase, RevertStatus, Status, reason},
    clock::{self, Clock},
    error::{Class, Classified},
    manifest::ObjectKey,
    plan::{self, Cache, Settings},
    repo::{
        Checkout, Commit, CommitId, Options, Repository, Revision,
        git::{Git, GitError, Remote, RemoteFault},
        revert::{self, Scratch, TRAILER, Undo},
    },
    report::{
        CommitState, Forge, NewPullRequest, Outcome, PullRequests, outcome,
        revert::{Evidence, branch},
    },
};

/// The longest pause between two tries.
const PAUSE: Duration = Duration::from_secs(60);

/// `--on-failure`, when it asks for something.
#[derive(Clone, Debug)]
pub struct RevertOptions {
    /// Open a pull request, too.
    pub pull_request: bool,
    /// Where the branch is pushed to.
    pub remote: Remote,
}

/// Proposes reverts. Clones share everything.
#[derive(Clone)]
pub(super) struct Reverts {
    repository: Arc<dyn Repository>,
    cache: Arc<Cache>,
    settings: Arc<Settings>,
    forges: Arc<[Arc<dyn Forge>]>,
    cluster: Option<String>,
    options: Arc<RevertOptions>,
    git: Git,
    clock: Clock,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proposal {
    commit: CommitId,
    /// Where it is proposed, or why it is not.
    outcome: Result<String, String>,
}

/// Why there is no proposal.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    /// It cannot be made.
    Refused(String),
    /// It may be made later.
    Later(String),
}

impl Trouble {
    fn of(error: &impl Classified) -> Self {
        match error.class() {
            Class::Retry(_) | Class::WaitForChange => Self::Later(error.to_string()),
            Class::UserMustFix | Class::Bug => Self::Refused(error.to_string()),
        }
    }
}

/// A branch that is on the remote.
struct Pushed {
    request: NewPullRequest,
}

/// Returns the commit whose revert shall be proposed: a canary was judged and failed with it, and nothing was
/// proposed yet.
pub(super) fn wanted(status: &Status) -> Option<CommitId> {
    let commit = status
        .commit
        .as_deref()
        .filter(|_| status.phase == Phase::Failed)?;
    let failure = CommitState::Failure.name();
    let mut reports = status.commits.iter();
    let failed = reports.any(|report| report.commit == commit && report.state == failure);
    let done = status
        .revert
        .as_ref()
        .is_some_and(|revert| revert.commit == commit);
    (failed && !done).then(|| commit.parse().ok()).flatten()
}

/// Writes into a status what came of it, if it is still about that commit. Gives what is to be announced.
pub(super) fn settle(status: &mut Status, proposal: &Proposal, now: jiff::Timestamp) -> Option<Announced> {
    if wanted(status).as_ref() != Some(&proposal.commit) {
        return None;
    }
    let short = proposal.commit.short();
    let (proposed, message, reason, text) = match &proposal.outcome {
        Ok(text) => (
            true,
            text,
            reason::REVERT_PROPOSED,
            format!("{short} failed, {text}"),
        ),
        Err(why) => (
            false,
            why,
            reason::REVERT_REFUSED,
            format!("{short} failed, no revert is proposed: {why}"),
        ),
    };
    status.revert = Some(RevertStatus {
        commit: proposal.commit.to_string(),
        message: message.clone(),
        proposed,
    });
    if proposed {
        add_to_the_last_word(status, &proposal.commit, message);
    }
    let run = status.run.as_ref();
    Some(Announced {
        warning: !proposed,
        reason: reason.to_owned(),
        text,
        run: run.map(|run| run.id.clone()).unwrap_or_default(),
        tick: run.map(|run| run.tick).unwrap_or_default(),
        at: now,
    })
}

fn add_to_the_last_word(status: &mut Status, commit: &CommitId, text: &str) {
    let mut reports = status.commits.iter_mut();
    let Some(report) = reports.find(|report| report.commit == commit.as_str()) else {
        return;
    };
    let said = Outcome::new(CommitState::Failure, &report.description);
    let added = outcome::with_revert(&said, text);
    if added != said {
        report.description = added.description;
        report.delivered.clear();
    }
}

impl Reverts {
    #[expect(
        clippy::too_many_arguments,
        reason = "what a source is made of, and one thing more"
    )]
    pub(super) fn new(
        repository: Arc<dyn Repository>,
        cache: Arc<Cache>,
        settings: Arc<Settings>,
        forges: &[Arc<dyn Forge>],
        cluster: Option<String>,
        options: RevertOptions,
        git: Git,
        clock: Clock,
    ) -> Self {
        Self {
            repository,
            cache,
            settings,
            forges: forges.into(),
            cluster,
            options: Arc::new(options),
            git,
            clock,
        }
    }

    /// Proposes the revert of a commit. What may pass is tried again for as long as somebody waits.
    pub(super) async fn propose(&self, canary: &ObjectKey, status: &Status, commit: CommitId) -> Proposal {
        let mut pause = Duration::from_secs(2);
        loop {
            let outcome = match self.try_propose(canary, status, &commit).await {
                Ok(text) => Ok(text),
                Err(Trouble::Refused(why)) => Err(why),
                Err(Trouble::Later(why)) => {
                    tracing::warn!(%canary, %commit, "Cannot propose the revert yet, trying again: {why}");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE);
                    continue;
                }
            };
            return Proposal { commit, outcome };
        }
    }

    async fn try_propose(
        &self,
        canary: &ObjectKey,
        status: &Status,
        commit: &CommitId,
    ) -> Result<String, Trouble> {
        let (reverts, about, key, id) = (self.clone(), status.clone(), canary.clone(), commit.clone());
        let work = move || reverts.push(&key, &about, &id);
        let pushed = clock::off_thread(clock::Turn::Revert, work).await;
        let pushed = pushed.map_err(|error| Trouble::Refused(error.to_string()))??;
        let branch = &pushed.request.head;
        if !self.options.pull_request {
            return Ok(format!("revert proposed: branch {branch}"));
        }
        let Some(forge) = self.pull_requests() else {
            return Ok(format!(
                "revert proposed: branch {branch} (no forge opens pull requests)"
            ));
        };
        match forge.open(&pushed.request).await {
            Ok(opened) => Ok(format!("revert proposed: {}", opened.url)),
            Err(error) => match Trouble::of(&error) {
                Trouble::Refused(why) => Ok(format!(
                    "revert proposed: branch {branch} (no pull request: {why})"
                )),
                later @ Trouble::Later(_) => Err(later),
            },
        }
    }

    fn pull_requests(&self) -> Option<&dyn PullRequests> {
        self.forges.iter().find_map(|forge| forge.pull_requests())
    }

    /// Makes the commit and pushes its branch, if it is not there. Blocks.
    fn push(&self, canary: &ObjectKey, status: &Status, commit: &CommitId) -> Result<Pushed, Trouble> {
        let refused = |text: &str| Trouble::Refused(text.to_owned());
        let git_dir = self.repository.git_dir();
        let git_dir =
            git_dir.ok_or_else(|| refused("this source has no history; it needs a git repository"))?;
        let tip = self.repository.newest().map_err(|error| Trouble::of(&error))?;
        let head = branch(commit, canary);
        if tip.branch == "HEAD" {
            return Err(refused(
                "the branch that is followed has no name here; give it by --branch",
            ));
        }
        if head == tip.branch || !revert::is_branch_name(&head) {
            return Err(Trouble::Refused(format!(
                "`{head}` cannot be the name of its branch"
            )));
        }
        let steps = self.steps(canary, status, &tip, commit)?;
        let is_there = revert::has_branch(&self.git, &self.options.remote, &head);
        let is_there = is_there.map_err(|error| Trouble::of(&error))?;
        let scratch = Scratch::beside(&git_dir).map_err(|error| Trouble::Refused(error.to_string()))?;
        let undo = Undo {
            steps,
            onto: tip.id.clone(),
            name: format!("{}/{}", canary.namespace, canary.name),
        };
        let undone = scratch.undo(&undo);
        let policies = undone
            .as_ref()
            .map(|undone| undone.policies.clone())
            .unwrap_or_default();
        let files: BTreeSet<String> = undo.steps.iter().flat_map(|(_, files)| files.clone()).collect();
        let commits = self.commits(&undo);
        let evidence = Evidence {
            canary,
            status,
            commits: &commits,
            files: &files,
            policies: &policies,
            cluster: self.cluster.as_deref(),
            trailer: TRAILER,
        };
        let request = NewPullRequest {
            title: evidence.title(),
            body: evidence.body(),
            base: tip.branch.clone(),
            head,
        };
        if is_there {
            return Ok(Pushed { request });
        }
        let undone = undone.map_err(|error| Trouble::Refused(error.to_string()))?;
        if undone.is_empty() {
            return Err(refused("the branch has what was promoted already"));
        }
        let seconds = self.clock.now().as_second();
        let made = scratch.commit(&undone, &tip.id, &evidence.message(), seconds);
        let made = made.map_err(|error| Trouble::Refused(error.to_string()))?;
        self.check(canary, &scratch, &undo, &tip, &made)?;
        self.bring(&scratch, &made, &request.head)?;
        tracing::info!(%canary, %commit, branch = request.head, "Revert pushed.");
        Ok(Pushed { request })
    }

    /// Pushes the branch. That it was made meanwhile, by a Serin of another cluster, is as good.
    fn bring(&self, scratch: &Scratch, made: &CommitId, head: &str) -> Result<(), Trouble> {
        let remote = &self.options.remote;
        let rejected = match scratch.push(&self.git, remote, made, head) {
            Ok(()) => return Ok(()),
            Err(GitError::Remote {
                fault: RemoteFault::Rejected,
                message,
                ..
            }) => message,
            Err(error) => return Err(Trouble::of(&error)),
        };
        match revert::has_branch(&self.git, remote, head) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Trouble::Refused(format!("the update was rejected: {rejected}"))),
            Err(error) => Err(Trouble::of(&error)),
        }
    }

    fn steps(
        &self,
        canary: &ObjectKey,
        status: &Status,
        tip: &Revision,
        commit: &CommitId,
    ) -> Result<plan::UndoSteps, Trouble> {
        let failed = Revision {
            branch: tip.branch.clone(),
            id: commit.clone(),
        };
        let promoted = status.promoted_commit.as_deref().and_then(|id| id.parse().ok());
        let (cache, settings) = (&self.cache, &self.settings);
        let steps = plan::undo(
            &*self.repository,
            cache,
            settings,
            canary,
            &failed,
            promoted.as_ref(),
        );
        let steps = steps.map_err(|error| Trouble::of(&error))?;
        if steps.is_empty() {
            let text = "no file of the canary was changed by the commit itself".to_owned();
            return Err(Trouble::Refused(text));
        }
        Ok(steps)
    }

    /// The commits that are taken back, with their subjects.
    fn commits(&self, undo: &Undo) -> Vec<Commit> {
        let read =
            |(id, _): &(CommitId, BTreeSet<String>)| self.repository.history(id, 1).ok()?.into_iter().next();
        undo.steps.iter().filter_map(read).collect()
    }

    /// Makes sure that the canary is declared as it was before the oldest commit that is taken back.
    fn check(
        &self,
        canary: &ObjectKey,
        scratch: &Scratch,
        undo: &Undo,
        tip: &Revision,
        made: &CommitId,
    ) -> Result<(), Trouble> {
        let Some((oldest, _)) = undo.steps.last() else {
            return Ok(());
        };
        let history = self
            .repository
            .history(oldest, 2)
            .map_err(|error| Trouble::of(&error))?;
        let Some(base) = history.get(1) else { return Ok(()) };
        let at = |id: &CommitId| Revision {
            branch: tip.branch.clone(),
            id: id.clone(),
        };
        let options = Options {
            branch: None,
            path: self.repository.path().to_owned(),
        };
        let here = Checkout::open(scratch.dir(), options).map_err(|error| Trouble::of(&error))?;
        let same = plan::is_as_before(
            &here,
            &self.cache,
            &self.settings,
            canary,
            &at(&base.id),
            &at(made),
        );
        if same.map_err(|error| Trouble::of(&error))? {
            return Ok(());
        }
        let text = "the branch has other changes of the canary, which the revert would leave";
        Err(Trouble::Refused(text.to_owned()))
    }
}

#[cfg(test)]
mod tests;
