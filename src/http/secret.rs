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
#[derive(Clone, PartialEq, Eq)]
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
    /// A value that does not change; for tests and the embedded world.
    Fixed(Secret),
}

impl SecretFile {
    /// Greatest size of a file.
    pub const MAX_BYTES: u64 = 64 * 1024;

    /// Reads the secret.
    pub fn read(&self) -> Result<Secret, Error> {
        match self {
            Self::Fixed(secret) => Ok(secret.clone()),
            Self::Path(path) => read(path),
        }
    }
}

fn read(path: &Path) -> Result<Secret, Error> {
    let refuse = |reason: String| Error::Secret {
        path: path.display().to_string(),
        reason,
    };
    let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
    let mut text = String::new();
    let read = file
        .take(SecretFile::MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| refuse(error.to_string()))?;
    if u64::try_from(read).unwrap_or(u64::MAX) > SecretFile::MAX_BYTES {
        return Err(refuse(format!("longer than {} bytes", SecretFile::MAX_BYTES)));
    }
    let secret = Secret::new(&text);
    if secret.is_empty() {
        return Err(refuse("empty".to_owned()));
    }
    if secret.expose().chars().any(char::is_control) {
        return Err(refuse("more than one line".to_owned()));
    }
    Ok(secret)
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
