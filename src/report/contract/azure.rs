//! An Azure DevOps as its documentation describes it, in this process: every request names the version of the
//! API, statuses have a genre and a name, and who is not let in is led to a page to sign in.

mod rules;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{
    desk::{Desk, Pull},
    server::{Call, Reply, length, said, serve},
};
use crate::{http::Client, repo::CommitId};

#[derive(Default)]
pub(super) struct World {
    pub(super) commits: Vec<String>,
    pub(super) rows: Vec<(String, Value)>,
    pub(super) refusals: Vec<Reply>,
}

pub(super) struct AzureServer {
    pub(super) world: Arc<Mutex<World>>,
    pub(super) desk: Desk,
    pub(super) client: Client,
}

pub(super) fn start(commits: &[&CommitId]) -> AzureServer {
    let world = Arc::new(Mutex::new(World {
        commits: commits.iter().map(ToString::to_string).collect(),
        ..World::default()
    }));
    let desk = Desk::default();
    let (kept, papers) = (world.clone(), desk.clone());
    let (client, _) = serve(&["forge"], move |call| {
        let mut world = kept.lock().unwrap();
        // A user without a name, and the token.
        if call.header("authorization") != "Basic OnQwcHMzY3JldA==" {
            let sign_in = Reply::new(302, Value::Null);
            return sign_in.header("location", "https://forge/_signin?realm=forge");
        }
        if call.query("api-version").is_none() {
            return said(400, "No api-version was supplied for the request.");
        }
        match call.below(&["sub", "org", "the project"]).as_deref() {
            Some(["_apis", "git", "repositories", "app", path @ ..]) => {
                answer(&mut world, &papers, call, path)
            }
            Some(_) => said(
                404,
                "TF401019: The Git repository with name or identifier other does not exist.",
            ),
            None => said(404, "TF200016: The following project does not exist: x."),
        }
    });
    AzureServer { world, desk, client }
}

fn answer(world: &mut World, desk: &Desk, call: &Call, path: &[&str]) -> Reply {
    let known = |sha: &str| world.commits.iter().any(|commit| commit == sha);
    match (call.method.as_str(), path) {
        ("GET", []) => Reply::new(200, json!({ "name": "app" })),
        (_, ["commits", sha, ..]) if !known(sha) => {
            said(404, "TF401175: The version descriptor cannot be resolved.")
        }
        ("GET", ["commits", sha]) => Reply::new(200, json!({ "commitId": sha })),
        ("POST", ["commits", sha, "statuses"]) => create(world, call, sha),
        ("GET", ["commits", sha, "statuses"]) => list(world, call, sha),
        ("POST", ["pullRequestQuery"]) => query(desk, call),
        (_, ["pullRequests", rest @ ..]) => pulls(desk, call, rest),
        _ => said(404, "The controller for path was not found."),
    }
}

fn create(world: &mut World, call: &Call, sha: &str) -> Reply {
    if let Some(reply) = world.refusals.pop() {
        return reply;
    }
    if call.text("/context/name").is_empty() {
        return said(400, "The status context name must not be empty.");
    }
    let states = [
        "notSet",
        "pending",
        "succeeded",
        "failed",
        "error",
        "notApplicable",
    ];
    if !states.contains(&call.text("/state")) {
        return said(400, "The state is not valid.");
    }
    let mut row = call.body.clone();
    row["id"] = (world.rows.len() + 1).into();
    world.rows.push((sha.to_owned(), row.clone()));
    Reply::new(201, row)
}

fn list(world: &World, call: &Call, sha: &str) -> Reply {
    let mut rows: Vec<Value> = Vec::new();
    for (_, row) in world.rows.iter().filter(|(commit, _)| commit == sha) {
        if call.query("latestOnly") == Some("true") {
            rows.retain(|known| known["context"] != row["context"]);
        }
        rows.push(row.clone());
    }
    let rows: Vec<Value> = rows
        .into_iter()
        .skip(call.number("skip", 0))
        .take(call.number("top", 1000))
        .collect();
    Reply::new(200, json!({ "count": rows.len(), "value": rows }))
}

