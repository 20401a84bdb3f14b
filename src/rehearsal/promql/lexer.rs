//! Cuts a query into tokens.

use super::Fault;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name: metric, label, function or keyword.
    Name(String),
    /// A number.
    Number(f64),
    /// A duration, in milliseconds.
    Duration(i64),
    /// A string, unquoted.
    Text(String),
    /// An operator or a bracket.
    Symbol(&'static str),
    /// The end of the query.
    End,
}

/// A token and where it begins (a byte offset).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spanned {
    pub(super) token: Token,
    pub(super) at: usize,
}

/// Longest first, so that `>=` is not read as `>`.
const SYMBOLS: [&str; 23] = [
    "==", "!=", "=~", "!~", ">=", "<=", "=", ">", "<", "+", "-", "*", "/", "%", "^", "(", ")", "{", "}", "[",
    "]", ",", ":",
];

/// Cuts a query into tokens; the last one is `End`.
pub(super) fn tokens(text: &str) -> Result<Vec<Spanned>, Fault> {
    let mut cursor = Cursor { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        cursor.skip_blank();
        let at = cursor.at;
        let token = cursor.token()?;
        let end = token == Token::End;
        tokens.push(Spanned { token, at });
        if end {
            return Ok(tokens);
        }
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes characters as long as they satisfy a condition.
    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn skip_blank(&mut self) {
        loop {
            self.take(char::is_whitespace);
            if self.peek() != Some('#') {
                return;
            }
            self.take(|c| c != '\n');
        }
    }

    fn token(&mut self) -> Result<Token, Fault> {
        let Some(first) = self.peek() else {
            return Ok(Token::End);
        };
        if is_name_start(first) {
            return Ok(self.name());
        }
        let mut ahead = self.rest().chars().skip(1);
        if first.is_ascii_digit() || (first == '.' && ahead.next().is_some_and(|c| c.is_ascii_digit())) {
            return self.number();
        }
        if matches!(first, '"' | '\'' | '`') {
            return self.quoted(first);
        }
        match SYMBOLS.into_iter().find(|symbol| self.rest().starts_with(symbol)) {
            Some(symbol) => {
                self.at += symbol.len();
                Ok(Token::Symbol(symbol))
            }
            None if first == '@' => Err(Fault::new(
                self.at,
                "the @ modifier is not supported by the embedded Prometheus",
            )),
            None => Err(Fault::new(self.at, format!("unexpected character: '{first}'"))),
        }
    }

    fn name(&mut self) -> Token {
        let name = self.take(|c| is_name_start(c) || c.is_ascii_digit() || c == ':');
        if name.eq_ignore_ascii_case("inf") {
            Token::Number(f64::INFINITY)
        } else if name.eq_ignore_ascii_case("nan") {
            Token::Number(f64::NAN)
        } else {
            Token::Name(name.to_owned())
        }
    }

    fn number(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        let text = self.take(|c| c.is_ascii_alphanumeric() || c == '.');
        let exponent = text.ends_with(['e', 'E']) && !text.starts_with("0x");
        let text = if exponent && matches!(self.peek(), Some('+' | '-')) {
            self.at += 1;
            self.take(|c| c.is_ascii_digit());
            self.text.get(start..self.at).unwrap_or_default()
        } else {
            text
        };
        let token = if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            u32::from_str_radix(digits, 16)
                .ok()
                .map(|n| Token::Number(f64::from(n)))
        } else {
            duration(text)
                .map(Token::Duration)
                .or_else(|| text.parse().ok().map(Token::Number))
        };
        token.ok_or_else(|| Fault::new(start, format!("bad number or duration syntax: \"{text}\"")))
    }

    fn quoted(&mut self, quote: char) -> Result<Token, Fault> {
        let start = self.at;
        let mut value = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((offset, c)) = chars.next() {
            if c == quote {
                self.at = start + offset + 1;
                return Ok(Token::Text(value));
            }
            match c {
                '\n' if quote != '`' => break,
                '\\' if quote != '`' => {
                    let escaped = chars.next().map(|(_, c)| c);
                    value.push(unescape(escaped).ok_or_else(|| {
                        Fault::new(
                            start + offset,
                            "unknown escape sequence; write `\\\\` for a backslash",
                        )
                    })?);
                }
                _ => value.push(c),
            }
        }
        Err(Fault::new(start, "unterminated quoted string"))
    }
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn unescape(c: Option<char>) -> Option<char> {
    Some(match c? {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        c @ ('\\' | '"' | '\'') => c,
        _ => return None,
    })
}

/// Reads `1h30m` and the like; each unit at most once, largest first. Returns milliseconds.
pub(in crate::rehearsal) fn duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 31_536_000_000),
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let (mut rest, mut total, mut units) = (text, 0_i64, UNITS.iter());
    if text.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = rest.get(..letters)?;
        rest = rest.get(letters..)?;
        let (_, size) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(count.checked_mul(*size)?)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexed(text: &str) -> Vec<Token> {
        tokens(text).unwrap().into_iter().map(|s| s.token).collect()
    }

    #[test]
    fn durations_are_told_from_numbers() {
        assert_eq!(duration("1h30m"), Some(5_400_000));
        assert_eq!(duration("500ms"), Some(500));
        assert_eq!(duration("1m1h"), None);
        assert_eq!(duration("5"), None);
        assert_eq!(duration("99999999999999999y"), None);
        assert_eq!(
            lexed("5m 5 1e3 1e-3 0x1f .5"),
            [
                Token::Duration(300_000),
                Token::Number(5.0),
                Token::Number(1000.0),
                Token::Number(0.001),
                Token::Number(31.0),
                Token::Number(0.5),
                Token::End,
            ]
        );
        assert_eq!(
            tokens("5x").unwrap_err().message,
            "bad number or duration syntax: \"5x\""
        );
    }

    #[test]
    fn strings_comments_and_symbols_are_cut() {
        assert_eq!(
            lexed("a=~\"x\\\\d\" # b\n!='`'"),
            [
                Token::Name("a".into()),
                Token::Symbol("=~"),
                Token::Text("x\\d".into()),
                Token::Symbol("!="),
                Token::Text("`".into()),
                Token::End,
            ]
        );
        assert_eq!(
            tokens("up{a=\"b").unwrap_err(),
            Fault::new(5, "unterminated quoted string")
        );
        assert_eq!(
            tokens("a § b").unwrap_err(),
            Fault::new(2, "unexpected character: '§'")
        );
        assert!(tokens("\"\\d\"").is_err());
    }
}
