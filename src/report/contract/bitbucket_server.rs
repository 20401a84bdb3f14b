//! A Bitbucket Data Center as its documentation describes it, in this process: builds by key, greatest lengths,
//! the header against forgery, pages whose next start must be asked for, and versions of comments.

mod rules;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{
    desk::{Desk, Pull},
    server::{Call, READER, Reply, TOKEN, length, serve},
};
use crate::{http::Client, repo::CommitId};

#[derive(Default)]
pub(super) struct World {
    pub(super) commits: Vec<String>,
    pub(super) rows: Vec<(String, Value)>,
    pub(super) refusals: Vec<Reply>,
}

pub(super) struct DataCenter {
    pub(super) world: Arc<Mutex<World>>,
    pub(super) desk: Desk,
    pub(super) client: Client,
}

fn fault(status: u16, message: &str) -> Reply {
    Reply::new(
        status,
        json!({ "errors": [{ "context": null, "message": message, "exceptionName": "x" }] }),
    )
}

pub(super) fn start(commits: &[&CommitId]) -> DataCenter {
    let world = Arc::new(Mutex::new(World {
        commits: commits.iter().map(ToString::to_string).collect(),
        ..World::default()
    }));
    let desk = Desk::default();
    let (kept, papers) = (world.clone(), desk.clone());
    let (client, _) = serve(&["forge"], move |call| {
        let mut world = kept.lock().unwrap();
        let token = call
            .header("authorization")
            .strip_prefix("Bearer ")
            .unwrap_or_default();
        if ![TOKEN, READER].contains(&token) {
            return fault(
                401,
                "Authentication failed. Please check your credentials and try again.",
            );
        }
        if call.method != "GET" && call.header("x-atlassian-token") != "no-check" {
            return fault(403, "XSRF check failed");
        }
        if call.method != "GET" && token == READER {
            return fault(
                403,
                "You do not have sufficient permissions to perform this action.",
            );
        }
        if let Some(["commits", sha]) = call.below(&["git", "rest", "build-status", "latest"]).as_deref() {
            let of_commit = world.rows.iter().filter(|(commit, _)| commit == sha);
            return values(call, of_commit.map(|(_, row)| row.clone()).collect());
        }
        let prefix = ["git", "rest", "api", "latest", "projects"];
        match call.below(&prefix).as_deref() {
            Some(["TEAM" | "~user", "repos", "app", path @ ..]) => answer(&mut world, &papers, call, path),
            _ => fault(404, "Repository TEAM/other does not exist."),
        }
    });
    DataCenter { world, desk, client }
}

fn answer(world: &mut World, desk: &Desk, call: &Call, path: &[&str]) -> Reply {
    let known = |sha: &str| world.commits.iter().any(|commit| commit == sha);
    match (call.method.as_str(), path) {
        ("GET", []) => Reply::new(200, json!({ "slug": "app" })),
        (_, ["commits", sha, ..]) if !known(sha) => fault(
            404,
            &format!("Commit '{sha}' does not exist in repository 'app'."),
        ),
        ("GET", ["commits", sha]) => Reply::new(200, json!({ "id": sha })),
        ("POST", ["commits", sha, "builds"]) => create(world, call, sha),
        ("GET", ["commits", sha, "pull-requests"]) => {
            let desk = desk.lock();
            let of_commit = desk.merged.iter().filter(|(commit, _)| commit == sha);
            values(
                call,
                of_commit
                    .filter_map(|(_, number)| desk.pull(*number))
                    .map(show)
                    .collect(),
            )
        }
        (_, ["pull-requests", rest @ ..]) => pulls(desk, call, rest),
        _ => fault(404, "Not Found"),
    }
}

/// Pages are shorter than what is asked for, and starts are even numbers: the next one cannot be counted.
fn values(call: &Call, rows: Vec<Value>) -> Reply {
    let (start, limit) = (call.number("start", 0), call.number("limit", 25).min(30));
    assert_eq!(start % 2, 0, "this start was never given");
    let rest = rows.len().saturating_sub(start / 2);
    let page: Vec<Value> = rows.into_iter().skip(start / 2).take(limit).collect();
    let mut body = json!({ "size": page.len(), "limit": limit, "start": start, "isLastPage": rest <= limit });
    if rest > limit {
        body["nextPageStart"] = (start + 2 * limit).into();
    }
    body["values"] = page.into();
    Reply::new(200, body)
}

