//! A GitLab as its documentation and its source describe it, in this process: jobs with a state machine, in
//! pipelines, and lists in short pages.

mod rules;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{
    desk::{Desk, Pull},
    server::{Call, Diary, READER, Reply, TOKEN, length, said, serve},
};
use crate::{http::Client, repo::CommitId};

/// What it was called once.
pub(super) const MOVED: &str = "group/sub/once";
pub(super) const PROJECT: &str = "group/sub/app";

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) sha: String,
    pub(super) branch: String,
    pub(super) pipeline: u64,
    pub(super) name: String,
    pub(super) status: String,
    pub(super) description: Value,
    pub(super) target_url: Value,
}

#[derive(Default)]
pub(super) struct World {
    pub(super) commits: Vec<String>,
    pub(super) jobs: Vec<Job>,
    /// Number, commit and branch.
    pub(super) pipelines: Vec<(u64, String, String)>,
    /// Answers the next posts with these.
    pub(super) refusals: Vec<Reply>,
    /// Somebody else makes the job of a name run before the next post.
    pub(super) rival: Option<String>,
    /// How often a request was wrong.
    pub(super) faults: Vec<String>,
}

pub(super) struct GitLabServer {
    pub(super) world: Arc<Mutex<World>>,
    pub(super) desk: Desk,
    pub(super) client: Client,
    pub(super) diary: Diary,
}

pub(super) fn start(commits: &[&CommitId]) -> GitLabServer {
    let world = Arc::new(Mutex::new(World {
        commits: commits.iter().map(ToString::to_string).collect(),
        ..World::default()
    }));
    let desk = Desk::default();
    let (kept, papers) = (world.clone(), desk.clone());
    let (client, diary) = serve(&["forge"], move |call| {
        let mut world = kept.lock().unwrap();
        let reply = answer(&mut world, &papers, call);
        if reply.status == 400 {
            world.faults.push(reply.body.to_string());
        }
        reply
    });
    GitLabServer {
        world,
        desk,
        client,
        diary,
    }
}

fn answer(world: &mut World, desk: &Desk, call: &Call) -> Reply {
    let bearer = call
        .header("authorization")
        .strip_prefix("Bearer ")
        .unwrap_or_default();
    let token = if bearer.is_empty() {
        call.header("private-token")
    } else {
        bearer
    };
    if ![TOKEN, READER].contains(&token) {
        return said(401, "401 Unauthorized");
    }
    if let Some(path) = call.below(&["sub", "api", "v4", "projects", MOVED]) {
        return lead_on(call, &path);
    }
    // The slashes of the project are escaped: it is one segment.
    let path = match call.below(&["sub", "api", "v4", "projects"]) {
        Some(path) if [PROJECT, "42"].contains(path.first().unwrap()) => path[1..].to_vec(),
        _ => return said(404, "404 Project Not Found"),
    };
    if call.method != "GET" && token == READER {
        return Reply::new(403, json!({ "error": "insufficient_scope", "scope": "api" }));
    }
    let known = |sha: &str| world.commits.iter().any(|commit| commit == sha);
    match (call.method.as_str(), path.as_slice()) {
        ("GET", []) => Reply::new(200, json!({ "path_with_namespace": PROJECT })),
        ("GET", ["repository", "commits", sha, ..]) if !known(sha) => said(404, "404 Commit Not Found"),
        ("GET", ["repository", "commits", sha]) => Reply::new(200, json!({ "id": sha })),
        ("GET", ["repository", "commits", sha, "statuses"]) => list(world, call, sha),
        ("GET", ["repository", "commits", sha, "merge_requests"]) => {
            let desk = desk.lock();
            let of_commit = desk.merged.iter().filter(|(commit, _)| commit == sha);
            let merges = of_commit
                .filter_map(|(_, number)| desk.pull(*number))
                .map(show_merge);
            Reply::new(200, merges.collect())
        }
        ("POST", ["statuses", sha]) => {
            if let Some(reply) = world.refusals.pop() {
                return reply;
            }
            if !known(sha) {
                return said(404, "404 Commit Not Found");
            }
            create(world, call, sha)
        }
        (_, ["merge_requests", rest @ ..]) => merge_requests(desk, call, rest),
        _ => said(404, "404 Not Found"),
    }
}

