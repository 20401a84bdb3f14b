//! One comment on each pull request that a commit came from: the statuses of a merge commit are not shown there.
//! Delivered by an outbox of its own, so that it is as level-triggered as the statuses are.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::{self, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};

use super::{CommitState, CommitStatus, Forge, ForgeError, Outcome, Rate};
use crate::{http::excerpt, repo::CommitId};

/// Least time between two changes of a comment that only tell progress.
const PROGRESS: Duration = Duration::from_secs(60);
/// Pull requests that one commit is told on.
const PULLS: usize = 3;
/// Commits that one comment tells of: a rebase brings several at once.
const COMMITS: usize = 5;
/// Pull requests that are remembered.
const REMEMBERED: usize = 100;
/// How a heading goes on after the state, before the commit.
const FOR_COMMIT: &str = " for commit ";
/// Canaries that a comment lists.
const ROWS: usize = 50;

/// Says what a comment tells of a commit. Nothing where a newer commit took all over, which speaks, unless something
/// may have been told before: that must not stay pending.
#[must_use]
pub fn comment(
    context: &str,
    commit: &CommitId,
    outcomes: &BTreeMap<String, Outcome>,
    was_told: impl FnOnce() -> bool,
) -> Option<CommitStatus> {
    let sum = super::outcome::aggregate(outcomes)?;
    if outcomes.values().all(is_superseded) && !was_told() {
        return None;
    }
    let mut rows: Vec<(&String, &Outcome)> = outcomes.iter().collect();
    rows.sort_by_key(|(name, outcome)| (rank(outcome.state), *name));
    let mut body = format!(
        "**{}**: {}{FOR_COMMIT}{}\n\n| canary | state | |\n|---|---|---|\n",
        plain(context),
        sum.state,
        commit.short()
    );
    for (name, outcome) in rows.iter().take(ROWS) {
        let (name, text) = (plain(name), plain(&outcome.description));
        writeln!(body, "| {name} | {} | {text} |", outcome.state).ok();
    }
    if let Some(more) = rows.len().checked_sub(ROWS).filter(|more| *more > 0) {
        writeln!(body, "\nand {more} more").ok();
    }
    Some(CommitStatus {
        context: context.to_owned(),
        state: sum.state,
        description: body,
        target_url: None,
        detail: None,
    })
}

fn is_superseded(outcome: &Outcome) -> bool {
    outcome.state == CommitState::Success && outcome.description.starts_with("superseded by ")
}

/// What failed comes first.
fn rank(state: CommitState) -> u8 {
    match state {
        CommitState::Error => 0,
        CommitState::Failure => 1,
        CommitState::Pending => 2,
        CommitState::Success => 3,
    }
}

/// A text that others have a say in, as code: no markdown, mention, reference or link in it counts.
fn plain(text: &str) -> String {
    let text = excerpt(text, 200).replace('`', "'").replace('|', "¦");
    if text.is_empty() {
        return text;
    }
    format!("`{text}`")
}

/// The comments of a forge, as a forge: what is posted to it is the text of a comment.
pub struct Comments {
    forge: Arc<dyn Forge>,
    name: String,
    marker: String,
    told: Mutex<Told>,
}

/// What this process has told.
#[derive(Default)]
struct Told {
    /// By pull request: the newest commits, and what is said of them.
    texts: BTreeMap<u64, VecDeque<(CommitId, String)>>,
    order: VecDeque<u64>,
}

impl Told {
    /// Takes in what is said of a commit.
    fn put(&mut self, number: u64, commit: &CommitId, text: &str) {
        if !self.texts.contains_key(&number) {
            self.order.push_back(number);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.texts.remove(&oldest);
            }
        }
        let texts = self.texts.entry(number).or_default();
        match texts.iter_mut().find(|(of, _)| of == commit) {
            Some((_, known)) => text.clone_into(known),
            None => texts.push_front((commit.clone(), text.to_owned())),
        }
        texts.truncate(COMMITS);
    }

    /// Gives the whole comment, the newest commit first. What the comment has of other commits stays: an earlier
    /// process told it.
    fn draft(&self, number: u64, known: &str) -> String {
        let mut sections = sections(known);
        for (commit, text) in self.texts.get(&number).into_iter().flatten().rev() {
            let text = text.trim_end().to_owned();
            match sections.iter_mut().find(|section| is_of(section, commit)) {
                Some(section) => *section = text,
                None => sections.push_front(text),
            }
        }
        sections.truncate(COMMITS);
        sections.into_iter().collect::<Vec<_>>().join("\n\n")
    }
}

/// Takes a comment apart: each commit begins with a heading.
fn sections(comment: &str) -> VecDeque<String> {
    let mut sections: VecDeque<String> = VecDeque::new();
    for line in comment.lines() {
        match sections.back_mut() {
            _ if is_heading(line) => sections.push_back(line.to_owned()),
            Some(section) => {
                section.push('\n');
                section.push_str(line);
            }
            // Not ours: the heading comes first.
            None => {}
        }
    }
    for section in &mut sections {
        section.truncate(section.trim_end().len());
    }
    sections
}

