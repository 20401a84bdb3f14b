//! SSH signatures, judged by `ssh-keygen`: the key has to be listed for the address of the committer, and be in
//! force now, not at the time that the commit claims.

use std::{ffi::OsStr, fs, path::Path};

use super::{VerifyError, commit::Signed, run};
use crate::http::excerpt;

/// What a signature of git is made for.
const NAMESPACE: &str = "git";

/// Judges a signature by the list `allowed_signers` in `dir`. Returns why it does not count.
pub(super) fn verify(signed: &Signed, dir: &Path) -> Result<Option<String>, VerifyError> {
    let scratch = tempfile::tempdir().map_err(|error| super::KeysError::unusable(dir, &error))?;
    let file = scratch.path().join("signature");
    fs::write(&file, &signed.signature).map_err(|error| super::KeysError::unusable(dir, &error))?;
    let (allowed, revoked) = (dir.join("allowed_signers"), dir.join("revoked"));
    let mut args: Vec<&OsStr> = ["-Y", "verify", "-n", NAMESPACE, "-I", &signed.email]
        .map(OsStr::new)
        .to_vec();
    args.extend([
        OsStr::new("-f"),
        allowed.as_os_str(),
        OsStr::new("-s"),
        file.as_os_str(),
    ]);
    let (listed, _, said) = run("ssh-keygen", &args, &signed.payload)?;
    let mut in_force = listed;
    if listed && revoked.exists() {
        args.extend([OsStr::new("-r"), revoked.as_os_str()]);
        (in_force, _, _) = run("ssh-keygen", &args, &signed.payload)?;
    }
    if in_force {
        return Ok(None);
    }
    let mut args: Vec<&OsStr> = ["-Y", "check-novalidate", "-n", NAMESPACE, "-s"]
        .map(OsStr::new)
        .to_vec();
    args.push(file.as_os_str());
    let (intact, printed, _) = run("ssh-keygen", &args, &signed.payload)?;
    if !intact {
        return Ok(Some(
            "its signature is damaged, or was made for something else".to_owned(),
        ));
    }
    let key = printed
        .split_whitespace()
        .find(|word| word.starts_with("SHA256:"));
    let key = excerpt(key.unwrap_or("of the signature"), 60);
    let said = said.to_lowercase();
    Ok(Some(if listed {
        format!("its key {key} was revoked")
    } else if said.contains("expired") || said.contains("not yet valid") {
        format!("its key {key} is not in force any more, or not yet")
    } else {
        format!("its key {key} is not listed for {}", signed.email)
    }))
}
