//! A GitHub as its documentation describes it, in this process: rows that are only added, contexts without
//! case, greatest lengths, the limit of rows, check runs for Apps alone, and tokens of Apps that end.

mod rules;

use std::sync::{Arc, Mutex};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{self, KeyPair, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::{PrivatePkcs1KeyDer, pem::PemObject};
use serde_json::{Value, json};

use super::{
    desk::{Desk, Pull},
    server::{Call, Diary, READER, Reply, TOKEN, length, said, serve},
};
use crate::{clock::Clock, http::Client, repo::CommitId};

/// The private key of the App.
pub(super) const APP_KEY: &str = include_str!("app-key.pem");
pub(super) const APP_ID: &str = "4711";

/// What is kept, and how the server behaves.
#[derive(Default)]
pub(super) struct World {
    pub(super) commits: Vec<String>,
    pub(super) rows: Vec<(String, Value)>,
    pub(super) checks: Vec<Value>,
    pub(super) deployments: Vec<Value>,
    pub(super) deployment_statuses: Vec<(u64, Value)>,
    /// Answers everything below the repository with this, so often.
    pub(super) refusals: Vec<Reply>,
    /// How many rows a commit and context may have.
    pub(super) most: usize,
    /// The App may write checks.
    pub(super) app_has_checks: bool,
    /// Tokens of the App, and when they end.
    pub(super) issued: Vec<(String, i64)>,
}

pub(super) type Shared = Arc<Mutex<World>>;

pub(super) struct GitHubServer {
    pub(super) world: Shared,
    pub(super) desk: Desk,
    pub(super) client: Client,
    pub(super) diary: Diary,
}

pub(super) fn start(commits: &[&CommitId], clock: Clock) -> GitHubServer {
    let world: Shared = Arc::new(Mutex::new(World {
        commits: commits.iter().map(ToString::to_string).collect(),
        most: 1000,
        app_has_checks: true,
        ..World::default()
    }));
    let desk = Desk::default();
    let (kept, papers) = (world.clone(), desk.clone());
    let (client, diary) = serve(&["forge"], move |call| {
        let mut world = kept.lock().unwrap();
        let Some(path) = call.below(&["sub", "api", "v3"]) else {
            return said(404, "Not Found");
        };
        if call.header("accept") != "application/vnd.github+json"
            || call.header("x-github-api-version").is_empty()
        {
            return said(415, "no version");
        }
        let bearer = call
            .header("authorization")
            .strip_prefix("Bearer ")
            .unwrap_or_default();
        if let Some(reply) = app(&mut world, call, &path, bearer, clock) {
            return reply;
        }
        let now = clock.now().as_second();
        let is_app = world
            .issued
            .iter()
            .any(|(token, until)| token == bearer && *until > now);
        if !is_app && ![TOKEN, READER].contains(&bearer) {
            return said(401, "Bad credentials");
        }
        if let Some(reply) = world.refusals.pop() {
            return reply;
        }
        match path.as_slice() {
            ["repos", "team", "app", rest @ ..] => {
                if call.method != "GET" && bearer == READER {
                    return said(403, "Resource not accessible by personal access token");
                }
                repository(&mut world, &papers, call, rest, is_app)
            }
            _ => said(404, "Not Found"),
        }
    });
    GitHubServer {
        world,
        desk,
        client,
        diary,
    }
}

fn repository(world: &mut World, desk: &Desk, call: &Call, path: &[&str], is_app: bool) -> Reply {
    let known = |sha: &str| world.commits.iter().any(|commit| commit == sha);
    match (call.method.as_str(), path) {
        ("GET", []) => Reply::new(200, json!({ "full_name": "team/app" })),
        ("GET", ["commits", sha]) if known(sha) => Reply::new(200, json!({ "sha": sha })),
        ("POST", ["statuses", sha]) if !known(sha) => said(422, &format!("No commit found for SHA: {sha}")),
        ("POST", ["statuses", sha]) => create_status(world, call, sha),
        ("GET", ["commits", sha, "status"]) if known(sha) => combined(world, call, sha),
        ("GET", ["commits", sha, "check-runs"]) if known(sha) => list_checks(world, call, sha, is_app),
        ("GET", ["commits", sha, "pulls"]) if known(sha) => {
            let desk = desk.lock();
            let of_commit = desk.merged.iter().filter(|(commit, _)| commit == sha);
            let pulls = of_commit.filter_map(|(_, number)| desk.pull(*number)).map(show);
            Reply::new(200, pulls.collect())
        }
        // There is no commit to say this of.
        ("GET", ["commits", sha] | ["commits", sha, _]) => {
            said(422, &format!("No commit found for SHA: {sha}"))
        }
        (_, ["check-runs", ..]) if !is_app => said(403, "You must authenticate via a GitHub App."),
        (_, ["check-runs", ..]) if !world.app_has_checks => {
            said(403, "Resource not accessible by integration")
        }
        ("POST", ["check-runs"]) => create_check(world, call),
        ("PATCH", ["check-runs", id]) => change_check(world, call, id),
        (_, ["deployments", rest @ ..]) => deployments(world, call, rest),
        (_, ["pulls" | "issues", ..]) => pulls(desk, call, path),
        _ => said(404, "Not Found"),
    }
}

fn invalid(field: &str, message: &str) -> Reply {
    let fault = json!({ "resource": "Status", "code": "custom", "field": field, "message": message });
    Reply::new(422, json!({ "message": "Validation Failed", "errors": [fault] }))
}

fn create_status(world: &mut World, call: &Call, sha: &str) -> Reply {
    if !["error", "failure", "pending", "success"].contains(&call.text("/state")) {
        return invalid("state", "state is not included in the list");
    }
    if length(call.text("/description")) > 140 {
        return invalid(
            "description",
            "description is too long (maximum is 140 characters)",
        );
    }
    if length(call.text("/context")) > 255 {
        return invalid("context", "context is too long (maximum is 255 characters)");
    }
    if call.body.get("target_url").is_some() && !call.text("/target_url").starts_with("http") {
        return invalid("target_url", "target_url must use http(s) scheme");
    }
    let context = call.text("/context").to_lowercase();
    let same =
        |row: &&(String, Value)| row.0 == sha && row.1["context"].as_str().unwrap().to_lowercase() == context;
    if world.rows.iter().filter(same).count() >= world.most {
        return invalid(
            "context",
            "This SHA and context has reached the maximum number of statuses.",
        );
    }
    let mut row = call.body.clone();
    row["id"] = world.rows.len().into();
    world.rows.push((sha.to_owned(), row.clone()));
    Reply::new(201, row)
}

/// The newest of each context, whatever its case.
fn combined(world: &World, call: &Call, sha: &str) -> Reply {
    let mut newest: Vec<Value> = Vec::new();
    for (_, row) in world.rows.iter().filter(|(commit, _)| commit == sha) {
        let context = row["context"].as_str().unwrap().to_lowercase();
        newest.retain(|known| known["context"].as_str().unwrap().to_lowercase() != context);
        newest.push(row.clone());
    }
    let total = newest.len();
    let statuses = call.page(newest, "per_page", 30, 100);
    Reply::new(
        200,
        json!({ "state": "pending", "total_count": total, "statuses": statuses }),
    )
}

fn check_is_wrong(call: &Call) -> Option<Reply> {
    let (title, summary) = (call.text("/output/title"), call.text("/output/summary"));
    if call.body.get("output").is_some() && (title.is_empty() || summary.is_empty()) {
        return Some(said(
            422,
            "Invalid request. \"title\", \"summary\" weren't supplied.",
        ));
    }
    if length(summary) > 65_535 {
        return Some(said(
            422,
            "Only 65535 characters are allowed; summary is too long.",
        ));
    }
    let conclusion = call.text("/conclusion");
    let known = [
        "success",
        "failure",
        "neutral",
        "cancelled",
        "skipped",
        "timed_out",
        "action_required",
    ];
    match call.text("/status") {
        "completed" if !known.contains(&conclusion) => Some(said(422, "conclusion is missing")),
        "completed" => None,
        "queued" | "in_progress" if conclusion.is_empty() => None,
        _ => Some(said(422, "status and conclusion do not go together")),
    }
}

fn create_check(world: &mut World, call: &Call) -> Reply {
    if call.text("/name").is_empty() {
        return said(422, "Invalid request. \"name\" wasn't supplied.");
    }
    let sha = call.text("/head_sha");
    if !world.commits.iter().any(|commit| commit == sha) {
        return said(422, &format!("No commit found for SHA: {sha}"));
    }
    if let Some(wrong) = check_is_wrong(call) {
        return wrong;
    }
    let mut run = call.body.clone();
    run["id"] = (world.checks.len() + 1).into();
    world.checks.push(run.clone());
    Reply::new(201, run)
}

fn change_check(world: &mut World, call: &Call, id: &str) -> Reply {
    if let Some(wrong) = check_is_wrong(call) {
        return wrong;
    }
    let Some(run) = world
        .checks
        .iter_mut()
        .find(|run| run["id"].as_u64() == id.parse().ok())
    else {
        return said(404, "Not Found");
    };
    run["changes"] = (run["changes"].as_u64().unwrap_or_default() + 1).into();
    for (name, value) in call.body.as_object().unwrap() {
        run[name] = value.clone();
    }
    Reply::new(200, run.clone())
}

/// Anybody who may read sees them; `filter=latest` gives the newest of each name.
fn list_checks(world: &World, call: &Call, sha: &str, is_app: bool) -> Reply {
    if is_app && !world.app_has_checks {
        return said(403, "Resource not accessible by integration");
    }
    let of_commit = world.checks.iter().filter(|run| run["head_sha"] == sha);
    let named = of_commit.filter(|run| call.query("check_name").is_none_or(|name| run["name"] == name));
    let mut runs: Vec<Value> = Vec::new();
    for run in named {
        runs.retain(|known| known["name"] != run["name"] || known["external_id"] != run["external_id"]);
        runs.push(run.clone());
    }
    let total = runs.len();
    Reply::new(
        200,
        json!({ "total_count": total, "check_runs": call.page(runs, "per_page", 30, 100) }),
    )
}

fn deployments(world: &mut World, call: &Call, path: &[&str]) -> Reply {
    match (call.method.as_str(), path) {
        ("GET", []) => {
            let same = |row: &&Value| {
                [("sha", "ref"), ("environment", "environment"), ("task", "task")]
                    .iter()
                    .all(|(asked, field)| call.query(asked).is_none_or(|value| row[field] == value))
            };
            let rows = world.deployments.iter().filter(same).rev().cloned().collect();
            Reply::new(200, call.page(rows, "per_page", 30, 100).into())
        }
        ("POST", []) => {
            if !world.commits.iter().any(|commit| commit == call.text("/ref")) {
                return said(422, &format!("No ref found for: {}", call.text("/ref")));
            }
            // Statuses of our own are pending: whoever waits for all of them waits for ever.
            if call.body.get("required_contexts") != Some(&json!([])) {
                return said(409, "Conflict: Commit status checks failed for ref.");
            }
            if call.body.get("auto_merge") != Some(&json!(false)) {
                return said(409, "Conflict merging");
            }
            let mut row = call.body.clone();
            row["id"] = (world.deployments.len() + 1).into();
            world.deployments.push(row.clone());
            Reply::new(201, row)
        }
        ("POST", [id, "statuses"]) => {
            let states = [
                "error",
                "failure",
                "inactive",
                "in_progress",
                "queued",
                "pending",
                "success",
            ];
            if !states.contains(&call.text("/state")) || length(call.text("/description")) > 140 {
                return said(422, "Validation Failed");
            }
            world
                .deployment_statuses
                .push((id.parse().unwrap(), call.body.clone()));
            Reply::new(201, call.body.clone())
        }
        ("GET", [id, "statuses"]) => {
            let of = world
                .deployment_statuses
                .iter()
                .filter(|(of, _)| of.to_string() == *id);
            let rows = of.map(|(_, row)| row.clone()).rev().collect();
            Reply::new(200, call.page(rows, "per_page", 30, 100).into())
        }
        _ => said(404, "Not Found"),
    }
}

fn show(pull: &Pull) -> Value {
    json!({
        "number": pull.number, "state": if pull.open { "open" } else { "closed" },
        "html_url": format!("http://forge/sub/team/app/pull/{}", pull.number),
        "head": { "ref": pull.head, "label": format!("team:{}", pull.head) }, "base": { "ref": pull.base }
    })
}

fn pulls(desk: &Desk, call: &Call, path: &[&str]) -> Reply {
    let mut desk = desk.lock();
    match (call.method.as_str(), path) {
        ("GET", ["pulls"]) => {
            let wanted = |pull: &&Pull| {
                (pull.open || call.query("state").is_some_and(|state| state != "open"))
                    && call
                        .query("head")
                        .is_none_or(|head| head == format!("team:{}", pull.head))
            };
            let rows = desk.pulls.iter().filter(wanted).map(show).collect();
            Reply::new(200, call.page(rows, "per_page", 30, 100).into())
        }
        ("POST", ["pulls"]) => {
            if length(call.text("/title")) > 256 || length(call.text("/body")) > 65_536 {
                return said(422, "Validation Failed");
            }
            if desk.open_of(call.text("/head")).is_some() {
                let message = format!("A pull request already exists for team:{}.", call.text("/head"));
                return invalid("head", &message);
            }
            let texts = ["/head", "/base", "/title", "/body"].map(|name| call.text(name));
            let pull = desk.open(texts[0], texts[1], texts[2], texts[3]);
            Reply::new(201, show(&pull))
        }
        ("GET", ["issues", number, "comments"]) => {
            let of = desk.of(number.parse().unwrap());
            let rows = of
                .into_iter()
                .map(|one| json!({ "id": one.id, "body": one.body }))
                .collect();
            Reply::new(200, call.page(rows, "per_page", 30, 100).into())
        }
        ("POST", ["issues", number, "comments"]) if length(call.text("/body")) <= 65_536 => {
            let made = desk.comment(number.parse().unwrap(), call.text("/body"));
            Reply::new(201, json!({ "id": made.id }))
        }
        ("PATCH", ["issues", "comments", id]) => match desk.edit(id.parse().unwrap(), call.text("/body")) {
            Some(edited) => Reply::new(200, json!({ "id": edited.id })),
            None => said(404, "Not Found"),
        },
        _ => said(422, "Validation Failed"),
    }
}

/// What an App may ask without a token of an installation.
fn app(world: &mut World, call: &Call, path: &[&str], bearer: &str, clock: Clock) -> Option<Reply> {
    let is_ours = matches!(path, ["app", ..] | [.., "installation"]);
    if !is_ours {
        return None;
    }
    let now = clock.now().as_second();
    if let Err(why) = verify(bearer, now) {
        return Some(said(401, why));
    }
    Some(match (call.method.as_str(), path) {
        ("GET", ["repos", "team", "app", "installation"] | ["users", "team", "installation"]) => {
            Reply::new(200, json!({ "id": 99, "app_id": 4711 }))
        }
        ("POST", ["app", "installations", "99", "access_tokens"]) => {
            if call.body["repositories"] != json!(["app"]) {
                return Some(said(422, "There is at least one repository that does not exist"));
            }
            let token = format!("ghs_{}", world.issued.len());
            world.issued.push((token.clone(), now + 3600));
            let until = jiff::Timestamp::from_second(now + 3600).unwrap();
            Reply::new(201, json!({ "token": token, "expires_at": until.to_string() }))
        }
        _ => said(404, "Not Found"),
    })
}

fn verify(statement: &str, now: i64) -> Result<(), &'static str> {
    let der = PrivatePkcs1KeyDer::from_pem_slice(APP_KEY.as_bytes()).unwrap();
    let pair = RsaKeyPair::from_der(der.secret_pkcs1_der()).unwrap();
    let public = UnparsedPublicKey::new(
        &signature::RSA_PKCS1_2048_8192_SHA256,
        pair.public_key().as_ref().to_vec(),
    );
    let (said, sign) = statement
        .rsplit_once('.')
        .ok_or("A JSON web token could not be decoded")?;
    let sign = BASE64_URL_SAFE_NO_PAD
        .decode(sign)
        .map_err(|_| "A JSON web token could not be decoded")?;
    public
        .verify(said.as_bytes(), &sign)
        .map_err(|_| "A JSON web token could not be decoded")?;
    let part = |n: usize| {
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(said.split('.').nth(n).unwrap())
            .unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()
    };
    if part(0) != json!({ "alg": "RS256", "typ": "JWT" }) || part(1)["iss"] != APP_ID {
        return Err("Integration not found");
    }
    let time = |name: &str| part(1)[name].as_i64().unwrap();
    match (time("iat"), time("exp")) {
        (issued, _) if issued > now => {
            Err("'Issued at' claim ('iat') must be an Integer that is in the past")
        }
        (_, until) if until <= now => Err("'Expiration time' claim ('exp') has passed"),
        (_, until) if until > now + 600 => Err("'Expiration time' claim ('exp') is too far in the future"),
        _ => Ok(()),
    }
}
