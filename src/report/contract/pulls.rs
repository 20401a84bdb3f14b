//! What every forge with pull requests must do.

use super::{Place, hex};
use crate::report::{NewPullRequest, PullRequests};

fn pulls(place: &Place) -> &dyn PullRequests {
    place.forge.pull_requests().unwrap()
}

fn request(head: &str) -> NewPullRequest {
    NewPullRequest {
        head: head.to_owned(),
        base: "main".to_owned(),
        title: "Revert \"app 6.1.0\"".to_owned(),
        body: "Rolled back:\n\n| a | b |\n".to_owned(),
    }
}

pub(super) async fn one_pull_request_is_opened_per_branch(place: Place) {
    let first = pulls(&place).open(&request("serin/revert-1")).await.unwrap();
    let again = pulls(&place).open(&request("serin/revert-1")).await.unwrap();
    assert_eq!(first, again);
    assert!(first.url.contains(&first.number.to_string()), "{first:?}");
    let other = pulls(&place).open(&request("serin/revert-2")).await.unwrap();
    assert_ne!(first.number, other.number);
    {
        let mut desk = place.desk.lock();
        assert_eq!(desk.pulls.len(), 2);
        let sent = request("serin/revert-1");
        let kept = &desk.pulls[0];
        assert_eq!(
            (&kept.head, &kept.base, &kept.title, kept.body.trim()),
            (&sent.head, &sent.base, &sent.title, sent.body.trim())
        );
        // One that was closed is history.
        desk.pulls[0].open = false;
    }
    let new = pulls(&place).open(&request("serin/revert-1")).await.unwrap();
    assert!(![first.number, other.number].contains(&new.number));
}

pub(super) async fn an_open_pull_request_is_found_among_many(place: Place) {
    for n in 0..120 {
        place.desk.lock().open(&format!("feature/{n}"), "main", "x", "");
    }
    let found = pulls(&place).open(&request("feature/0")).await.unwrap();
    assert_eq!(found.number, 1);
    assert_eq!(
        pulls(&place).open(&request("feature/119")).await.unwrap().number,
        120
    );
    assert_eq!(place.desk.lock().pulls.len(), 120);
}

pub(super) async fn long_texts_are_cut_to_what_the_forge_takes(place: Place) {
    let request = NewPullRequest {
        title: "é".repeat(1000),
        body: "ü".repeat(100_000),
        ..request("serin/revert-1")
    };
    let opened = pulls(&place).open(&request).await.unwrap();
    pulls(&place)
        .upsert_comment(opened.number, "serin:test/a", &|_: &str| "ö".repeat(400_000))
        .await
        .unwrap();
    assert_eq!(place.desk.lock().comments.len(), 1);
}

pub(super) async fn the_pull_request_of_a_commit_is_found(place: Place) {
    assert_eq!(
        pulls(&place).of_commit(&place.known).await.unwrap(),
        Vec::<u64>::new()
    );
    assert_eq!(
        pulls(&place).of_commit(&hex('f')).await.unwrap(),
        Vec::<u64>::new()
    );
    let number = place.desk.lock().open("feature", "main", "x", "").number;
    place.desk.lock().merged.push((place.known.to_string(), number));
    assert_eq!(pulls(&place).of_commit(&place.known).await.unwrap(), [number]);
    assert_eq!(
        pulls(&place).of_commit(&place.other).await.unwrap(),
        Vec::<u64>::new()
    );
}

pub(super) async fn one_comment_is_kept_up_to_date(place: Place) {
    let pulls = pulls(&place);
    let number = place.desk.lock().open("feature", "main", "x", "").number;
    let other = place.desk.lock().open("feature/2", "main", "x", "").number;
    for n in 0..60 {
        place.desk.lock().comment(number, &format!("remark {n}"));
    }
    pulls
        .upsert_comment(number, "serin:test/a", &|_: &str| "weight 10 %".to_owned())
        .await
        .unwrap();
    place.desk.lock().comment(number, "a remark in between");
    pulls
        .upsert_comment(number, "serin:test/a", &|_: &str| "promoted".to_owned())
        .await
        .unwrap();
    pulls
        .upsert_comment(number, "serin:test/b", &|_: &str| "rolled back".to_owned())
        .await
        .unwrap();
    pulls
        .upsert_comment(other, "serin:test/a", &|_: &str| "elsewhere".to_owned())
        .await
        .unwrap();
    let changes = place.desk.lock().of(number)[60].version;
    let seen = std::sync::Mutex::new(String::new());
    let keep = |known: &str| {
        known.clone_into(&mut seen.lock().unwrap());
        known.to_owned()
    };
    pulls.upsert_comment(number, "serin:test/a", &keep).await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        "promoted",
        "what it says is known, without the marker"
    );
    pulls
        .upsert_comment(number, "serin:test/a", &|_: &str| "promoted".to_owned())
        .await
        .unwrap();
    let desk = place.desk.lock();
    let ours: Vec<_> = desk
        .of(number)
        .into_iter()
        .filter(|comment| !comment.body.contains("remark"))
        .collect();
    assert_eq!(ours.len(), 2, "{ours:?}");
    assert!(
        ours[0].body.starts_with("promoted\n") && ours[1].body.starts_with("rolled back\n"),
        "{ours:?}"
    );
    assert_eq!(ours[0].version, changes, "the same text is not written again");
    assert_eq!(desk.of(other).len(), 1);
}