fn is_heading(line: &str) -> bool {
    line.starts_with("**") && line.contains(FOR_COMMIT)
}

fn is_of(section: &str, commit: &CommitId) -> bool {
    let heading = section.lines().next().unwrap_or_default();
    let named = heading.rsplit_once(FOR_COMMIT).map(|(_, named)| named.trim());
    named == Some(commit.short())
}

impl Comments {
    /// Makes the comments of a forge that has pull requests. The context tells clusters apart.
    #[must_use]
    pub fn new(forge: Arc<dyn Forge>, context: &str) -> Option<Self> {
        forge.pull_requests()?;
        Some(Self {
            name: Self::name_of(&*forge),
            forge,
            marker: context.to_owned(),
            told: Mutex::default(),
        })
    }

    /// Returns the name of the comments of a forge.
    #[must_use]
    pub fn name_of(forge: &dyn Forge) -> String {
        format!("{}-comment", forge.name())
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell(&self, commit: &CommitId, text: &str) -> Result<(), ForgeError> {
        let Some(pulls) = self.forge.pull_requests() else {
            return Ok(());
        };
        for number in pulls.of_commit(commit).await?.into_iter().take(PULLS) {
            self.told().put(number, commit, text);
            let draft = |known: &str| self.told().draft(number, known);
            pulls.upsert_comment(number, &self.marker, &draft).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for Comments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "comments of {:?}", self.forge)
    }
}

impl Forge for Comments {
    fn name(&self) -> &str {
        &self.name
    }

