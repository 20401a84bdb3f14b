//! What is owed to forges, through crashes and outages.

use std::time::Duration;

use proptest::prelude::*;
use tokio::task::JoinHandle;

use super::*;
use crate::report::testing::{Diary, clock, unavailable};

/// What survives a crash: the state of the source, and the statuses of the Canaries.
#[derive(Default)]
struct Kept {
    owed: Vec<Owed>,
    statuses: BTreeMap<ObjectKey, Status>,
}

/// A process with a forge.
struct Life {
    kept: Kept,
    forge: Arc<Diary>,
    reports: Reports,
    running: JoinHandle<()>,
    /// What every commit and context shall show in the end.
    desired: BTreeMap<(CommitId, String), (CommitState, String)>,
    given_up: BTreeSet<(CommitId, ObjectKey)>,
    /// What the state of the source says may become live late.
    late: BTreeSet<(CommitId, String)>,
    lives: usize,
}

fn canary(number: u8) -> ObjectKey {
    ObjectKey::new(Resource::CANARY, "test", &format!("app-{number}"))
}

fn id(number: u32) -> CommitId {
    format!("{number:040x}").parse().unwrap()
}

fn born(forge: &Arc<Diary>) -> (Reports, JoinHandle<()>) {
    let reports = Reports::new(vec![forge.clone()], None, clock());
    let outbox = reports.outbox().clone();
    (reports, tokio::spawn(async move { outbox.run().await }))
}

impl Life {
    fn new() -> Self {
        let forge = Diary::new("diary", 100);
        let (reports, running) = born(&forge);
        Self {
            kept: Kept::default(),
            forge,
            reports,
            running,
            desired: BTreeMap::new(),
            given_up: BTreeSet::new(),
            late: BTreeSet::new(),
            lives: 1,
        }
    }

    /// A revision is handled: its canaries are planned and detected, and then the state is written.
    fn handle(&mut self, commit: &CommitId, canaries: &[ObjectKey]) {
        for canary in canaries {
            self.reports.plan(commit, canary);
        }
        for canary in canaries {
            let detected = outcome::detected();
            self.reports.say(commit, canary, &detected);
            self.desire(commit, canary, &detected);
        }
        self.save();
    }

    fn save(&mut self) {
        self.kept.owed = self.reports.owed();
    }

    /// A Canary says something of a commit: its status is written before anybody is told.
    fn status_says(&mut self, commit: &CommitId, canary: &ObjectKey, outcome: &Outcome) {
        let status = self.kept.statuses.entry(canary.clone()).or_default();
        if let Some(report) = status
            .commits
            .iter_mut()
            .find(|report| report.commit == commit.as_str())
        {
            if report.state != "pending" {
                return;
            }
            outcome.state.name().clone_into(&mut report.state);
            report.description.clone_from(&outcome.description);
            report.delivered.clear();
        } else {
            status.commits.push(CommitReport {
                commit: commit.to_string(),
                state: outcome.state.name().to_owned(),
                description: outcome.description.clone(),
                delivered: Vec::new(),
            });
        }
        let status = status.clone();
        self.reports.owe(canary, None, &status);
        let mut marked = status;
        self.reports.mark_delivered(canary, &mut marked);
        self.kept.statuses.insert(canary.clone(), marked);
        self.desire(commit, canary, outcome);
    }

    /// The source itself says the last word, as on what was never applied.
    fn source_says(&mut self, commit: &CommitId, canary: &ObjectKey, outcome: &Outcome) {
        self.reports.say_for_good(commit, canary, outcome);
        self.given_up.insert((commit.clone(), canary.clone()));
        self.desire(commit, canary, outcome);
        self.save();
    }

    fn desire(&mut self, commit: &CommitId, canary: &ObjectKey, outcome: &Outcome) {
        let key = (commit.clone(), context(None, canary));
        let open = self
            .desired
            .get(&key)
            .is_none_or(|(state, _)| !state.is_terminal());
        if open {
            self.desired
                .insert(key, (outcome.state, outcome.description.clone()));
        }
    }

