//! Finds the real components. Builds nothing: a missing one is an error that says how to get it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

/// Where the binaries, and what they read at run time, are.
#[derive(Clone, Debug)]
pub(crate) struct Assets {
    bin: PathBuf,
    kubebuilder: Option<PathBuf>,
}

impl Assets {
    /// Locates the cache of `scripts/cluster-up`, and `KUBEBUILDER_ASSETS` when it is set.
    pub(crate) fn locate() -> anyhow::Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cluster-up");
        let output = Command::new(&script)
            .arg("--print-dir")
            .output()
            .with_context(|| format!("{} cannot be run", script.display()))?;
        ensure!(
            output.status.success(),
            "scripts/cluster-up --print-dir failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(Self {
            bin: PathBuf::from(String::from_utf8(output.stdout)?.trim()),
            kubebuilder: std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from),
        })
    }

    /// Finds a binary; `KUBEBUILDER_ASSETS` wins.
    pub(crate) fn binary(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folders = self.kubebuilder.iter().chain([&self.bin]);
        let found = folders
            .map(|folder| folder.join(name))
            .find(|path| path.is_file());
        found.with_context(|| {
            format!(
                "the real component `{name}` is missing (looked in {}): run scripts/cluster-up, which builds it once",
                self.bin.display()
            )
        })
    }

    /// Finds the files that a component reads at run time.
    pub(crate) fn share(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.bin.with_file_name("share").join(name);
        if !folder.is_dir() {
            bail!(
                "the files of the real component `{name}` are missing ({}): run scripts/cluster-up",
                folder.display()
            );
        }
        Ok(folder)
    }
}
