//! Forges that are down, that limit, and whose answers get lost: nothing is lost, nothing is said twice.

use super::*;
use crate::report::Rate;

const HOUR: u64 = 3_600_000;

fn id(number: u32) -> CommitId {
    format!("{number:040x}").parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_forge_that_is_down_for_an_hour_gets_one_final_status_per_commit_and_canary() {
    let (outbox, diary) = start();
    diary.set_down(true);
    // A commit each minute, each for three canaries, each with progress and then an end.
    for number in 0..60 {
        for step in 0..10 {
            for canary in ["serin/t/a", "serin/t/b", "serin/t/c"] {
                outbox.set(&id(number), said(canary, Pending, &format!("{step}0 %")));
            }
            wait(5000).await;
        }
        for canary in ["serin/t/a", "serin/t/b", "serin/t/c"] {
            outbox.set(&id(number), said(canary, Success, "promoted"));
        }
        wait(10_000).await;
    }
    assert!(diary.taken().is_empty());
    assert!(diary.lines().len() <= 25, "a forge that is down is left in peace");
    diary.set_down(false);
    outbox.settled().await;
    let taken = diary.taken();
    assert_eq!(taken.len(), 60 * 3);
    assert!(taken.iter().all(|(_, status)| status.description == "promoted"));
    assert_eq!(diary.shown().len(), 60 * 3);
}

#[tokio::test(start_paused = true)]
async fn a_post_whose_answer_is_lost_is_not_made_twice() {
    let (outbox, diary) = start();
    diary.lose_answers(1);
    outbox.set(&commit('1'), said("c", Success, "promoted"));
    outbox.settled().await;
    assert_eq!(diary.lines(), ["100 post 1 c promoted", "1200 read 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_forge_that_limits_is_never_asked_for_more() {
    let (outbox, diary) = start();
    diary.limit(Rate {
        burst: 20,
        every: Duration::from_millis(7500),
    });
    for number in 0..100 {
        outbox.set(&id(number), said("c", Success, "promoted"));
    }
    outbox.settled().await;
    let times: Vec<u64> = diary
        .lines()
        .iter()
        .map(|line| line.split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(times.len(), 100);
    let most_within = |span: u64| {
        let at = |from: &u64| {
            times
                .iter()
                .filter(|time| (*from..from + span).contains(time))
                .count()
        };
        times.iter().map(at).max().unwrap()
    };
    // What GitHub allows: 80 in a minute, 500 in an hour.
    assert!(most_within(60_000) <= 28, "{}", most_within(60_000));
    assert!(most_within(HOUR) <= 500);
    // None is held back longer than the budget asks for.
    assert!(*times.last().unwrap() <= 80 * 7500 + 1000, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn progress_leaves_half_of_the_budget_to_ends() {
    let (outbox, diary) = start();
    diary.limit(Rate {
        burst: 4,
        every: Duration::from_secs(600),
    });
    outbox.set(&commit('1'), said("c", Pending, "detected"));
    outbox.settled().await;
    for step in 1..20 {
        outbox.set(&commit('1'), said("c", Pending, &format!("{step} %")));
        wait(15_000).await;
    }
    assert_eq!(diary.taken().len(), 2, "the first word, and one of progress");
    outbox.set(&commit('1'), said("c", Success, "promoted"));
    outbox.set(&commit('2'), said("c", Pending, "detected"));
    wait(300).await;
    assert_eq!(diary.taken().len(), 4, "ends and first words go out at once");
}

#[tokio::test(start_paused = true)]
async fn a_forge_with_new_credentials_is_tried_at_once() {
    let (outbox, diary) = start();
    let forge = "a".to_owned();
    diary.refuse(ForgeError::Unauthorized { forge }, 1);
    outbox.set(&commit('1'), said("c", Success, "promoted"));
    wait(5000).await;
    assert_eq!(diary.lines().len(), 1);
    outbox.retry("other");
    wait(1000).await;
    assert_eq!(diary.lines().len(), 0);
    outbox.retry("a");
    wait(200).await;
    assert_eq!(diary.shows(&commit('1')), ["c success promoted"]);
}