    /// The process dies, and another one takes over.
    async fn crash(&mut self) {
        self.running.abort();
        (&mut self.running).await.ok();
        (self.reports, self.running) = born(&self.forge);
        self.reports.doubt(true);
        self.reports.restore(&self.kept.owed, &self.late);
        // As the source does for what it waits for, and the workers for what their statuses hold.
        for owed in &self.kept.owed {
            for (name, said) in &owed.planned {
                let Some(canary) = canary_key(name) else { continue };
                let status = self.kept.statuses.get(&canary);
                let live = status.is_some_and(|status| {
                    let mut reports = status.commits.iter();
                    reports.any(|report| report.commit == owed.commit.as_str())
                });
                if said.is_none() && !live {
                    self.reports.plan(&owed.commit, &canary);
                    self.reports.still_waits(&owed.commit, &canary);
                }
            }
        }
        for (canary, status) in &self.kept.statuses {
            self.reports.owe(canary, None, status);
        }
        self.reports.doubt(false);
        self.lives += 1;
    }

    /// The end of all outages: what does the forge show?
    async fn end(&self) {
        self.forge.set_down(false);
        let settled = tokio::time::timeout(Duration::from_secs(7200), self.reports.settled());
        settled.await.expect("the forge is told all in time");
    }
}

fn outcome_of(state: u8, text: u32) -> Outcome {
    let states = [
        CommitState::Pending,
        CommitState::Success,
        CommitState::Failure,
        CommitState::Error,
    ];
    Outcome::new(states[usize::from(state % 4)], &format!("text {text}"))
}

#[derive(Clone, Debug)]
enum Happens {
    Handle(Vec<u8>),
    StatusSays { back: u32, canary: u8, state: u8 },
    SourceSays { back: u32, canary: u8 },
    Wait(u64),
    Crash,
    Down(bool),
    Lose(usize),
    Refuse(usize),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        2 => prop::collection::vec(0..3_u8, 1..4).prop_map(Happens::Handle),
        6 => (0..3_u32, 0..3_u8, 0..4_u8).prop_map(|(back, canary, state)| Happens::StatusSays {
            back,
            canary,
            state
        }),
        1 => (0..3_u32, 0..3_u8).prop_map(|(back, canary)| Happens::SourceSays { back, canary }),
        5 => prop_oneof![0..300_u64, 1000..60_000_u64].prop_map(Happens::Wait),
        3 => Just(Happens::Crash),
        2 => any::<bool>().prop_map(Happens::Down),
        1 => (1..3_usize).prop_map(Happens::Lose),
        1 => (1..4_usize).prop_map(Happens::Refuse),
    ]
}

