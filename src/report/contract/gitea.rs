//! A Gitea as its documentation describes it and as 1.26 was seen to behave, in this process: tokens, scopes,
//! append-only rows, pages, and the odd answer for an unknown commit.

mod rules;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, patch},
};
use serde_json::{Value, json};

use super::desk::{Comment, Desk, Pull};
use crate::{http::Client, repo::CommitId};

pub(super) const OWNER: &str = "team";
/// A token that may write.
pub(super) const TOKEN: &str = "t0ps3cret";
/// A token that may read.
pub(super) const READER: &str = "readonly";

/// How the server behaves.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) commits: Vec<String>,
    /// Status for an unknown commit; it differs by version.
    pub(super) unknown_is: u16,
    /// Answers everything with this.
    pub(super) always: Option<u16>,
    pub(super) delay: Duration,
    pub(super) desk: Desk,
}

impl Rules {
    pub(super) fn with(commits: &[&CommitId]) -> Self {
        Self {
            commits: commits.iter().map(ToString::to_string).collect(),
            unknown_is: 500,
            always: None,
            delay: Duration::ZERO,
            desk: Desk::default(),
        }
    }
}

#[derive(Clone)]
struct Server {
    rules: Rules,
    rows: Arc<Mutex<Vec<(String, Value)>>>,
}

pub(super) fn start(rules: Rules) -> Client {
    let server = Server {
        rules,
        rows: Arc::default(),
    };
    let router = Router::new()
        .route(
            "/sub/api/v1/repos/{owner}/{name}/statuses/{sha}",
            get(list).post(create),
        )
        .route("/sub/api/v1/repos/{owner}/{name}/git/commits/{sha}", get(commit))
        .route("/sub/api/v1/repos/{owner}/{name}", get(repository))
        .route(
            "/sub/api/v1/repos/{owner}/{name}/commits/{sha}/pull",
            get(merged_by),
        )
        .route(
            "/sub/api/v1/repos/{owner}/{name}/pulls",
            get(pulls).post(open_pull),
        )
        .route(
            "/sub/api/v1/repos/{owner}/{name}/issues/{number}/comments",
            get(comments).post(add_comment),
        )
        .route(
            "/sub/api/v1/repos/{owner}/{name}/issues/comments/{number}",
            patch(edit_comment),
        )
        .with_state(server)
        .layer(axum::middleware::from_fn(lead_on));
    Client::in_process(BTreeMap::from([("forge".to_owned(), router)]))
}

/// Repositories that are elsewhere now: renamed, on another forge, and outside of what the forge serves.
async fn lead_on(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let path = request.uri().to_string();
    let to = ["renamed", "abroad", "outside"]
        .into_iter()
        .find(|name| path.contains(&format!("/{OWNER}/{name}/")));
    let Some(name) = to else {
        return next.run(request).await;
    };
    let path = path.replace(&format!("/{name}/"), "/app/");
    let location = match name {
        "renamed" => path,
        "abroad" => format!("http://abroad{path}"),
        _ => path.replacen("/sub", "", 1),
    };
    (StatusCode::MOVED_PERMANENTLY, [("location", location)]).into_response()
}

type Target = Path<(String, String, String)>;

fn fault(status: u16, message: &str) -> Response {
    let body = Json(json!({ "message": message, "url": "http://forge/api/swagger" }));
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    if status == 429 || status >= 500 {
        response.headers_mut().insert("retry-after", "7".parse().unwrap());
    }
    response
}

impl Server {
    async fn admit(&self, target: &Target, headers: &HeaderMap, write: bool) -> Result<(), Response> {
        tokio::time::sleep(self.rules.delay).await;
        if let Some(status) = self.rules.always {
            return Err(fault(status, "no"));
        }
        let authorization = headers.get("authorization").map(|value| value.to_str().unwrap());
        match authorization.and_then(|value| value.strip_prefix("token ")) {
            Some(TOKEN) => {}
            Some(READER) if !write => {}
            Some(READER) => {
                return Err(fault(
                    403,
                    "token does not have at least one of required scope(s)",
                ));
            }
            _ => return Err(fault(401, "invalid username, password or token")),
        }
        if (target.0.0.as_str(), target.0.1.as_str()) != (OWNER, "app") {
            return Err(fault(404, "GetUserByName"));
        }
        Ok(())
    }
}