/// Who reads a project under the path that it once had is led to its number; who changes something is refused.
fn lead_on(call: &Call, path: &[&str]) -> Reply {
    if call.method != "GET" {
        return said(
            405,
            "405 Method Not Allowed - Non GET methods are not allowed for moved projects",
        );
    }
    let mut to = url::Url::parse("http://forge/sub/api/v4/projects/42").unwrap();
    to.path_segments_mut().unwrap().extend(path);
    if !call.query.is_empty() {
        to.query_pairs_mut().extend_pairs(&call.query);
    }
    Reply::new(301, Value::Null).header("location", to)
}

fn create(world: &mut World, call: &Call, sha: &str) -> Reply {
    for field in ["name", "description", "target_url"] {
        if length(call.text(&format!("/{field}"))) > 255 {
            return Reply::new(
                400,
                json!({ "message": { field: ["is too long (maximum is 255 characters)"] } }),
            );
        }
    }
    let pinned = call.body.get("pipeline_id").and_then(Value::as_u64);
    let of_commit = world
        .pipelines
        .iter()
        .rev()
        .filter(|(_, commit, _)| commit == sha);
    let found = of_commit.clone().find(|(id, _, branch)| {
        pinned.is_none_or(|pinned| pinned == *id)
            && call
                .body
                .get("ref")
                .is_none_or(|wanted| wanted == branch.as_str())
    });
    let (pipeline, branch) = match (found, pinned) {
        (Some((id, _, branch)), _) => (*id, branch.clone()),
        (None, Some(_)) => return said(404, "404 Pipeline for pipeline_id, sha and ref Not Found"),
        (None, None) => {
            let branch = match call.text("/ref") {
                "" => "main",
                given => given,
            };
            let id = world.pipelines.iter().map(|(id, ..)| *id).max().unwrap_or(700) + 1;
            world.pipelines.push((id, sha.to_owned(), branch.to_owned()));
            (id, branch.to_owned())
        }
    };
    let name = call.text("/name").to_owned();
    if world.rival.take_if(|rival| *rival == name).is_some() {
        let job = world.jobs.iter_mut().find(|job| job.name == name).unwrap();
        job.status = "running".to_owned();
    }
    let open = world.jobs.iter().position(|job| {
        (&job.name, job.pipeline, &job.branch) == (&name, pipeline, &branch)
            && ["pending", "running"].contains(&job.status.as_str())
    });
    let was = open
        .map_or("created", |at| world.jobs[at].status.as_str())
        .to_owned();
    let is = match transition(call.text("/state"), &was) {
        Ok(is) => is,
        Err(reply) => return reply,
    };
    let at = open.unwrap_or_else(|| {
        world.jobs.push(Job {
            id: world.jobs.len() as u64 + 1,
            sha: sha.to_owned(),
            branch,
            pipeline,
            name,
            status: String::new(),
            description: Value::Null,
            target_url: Value::Null,
        });
        world.jobs.len() - 1
    });
    let job = &mut world.jobs[at];
    is.clone_into(&mut job.status);
    for (field, value) in [
        ("description", &mut job.description),
        ("target_url", &mut job.target_url),
    ] {
        if let Some(given) = call.body.get(field) {
            *value = given.clone();
        }
    }
    Reply::new(201, show(job))
}

