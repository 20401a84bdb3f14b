//! OpenPGP signatures, judged by `gpg` with a home of its own that holds the listed keys and no others.

use std::{ffi::OsStr, fs, path::Path};

use super::{KeysError, VerifyError, commit::Signed, run};

/// What is the same for every run.
const ALWAYS: [&str; 8] = [
    "--batch",
    "--no-tty",
    "--no-autostart",
    "--no-options",
    "--disable-dirmngr",
    "--no-auto-key-retrieve",
    "--trust-model",
    "always",
];

/// What `gpg` says of a signature that does not count, and what it means; the first that fits.
const SIGNS: [(&str, &str); 8] = [
    ("REVKEYSIG", "its key was revoked"),
    ("KEYREVOKED", "its key was revoked"),
    ("EXPKEYSIG", "its key has expired"),
    ("EXPSIG", "its signature has expired"),
    ("BADSIG", "its signature was made for something else"),
    ("NO_PUBKEY", "its key is not listed"),
    ("ERRSIG", "its signature cannot be judged"),
    ("NODATA", "its signature is damaged"),
];

/// Makes the home of `gpg` in `dir` from these keys.
pub(super) fn import(keys: &[Vec<u8>], dir: &Path) -> Result<(), VerifyError> {
    for key in keys {
        let mut args = always(dir);
        args.push(OsStr::new("--import"));
        let (good, _, said) = run("gpg", &args, key)?;
        if !good {
            let said = crate::http::excerpt(said.lines().next().unwrap_or_default(), 200);
            return Err(KeysError::Unusable {
                file: dir.to_owned(),
                message: format!("gpg takes no key from it: {said}"),
            }
            .into());
        }
    }
    Ok(())
}

/// Judges a signature by the keys of the home in `dir`. Returns why it does not count.
pub(super) fn verify(signed: &Signed, dir: &Path) -> Result<Option<String>, VerifyError> {
    let scratch = tempfile::tempdir().map_err(|error| KeysError::unusable(dir, &error))?;
    let file = scratch.path().join("signature");
    fs::write(&file, &signed.signature).map_err(|error| KeysError::unusable(dir, &error))?;
    let mut args = always(dir);
    args.extend(["--status-fd", "1", "--verify"].map(OsStr::new));
    args.extend([file.as_os_str(), OsStr::new("-")]);
    let (good, printed, _) = run("gpg", &args, &signed.payload)?;
    Ok(judge(good, &printed))
}

fn always(dir: &Path) -> Vec<&OsStr> {
    let mut args = vec![OsStr::new("--homedir"), dir.as_os_str()];
    args.extend(ALWAYS.map(OsStr::new));
    args
}

/// Reads the status lines: exactly one good and valid signature, and nothing that speaks against it.
fn judge(good: bool, status: &str) -> Option<String> {
    let words: Vec<&str> = status
        .lines()
        .filter_map(|line| line.strip_prefix("[GNUPG:] ")?.split(' ').next())
        .collect();
    let count = |word: &str| words.iter().filter(|found| **found == word).count();
    if let Some((_, why)) = SIGNS.iter().find(|(sign, _)| count(sign) > 0) {
        return Some((*why).to_owned());
    }
    let one = good && count("NEWSIG") == 1 && count("GOODSIG") == 1 && count("VALIDSIG") == 1;
    (!one).then(|| "its signature is damaged".to_owned())
}
