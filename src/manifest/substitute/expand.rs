//! The expressions of Flux's substitution: a subset of what shells do with `${…}`.

/// Why a value cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// Only the cluster knows the variable.
    #[error("the value of ${{{0}}} is not in git")]
    Unknown(String),
    /// Nobody sets the variable: Flux refuses it (its strict mode, the default).
    #[error("nothing sets ${{{0}}}")]
    Unset(String),
    /// The expression, or what becomes of it, is wrong.
    #[error("{0}")]
    Wrong(String),
}

/// How deep expressions may be nested.
const MAX_DEPTH: usize = 16;
/// The longest text that an expression may become.
const MAX_BYTES: usize = 1 << 20;

/// Looks a variable up; none: nobody sets it.
type Lookup<'a> = dyn FnMut(&str) -> Result<Option<String>, Unresolved> + 'a;

/// Expands all expressions of a text. `$$` is `$`.
pub(super) fn expand(text: &str, lookup: &mut Lookup<'_>) -> Result<String, Unresolved> {
    let mut reader = Reader {
        rest: text,
        lookup,
        depth: 0,
    };
    let mut made = String::new();
    while !reader.rest.is_empty() {
        if reader.take("$$") {
            made.push('$');
        } else if reader.take("${") {
            made.push_str(&reader.expression()?);
        } else if let Some(letter) = reader.next() {
            made.push(letter);
        }
        if made.len() > MAX_BYTES {
            return Err(wrong("the substitution makes too long a text"));
        }
    }
    Ok(made)
}

fn wrong(text: &str) -> Unresolved {
    Unresolved::Wrong(text.to_owned())
}

struct Reader<'a, 'b> {
    rest: &'a str,
    lookup: &'a mut Lookup<'b>,
    depth: usize,
}

impl Reader<'_, '_> {
    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.rest.chars().next()?;
        self.rest = self.rest.get(letter.len_utf8()..).unwrap_or_default();
        Some(letter)
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn name(&mut self) -> Result<String, Unresolved> {
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let end = self
            .rest
            .find(|letter| !is_part(letter))
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() {
            return Err(wrong(
                "a `${` without the name of a variable; write `$${` for the text itself",
            ));
        }
        self.rest = rest;
        Ok(name.to_owned())
    }

    fn close(&mut self) -> Result<(), Unresolved> {
        if self.take("}") {
            Ok(())
        } else {
            Err(wrong(
                "a `${` that is not closed, or has an operator that Flux does not know",
            ))
        }
    }