/// What is found for each query, by commit.
fn query(desk: &Desk, call: &Call) -> Reply {
    let desk = desk.lock();
    let results = call.body["queries"].as_array().unwrap().iter().map(|query| {
        let mut found = serde_json::Map::new();
        for item in query["items"].as_array().unwrap() {
            let sha = item.as_str().unwrap();
            let of_commit = desk.merged.iter().filter(|(commit, _)| commit == sha);
            let pulls: Vec<Value> = of_commit
                .filter_map(|(_, number)| desk.pull(*number))
                .map(show)
                .collect();
            if !pulls.is_empty() && query["type"] == "lastMergeCommit" {
                found.insert(sha.to_owned(), pulls.into());
            }
        }
        Value::Object(found)
    });
    let results: Vec<Value> = results.collect();
    Reply::new(
        200,
        json!({ "queries": call.body["queries"], "results": results }),
    )
}

fn show(pull: &Pull) -> Value {
    json!({
        "pullRequestId": pull.number, "status": if pull.open { "active" } else { "completed" },
        "sourceRefName": format!("refs/heads/{}", pull.head)
    })
}

fn pulls(desk: &Desk, call: &Call, path: &[&str]) -> Reply {
    let mut desk = desk.lock();
    match (call.method.as_str(), path) {
        ("GET", []) => {
            let wanted = |pull: &&Pull| {
                (pull.open || call.query("searchCriteria.status") != Some("active"))
                    && call
                        .query("searchCriteria.sourceRefName")
                        .is_none_or(|name| name == format!("refs/heads/{}", pull.head))
            };
            let rows = desk.pulls.iter().filter(wanted).map(show);
            let rows: Vec<Value> = rows
                .skip(call.number("$skip", 0))
                .take(call.number("$top", 101))
                .collect();
            Reply::new(200, json!({ "count": rows.len(), "value": rows }))
        }
        ("POST", []) => {
            if length(call.text("/title")) > 400 || length(call.text("/description")) > 4000 {
                return said(
                    400,
                    "A description for a pull request must not be longer than 4000 characters.",
                );
            }
            let branch = |name: &str| call.text(name).strip_prefix("refs/heads/").map(str::to_owned);
            let (Some(head), Some(base)) = (branch("/sourceRefName"), branch("/targetRefName")) else {
                return said(
                    400,
                    "TF401398: The pull request cannot be activated: no such branch.",
                );
            };
            if desk.open_of(&head).is_some() {
                let text =
                    "TF401179: An active pull request for the source and target branch already exists.";
                return said(409, text);
            }
            let pull = desk.open(&head, &base, call.text("/title"), call.text("/description"));
            Reply::new(201, show(&pull))
        }
        // A thread for each comment.
        ("GET", [number, "threads"]) => {
            let rows: Vec<Value> = desk
                .of(number.parse().unwrap())
                .into_iter()
                .map(|one| json!({ "id": one.id, "comments": [{ "id": 1, "content": one.body }] }))
                .collect();
            Reply::new(200, json!({ "count": rows.len(), "value": rows }))
        }
        ("POST", [number, "threads"]) => {
            let text = call.text("/comments/0/content");
            if call.text("/status") != "closed" || text.is_empty() || length(text) > 150_000 {
                return said(400, "a thread that waits for an answer");
            }
            let made = desk.comment(number.parse().unwrap(), text);
            Reply::new(200, json!({ "id": made.id }))
        }
        ("PATCH", [_, "threads", thread, "comments", "1"]) => {
            match desk.edit(thread.parse().unwrap(), call.text("/content")) {
                Some(edited) => Reply::new(200, json!({ "id": edited.id })),
                None => said(404, "no such thread"),
            }
        }
        _ => said(400, "Bad request"),
    }
}
