//! The part of `PromQL` that canary analyses use: a parser, a checker of types, an evaluator and the store of
//! series that it reads. Behaves as Prometheus 3 does, errors and their positions included; what it does not
//! know it refuses. Never looks at the text of a query but through the parser.

mod aggregate;
mod ast;
mod binary;
mod check;
mod eval;
mod functions;
mod lexer;
mod matcher;
mod over_time;
mod parser;
mod series;

pub(super) use self::lexer::duration;
use self::{ast::Node, eval::Evaluator};
pub use self::{
    ast::ValueType,
    eval::{MAX_POINTS, Sample, Value},
    series::{Labels, Point, Series, SeriesId, SeriesStore},
};

/// Why a query could not be answered. The variants are the `errorType`s of Prometheus' API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The query is not `PromQL`, or not the part that is known here: line and column, and what is wrong.
    #[error("{line}:{column}: parse error: {message}")]
    BadData {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// The query is right, but the series do not allow an answer.
    #[error("{0}")]
    Execution(String),
}

/// What is wrong, and where (a byte offset); becomes [`Error::BadData`] where the text is at hand.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    at: usize,
    message: String,
}

impl Fault {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }

    fn in_text(self, text: &str) -> Error {
        let before = text.get(..self.at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Error::BadData {
            line: before.matches('\n').count() + 1,
            column,
            message: self.message,
        }
    }
}

/// A parsed and checked query.
#[derive(Clone, Debug)]
pub struct Query {
    root: Node,
}

impl Query {
    /// Parses a query and checks its types.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parser::parse(text)
            .and_then(|root| check::check(&root).map(|()| Self { root }))
            .map_err(|fault| fault.in_text(text))
    }

    /// Returns the type of the query's result.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        self.root.expr.value_type()
    }

    /// Answers the query as of a time, in milliseconds.
    pub fn at(&self, store: &SeriesStore, time: i64) -> Result<Value, Error> {
        Evaluator { store, time }.query(&self.root)
    }

    /// Answers the query at each step of a range, in milliseconds.
    pub fn range(&self, store: &SeriesStore, start: i64, end: i64, step: i64) -> Result<Vec<Series>, Error> {
        eval::range(&self.root, store, start, end, step)
    }
}

#[cfg(test)]
mod tests;
