//! `watch`: a stream of changes, with the initial events and bookmarks that clients ask for.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::body::{Body, Bytes};
use futures::stream;
use http::Response;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{
    Call,
    respond::{View, answer},
};
use crate::{
    manifest::Object,
    rehearsal::store::{ApiError, Cause, Change, Store, Verb, json as j, selector::Selector},
};

/// How often a watch that allows bookmarks gets one.
const BOOKMARKS: Duration = Duration::from_secs(60);
/// How long a watch lasts that names no limit.
const LIFETIME: Duration = Duration::from_secs(2400);

/// Answers `watch`.
pub(super) fn watch(call: &Call) -> Result<Response<Body>, ApiError> {
    check(call)?;
    let view = call.view()?;
    let selector = call.selector()?;
    let bookmarks = call.query.flag("allowWatchBookmarks");
    let seconds = call.query.number("timeoutSeconds").filter(|s| *s > 0);
    let now = Instant::now();
    let mut watcher = Watcher {
        store: call.store.clone(),
        namespace: call.namespace().map(str::to_owned),
        view,
        selector,
        seen: call.query.number("resourceVersion").unwrap_or_default(),
        queue: VecDeque::new(),
        bookmarks: bookmarks.then(|| now + BOOKMARKS),
        end: now + seconds.map_or(LIFETIME, Duration::from_secs),
        ended: false,
    };
    let initial = match call.query.text("sendInitialEvents") {
        "" => watcher.seen == 0,
        yes => yes == "true",
    };
    if initial {
        watcher.begin(call.query.flag("sendInitialEvents") && bookmarks);
    }
    let body = Body::from_stream(stream::unfold(watcher, |mut watcher| async {
        let line = watcher.next().await?;
        Some((Ok::<_, Infallible>(line), watcher))
    }));
    let (mut parts, _) = answer(200, &Value::Null).into_parts();
    parts.headers.remove(http::header::CONTENT_LENGTH);
    Ok(Response::from_parts(parts, body))
}

fn check(call: &Call) -> Result<(), ApiError> {
    let refuse = |cause| Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", &[cause]));
    let initial = call.query.text("sendInitialEvents");
    let matching = call.query.text("resourceVersionMatch");
    if !initial.is_empty() && matching != "NotOlderThan" {
        let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        return refuse(Cause::forbidden("resourceVersionMatch", detail));
    }
    if initial.is_empty() && !matching.is_empty() {
        let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        let mut causes = vec![Cause::forbidden("resourceVersionMatch", detail)];
        if matching != "NotOlderThan" {
            let shown = json!(matching);
            causes.push(Cause::unsupported(
                "resourceVersionMatch",
                &shown,
                &["NotOlderThan"],
            ));
        }
        return Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", &causes));
    }
    let version = call.query.text("resourceVersion");
    if !version.is_empty() && version.parse::<u64>().is_err() {
        let why = format!("strconv.ParseUint: parsing {version:?}: invalid syntax");
        let message = format!("resourceVersion: Invalid value: {version:?}: {why}");
        return Err(ApiError::unclassified(message));
    }
    Ok(())
}

struct Watcher {
    store: Store,
    view: View,
    namespace: Option<String>,
    selector: Selector,
    seen: u64,
    queue: VecDeque<Bytes>,
    bookmarks: Option<Instant>,
    end: Instant,
    ended: bool,
}

impl Watcher {
    /// Queues what exists as added, and the bookmark that ends the initial events.
    fn begin(&mut self, bookmark: bool) {
        let kind = self.view.kind.clone();
        let (objects, revision) = self.store.read(|state| {
            let objects: Vec<Object> = state
                .objects(&kind.group, &kind.kind, self.namespace.as_deref())
                .cloned()
                .collect();
            (objects, state.revision())
        });
        for object in objects.iter().filter(|o| self.selector.matches(o)) {
            self.queue.push_back(line("ADDED", &self.view.one(object)));
        }
        self.seen = revision;
        if bookmark {
            let annotations = json!({"k8s.io/initial-events-end": "true"});
            self.queue.push_back(self.bookmark(Some(annotations)));
        }
    }

    fn bookmark(&self, annotations: Option<Value>) -> Bytes {
        let mut metadata = json!({"resourceVersion": self.seen.to_string()});
        if let (Some(annotations), Some(map)) = (annotations, metadata.as_object_mut()) {
            map.insert("annotations".to_owned(), annotations);
        }
        let object = json!({
            "kind": self.view.kind.kind, "apiVersion": self.view.kind.api_version(&self.view.version),
            "metadata": metadata,
        });
        let shown = match self.view.form {
            super::respond::Form::Metadata => self.view.one(&Object::from(object)),
            _ => object,
        };
        line("BOOKMARK", &shown)
    }

    /// Returns the next line of the stream; none at its end.
    async fn next(&mut self) -> Option<Bytes> {
        let wake = self.store.wake();
        loop {
            if let Some(line) = self.queue.pop_front() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            let news = wake.notified();
            self.collect();
            if !self.queue.is_empty() || self.ended {
                continue;
            }
            let bookmark = self.bookmarks.unwrap_or(self.end);
            tokio::select! {
                biased;
                () = news => {}
                () = sleep_until(self.end) => self.ended = true,
                () = sleep_until(bookmark) => {
                    self.bookmarks = Some(Instant::now() + BOOKMARKS);
                    self.queue.push_back(self.bookmark(None));
                }
            }
        }
    }

    /// Queues every change since the last one seen.
    fn collect(&mut self) {
        let changes = self.store.read(|state| {
            let changes: Result<Vec<Change>, _> = state
                .changes_after(self.seen)
                .map(|changes| changes.filter(|c| self.concerns(c)).cloned().collect());
            changes
                .map(|c| (c, state.revision()))
                .map_err(|l| ApiError::gone(l.0, state.oldest()))
        });
        match changes {
            Ok((changes, revision)) => {
                self.view.now = self.store.time();
                let lines: Vec<Bytes> = changes.iter().filter_map(|c| self.show(c)).collect();
                self.queue.extend(lines);
                self.seen = self.seen.max(revision);
            }
            Err(gone) => {
                self.queue.push_back(line("ERROR", &gone.status()));
                self.ended = true;
            }
        }
        let definition = self.store.kind(&self.view.kind.group, &self.view.kind.kind);
        self.ended |= definition.is_none();
    }

    fn concerns(&self, change: &Change) -> bool {
        change.kind.kind == self.view.kind.kind
            && change.kind.group == self.view.kind.group
            && self
                .namespace
                .as_ref()
                .is_none_or(|n| n == change.object.namespace())
    }

    /// Shows a change as this watch sees it: an object that begins to match is added, one that ceases to
    /// match is deleted.
    fn show(&self, change: &Change) -> Option<Bytes> {
        let is = change.verb != Verb::Deleted && self.selector.matches(&change.object);
        let was = change.previous.as_ref().is_some_and(|p| self.selector.matches(p));
        let verb = match (was, is) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return None,
        };
        if verb == "DELETED" && change.verb != Verb::Deleted {
            // The last state that matched, at the revision of the change.
            let mut value = change.previous.as_ref()?.value().clone();
            j::set(
                &mut value,
                &["metadata", "resourceVersion"],
                change.revision.to_string(),
            );
            return Some(line(verb, &self.view.one(&Object::from(value))));
        }
        Some(line(verb, &self.view.one(&change.object)))
    }
}

fn line(verb: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{}\n", json!({"type": verb, "object": object})))
}