/// What a state that is posted makes of a job.
fn transition(state: &str, was: &str) -> Result<&'static str, Reply> {
    let refuse = |event: &str| {
        let why = format!("Status cannot transition via \"{event}\"");
        Err(said(
            400,
            &format!("Cannot transition status via :{event} from :{was} (Reason(s): {why})"),
        ))
    };
    match (state, was) {
        ("pending", "created") => Ok("pending"),
        ("pending", _) => refuse("enqueue"),
        ("running", "created" | "pending") => Ok("running"),
        ("running", _) => refuse("run"),
        ("success", _) => Ok("success"),
        ("failed", _) => Ok("failed"),
        ("canceled", _) => Ok("canceled"),
        _ => Err(Reply::new(
            400,
            json!({ "error": "state does not have a valid value" }),
        )),
    }
}

/// The newest of each name in each pipeline; by default 20 of them.
fn list(world: &World, call: &Call, sha: &str) -> Reply {
    let mut newest: Vec<&Job> = Vec::new();
    for job in world.jobs.iter().filter(|job| job.sha == sha) {
        newest.retain(|known| (&known.name, known.pipeline) != (&job.name, job.pipeline));
        newest.push(job);
    }
    newest.retain(|job| call.query("name").is_none_or(|name| name == job.name));
    newest.retain(|job| call.query("ref").is_none_or(|branch| branch == job.branch));
    let rows = newest.into_iter().map(show).collect();
    Reply::new(200, call.page(rows, "per_page", 20, 100).into())
}

fn show(job: &Job) -> Value {
    json!({
        "id": job.id, "sha": job.sha, "ref": job.branch, "pipeline_id": job.pipeline, "name": job.name,
        "status": job.status, "description": job.description, "target_url": job.target_url
    })
}

fn show_merge(pull: &Pull) -> Value {
    json!({
        "id": pull.number + 5000, "iid": pull.number,
        "state": if pull.open { "opened" } else { "closed" },
        "web_url": format!("http://forge/sub/{PROJECT}/-/merge_requests/{}", pull.number),
        "source_branch": pull.head, "target_branch": pull.base
    })
}

fn merge_requests(desk: &Desk, call: &Call, path: &[&str]) -> Reply {
    let mut desk = desk.lock();
    match (call.method.as_str(), path) {
        ("GET", []) => {
            let wanted = |pull: &&Pull| {
                (pull.open || call.query("state") != Some("opened"))
                    && call
                        .query("source_branch")
                        .is_none_or(|branch| branch == pull.head)
            };
            let rows = desk.pulls.iter().filter(wanted).map(show_merge).collect();
            Reply::new(200, call.page(rows, "per_page", 20, 100).into())
        }
        ("POST", []) => {
            if length(call.text("/title")) > 255 || length(call.text("/description")) > 1_048_576 {
                return said(400, "title is too long (maximum is 255 characters)");
            }
            if let Some(open) = desk.open_of(call.text("/source_branch")) {
                let text = format!(
                    "Another open merge request already exists for this source branch: !{}",
                    open.number
                );
                return Reply::new(409, json!({ "message": [text] }));
            }
            let texts =
                ["/source_branch", "/target_branch", "/title", "/description"].map(|name| call.text(name));
            let pull = desk.open(texts[0], texts[1], texts[2], texts[3]);
            Reply::new(201, show_merge(&pull))
        }
        ("GET", [number, "notes"]) => {
            let of = desk.of(number.parse().unwrap());
            let rows = of
                .into_iter()
                .map(|one| json!({ "id": one.id, "body": one.body, "system": false }))
                .collect();
            Reply::new(200, call.page(rows, "per_page", 20, 100).into())
        }
        ("POST", [number, "notes"]) => {
            let made = desk.comment(number.parse().unwrap(), call.text("/body"));
            Reply::new(201, json!({ "id": made.id }))
        }
        ("PUT", [_, "notes", id]) => match desk.edit(id.parse().unwrap(), call.text("/body")) {
            Some(edited) => Reply::new(200, json!({ "id": edited.id })),
            None => said(404, "404 Note Not Found"),
        },
        _ => said(404, "404 Not Found"),
    }
}
