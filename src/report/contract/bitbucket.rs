//! A Bitbucket Cloud as its documentation describes it, in this process: statuses by key, short keys, a
//! required address, and pages of pull requests that are not longer than 50.

mod rules;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{
    desk::{Desk, Pull},
    server::{Call, Reply, TOKEN, length, serve},
};
use crate::{http::Client, repo::CommitId};

#[derive(Default)]
pub(super) struct World {
    pub(super) commits: Vec<String>,
    pub(super) rows: Vec<(String, Value)>,
    pub(super) refusals: Vec<Reply>,
    /// Pull requests of commits are being counted.
    pub(super) counting: bool,
}

pub(super) struct BitbucketServer {
    pub(super) world: Arc<Mutex<World>>,
    pub(super) desk: Desk,
    pub(super) client: Client,
}

fn fault(status: u16, message: &str) -> Reply {
    Reply::new(
        status,
        json!({ "type": "error", "error": { "message": message } }),
    )
}

pub(super) fn start(commits: &[&CommitId]) -> BitbucketServer {
    let world = Arc::new(Mutex::new(World {
        commits: commits.iter().map(ToString::to_string).collect(),
        ..World::default()
    }));
    let desk = Desk::default();
    let (kept, papers) = (world.clone(), desk.clone());
    let (client, _) = serve(&["forge"], move |call| {
        let mut world = kept.lock().unwrap();
        // `user@example.org:` with the token, and `bot:` with the token.
        let known = [
            format!("Bearer {TOKEN}"),
            "Basic dXNlckBleGFtcGxlLm9yZzp0MHBzM2NyZXQ=".to_owned(),
            "Basic Ym90OnQwcHMzY3JldA==".to_owned(),
        ];
        if !known.iter().any(|value| value == call.header("authorization")) {
            return fault(
                401,
                "Token is invalid, expired, or not supported for this endpoint.",
            );
        }
        match call.below(&["sub", "2.0", "repositories", "team", "app"]) {
            Some(path) => answer(&mut world, &papers, call, &path),
            None => fault(404, "Repository team/other not found"),
        }
    });
    BitbucketServer { world, desk, client }
}

fn answer(world: &mut World, desk: &Desk, call: &Call, path: &[&str]) -> Reply {
    let known = |sha: &str| world.commits.iter().any(|commit| commit == sha);
    match (call.method.as_str(), path) {
        ("GET", []) => Reply::new(200, json!({ "full_name": "team/app" })),
        (_, ["commit", sha, ..]) if !known(sha) => fault(404, "Commit not found"),
        ("GET", ["commit", sha]) => Reply::new(200, json!({ "hash": sha })),
        ("POST", ["commit", sha, "statuses", "build"]) => create(world, call, sha),
        ("GET", ["commit", sha, "statuses"]) => {
            let of_commit = world.rows.iter().filter(|(commit, _)| commit == sha);
            values(call, of_commit.map(|(_, row)| row.clone()).collect(), 100)
        }
        ("GET", ["commit", _, "pullrequests"]) if world.counting => Reply::new(202, Value::Null),
        ("GET", ["commit", sha, "pullrequests"]) => {
            let desk = desk.lock();
            let of_commit = desk.merged.iter().filter(|(commit, _)| commit == sha);
            let pulls = of_commit.filter_map(|(_, number)| desk.pull(*number)).map(show);
            values(call, pulls.collect(), 50)
        }
        (_, ["pullrequests", rest @ ..]) => pulls(desk, call, rest),
        _ => fault(404, "Resource not found"),
    }
}

fn values(call: &Call, rows: Vec<Value>, most: usize) -> Reply {
    if call.number("pagelen", 10) > most {
        return fault(400, "Invalid pagelen");
    }
    let size = rows.len();
    let page = call.page(rows, "pagelen", 10, most);
    Reply::new(200, json!({ "size": size, "values": page }))
}

fn create(world: &mut World, call: &Call, sha: &str) -> Reply {
    if let Some(reply) = world.refusals.pop() {
        return reply;
    }
    let key = call.text("/key");
    if key.is_empty() || call.text("/url").is_empty() {
        return fault(
            400,
            "key: required key not provided, url: required key not provided",
        );
    }
    if length(key) > 40 {
        return fault(400, "key: Ensure this value has at most 40 characters.");
    }
    if length(call.text("/name")) > 255 || length(call.text("/description")) > 255 {
        return fault(400, "name: Ensure this value has at most 255 characters.");
    }
    if !["INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"].contains(&call.text("/state")) {
        return fault(400, "state: not a valid choice");
    }
    let row = call.body.clone();
    let same = |known: &&mut (String, Value)| known.0 == sha && known.1["key"] == key;
    if let Some(known) = world.rows.iter_mut().find(same) {
        known.1 = row.clone();
        return Reply::new(200, row);
    }
    world.rows.push((sha.to_owned(), row.clone()));
    Reply::new(201, row)
}

fn show(pull: &Pull) -> Value {
    json!({ "id": pull.number, "state": if pull.open { "OPEN" } else { "MERGED" }, "title": pull.title })
}

fn pulls(desk: &Desk, call: &Call, path: &[&str]) -> Reply {
    let mut desk = desk.lock();
    match (call.method.as_str(), path) {
        ("GET", []) => {
            let wanted = |pull: &&Pull| {
                let asked = format!("source.branch.name=\"{}\" AND state=\"OPEN\"", pull.head);
                pull.open && call.query("q").is_none_or(|q| q == asked)
            };
            values(call, desk.pulls.iter().filter(wanted).map(show).collect(), 50)
        }
        ("POST", []) => {
            if length(call.text("/title")) > 255 || length(call.text("/description")) > 32_768 {
                return fault(400, "title: Ensure this value has at most 255 characters.");
            }
            let (head, base) = (
                call.text("/source/branch/name"),
                call.text("/destination/branch/name"),
            );
            // A second one overwrites the first.
            let number = desk.open_of(head).map(|open| open.number);
            let pull =
                match number.and_then(|number| desk.pulls.iter_mut().find(|pull| pull.number == number)) {
                    Some(open) => {
                        call.text("/title").clone_into(&mut open.title);
                        open.clone()
                    }
                    None => desk.open(head, base, call.text("/title"), call.text("/description")),
                };
            Reply::new(201, show(&pull))
        }
        ("GET", [number, "comments"]) => {
            let of = desk.of(number.parse().unwrap());
            let rows = of
                .into_iter()
                .map(|one| json!({ "id": one.id, "content": { "raw": one.body }, "deleted": false }))
                .collect();
            values(call, rows, 100)
        }
        ("POST", [number, "comments"]) if length(call.text("/content/raw")) <= 32_768 => {
            let made = desk.comment(number.parse().unwrap(), call.text("/content/raw"));
            Reply::new(201, json!({ "id": made.id }))
        }
        ("PUT", [_, "comments", id]) => match desk.edit(id.parse().unwrap(), call.text("/content/raw")) {
            Some(edited) => Reply::new(200, json!({ "id": edited.id })),
            None => fault(404, "Comment not found"),
        },
        _ => fault(400, "Bad request"),
    }
}