async fn create(
    State(server): State<Server>,
    target: Target,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if let Err(refusal) = server.admit(&target, &headers, true).await {
        return refusal;
    }
    let sha = target.0.2.clone();
    if !server.rules.commits.contains(&sha) {
        // In production mode a 500 has no text.
        let text = match server.rules.unknown_is {
            500 => String::new(),
            _ => format!("object does not exist [id: {sha}, rel_path: ]"),
        };
        return fault(server.rules.unknown_is, &text);
    }
    let mut rows = server.rows.lock().unwrap();
    // Gitea checks no state: what is posted is what is listed.
    let row = json!({
        "id": rows.len() + 1, "status": body["state"], "context": body["context"],
        "description": body["description"], "target_url": body["target_url"],
        "creator": null, "url": format!("http://forge/api/v1/repos/team/app/statuses/{sha}")
    });
    rows.push((sha, row.clone()));
    (StatusCode::CREATED, Json(row)).into_response()
}

async fn commit(State(server): State<Server>, target: Target, headers: HeaderMap) -> Response {
    if let Err(refusal) = server.admit(&target, &headers, false).await {
        return refusal;
    }
    let sha = &target.0.2;
    if server.rules.commits.contains(sha) {
        return Json(json!({ "sha": sha })).into_response();
    }
    fault(404, &format!("commit doesn't exist: {sha}"))
}

async fn repository(
    State(server): State<Server>,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let target = Path((owner, name, String::new()));
    match server.admit(&target, &headers, false).await {
        Ok(()) => Json(json!({ "full_name": "team/app" })).into_response(),
        Err(refusal) => refusal,
    }
}

async fn list(
    State(server): State<Server>,
    target: Target,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = server.admit(&target, &headers, false).await {
        return refusal;
    }
    let rows = server.rows.lock().unwrap();
    let of_commit = rows.iter().filter(|(sha, _)| *sha == target.0.2);
    page(of_commit.map(|(_, row)| row.clone()), &query)
}

fn page(rows: impl Iterator<Item = Value>, query: &BTreeMap<String, String>) -> Response {
    let number = |name: &str, default| {
        query
            .get(name)
            .map_or(default, |text| text.parse::<usize>().unwrap())
    };
    let (limit, page) = (number("limit", 30).clamp(1, 50), number("page", 1).max(1));
    Json(rows.skip((page - 1) * limit).take(limit).collect::<Vec<_>>()).into_response()
}

fn show(pull: &Pull) -> Value {
    json!({
        "number": pull.number, "state": if pull.open { "open" } else { "closed" }, "title": pull.title,
        "body": pull.body, "html_url": format!("http://forge/sub/team/app/pulls/{}", pull.number),
        "head": { "ref": pull.head }, "base": { "ref": pull.base }
    })
}

fn show_comment(comment: &Comment) -> Value {
    json!({ "id": comment.id, "body": comment.body })
}

async fn pulls(State(server): State<Server>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let desk = server.rules.desk.lock();
    let open = desk
        .pulls
        .iter()
        .filter(|pull| pull.open || query.get("state").is_none_or(|state| state != "open"));
    page(open.map(show), &query)
}

async fn open_pull(State(server): State<Server>, Json(body): Json<Value>) -> Response {
    let text = |name: &str| body[name].as_str().unwrap();
    let mut desk = server.rules.desk.lock();
    if desk.open_of(text("head")).is_some() {
        return fault(409, "pull request already exists for these targets");
    }
    let pull = desk.open(text("head"), text("base"), text("title"), text("body"));
    (StatusCode::CREATED, Json(show(&pull))).into_response()
}

/// The pull request that was merged by the commit.
async fn merged_by(State(server): State<Server>, target: Target) -> Response {
    let desk = server.rules.desk.lock();
    let found = desk.merged.iter().find(|(sha, _)| *sha == target.0.2);
    match found.and_then(|(_, number)| desk.pull(*number)) {
        Some(pull) => Json(show(pull)).into_response(),
        None => fault(404, "The target couldn't be found."),
    }
}

type Numbered = Path<(String, String, u64)>;

async fn comments(State(server): State<Server>, target: Numbered) -> Response {
    let desk = server.rules.desk.lock();
    Json(
        desk.of(target.0.2)
            .into_iter()
            .map(show_comment)
            .collect::<Vec<_>>(),
    )
    .into_response()
}

async fn add_comment(State(server): State<Server>, target: Numbered, Json(body): Json<Value>) -> Response {
    let comment = server
        .rules
        .desk
        .lock()
        .comment(target.0.2, body["body"].as_str().unwrap());
    (StatusCode::CREATED, Json(show_comment(&comment))).into_response()
}

async fn edit_comment(State(server): State<Server>, target: Numbered, Json(body): Json<Value>) -> Response {
    match server
        .rules
        .desk
        .lock()
        .edit(target.0.2, body["body"].as_str().unwrap())
    {
        Some(comment) => Json(show_comment(&comment)).into_response(),
        None => fault(404, "IsErrCommentNotExist"),
    }
}