    fn post<'a>(
        &'a self,
        commit: &'a CommitId,
        status: &'a CommitStatus,
    ) -> BoxFuture<'a, Result<(), ForgeError>> {
        self.tell(commit, &status.description).boxed()
    }

    /// A comment is made or changed: to tell it again does no harm.
    fn read<'a>(&'a self, _commit: &'a CommitId) -> BoxFuture<'a, Result<Vec<CommitStatus>, ForgeError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn progress_interval(&self) -> Duration {
        self.forge.progress_interval().max(PROGRESS)
    }

    /// A small part of what the forge takes: the statuses go before.
    fn rate(&self) -> Option<Rate> {
        let rate = self.forge.rate()?;
        Some(Rate {
            burst: (rate.burst / 4).max(1),
            every: rate.every.saturating_mul(8),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{
        Draft, NewPullRequest, Outbox, PullRequest, PullRequests,
        testing::{clock, commit, unavailable},
    };

    /// A forge with one pull request, which two commits came from.
    #[derive(Debug, Default)]
    struct Pulls {
        comments: Mutex<BTreeMap<(u64, String), String>>,
        changes: Mutex<usize>,
        refuse: Mutex<usize>,
    }

    impl Forge for Pulls {
        fn name(&self) -> &'static str {
            "pulls"
        }

        fn post<'a>(
            &'a self,
            _commit: &'a CommitId,
            _status: &'a CommitStatus,
        ) -> BoxFuture<'a, Result<(), ForgeError>> {
            async { Ok(()) }.boxed()
        }

        fn read<'a>(&'a self, _commit: &'a CommitId) -> BoxFuture<'a, Result<Vec<CommitStatus>, ForgeError>> {
            async { Ok(Vec::new()) }.boxed()
        }

        fn progress_interval(&self) -> Duration {
            Duration::from_secs(5)
        }

        fn pull_requests(&self) -> Option<&dyn PullRequests> {
            Some(self)
        }
    }

    impl PullRequests for Pulls {
        fn open<'a>(&'a self, _: &'a NewPullRequest) -> BoxFuture<'a, Result<PullRequest, ForgeError>> {
            async { Err(unavailable(None)) }.boxed()
        }

        fn of_commit<'a>(&'a self, of: &'a CommitId) -> BoxFuture<'a, Result<Vec<u64>, ForgeError>> {
            let numbers = if *of == commit('3') { Vec::new() } else { vec![7] };
            async { Ok(numbers) }.boxed()
        }

        fn upsert_comment<'a>(
            &'a self,
            number: u64,
            marker: &'a str,
            draft: &'a Draft<'a>,
        ) -> BoxFuture<'a, Result<(), ForgeError>> {
            async move {
                let mut refuse = self.refuse.lock().unwrap();
                if *refuse > 0 {
                    *refuse -= 1;
                    return Err(unavailable(None));
                }
                *self.changes.lock().unwrap() += 1;
                let mut comments = self.comments.lock().unwrap();
                let comment = comments.entry((number, marker.to_owned())).or_default();
                *comment = draft(comment);
                Ok(())
            }
            .boxed()
        }
    }

    fn outcomes(list: &[(&str, CommitState, &str)]) -> BTreeMap<String, Outcome> {
        let made = list
            .iter()
            .map(|(name, state, text)| ((*name).to_owned(), Outcome::new(*state, text)));
        made.collect()
    }

    #[test]
    fn a_comment_lists_canaries_worst_first() {
        let outcomes = outcomes(&[
            ("test/a", CommitState::Success, "promoted, 3 checks passed"),
            ("test/b", CommitState::Failure, "rolled back: latency 700 > 500"),
        ]);
        let made = comment("serin/eu", &commit('1'), &outcomes, || false).unwrap();
        assert_eq!(made.state, CommitState::Failure);
        assert_eq!(
            made.description,
            "**`serin/eu`**: failure for commit 1111111\n\n| canary | state | |\n|---|---|---|\n\
             | `test/b` | failure | `rolled back: latency 700 > 500` |\n\
             | `test/a` | success | `promoted, 3 checks passed` |\n"
        );
    }

    #[test]
    fn what_others_have_a_say_in_is_code_and_bounded() {
        let hostile = "`</td>` | @team [x](http://evil) <!-- #1\n| b | c |";
        let mut all = outcomes(&[("test/a", CommitState::Pending, hostile)]);
        let made = comment("serin", &commit('1'), &all, || false).unwrap();
        let row = made.description.lines().last().unwrap();
        assert_eq!(
            row,
            "| `test/a` | pending | `'</td>' ¦ @team [x](http://evil) <!-- #1\\n¦ b ¦ c ¦` |"
        );
        for n in 0..500 {
            all.insert(
                format!("test/{n}"),
                Outcome::new(CommitState::Success, &"x".repeat(500)),
            );
        }
        let made = comment("serin", &commit('1'), &all, || false).unwrap();
        assert!(made.description.ends_with("\nand 451 more\n"));
        assert!(made.description.chars().count() < 32_000);
    }

    #[test]
    fn a_commit_that_others_took_over_says_nothing() {
        let all = outcomes(&[("test/a", CommitState::Success, "superseded by 0123456789ab")]);
        assert_eq!(comment("serin", &commit('1'), &all, || false), None);
        assert_eq!(comment("serin", &commit('1'), &BTreeMap::new(), || false), None);
        let made = comment("serin", &commit('1'), &all, || true).unwrap();
        assert!(made.description.contains("superseded by"), "{}", made.description);
    }

    #[tokio::test(start_paused = true)]
    async fn one_comment_is_kept_up_to_date_through_outages() {
        let pulls = Arc::new(Pulls::default());
        let comments = Comments::new(pulls.clone(), "serin").unwrap();
        let outbox = Outbox::new(vec![Arc::new(comments)], clock());
        let running = outbox.clone();
        tokio::spawn(async move { running.run().await });
        let say = |of: char, state, text: &str| {
            let all = outcomes(&[("test/a", state, text)]);
            let made = comment("serin", &commit(of), &all, || false).unwrap();
            outbox.set(&commit(of), made);
        };
        for step in 1..=12 {
            say('1', CommitState::Pending, &format!("{step}0 %"));
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        assert_eq!(*pulls.changes.lock().unwrap(), 2, "progress once a minute");
        *pulls.refuse.lock().unwrap() = 3;
        say('1', CommitState::Success, "promoted");
        say('2', CommitState::Failure, "rolled back");
        say('3', CommitState::Success, "promoted");
        outbox.settled().await;
        let told = pulls.comments.lock().unwrap();
        assert_eq!(told.len(), 1, "one comment on one pull request");
        let body = &told[&(7, "serin".to_owned())];
        assert_eq!(body.matches("for commit").count(), 2, "{body}");
        assert!(body.contains("| success | `promoted` |") && body.contains("| failure | `rolled back` |"));
    }

    #[tokio::test]
    async fn what_an_earlier_process_told_stays() {
        let pulls = Arc::new(Pulls::default());
        let say = async |comments: &Comments, of: char, state, text: &str| {
            let made = comment(
                "serin",
                &commit(of),
                &outcomes(&[("test/a", state, text)]),
                || false,
            )
            .unwrap();
            comments.tell(&commit(of), &made.description).await.unwrap();
        };
        let told = || pulls.comments.lock().unwrap()[&(7, "serin".to_owned())].clone();
        let first = Comments::new(pulls.clone(), "serin").unwrap();
        say(&first, '1', CommitState::Success, "promoted").await;
        say(&first, '2', CommitState::Pending, "20 %").await;
        let before = told();
        let second = Comments::new(pulls.clone(), "serin").unwrap();
        say(&second, '2', CommitState::Failure, "rolled back").await;
        let after = before
            .replace("20 %", "rolled back")
            .replace("pending", "failure");
        assert_eq!(told(), after, "the section in question, in its place");
        say(&second, '4', CommitState::Pending, "10 %").await;
        assert!(told().ends_with(&after) && told().starts_with("**`serin`**: pending for commit 4444444"));
        for of in "56789".chars() {
            say(&second, of, CommitState::Success, "promoted").await;
        }
        assert_eq!(told().matches(FOR_COMMIT).count(), COMMITS);
        pulls
            .comments
            .lock()
            .unwrap()
            .insert((7, "serin".to_owned()), "someone's words\r\n".to_owned());
        let third = Comments::new(pulls.clone(), "serin").unwrap();
        say(&third, '1', CommitState::Success, "promoted").await;
        assert_eq!(told().matches(FOR_COMMIT).count(), 1);
        assert!(told().starts_with("**`serin`**"), "{}", told());
    }
}
