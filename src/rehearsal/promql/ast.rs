//! The shape of a parsed query.

use super::{functions::Function, matcher::Matcher};

/// A part of a query and where it begins (a byte offset).
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) expr: Expr,
    pub(super) at: usize,
}

/// A part of a query.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    Number(f64),
    Text(String),
    Instant(Selector),
    /// A selector and its range, in milliseconds.
    Range(Selector, i64),
    Negate(Box<Node>),
    Call(Function, Vec<Node>),
    Aggregate(Aggregate),
    Binary(Box<Binary>),
}

/// Which series, and how far back.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    pub(super) matchers: Vec<Matcher>,
    /// How far back, in milliseconds.
    pub(super) offset: i64,
}

/// `sum by (a) (b)` and its like.
#[derive(Clone, Debug)]
pub(super) struct Aggregate {
    pub(super) op: AggregateOp,
    pub(super) grouping: Grouping,
    pub(super) of: Box<Node>,
}

/// How an aggregation folds a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AggregateOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
}

impl AggregateOp {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "sum" => Self::Sum,
            "avg" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            "count" => Self::Count,
            "group" => Self::Group,
            _ => return None,
        })
    }
}

/// Which labels tell things apart: only these, or all but these (and the metric's name).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Grouping {
    Only(Vec<String>),
    Without(Vec<String>),
}

/// An operation on two sides.
#[derive(Clone, Debug)]
pub(super) struct Binary {
    pub(super) op: Op,
    /// Whether a comparison answers 0 or 1 instead of filtering.
    pub(super) as_bool: bool,
    pub(super) matching: Matching,
    pub(super) left: Node,
    pub(super) right: Node,
}

/// How the series of two vectors are paired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matching {
    pub(super) on: Grouping,
    /// Whether the query says so (`on`, `ignoring` or a group modifier).
    pub(super) explicit: bool,
    pub(super) group: Option<Group>,
}

/// `group_left` or `group_right`: which side may have many, and the labels taken from the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) many_left: bool,
    pub(super) include: Vec<String>,
}

/// A binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Or,
    And,
    Unless,
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

impl Op {
    pub(super) const ALL: [(Self, &'static str); 15] = [
        (Self::Or, "or"),
        (Self::And, "and"),
        (Self::Unless, "unless"),
        (Self::Equal, "=="),
        (Self::NotEqual, "!="),
        (Self::Greater, ">"),
        (Self::GreaterEqual, ">="),
        (Self::Less, "<"),
        (Self::LessEqual, "<="),
        (Self::Add, "+"),
        (Self::Subtract, "-"),
        (Self::Multiply, "*"),
        (Self::Divide, "/"),
        (Self::Modulo, "%"),
        (Self::Power, "^"),
    ];

    /// How tightly the operator binds.
    pub(super) fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            op if op.is_comparison() => 3,
            Self::Add | Self::Subtract => 4,
            Self::Power => 6,
            _ => 5,
        }
    }

    pub(super) fn is_set(self) -> bool {
        matches!(self, Self::Or | Self::And | Self::Unless)
    }

    pub(super) fn is_comparison(self) -> bool {
        use Op::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};
        matches!(self, Equal | NotEqual | Greater | GreaterEqual | Less | LessEqual)
    }

    pub(super) fn symbol(self) -> &'static str {
        Self::ALL
            .into_iter()
            .find(|(op, _)| *op == self)
            .map_or("", |(_, symbol)| symbol)
    }
}

/// The type of a (part of a) query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// A number.
    Scalar,
    /// A string.
    Text,
    /// One sample per series.
    Instant,
    /// Many samples per series.
    Range,
}

impl ValueType {
    /// Returns the name that Prometheus' messages use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Text => "string",
            Self::Instant => "instant vector",
            Self::Range => "range vector",
        }
    }
}

impl Expr {
    pub(super) fn value_type(&self) -> ValueType {
        match self {
            Self::Number(_) => ValueType::Scalar,
            Self::Text(_) => ValueType::Text,
            Self::Range(..) => ValueType::Range,
            Self::Instant(_) | Self::Aggregate(_) => ValueType::Instant,
            Self::Negate(of) => of.expr.value_type(),
            Self::Call(function, _) => function.returns(),
            Self::Binary(b) => {
                let scalar = |node: &Node| node.expr.value_type() == ValueType::Scalar;
                if scalar(&b.left) && scalar(&b.right) {
                    ValueType::Scalar
                } else {
                    ValueType::Instant
                }
            }
        }
    }
}
