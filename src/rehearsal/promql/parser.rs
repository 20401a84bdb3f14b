//! Builds the tree of a query from its tokens, by precedence climbing.

use super::{
    Fault,
    ast::{Aggregate, AggregateOp, Binary, Expr, Group, Grouping, Matching, Node, Op, Selector, ValueType},
    functions::Function,
    lexer::{self, Spanned, Token},
    matcher::Matcher,
};

/// How deep a query may nest; deeper ones are refused rather than overflowing the stack.
const MAX_DEPTH: usize = 64;
/// Binds tighter than `*` and less tight than `^`, as in `-2^2 = -4`.
const UNARY: u8 = 6;

pub(super) fn parse(text: &str) -> Result<Node, Fault> {
    let tokens = lexer::tokens(text)?;
    let mut parser = Parser {
        tokens,
        next: 0,
        depth: 0,
    };
    if parser.peek() == &Token::End {
        return Err(Fault::new(0, "no expression found in input"));
    }
    let root = parser.expression(0)?;
    match parser.peek() {
        Token::End => Ok(root),
        _ => Err(parser.unexpected("", "an operator or the end")),
    }
}

struct Parser {
    tokens: Vec<Spanned>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens
            .get(self.next)
            .map_or(&Token::End, |spanned| &spanned.token)
    }

    fn at(&self) -> usize {
        self.tokens
            .get(self.next)
            .or(self.tokens.last())
            .map_or(0, |spanned| spanned.at)
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    /// Takes a symbol if it is the next token.
    fn accept(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(s) if *s == symbol);
        self.next += usize::from(found);
        found
    }

    /// Takes a keyword if it is the next token.
    fn accept_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Name(name) if name.eq_ignore_ascii_case(word));
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str, context: &str) -> Result<(), Fault> {
        if self.accept(symbol) {
            Ok(())
        } else {
            Err(self.unexpected(context, &format!("\"{symbol}\"")))
        }
    }

    fn unexpected(&self, context: &str, expected: &str) -> Fault {
        let found = match self.peek() {
            Token::Name(name) => format!("identifier \"{name}\""),
            Token::Number(number) => format!("number \"{number}\""),
            Token::Duration(_) => "duration".to_owned(),
            Token::Text(text) => format!("string {text:?}"),
            Token::Symbol(symbol) => format!("\"{symbol}\""),
            Token::End => "end of input".to_owned(),
        };
        let context = if context.is_empty() {
            String::new()
        } else {
            format!(" in {context}")
        };
        Fault::new(
            self.at(),
            format!("unexpected {found}{context}, expected {expected}"),
        )
    }

    fn expression(&mut self, min_precedence: u8) -> Result<Node, Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Fault::new(
                self.at(),
                format!("the query nests deeper than {MAX_DEPTH} levels"),
            ));
        }
        let mut left = self.unary()?;
        while let Some(op) = self.binary_operator() {
            if op.precedence() < min_precedence {
                break;
            }
            self.next += 1;
            left = self.binary(op, left)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    fn binary_operator(&self) -> Option<Op> {
        let (Token::Symbol(_) | Token::Name(_)) = self.peek() else {
            return None;
        };
        Op::ALL.into_iter().find_map(|(op, symbol)| {
            let here = match self.peek() {
                Token::Symbol(s) => *s == symbol,
                Token::Name(name) => name.eq_ignore_ascii_case(symbol),
                _ => false,
            };
            here.then_some(op)
        })
    }

    /// Parses the modifiers and the right side of an operator that has just been taken.
    fn binary(&mut self, op: Op, left: Node) -> Result<Node, Fault> {
        let modifiers_at = self.at();
        let as_bool = self.accept_word("bool");
        if as_bool && !op.is_comparison() {
            return Err(Fault::new(
                modifiers_at,
                "bool modifier can only be used on comparison operators",
            ));
        }
        let matching = self.matching(op)?;
        // `^` groups to the right, all others to the left.
        let tighter = if op == Op::Power {
            op.precedence()
        } else {
            op.precedence() + 1
        };
        let right = self.expression(tighter)?;
        let at = left.at;
        Ok(Node {
            expr: Expr::Binary(Box::new(Binary {
                op,
                as_bool,
                matching,
                left,
                right,
            })),
            at,
        })
    }

    fn matching(&mut self, op: Op) -> Result<Matching, Fault> {
        let on = if self.accept_word("on") {
            Some(Grouping::Only(self.label_list()?))
        } else if self.accept_word("ignoring") {
            Some(Grouping::Without(self.label_list()?))
        } else {
            None
        };
        let at = self.at();
        let many_left = self.accept_word("group_left");
        let group = if many_left || self.accept_word("group_right") {
            if on.is_none() {
                return Err(Fault::new(
                    at,
                    "a group modifier needs on(…) or ignoring(…) before it",
                ));
            }
            if op.is_set() {
                return Err(Fault::new(
                    at,
                    format!("no grouping allowed for \"{}\" operation", op.symbol()),
                ));
            }
            let listed = matches!(self.peek(), Token::Symbol("("));
            Some(Group {
                many_left,
                include: if listed { self.label_list()? } else { Vec::new() },
            })
        } else {
            None
        };
        Ok(Matching {
            explicit: on.is_some(),
            on: on.unwrap_or(Grouping::Without(Vec::new())),
            group,
        })
    }

    fn label_list(&mut self) -> Result<Vec<String>, Fault> {
        self.expect("(", "grouping opts")?;
        let mut labels = Vec::new();
        while !self.accept(")") {
            match self.peek().clone() {
                Token::Name(name) => labels.push(name),
                _ => return Err(self.unexpected("grouping opts", "label")),
            }
            self.next += 1;
            if !self.accept(",") {
                self.expect(")", "grouping opts")?;
                break;
            }
        }
        Ok(labels)
    }

    fn unary(&mut self) -> Result<Node, Fault> {
        let at = self.at();
        if self.accept("-") {
            let of = self.expression(UNARY)?;
            return Ok(Node {
                expr: Expr::Negate(Box::new(of)),
                at,
            });
        }
        if self.accept("+") {
            return self.expression(UNARY);
        }
        let parenthesized = matches!(self.peek(), Token::Symbol("("));
        let node = self.primary()?;
        if parenthesized {
            Ok(node)
        } else {
            self.suffixes(node)
        }
    }

    fn primary(&mut self) -> Result<Node, Fault> {
        let at = self.at();
        let expr = match self.peek().clone() {
            Token::Number(number) => Expr::Number(number),
            Token::Duration(ms) => Expr::Number(super::eval::seconds(ms)),
            Token::Text(text) => Expr::Text(text),
            Token::Symbol("{") => return self.selector(None, at),
            Token::Symbol("(") => {
                self.next += 1;
                let inner = self.expression(0)?;
                self.expect(")", "parenthesized expression")?;
                return Ok(Node { at, ..inner });
            }
            Token::Name(name) => return self.named(&name, at),
            _ => return Err(self.unexpected("", "an expression")),
        };
        self.next += 1;
        Ok(Node { expr, at })
    }

    /// Parses what begins with a name: an aggregation, a call or a selector.
    fn named(&mut self, name: &str, at: usize) -> Result<Node, Fault> {
        self.next += 1;
        let word = |w: &&str| name.eq_ignore_ascii_case(w);
        let opens = matches!(self.peek(), Token::Symbol("("));
        if let Some(op) = AggregateOp::named(name) {
            let grouping = matches!(self.peek(), Token::Name(n) if n.eq_ignore_ascii_case("by") || n.eq_ignore_ascii_case("without"));
            if opens || grouping {
                return self.aggregate(op, at);
            }
        }
        let aggregates = matches!(self.peek(), Token::Name(n) if n == "by" || n == "without");
        if opens || aggregates {
            return match Function::named(name) {
                Some(function) => {
                    let args = self.arguments()?;
                    Ok(Node {
                        expr: Expr::Call(function, args),
                        at,
                    })
                }
                None => Err(Fault::new(at, format!("unknown function with name \"{name}\""))),
            };
        }
        if [
            "by", "without", "on", "ignoring", "bool", "offset", "and", "or", "unless",
        ]
        .iter()
        .any(word)
        {
            self.next -= 1;
            return Err(self.unexpected("", "an expression"));
        }
        self.selector(Some(name), at)
    }

    fn arguments(&mut self) -> Result<Vec<Node>, Fault> {
        self.expect("(", "function call")?;
        let mut args = Vec::new();
        if self.accept(")") {
            return Ok(args);
        }
        loop {
            args.push(self.expression(0)?);
            if !self.accept(",") {
                self.expect(")", "function call")?;
                return Ok(args);
            }
        }
    }

    fn aggregate(&mut self, op: AggregateOp, at: usize) -> Result<Node, Fault> {
        let before = self.grouping()?;
        let arguments_at = self.at();
        let mut args = self.arguments()?.into_iter();
        let (Some(of), None) = (args.next(), args.next()) else {
            return Err(Fault::new(
                arguments_at,
                "wrong number of arguments for aggregate expression, expected 1",
            ));
        };
        let after = if before.is_none() { self.grouping()? } else { None };
        let grouping = before.or(after).unwrap_or(Grouping::Only(Vec::new()));
        Ok(Node {
            expr: Expr::Aggregate(Aggregate {
                op,
                grouping,
                of: Box::new(of),
            }),
            at,
        })
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, Fault> {
        if self.accept_word("by") {
            return Ok(Some(Grouping::Only(self.label_list()?)));
        }
        if self.accept_word("without") {
            return Ok(Some(Grouping::Without(self.label_list()?)));
        }
        Ok(None)
    }

    /// Parses the matchers of a selector whose name, if any, has been taken.
    fn selector(&mut self, name: Option<&str>, at: usize) -> Result<Node, Fault> {
        let mut matchers: Vec<Matcher> = name.map(Matcher::name).into_iter().collect();
        if self.accept("{") {
            while !self.accept("}") {
                matchers.push(self.matcher()?);
                if !self.accept(",") {
                    self.expect("}", "label matching")?;
                    break;
                }
            }
        }
        if matchers.iter().all(|matcher| matcher.accepts("")) {
            return Err(Fault::new(
                at,
                "vector selector must contain at least one non-empty matcher",
            ));
        }
        Ok(Node {
            expr: Expr::Instant(Selector { matchers, offset: 0 }),
            at,
        })
    }

    fn matcher(&mut self) -> Result<Matcher, Fault> {
        let (Token::Name(label) | Token::Text(label)) = self.peek().clone() else {
            return Err(self.unexpected("label matching", "identifier or \"}\""));
        };
        self.next += 1;
        let operator = match self.peek() {
            Token::Symbol(operator @ ("=" | "!=" | "=~" | "!~")) => *operator,
            _ => return Err(self.unexpected("label matching", "label matching operator")),
        };
        self.next += 1;
        let at = self.at();
        let Token::Text(value) = self.peek().clone() else {
            return Err(self.unexpected("label matching", "string"));
        };
        self.next += 1;
        Matcher::new(label, operator, value).map_err(|message| Fault::new(at, message))
    }

    /// Parses `[5m]` and `offset 5m` after an expression.
    fn suffixes(&mut self, mut node: Node) -> Result<Node, Fault> {
        loop {
            let at = self.at();
            if self.accept("[") {
                node.expr = self.range(node.expr, at)?;
            } else if self.accept_word("offset") {
                let sign = if self.accept("-") { -1 } else { 1 };
                let offset = sign * self.duration("offset")?;
                match &mut node.expr {
                    Expr::Instant(selector) | Expr::Range(selector, _) => selector.offset = offset,
                    _ => {
                        let message = "offset modifier must be preceded by an instant vector selector or range vector selector";
                        return Err(Fault::new(at, message));
                    }
                }
            } else {
                return Ok(node);
            }
        }
    }

    fn range(&mut self, of: Expr, at: usize) -> Result<Expr, Fault> {
        let range = self.duration("range selector")?;
        if self.accept(":") {
            return Err(Fault::new(
                at,
                "subqueries are not supported by the embedded Prometheus",
            ));
        }
        self.expect("]", "range selector")?;
        match of {
            Expr::Instant(_) if range <= 0 => Err(Fault::new(at, "duration must be greater than 0")),
            Expr::Instant(selector) if selector.offset == 0 => Ok(Expr::Range(selector, range)),
            Expr::Instant(_) => Err(Fault::new(at, "no offset modifiers allowed before range")),
            _ => Err(Fault::new(at, "ranges only allowed for vector selectors")),
        }
    }

    fn duration(&mut self, context: &str) -> Result<i64, Fault> {
        match self.peek() {
            Token::Duration(ms) => {
                let ms = *ms;
                self.advance();
                Ok(ms)
            }
            Token::Number(number) if *number >= 0.0 && *number < 1e12 => {
                let ms = super::eval::milliseconds(*number);
                self.advance();
                Ok(ms)
            }
            _ => Err(self.unexpected(context, "duration")),
        }
    }
}

/// Says which type a part must have; used by the checker too.
pub(super) fn wrong_type(node: &Node, expected: ValueType, context: &str) -> Fault {
    let found = node.expr.value_type().name();
    Fault::new(
        node.at,
        format!("expected type {} in {context}, got {found}", expected.name()),
    )
}