async fn live(story: Vec<Happens>) {
    let mut life = Life::new();
    let mut planned: Vec<(CommitId, BTreeSet<u8>)> = Vec::new();
    for (n, happens) in (0_u32..).zip(story) {
        let newest = u32::try_from(planned.len()).unwrap();
        let meant = |back: u32, number: u8| {
            let at = usize::try_from(newest.checked_sub(back + 1)?).unwrap();
            let (commit, canaries) = &planned[at];
            canaries
                .contains(&number)
                .then(|| (commit.clone(), canary(number)))
        };
        match happens {
            Happens::Handle(numbers) => {
                let numbers: BTreeSet<u8> = numbers.into_iter().collect();
                let keys: Vec<ObjectKey> = numbers.iter().map(|number| canary(*number)).collect();
                planned.push((id(newest), numbers));
                life.handle(&id(newest), &keys);
            }
            Happens::StatusSays { back, canary, state } => {
                // What the source gave up is closed, even if it becomes live later.
                let open = |(commit, canary): &(CommitId, ObjectKey)| {
                    !life.given_up.contains(&(commit.clone(), canary.clone()))
                };
                if let Some((commit, canary)) = meant(back, canary).filter(open) {
                    life.status_says(&commit, &canary, &outcome_of(state, n));
                }
            }
            Happens::SourceSays { back, canary } => {
                if let Some((commit, canary)) = meant(back, canary) {
                    // The source speaks only of what no status knows.
                    let known = life.kept.statuses.get(&canary).is_some_and(|status| {
                        status
                            .commits
                            .iter()
                            .any(|report| report.commit == commit.as_str())
                    });
                    // It gives a commit up once: it is not its own any more after a restart.
                    if !known && !life.given_up.contains(&(commit.clone(), canary.clone())) {
                        life.source_says(&commit, &canary, &outcome_of(3, n));
                    }
                }
            }
            Happens::Wait(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Happens::Crash => life.crash().await,
            Happens::Down(down) => life.forge.set_down(down),
            Happens::Lose(times) => life.forge.lose_answers(times),
            Happens::Refuse(times) => life.forge.refuse(unavailable(None), times),
        }
    }
    life.end().await;
    hold(&life, &planned);
}

/// Every context shows its last desired state, the aggregate is the sum of them, and no last word was posted
/// twice.
fn hold(life: &Life, planned: &[(CommitId, BTreeSet<u8>)]) {
    let shown = life.forge.shown();
    for (key, (state, text)) in &life.desired {
        let status = shown
            .get(key)
            .unwrap_or_else(|| panic!("nothing is shown of {key:?}"));
        assert_eq!((status.state, &status.description), (*state, text), "{key:?}");
    }
    for (commit, canaries) in planned {
        let outcomes = canaries.iter().map(|number| {
            let (state, text) = &life.desired[&(commit.clone(), context(None, &canary(*number)))];
            (name(&canary(*number)), Outcome::new(*state, text))
        });
        let sum = outcome::aggregate(&outcomes.collect()).unwrap();
        let status = &shown[&(commit.clone(), "serin".to_owned())];
        assert_eq!((status.state, &status.description), (sum.state, &sum.description));
    }
    let mut times: BTreeMap<(CommitId, String, String), usize> = BTreeMap::new();
    for (commit, status) in life.forge.taken() {
        let last = if status.state.is_terminal() { 1 } else { life.lives };
        let key = (commit, status.context.clone(), status.description.clone());
        let times = times.entry(key.clone()).or_default();
        *times += 1;
        assert!(*times <= last, "{key:?} was posted {times} times");
    }
}

fn run(story: Vec<Happens>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(live(story));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens_each_context_shows_its_last_state_and_last_words_are_said_once(
        story in prop::collection::vec(happens(), 1..60),
    ) {
        run(story);
    }
}

#[test]
fn a_restart_while_the_forge_is_down_loses_neither_aggregate_nor_what_only_the_source_said() {
    let says = |canary, state| Happens::StatusSays {
        back: 0,
        canary,
        state,
    };
    run(vec![
        Happens::Down(true),
        Happens::Handle(vec![0, 1]),
        says(0, 1),
        // The next revision forgets what the first one waited for.
        Happens::Handle(vec![2]),
        Happens::SourceSays { back: 0, canary: 2 },
        Happens::Wait(3_600_000),
        Happens::Crash,
        Happens::Wait(60_000),
        says(1, 2),
        Happens::Crash,
        Happens::Wait(600_000),
    ]);
}

/// What was said of a canary of a commit, in order.
fn told(life: &Life, commit: &CommitId, canary: &ObjectKey) -> Vec<String> {
    let context = context(None, canary);
    let taken = life.forge.taken().into_iter();
    let of = taken.filter(|(of, status)| of == commit && status.context == context);
    of.map(|(_, status)| status.description).collect()
}

/// A commit is given up, as the source does it.
fn give_up(life: &mut Life, commit: &CommitId, canary: &ObjectKey) {
    life.reports.give_up(commit, canary, &outcome::not_applied());
    life.late.insert((commit.clone(), name(canary)));
    life.save();
}

#[tokio::test(start_paused = true)]
async fn what_becomes_live_late_ends_with_what_came_of_it_over_restarts() {
    for crashes in [0_u8, 1, 2] {
        let mut life = Life::new();
        let (commit, canary) = (id(1), canary(0));
        life.handle(&commit, std::slice::from_ref(&canary));
        tokio::time::sleep(Duration::from_secs(60)).await;
        give_up(&mut life, &commit, &canary);
        tokio::time::sleep(Duration::from_secs(60)).await;
        if crashes == 1 {
            life.crash().await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        let promoted = Outcome::new(CommitState::Success, "promoted");
        life.status_says(&commit, &canary, &promoted);
        tokio::time::sleep(Duration::from_secs(60)).await;
        if crashes == 2 {
            // The state of the source is from before.
            life.crash().await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        life.end().await;
        let said = told(&life, &commit, &canary);
        let expected = [outcome::detected(), outcome::not_applied(), promoted];
        assert_eq!(said, expected.map(|said| said.description), "{crashes}");
        let all = &life.forge.shown()[&(commit, "serin".to_owned())];
        assert_eq!(
            (all.state, all.description.as_str()),
            (CommitState::Success, "test/app-0: promoted")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_stays_so_where_nothing_comes_of_it() {
    let mut life = Life::new();
    let (commit, canary) = (id(1), canary(0));
    life.handle(&commit, std::slice::from_ref(&canary));
    life.forge.set_down(true);
    give_up(&mut life, &commit, &canary);
    life.crash().await;
    life.forge.set_down(false);
    // The canary had its time to speak.
    life.reports.repeat(&commit, &canary);
    life.end().await;
    assert!(
        !life
            .reports
            .say(&commit, &canary, &outcome::superseded("a newer one"))
    );
    life.reports.never(&commit, &canary);
    assert!(
        !life
            .reports
            .say(&commit, &canary, &outcome::superseded("a newer one"))
    );
    assert_eq!(
        told(&life, &commit, &canary).last(),
        Some(&outcome::not_applied().description)
    );
    life.save();
    assert_eq!(life.kept.owed, [], "nothing can change any more, and all know");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_stands_over_a_restart_and_goes_where_the_commit_is_verified_after_all() {
    let mut life = Life::new();
    let (bad, late, canary) = (id(1), id(2), canary(0));
    for commit in [&bad, &late] {
        life.reports.plan(commit, &canary);
        life.reports.say(commit, &canary, &outcome::not_verified("why"));
        life.reports.unsigned(commit, &outcome::not_verified("why"));
    }
    life.save();
    tokio::time::sleep(Duration::from_secs(60)).await;
    life.crash().await;
    assert!(
        !life
            .reports
            .say(&bad, &canary, &outcome::superseded("a newer one"))
    );
    assert!(
        life.reports
            .say(&bad, &canary, &outcome::not_verified("another reason"))
    );
    assert!(life.reports.is_refused(&late) && !life.reports.is_refused(&id(3)));
    life.reports.signed(&late);
    life.reports.refusals_stand();
    life.reports.say(&late, &canary, &outcome::initialized());
    life.end().await;
    let shown = life.forge.shown();
    let state = |commit: &CommitId| shown[&(commit.clone(), "serin".to_owned())].state;
    assert_eq!(
        (state(&bad), state(&late)),
        (CommitState::Error, CommitState::Success)
    );
    life.save();
    assert_eq!(life.kept.owed, []);
}

#[tokio::test(start_paused = true)]
async fn a_comment_that_was_told_as_pending_does_not_stay_so_when_a_newer_commit_takes_over() {
    let mut life = Life::new();
    let pages = Diary::new("pages", 100);
    let comments = Outbox::new(vec![pages.clone()], clock());
    life.reports.comments = Some(comments.clone());
    let running = tokio::spawn(async move { comments.run().await });
    let (told, silent, earlier, canary) = (id(1), id(2), id(3), canary(0));
    life.reports.plan(&told, &canary);
    life.reports.say(&told, &canary, &outcome::detected());
    tokio::time::sleep(Duration::from_secs(10)).await;
    // Of one pull: it is superseded before anybody could be told.
    life.reports.plan(&silent, &canary);
    // What an earlier process has told of it is not known.
    life.reports.doubt(true);
    life.reports.plan(&earlier, &canary);
    for commit in [&told, &silent, &earlier] {
        life.reports
            .say(commit, &canary, &outcome::superseded("a newer one"));
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    let shown = pages.shown();
    let state = |commit: &CommitId| {
        shown
            .get(&(commit.clone(), "serin".to_owned()))
            .map(|said| said.state)
    };
    assert_eq!(state(&told), Some(CommitState::Success));
    assert_eq!(state(&silent), None);
    assert_eq!(state(&earlier), Some(CommitState::Success));
    running.abort();
}

/// A process dies between what it says of an older commit and what the canary makes of the new one.
#[tokio::test(start_paused = true)]
async fn what_the_source_said_last_is_what_the_status_says_after_a_crash() {
    let mut life = Life::new();
    let (commit, canary) = (id(1), canary(0));
    life.handle(&commit, std::slice::from_ref(&canary));
    life.status_says(&commit, &canary, &outcome_of(0, 1));
    life.source_says(&commit, &canary, &outcome::superseded("a newer one"));
    life.crash().await;
    life.status_says(
        &commit,
        &canary,
        &outcome::superseded("a change without a commit"),
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    life.save();
    assert_eq!(life.kept.owed, [], "all is told");
    life.crash().await;
    life.end().await;
    let ends: BTreeSet<String> = told(&life, &commit, &canary)
        .into_iter()
        .filter(|text| text.starts_with("superseded"))
        .collect();
    assert_eq!(ends, BTreeSet::from(["superseded by a newer one".to_owned()]));
}
