//! The outbox in virtual time, against a forge that keeps a diary.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::report::{
    CommitState::{self, Failure, Pending, Success},
    testing::{Diary, clock, commit, said, unavailable},
};

mod outage;

/// Starts an outbox over one forge that answers after 100 ms.
fn start() -> (Outbox, Arc<Diary>) {
    let diary = Diary::new("a", 100);
    let outbox = Outbox::new(vec![diary.clone()], clock());
    run(&outbox);
    (outbox, diary)
}

fn run(outbox: &Outbox) -> tokio::task::JoinHandle<()> {
    let outbox = outbox.clone();
    tokio::spawn(async move { outbox.run().await })
}

async fn wait(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn a_status_is_posted_once_and_marked() {
    let (outbox, diary) = start();
    let status = said("serin/t/a", Success, "promoted");
    outbox.set(&commit('1'), status.clone());
    assert_eq!(outbox.marks(&commit('1'), "serin/t/a"), Vec::<String>::new());
    outbox.settled().await;
    outbox.set(&commit('1'), status.clone());
    wait(60_000).await;
    assert_eq!(diary.lines(), ["100 post 1 serin/t/a promoted"]);
    assert_eq!(
        outbox.marks(&commit('1'), "serin/t/a"),
        [format!("a={}", status.digest())]
    );
}

#[tokio::test(start_paused = true)]
async fn progress_waits_for_the_budget_and_ends_do_not() {
    let (outbox, diary) = start();
    for step in 1..=30_u32 {
        outbox.set(&commit('1'), said("c", Pending, &format!("{step} %")));
        wait(1000).await;
    }
    outbox.set(&commit('1'), said("c", Failure, "rolled back"));
    outbox.settled().await;
    assert_eq!(
        diary.lines(),
        [
            "100 post 1 c 1 %",
            "10200 post 1 c 11 %",
            "20300 post 1 c 21 %",
            "30100 post 1 c rolled back",
        ]
    );
    // The first word on another commit does not wait either.
    outbox.set(&commit('2'), said("c", Pending, "1 %"));
    outbox.settled().await;
    assert_eq!(diary.lines(), ["30200 post 2 c 1 %"]);
}

#[tokio::test(start_paused = true)]
async fn the_newest_wins_over_one_that_is_under_way() {
    let (outbox, diary) = start();
    outbox.set(&commit('1'), said("c", Pending, "10 %"));
    wait(50).await;
    outbox.set(&commit('1'), said("c", Success, "promoted"));
    outbox.settled().await;
    assert_eq!(diary.lines(), ["100 post 1 c 10 %", "200 post 1 c promoted"]);
    assert_eq!(diary.shows(&commit('1')), ["c success promoted"]);
}

#[tokio::test(start_paused = true)]
async fn ends_go_first_then_first_words_then_progress() {
    let (outbox, diary) = start();
    outbox.set(&commit('1'), said("old", Pending, "1 %"));
    outbox.settled().await;
    wait(60_000).await;
    diary.lines();
    outbox.set(&commit('1'), said("old", Pending, "2 %"));
    outbox.set(&commit('2'), said("new", Pending, "detected"));
    outbox.set(&commit('3'), said("end", Success, "promoted"));
    outbox.settled().await;
    let order: Vec<_> = diary
        .lines()
        .iter()
        .map(|line| line.rsplit(' ').nth(1).unwrap().to_owned())
        .collect();
    // "2 %" ends in two words.
    assert_eq!(order, ["end", "new", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_forge_that_is_down_is_asked_ever_more_rarely_and_then_gets_the_newest() {
    let (outbox, diary) = start();
    diary.refuse(unavailable(None), 12);
    outbox.set(&commit('1'), said("c", Pending, "1 %"));
    outbox.set(&commit('2'), said("c", Pending, "1 %"));
    wait(3000).await;
    outbox.set(&commit('1'), said("c", Success, "promoted"));
    outbox.settled().await;
    let lines = diary.lines();
    let times: Vec<i128> = lines
        .iter()
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect();
    let pauses: Vec<_> = times
        .windows(2)
        .map(|pair| (pair[1] - pair[0] - 100) / 1000)
        .collect();
    // One forge, one pause: two commits do not double the requests.
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 0, 0]);
    // The first post may have arrived before the answer broke off.
    assert!(lines[12].ends_with("read 1"), "{lines:?}");
    assert!(lines[13].ends_with("post 1 c promoted"), "{lines:?}");
    assert!(lines[14].ends_with("post 2 c 1 %"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_forge_asks_for_is_granted() {
    let (outbox, diary) = start();
    diary.refuse(unavailable(Some(40)), 1);
    outbox.set(&commit('1'), said("c", Success, "promoted"));
    outbox.settled().await;
    assert_eq!(
        diary.lines(),
        ["100 post 1 c promoted", "40200 post 1 c promoted"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_commit_does_not_hold_up_the_others() {
    let (outbox, diary) = start();
    let unknown = ForgeError::UnknownCommit {
        forge: "a".to_owned(),
        commit: "1".to_owned(),
    };
    diary.refuse(unknown, 1);
    outbox.set(&commit('1'), said("c", Success, "promoted"));
    outbox.set(&commit('2'), said("c", Success, "promoted"));
    outbox.settled().await;
    assert_eq!(
        diary.lines(),
        [
            "100 post 1 c promoted",
            "200 post 2 c promoted",
            "5200 post 1 c promoted"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_will_never_be_taken_is_not_offered_again_until_it_changes() {
    let (outbox, diary) = start();
    let invalid = ForgeError::Invalid {
        forge: "a".to_owned(),
        text: "limit of 1000".to_owned(),
    };
    diary.refuse(invalid, 1);
    outbox.set(&commit('1'), said("c", Pending, "1 %"));
    outbox.settled().await;
    wait(3_600_000).await;
    assert_eq!(diary.lines().len(), 1);
    assert_eq!(outbox.marks(&commit('1'), "c"), Vec::<String>::new());
    outbox.set(&commit('1'), said("c", Success, "promoted"));
    outbox.settled().await;
    assert_eq!(diary.shows(&commit('1')), ["c success promoted"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_mended_counts_without_a_restart() {
    let (outbox, diary) = start();
    diary.refuse(
        ForgeError::Unauthorized {
            forge: "a".to_owned(),
        },
        2,
    );
    outbox.set(&commit('1'), said("c", Success, "promoted"));
    outbox.settled().await;
    let times: Vec<_> = diary
        .lines()
        .iter()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(times, ["100", "300200", "600300"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_what_is_not_marked_is_read_back_first() {
    let diary = Diary::new("a", 100);
    let done = said("done", Success, "promoted");
    let posted = said("posted", Success, "promoted");
    let stale = said("stale", Failure, "rolled back");
    diary.show(&commit('1'), posted.clone());
    diary.show(&commit('1'), said("stale", Pending, "10 %"));
    let outbox = Outbox::new(vec![diary.clone()], clock());
    outbox.restore(&commit('1'), done.clone(), &[format!("a={}", done.digest())]);
    outbox.restore(&commit('1'), posted, &["b=0123".to_owned()]);
    outbox.restore(&commit('1'), stale, &["a=0123".to_owned()]);
    run(&outbox);
    outbox.settled().await;
    // One read for the commit, and one post: what was lost is only the mark.
    assert_eq!(diary.lines(), ["100 read 1", "200 post 1 stale rolled back"]);
    assert_eq!(outbox.marks(&commit('1'), "posted").len(), 1);
    assert_eq!(outbox.marks(&commit('1'), "done").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn delivery_that_was_cut_off_is_taken_up_again() {
    let diary = Diary::new("a", 100);
    let outbox = Outbox::new(vec![diary.clone()], clock());
    let running = run(&outbox);
    outbox.set(&commit('1'), said("c", Success, "promoted"));
    wait(50).await;
    running.abort();
    wait(1000).await;
    assert!(diary.lines().is_empty());
    run(&outbox);
    outbox.settled().await;
    assert_eq!(diary.lines(), ["1150 read 1", "1250 post 1 c promoted"]);
}

#[tokio::test(start_paused = true)]
async fn forges_do_not_wait_for_each_other() {
    let (slow, fast) = (Diary::new("slow", 9000), Diary::new("fast", 10));
    slow.refuse(unavailable(None), 3);
    let outbox = Outbox::new(vec![slow.clone(), fast.clone()], clock());
    run(&outbox);
    outbox.set(&commit('1'), said("c", Success, "promoted"));
    wait(20).await;
    assert_eq!(fast.lines(), ["10 post 1 c promoted"]);
    assert_eq!(outbox.marks(&commit('1'), "c").len(), 1);
    outbox.settled().await;
    assert_eq!(slow.shows(&commit('1')).len(), 1);
    assert_eq!(outbox.marks(&commit('1'), "c").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_outbox_is_bounded_and_keeps_what_is_owed() {
    let (outbox, diary) = start();
    outbox.set(&commit('1'), said("first", Success, "promoted"));
    outbox.settled().await;
    diary.refuse(unavailable(None), 1);
    for n in 0..1000 {
        outbox.set(&commit('2'), said(&format!("c{n}"), Success, "promoted"));
    }
    assert_eq!(
        outbox.marks(&commit('1'), "first"),
        Vec::<String>::new(),
        "delivered, and dropped"
    );
    outbox.settled().await;
    assert_eq!(diary.shows(&commit('2')).len(), 1000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is set, whenever, and however the forge fails: in the end it shows the newest of each context.
    #[test]
    fn in_the_end_the_newest_is_shown(
        steps in prop::collection::vec((0..3_u8, 0..2_u8, 0..4_u8, 0..20_u64), 1..40),
        failures in 0..6_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (outbox, diary) = start();
            diary.refuse(unavailable(None), failures);
            let mut newest = BTreeMap::new();
            for (n, (digit, context, state, pause)) in steps.iter().enumerate() {
                let states = [Pending, Success, Failure, CommitState::Error];
                let status = said(&context.to_string(), states[usize::from(*state)], &n.to_string());
                let of = commit(char::from(b'1' + digit));
                outbox.set(&of, status.clone());
                newest.insert((of, status.context.clone()), status);
                wait(pause * 500).await;
            }
            outbox.settled().await;
            assert_eq!(diary.shown(), newest);
        });
    }
}
