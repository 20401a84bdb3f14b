//! Names of commits and blobs, and the revision format `main@sha1:<hex>` that Flux uses too.

use std::{fmt, fmt::Write as _, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that is not a revision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a revision; write `branch@sha1:<40 hex digits>` or the full id of a commit")]
pub struct ParseRevisionError(String);

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the hexadecimal digits.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Returns the first seven digits, for people.
            #[must_use]
            pub fn short(&self) -> &str {
                self.0.get(..7).unwrap_or(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseRevisionError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if is_id(text) { Ok(Self(text.to_owned())) } else { Err(ParseRevisionError(text.to_owned())) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseRevisionError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl From<git2::Oid> for $name {
            fn from(id: git2::Oid) -> Self {
                Self(id.to_string())
            }
        }
    };
}

hex_id! {
    /// The id of a commit: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
    CommitId
}

hex_id! {
    /// The id of a blob. Two files with the same content have the same id.
    BlobId
}

impl BlobId {
    /// Names content by its SHA-256, where there is no git to name it.
    pub(super) fn of_sha256(digest: &[u8; 32]) -> Self {
        let mut hex = String::with_capacity(64);
        for byte in digest {
            let _ = write!(hex, "{byte:02x}");
        }
        Self(hex)
    }
}

impl CommitId {
    /// Returns the hash that it was made by: `sha1` or `sha256`.
    #[must_use]
    pub fn hash(&self) -> &'static str {
        if self.0.len() == 64 { "sha256" } else { "sha1" }
    }
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A commit and the branch it was found on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision {
    /// The branch; `HEAD` when it is not known, empty when the text that was parsed names none.
    pub branch: String,
    /// The commit.
    pub id: CommitId,
}

/// Prints `main@sha1:<hex>`.
impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithm = if self.id.0.len() == 64 { "sha256" } else { "sha1" };
        if !self.branch.is_empty() {
            write!(f, "{}@", self.branch)?;
        }
        write!(f, "{algorithm}:{}", self.id)
    }
}

/// Reads what Flux writes: `main@sha1:<hex>`, `sha1:<hex>`, and the older `main/<hex>` and `<hex>`.
impl FromStr for Revision {
    type Err = ParseRevisionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ParseRevisionError(text.to_owned());
        let (branch, rest) = match text.rsplit_once('@') {
            Some(split) => split,
            None if text.contains(':') => ("", text),
            None => {
                let (branch, id) = text.rsplit_once('/').unwrap_or(("", text));
                return Ok(Self {
                    branch: branch.to_owned(),
                    id: id.parse().map_err(|_| fail())?,
                });
            }
        };
        let (algorithm, hex) = rest.split_once(':').ok_or_else(fail)?;
        let digits = match algorithm {
            "sha1" => 40,
            "sha256" => 64,
            _ => return Err(fail()),
        };
        if hex.len() != digits {
            return Err(fail());
        }
        Ok(Self {
            branch: branch.to_owned(),
            id: hex.parse().map_err(|_| fail())?,
        })
    }
}

impl TryFrom<String> for Revision {
    type Error = ParseRevisionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Revision> for String {
    fn from(revision: Revision) -> Self {
        revision.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn prints_and_reads_the_format_of_flux() {
        let sha256 = format!("{SHA1}{}", &SHA1[..24]);
        for (text, branch) in [
            (format!("main@sha1:{SHA1}"), "main"),
            (format!("feature/x@sha1:{SHA1}"), "feature/x"),
            (format!("odd@name@sha1:{SHA1}"), "odd@name"),
            (format!("main@sha256:{sha256}"), "main"),
            (format!("sha1:{SHA1}"), ""),
        ] {
            let revision: Revision = text.parse().unwrap();
            assert_eq!(revision.branch, branch);
            assert_eq!(revision.to_string(), text);
        }
        let legacy: Revision = format!("feature/x/{SHA1}").parse().unwrap();
        assert_eq!(
            (legacy.branch.as_str(), legacy.id.short()),
            ("feature/x", "0123456")
        );
        assert_eq!(SHA1.parse::<Revision>().unwrap().branch, "");
    }

    #[test]
    fn refuses_what_is_not_a_revision() {
        for text in [
            "",
            "main",
            "main@sha1:123",
            "main@md5:0",
            "main@sha1:XYZ",
            &format!("main@sha256:{SHA1}"),
        ] {
            assert!(text.parse::<Revision>().is_err(), "{text}");
        }
        assert!(SHA1.to_uppercase().parse::<CommitId>().is_err());
    }
}