fn create(world: &mut World, call: &Call, sha: &str) -> Reply {
    if let Some(reply) = world.refusals.pop() {
        return reply;
    }
    if ["/key", "/state", "/url"]
        .iter()
        .any(|name| call.text(name).is_empty())
    {
        return fault(400, "key, state and url are required");
    }
    if ["/key", "/name", "/description", "/ref"]
        .iter()
        .any(|name| length(call.text(name)) > 255)
    {
        return fault(400, "size must be between 0 and 255");
    }
    if length(call.text("/url")) > 450 || !call.text("/url").starts_with("http") {
        return fault(400, "The URL must be valid, and not longer than 450 characters");
    }
    let branch = call.body.get("ref").and_then(Value::as_str);
    if branch.is_some_and(|branch| !branch.starts_with("refs/")) {
        return fault(400, "The ref must be a full one");
    }
    if !["SUCCESSFUL", "FAILED", "INPROGRESS", "CANCELLED", "UNKNOWN"].contains(&call.text("/state")) {
        return fault(400, "state is not valid");
    }
    let row = call.body.clone();
    match world
        .rows
        .iter_mut()
        .find(|known| known.0 == sha && known.1["key"] == row["key"])
    {
        Some(known) => known.1 = row,
        None => world.rows.push((sha.to_owned(), row)),
    }
    Reply::new(204, Value::Null)
}

fn show(pull: &Pull) -> Value {
    json!({ "id": pull.number, "version": 0, "state": if pull.open { "OPEN" } else { "MERGED" } })
}

fn pulls(desk: &Desk, call: &Call, path: &[&str]) -> Reply {
    let mut desk = desk.lock();
    match (call.method.as_str(), path) {
        ("GET", []) => {
            // Without `direction=OUTGOING`, `at` is the branch that they go to.
            let outgoing = call.query("direction") == Some("OUTGOING");
            let wanted = |pull: &&Pull| {
                let branch = format!("refs/heads/{}", if outgoing { &pull.head } else { &pull.base });
                (pull.open || call.query("state").is_some_and(|state| state != "OPEN"))
                    && call.query("at").is_none_or(|at| at == branch)
            };
            values(call, desk.pulls.iter().filter(wanted).map(show).collect())
        }
        ("POST", []) => {
            if length(call.text("/title")) > 255 || length(call.text("/description")) > 32_768 {
                return fault(
                    400,
                    "Please enter a title that is not longer than 255 characters.",
                );
            }
            let branch = |name: &str| call.text(name).strip_prefix("refs/heads/").map(str::to_owned);
            let (Some(head), Some(base)) = (branch("/fromRef/id"), branch("/toRef/id")) else {
                return fault(400, "fromRef and toRef are required");
            };
            if desk.open_of(&head).is_some() {
                return fault(
                    409,
                    "Only one pull request may be open for a given source and target branch",
                );
            }
            let pull = desk.open(&head, &base, call.text("/title"), call.text("/description"));
            Reply::new(201, show(&pull))
        }
        // Newest first, among what else happened.
        ("GET", [number, "activities"]) => {
            let mut rows = vec![json!({ "id": 1, "action": "OPENED" })];
            rows.extend(desk.of(number.parse().unwrap()).into_iter().map(|one| {
                let comment = json!({ "id": one.id, "version": one.version, "text": one.body });
                json!({ "id": one.id + 1000, "action": "COMMENTED", "comment": comment })
            }));
            rows.reverse();
            values(call, rows)
        }
        ("POST", [number, "comments"]) if length(call.text("/text")) <= 32_768 => {
            let made = desk.comment(number.parse().unwrap(), call.text("/text"));
            Reply::new(201, json!({ "id": made.id, "version": 0 }))
        }
        ("PUT", [_, "comments", id]) => {
            let id: u64 = id.parse().unwrap();
            let version = desk
                .comments
                .iter()
                .find(|comment| comment.id == id)
                .map(|comment| comment.version);
            if call.body["version"].as_u64() != version {
                return fault(
                    409,
                    "You are attempting to modify a comment based on out-of-date information.",
                );
            }
            desk.edit(id, call.text("/text"));
            Reply::new(200, json!({ "id": id }))
        }
        _ => fault(400, "Bad request"),
    }
}
