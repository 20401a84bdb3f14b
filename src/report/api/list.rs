//! Lists that come in pages.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{super::ForgeError, Api};
use crate::{http::Response, repo::CommitId};

/// Pages of a list that are read at most.
const MOST: usize = 20;

/// How a forge cuts lists into pages.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) struct Pages {
    /// The parameter for how many rows a page holds.
    pub(in crate::report) name: &'static str,
    /// How many are asked for; no more than the forge gives.
    pub(in crate::report) size: usize,
    /// How the next page is asked for.
    pub(in crate::report) by: By,
    /// The field that holds the rows; none where the rows are all there is.
    pub(in crate::report) field: Option<&'static str>,
}

/// How the next page is asked for.
#[derive(Clone, Copy, Debug)]
pub(in crate::report) enum By {
    /// By its number, from 1; it is the last if it is not full.
    Number,
    /// By the number of rows before it, in this parameter; it is the last if it is not full.
    Skip(&'static str),
    /// By `start`, as the page before says in `nextPageStart`.
    Start,
}

impl Api {
    /// Reads a list to its end.
    pub(in crate::report) async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        pages: Pages,
    ) -> Result<Vec<T>, ForgeError> {
        match self.list_or_refusal(path, query, pages).await? {
            Ok(rows) => Ok(rows),
            Err(response) => Err(self.refusal(&response)),
        }
    }

    /// Reads a list about a commit to its end; one that is not known has nothing.
    pub(in crate::report) async fn list_of<T: DeserializeOwned>(
        &self,
        commit: &CommitId,
        path: &[&str],
        query: &[(&str, &str)],
        pages: Pages,
    ) -> Result<Vec<T>, ForgeError> {
        let refused = match self.list_or_refusal(path, query, pages).await? {
            Ok(rows) => return Ok(rows),
            Err(response) => response,
        };
        match self.refusal_of(commit, &refused).await {
            ForgeError::UnknownCommit { .. } => Ok(Vec::new()),
            error => Err(error),
        }
    }

    /// Reads a list to its end, or gives the response that refuses it.
    async fn list_or_refusal<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        pages: Pages,
    ) -> Result<Result<Vec<T>, Response>, ForgeError> {
        let size = pages.size.to_string();
        let mut all: Vec<T> = Vec::new();
        let mut start = 0_u64;
        for page in 1..=MOST {
            let (name, at) = match pages.by {
                By::Number => ("page", page.to_string()),
                By::Skip(name) => (name, all.len().to_string()),
                By::Start => ("start", start.to_string()),
            };
            let query = [query, &[(name, at.as_str()), (pages.name, size.as_str())]].concat();
            let response = self.get(path, &query).await?;
            if !response.is_success() {
                return Ok(Err(response));
            }
            let mut body: Value = self.parse(&response, "list")?;
            let next = body.get("nextPageStart").and_then(Value::as_u64);
            let rows = match pages.field {
                Some(field) => body.get_mut(field).map(Value::take),
                None => Some(body),
            };
            let rows: Vec<T> = rows
                .and_then(|rows| serde_json::from_value(rows).ok())
                .ok_or_else(|| self.odd("list"))?;
            let full = rows.len() >= pages.size;
            all.extend(rows);
            match (pages.by, next) {
                (By::Start, Some(next)) => start = next,
                (By::Number | By::Skip(_), _) if full => {}
                _ => break,
            }
        }
        Ok(Ok(all))
    }
}
