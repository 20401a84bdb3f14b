//! The version of the `git` command.

use std::{fmt, str::FromStr};

/// A version, as far as it matters: 2.39.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Reads what `git version` prints.
impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.strip_prefix("git version ").unwrap_or(text).split('.');
        let mut next = || {
            let digits: String = parts.next()?.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        };
        Ok(Self(next().ok_or(())?, next().ok_or(())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        let read = |text: &str| text.parse::<Version>();
        assert_eq!(read("git version 2.39.5"), Ok(Version(2, 39)));
        assert_eq!(read("git version 2.45.0-rc1.windows.1"), Ok(Version(2, 45)));
        assert_eq!(read("git version 3.0"), Ok(Version(3, 0)));
        assert!(read("busybox").is_err());
        assert!(Version(2, 9) < Version(2, 45) && Version(2, 45) < Version(3, 0));
    }
}
