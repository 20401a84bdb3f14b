//! Secrets: values that are sent, never printed.

use std::{
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Error;

/// A token or password. `Debug` and `Display` print `***`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Makes a secret of a text, without the white space around it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().into())
    }

    /// Returns the secret itself; only for putting it into a request.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret is kept. It is read each time that it is needed, so a rotated token counts at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFile {
    /// A file that holds the secret and nothing else.
    Path(PathBuf),
    /// An environment variable of this process.
    Variable(String),
    /// A value that does not change; for tests and the embedded world.
    Fixed(Secret),
}

impl SecretFile {
    /// Greatest size of a file.
    pub const MAX_BYTES: u64 = 64 * 1024;

    /// Reads the secret, which is one line.
    pub fn read(&self) -> Result<Secret, Error> {
        let secret = self.read_text()?;
        if secret.expose().chars().any(char::is_control) {
            return Err(self.refuse("more than one line"));
        }
        Ok(secret)
    }

    /// Reads a secret of several lines, such as a key.
    pub fn read_text(&self) -> Result<Secret, Error> {
        let secret = match self {
            Self::Fixed(secret) => return Ok(secret.clone()),
            Self::Path(path) => read(path),
            Self::Variable(name) => std::env::var(name).map_err(|error| error.to_string()),
        };
        let secret = secret.map_err(|reason| self.refuse(&reason))?;
        if u64::try_from(secret.len()).unwrap_or(u64::MAX) > Self::MAX_BYTES {
            return Err(self.refuse(&format!("longer than {} bytes", Self::MAX_BYTES)));
        }
        match Secret::new(&secret) {
            secret if secret.is_empty() => Err(self.refuse("empty")),
            secret => Ok(secret),
        }
    }

    fn refuse(&self, reason: &str) -> Error {
        Error::Secret {
            place: match self {
                Self::Path(path) => format!("file {}", path.display()),
                Self::Variable(name) => format!("environment variable {name}"),
                Self::Fixed(_) => "value".to_owned(),
            },
            reason: reason.to_owned(),
        }
    }
}

/// Reads a file, and a little more of it than it may hold.
fn read(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(SecretFile::MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2\n");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_file_is_read_anew_each_time_and_without_its_last_newline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "one\r\n").unwrap();
        let file = SecretFile::Path(path.clone());
        assert_eq!(file.read().unwrap().expose(), "one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(file.read().unwrap().expose(), "two");
    }

    #[test]
    fn a_key_has_several_lines_and_a_variable_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let file = SecretFile::Path(path);
        assert_eq!(file.read_text().unwrap().expose(), "one\ntwo");
        assert!(file.read().is_err());
        let unset = SecretFile::Variable("SERIN_TEST_UNSET".to_owned());
        assert_eq!(
            unset.read().unwrap_err().to_string(),
            "secret environment variable SERIN_TEST_UNSET: environment variable not found"
        );
        let set = SecretFile::Variable("CARGO_PKG_NAME".to_owned());
        assert_eq!(set.read().unwrap().expose(), "serin");
    }

    #[test]
    fn bad_files_are_refused_by_name_and_without_their_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let file = SecretFile::Path(path.clone());
        assert!(file.read().unwrap_err().to_string().contains("token"));
        for bad in ["\n", "topsecret\nline", &"topsecret".repeat(10_000)] {
            std::fs::write(&path, bad).unwrap();
            let text = file.read().unwrap_err().to_string();
            assert!(!text.contains("topsecret"), "{text}");
        }
    }
}