    /// Reads an expression behind its `${`, with its `}`.
    fn expression(&mut self) -> Result<String, Unresolved> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(wrong("expressions are nested too deep"));
        }
        let made = self.operation();
        self.depth -= 1;
        made
    }

    fn operation(&mut self) -> Result<String, Unresolved> {
        if self.take("#") {
            let name = self.name()?;
            self.close()?;
            return Ok(self.value(&name)?.len().to_string());
        }
        let name = self.name()?;
        match self.peek() {
            Some(':') => self.default_or_part(&name),
            Some('=') => {
                self.next();
                self.default(&name)
            }
            Some(',' | '^') => self.casing(&name),
            Some('/') => self.replace(&name),
            Some(mark @ ('#' | '%')) => self.trim(&name, mark),
            _ => {
                self.close()?;
                self.value(&name)
            }
        }
    }

    fn value(&mut self, name: &str) -> Result<String, Unresolved> {
        (self.lookup)(name)?.ok_or_else(|| Unresolved::Unset(name.to_owned()))
    }

    fn default_or_part(&mut self, name: &str) -> Result<String, Unresolved> {
        self.next();
        if matches!(self.peek(), Some('=' | '-' | '?' | '+')) {
            self.next();
            return self.default(name);
        }
        let from = self.argument(&[':', '}'], false)?;
        let length = if self.take(":") {
            Some(self.argument(&['}'], false)?)
        } else {
            None
        };
        self.close()?;
        let value = self.value(name)?;
        part(&value, &from, length.as_deref())
    }

    /// All operators of this family do the same in Flux: the text stands where the variable is empty.
    fn default(&mut self, name: &str) -> Result<String, Unresolved> {
        let text = self.argument(&['}'], false)?;
        self.close()?;
        let value = (self.lookup)(name)?.unwrap_or_default();
        Ok(if value.is_empty() { text } else { value })
    }

    fn casing(&mut self, name: &str) -> Result<String, Unresolved> {
        let mark = self.next().unwrap_or_default();
        let all = self.peek() == Some(mark);
        if all {
            self.next();
        }
        self.close()?;
        let value = self.value(name)?;
        let upper = mark == '^';
        let first = value.chars().next();
        Ok(match (all, upper) {
            (true, true) => value.to_uppercase(),
            (true, false) => value.to_lowercase(),
            (false, _) => first.map_or_else(String::new, |first| {
                let rest = value.get(first.len_utf8()..).unwrap_or_default();
                let first = if upper {
                    first.to_uppercase().to_string()
                } else {
                    first.to_lowercase().to_string()
                };
                first + rest
            }),
        })
    }

    fn replace(&mut self, name: &str) -> Result<String, Unresolved> {
        self.next();
        let mark = self.peek().filter(|mark| ['/', '#', '%'].contains(mark));
        if mark.is_some() {
            self.next();
        }
        let from = self.argument(&['/'], true)?;
        if !self.take("/") {
            return Err(wrong("a replacement needs two parts: ${name/this/that}"));
        }
        let to = self.argument(&['}'], true)?;
        self.close()?;
        let value = self.value(name)?;
        Ok(match mark {
            Some('/') => value.replace(&from, &to),
            Some('#') => value
                .strip_prefix(from.as_str())
                .map_or(value.clone(), |rest| to + rest),
            Some('%') => value
                .strip_suffix(from.as_str())
                .map_or(value.clone(), |rest| rest.to_owned() + &to),
            _ => value.replacen(&from, &to, 1),
        })
    }

    fn trim(&mut self, name: &str, mark: char) -> Result<String, Unresolved> {
        self.next();
        let longest = self.peek() == Some(mark);
        if longest {
            self.next();
        }
        let pattern = self.argument(&['}'], false)?;
        self.close()?;
        let value: Vec<char> = self.value(name)?.chars().collect();
        let pattern: Vec<char> = pattern.chars().collect();
        if value.len() > 4096 || pattern.len() > 256 {
            return Err(wrong("a pattern, or what it is held against, is too long"));
        }
        if pattern.iter().any(|letter| ['[', ']', '\\'].contains(letter)) {
            return Err(wrong("a pattern with brackets is not read here"));
        }
        let kept = |cut: usize| {
            let (removed, kept) = if mark == '#' {
                value.split_at(cut)
            } else {
                let (kept, removed) = value.split_at(value.len() - cut);
                (removed, kept)
            };
            matches(&pattern, removed).then(|| kept.iter().collect::<String>())
        };
        let found = if longest {
            (1..=value.len()).rev().find_map(kept)
        } else {
            (1..=value.len()).find_map(kept)
        };
        Ok(found.unwrap_or_else(|| value.iter().collect()))
    }

    /// Reads an argument up to one of these letters, which stays; expressions inside are expanded.
    fn argument(&mut self, ends: &[char], escapes: bool) -> Result<String, Unresolved> {
        let mut made = String::new();
        while let Some(letter) = self.peek() {
            if ends.contains(&letter) {
                break;
            }
            if self.take("${") {
                made.push_str(&self.expression()?);
                continue;
            }
            let pairs = [("$$", '$'), ("\\\\", '\\'), ("\\/", '/')];
            match pairs.into_iter().find(|(pair, _)| escapes && self.take(pair)) {
                Some((_, stands_for)) => made.push(stands_for),
                None => made.extend(self.next()),
            }
            if made.len() > MAX_BYTES {
                return Err(wrong("the substitution makes too long a text"));
            }
        }
        Ok(made)
    }
}

