//! Takes a commit object apart: what was signed, the signature, and who says to have committed. Pure.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::repo::CommitId;

/// The largest signature that is looked at.
const MAX_SIGNATURE: usize = 64 << 10;

/// A signed commit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed {
    /// The commit without its signature.
    pub(super) payload: Vec<u8>,
    /// The signature, armoured.
    pub(super) signature: String,
    /// The address of the committer.
    pub(super) email: String,
}

/// Takes an object apart, or says why it is not verified.
pub(super) fn parse(id: &CommitId, raw: &[u8]) -> Result<Signed, &'static str> {
    if !is_object(id, raw) {
        return Err("the object is not the commit that its id names");
    }
    let end = raw
        .windows(2)
        .position(|two| two == b"\n\n")
        .map_or(raw.len(), |at| at + 1);
    let (header, body) = raw.split_at(end);
    let mut payload = Vec::with_capacity(raw.len());
    let mut signature: Option<String> = None;
    let mut committer = None;
    let mut in_signature = false;
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        if in_signature && line.starts_with(b" ") {
            if let Some(signature) = &mut signature {
                signature.push_str(text.get(1..).unwrap_or_default());
            }
            continue;
        }
        in_signature = false;
        let signed = ["gpgsig ", "gpgsig-sha256 "]
            .iter()
            .find_map(|name| text.strip_prefix(name));
        if let Some(first) = signed {
            if signature.is_some() {
                return Err("it has several signatures");
            }
            signature = Some(first.to_owned());
            in_signature = true;
            continue;
        }
        if let Some(who) = text.strip_prefix("committer ") {
            if committer.is_some() {
                return Err("it has several committers");
            }
            committer = email(who);
        }
        payload.extend_from_slice(line);
    }
    payload.extend_from_slice(body);
    let signature = signature.ok_or("it is not signed")?;
    if signature.len() > MAX_SIGNATURE {
        return Err("its signature is too large");
    }
    Ok(Signed {
        payload,
        signature,
        email: committer.ok_or("it has no committer with an address")?,
    })
}

fn is_object(id: &CommitId, raw: &[u8]) -> bool {
    if id.as_str().len() > 40 {
        let mut hasher = Sha256::new();
        hasher.update(format!("commit {}\0", raw.len()));
        hasher.update(raw);
        let mut hex = String::new();
        for byte in hasher.finalize() {
            write!(hex, "{byte:02x}").ok();
        }
        return hex == id.as_str();
    }
    git2::Oid::hash_object(git2::ObjectType::Commit, raw).is_ok_and(|found| CommitId::from(found) == *id)
}

/// The address of `Name <address> time zone`.
fn email(who: &str) -> Option<String> {
    let (before, _) = who.rsplit_once('>')?;
    let (_, email) = before.rsplit_once('<')?;
    let fit = !email.is_empty()
        && email.len() <= 254
        && !email.starts_with('-')
        && email
            .chars()
            .all(|c| c.is_ascii_graphic() && !"*?!,\"".contains(c));
    fit.then(|| email.to_owned())
}