/// `${name:from}` and `${name:from:length}`. What is no number leaves the value as it is.
fn part(value: &str, from: &str, length: Option<&str>) -> Result<String, Unresolved> {
    let Ok(from) = from.parse::<i64>() else {
        return Ok(value.to_owned());
    };
    let all = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let start = if from < 0 {
        (all + from).max(0)
    } else {
        from.min(all)
    };
    let end = match length.map(str::parse::<i64>) {
        None => all,
        Some(Err(_)) => return Ok(value.to_owned()),
        Some(Ok(length)) if length < 0 => all.saturating_add(length).max(start),
        Some(Ok(length)) => start.saturating_add(length).min(all),
    };
    let index = |at: i64| usize::try_from(at).unwrap_or_default();
    let part = value.get(index(start)..index(end));
    part.map(str::to_owned)
        .ok_or_else(|| wrong("a part of a value would cut a letter in two"))
}

/// Whether a pattern of `*` and `?` matches all of a text.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(letter) if *letter == '?' || text.get(seen) == Some(letter) => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((back, taken)) = star else { return false };
                star = Some((back, taken + 1));
                at = back + 1;
                seen = taken + 1;
            }
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|letter| *letter == '*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str, pairs: &[(&str, &str)]) -> Result<String, Unresolved> {
        expand(text, &mut |name| {
            let known = pairs.iter().find(|(known, _)| *known == name);
            Ok(known.map(|(_, value)| (*value).to_owned()))
        })
    }

    #[test]
    fn expressions_do_what_flux_does_with_them() {
        let pairs = [
            ("v", "main-6.0.1"),
            ("empty", ""),
            ("path", "a/b/c.tar.gz"),
            ("up", "ABC"),
        ];
        for (text, said) in [
            ("x ${v} y", "x main-6.0.1 y"),
            ("${v}${v}", "main-6.0.1main-6.0.1"),
            ("$v { } ${empty}", "$v { } "),
            ("$${v} $$ $$${v}", "${v} $ $main-6.0.1"),
            ("${unset:=d}${unset:-e}${unset=f}", "def"),
            ("${empty:=d}${v:=d}", "dmain-6.0.1"),
            ("${unset:=a ${v:=x} b}", "a main-6.0.1 b"),
            ("${unset:=}", ""),
            ("${v:5}", "6.0.1"),
            ("${v:0:4}", "main"),
            ("${v:5:-2}", "6.0"),
            ("${v:-3}", "main-6.0.1"),
            ("${v:20}${v:2:900}", "in-6.0.1"),
            ("${v/main/dev}", "dev-6.0.1"),
            ("${v//./_}", "main-6_0_1"),
            ("${v/-/}", "main6.0.1"),
            ("${v/#main/dev}${v/#x/y}", "dev-6.0.1main-6.0.1"),
            ("${v/%1/2}", "main-6.0.2"),
            ("${path//\\//-}", "a-b-c.tar.gz"),
            ("${path#*/}", "b/c.tar.gz"),
            ("${path##*/}", "c.tar.gz"),
            ("${path%.*}", "a/b/c.tar"),
            ("${path%%.*}", "a/b/c"),
            ("${up,}${up,,}", "aBCabc"),
            ("${v^}${v^^}", "Main-6.0.1MAIN-6.0.1"),
            ("${#v}", "10"),
        ] {
            assert_eq!(with(text, &pairs).as_deref(), Ok(said), "{text}");
        }
    }

    #[test]
    fn the_unset_and_the_malformed_are_told() {
        for text in [
            "${unset}",
            "${unset^^}",
            "${unset:1}",
            "${unset/a/b}",
            "${#unset}",
            "${a:=${unset}}",
        ] {
            assert_eq!(
                with(text, &[("a", "1")]),
                Err(Unresolved::Unset("unset".to_owned())),
                "{text}"
            );
        }
        let deep = "${a:=".repeat(40);
        for text in [
            "${",
            "${}",
            "${a",
            "${a!}",
            "${a/b}",
            "${1 }",
            "${a:=b",
            "${a#[x]}",
            deep.as_str(),
        ] {
            let made = with(text, &[("a", "1")]);
            assert!(matches!(made, Err(Unresolved::Wrong(_))), "{text}: {made:?}");
        }
    }
}
