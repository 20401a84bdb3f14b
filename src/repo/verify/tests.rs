use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::*;
use crate::repo::testing::Repo;

const WHO: &str = "Ada <ada@example.com> 1800000000 +0000";

fn sh(program: &str, args: &[&str], dir: &Path, input: &str) -> String {
    use std::io::Write as _;
    let mut child = Command::new(program)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with an SSH key `ada` and a list of keys.
struct Ssh {
    dir: TempDir,
}

impl Ssh {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["ada", "eve"] {
            sh(
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name],
                dir.path(),
                "",
            );
        }
        Self { dir }
    }

    fn public(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(format!("{name}.pub"))).unwrap()
    }

    fn list(&self, name: &str, text: &str) -> PathBuf {
        let file = self.dir.path().join(name);
        fs::write(&file, text).unwrap();
        file
    }

    fn sign(&self, key: &str, payload: &str) -> String {
        sh(
            "ssh-keygen",
            &["-Y", "sign", "-q", "-n", "git", "-f", key],
            self.dir.path(),
            payload,
        )
    }
}

fn payload(subject: &str) -> String {
    let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    format!("tree {tree}\nauthor {WHO}\ncommitter {WHO}\n\n{subject}\n")
}

fn signed(payload: &str, signature: &str) -> (CommitId, Vec<u8>) {
    let lines = signature.trim_end().replace('\n', "\n ");
    let raw = payload.replacen("\n\n", &format!("\ngpgsig {lines}\n\n"), 1);
    let id = git2::Oid::hash_object(git2::ObjectType::Commit, raw.as_bytes()).unwrap();
    (id.into(), raw.into_bytes())
}

fn judged(keys: &[&Path], commit: &(CommitId, Vec<u8>)) -> Option<String> {
    let paths = keys.iter().map(|path| (*path).to_owned()).collect();
    Keys::read(paths).unwrap().judge(&commit.0, &commit.1).unwrap()
}

#[test]
fn ssh_signatures() {
    let ssh = Ssh::new();
    let text = payload("change");
    let good = signed(&text, &ssh.sign("ada", &text));
    let key = ssh.public("ada");
    let plain = ssh.list("list.pub", &key);
    assert_eq!(judged(&[&plain], &good), None);
    let allowed = ssh.list("allowed", &format!("# ours\nada@example.com {key}"));
    assert_eq!(judged(&[&allowed], &good), None);

    let said =
        |list: &str, commit: &(CommitId, Vec<u8>)| judged(&[&ssh.list("other", list)], commit).unwrap();
    let other = said(&format!("bob@example.com {key}"), &good);
    assert!(
        other.ends_with("is not listed for ada@example.com"),
        "wrong principal: {other}"
    );
    let expired = said(&format!("ada@example.com valid-before=\"20200101\" {key}"), &good);
    assert!(expired.contains("not in force any more"), "{expired}");
    let unlisted = said(&ssh.public("eve"), &good);
    assert!(unlisted.contains("is not listed for"), "{unlisted}");
    let revoked = ssh.list("ada.revoked", &key);
    let revoked = judged(&[&plain, &revoked], &good).unwrap();
    assert!(revoked.contains("revoked"), "{revoked}");

    let replayed = signed(&payload("another"), &ssh.sign("ada", &text));
    assert_eq!(
        judged(&[&plain], &replayed).unwrap(),
        "its signature is damaged, or was made for something else"
    );
    let whole = ssh.sign("ada", &text);
    let cut: String = whole
        .lines()
        .filter(|line| !line.starts_with("-----END"))
        .take(2)
        .collect::<Vec<_>>()
        .join("\n");
    let truncated = signed(&text, &cut);
    assert_eq!(
        judged(&[&plain], &truncated).unwrap(),
        "its signature is damaged, or was made for something else"
    );
    let file = sh(
        "ssh-keygen",
        &["-Y", "sign", "-q", "-n", "file", "-f", "ada"],
        ssh.dir.path(),
        &text,
    );
    let elsewhere = judged(&[&plain], &signed(&text, &file)).unwrap();
    assert!(
        elsewhere.contains("made for something else"),
        "another namespace: {elsewhere}"
    );
}

#[test]
fn commits_that_only_look_signed() {
    let ssh = Ssh::new();
    let plain = ssh.list("list.pub", &ssh.public("ada"));
    let text = payload("change");
    let raw = text.clone().into_bytes();
    let id: CommitId = git2::Oid::hash_object(git2::ObjectType::Commit, &raw)
        .unwrap()
        .into();
    assert_eq!(judged(&[&plain], &(id.clone(), raw)).unwrap(), "it is not signed");
    let good = signed(&text, &ssh.sign("ada", &text));
    let passed_off = (id, good.1.clone());
    assert_eq!(
        judged(&[&plain], &passed_off).unwrap(),
        "the object is not the commit that its id names"
    );
    let twice = signed(
        &String::from_utf8(good.1.clone()).unwrap(),
        &ssh.sign("ada", &text),
    );
    assert_eq!(judged(&[&plain], &twice).unwrap(), "it has several signatures");
    let odd = signed(
        &text,
        "-----BEGIN SIGNED MESSAGE-----\nx\n-----END SIGNED MESSAGE-----",
    );
    assert_eq!(
        judged(&[&plain], &odd).unwrap(),
        "its signature is neither of SSH nor of OpenPGP"
    );
    let in_body = format!("{text}gpgsig {}", ssh.sign("ada", &text));
    let id: CommitId = git2::Oid::hash_object(git2::ObjectType::Commit, in_body.as_bytes())
        .unwrap()
        .into();
    assert_eq!(
        judged(&[&plain], &(id, in_body.into_bytes())).unwrap(),
        "it is not signed"
    );
    let hostile = payload("change").replace("committer Ada <ada@example.com>", "committer Ada <*>");
    let wild = signed(&hostile, &ssh.sign("ada", &hostile));
    assert_eq!(
        judged(&[&plain], &wild).unwrap(),
        "it has no committer with an address"
    );
}

/// A home of gpg, whose agent ends with it.
struct Gpg(TempDir);

impl Gpg {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(dir.path(), private).unwrap();
        Self(dir)
    }

    fn run(&self, args: &[&str], input: &str) -> String {
        let home = self.0.path().to_str().unwrap().to_owned();
        let mut all = vec![
            "--homedir",
            &home,
            "--batch",
            "--no-tty",
            "--yes",
            "--pinentry-mode",
            "loopback",
        ];
        all.extend(["--passphrase", ""]);
        all.extend(args);
        sh("gpg", &all, self.0.path(), input)
    }

    fn key(&self, more: &[&str], expires: &str) {
        let mut args = more.to_vec();
        args.extend([
            "--quick-generate-key",
            "Ada <ada@example.com>",
            "ed25519",
            "sign",
            expires,
        ]);
        self.run(&args, "");
    }

    fn export(&self) -> PathBuf {
        let file = self.0.path().join("ada.asc");
        fs::write(&file, self.run(&["--armor", "--export"], "")).unwrap();
        file
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let home = self.0.path().to_str().unwrap();
        Command::new("gpgconf")
            .args(["--homedir", home, "--kill", "all"])
            .output()
            .ok();
    }
}

#[test]
fn openpgp_signatures() {
    let text = payload("change");
    let sign = ["--armor", "--detach-sign"];
    let gpg = Gpg::new();
    gpg.key(&[], "never");
    let good = signed(&text, &gpg.run(&sign, &text));
    let list = gpg.export();
    assert_eq!(judged(&[&list], &good), None);
    let replayed = signed(&payload("another"), &gpg.run(&sign, &text));
    assert_eq!(
        judged(&[&list], &replayed).unwrap(),
        "its signature was made for something else"
    );
    let whole = gpg.run(&sign, &text);
    let cut: Vec<&str> = whole.lines().take(3).collect();
    assert_eq!(
        judged(&[&list], &signed(&text, &cut.join("\n"))).unwrap(),
        "its signature is damaged"
    );

    let stranger = Gpg::new();
    stranger.key(&[], "never");
    let foreign = signed(&text, &stranger.run(&sign, &text));
    assert_eq!(judged(&[&list], &foreign).unwrap(), "its key is not listed");

    let old = Gpg::new();
    let then = ["--faked-system-time", "20200101T000000!"];
    old.key(&then, "1d");
    let stale = signed(&text, &old.run(&[&then[..], &sign[..]].concat(), &text));
    assert_eq!(judged(&[&old.export()], &stale).unwrap(), "its key has expired");

    let folder = gpg.0.path().join("openpgp-revocs.d");
    let file = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let revocation = fs::read_to_string(file)
        .unwrap()
        .replace(":-----BEGIN", "-----BEGIN");
    gpg.run(&["--import"], &revocation);
    assert_eq!(judged(&[&gpg.export()], &good).unwrap(), "its key was revoked");
}

#[test]
fn keys_are_read_again_when_they_change_and_bad_lists_are_told() {
    let ssh = Ssh::new();
    let text = payload("change");
    let good = signed(&text, &ssh.sign("ada", &text));
    let folder = ssh.dir.path().join("keys");
    fs::create_dir(&folder).unwrap();
    assert_eq!(
        Keys::read(vec![folder.clone()]).unwrap_err(),
        VerifyError::Keys(KeysError::None)
    );
    fs::write(folder.join("eve.sshpub"), ssh.public("eve")).unwrap();
    let keys = Keys::read(vec![folder.clone()]).unwrap();
    assert!(keys.judge(&good.0, &good.1).unwrap().is_some());
    fs::write(folder.join("ada.sshpub"), ssh.public("ada")).unwrap();
    assert_eq!(keys.judge(&good.0, &good.1).unwrap(), None);
    assert!(Keys::read(vec![folder.join("nowhere")]).is_err());
    fs::write(folder.join("bad.asc"), "no key").unwrap();
    assert!(
        keys.judge(&good.0, &good.1).is_err(),
        "a list that cannot be read verifies nothing"
    );
}

/// Verifies commits whose subject begins with `signed`.
#[derive(Debug)]
struct BySubject;

impl Verifier for BySubject {
    fn verify(&self, repository: &dyn Repository, id: &CommitId) -> Result<Option<String>, VerifyError> {
        let subject = repository.history(id, 1)?.remove(0).subject;
        Ok((!subject.starts_with("signed")).then(|| "it is not signed".to_owned()))
    }
}

fn found(repo: &Repo, from: Option<&CommitId>) -> Vec<CommitId> {
    let found = unverified(&repo.checkout(""), &BySubject, from, &repo.head()).unwrap();
    found.into_iter().map(|(id, _)| id).collect()
}

#[test]
fn an_unsigned_commit_in_the_middle_of_a_range_spoils_it_until_it_is_taken_back() {
    let repo = Repo::new();
    let base = repo.commit_as("signed", &[("a", "1")]);
    assert_eq!(found(&repo, None), []);
    let bad = repo.commit_as("sneaked in", &[("a", "2")]);
    assert_eq!(found(&repo, Some(&base)), std::slice::from_ref(&bad));
    repo.commit_as("signed", &[("b", "1")]);
    assert_eq!(
        found(&repo, Some(&base)),
        std::slice::from_ref(&bad),
        "who signs a later one does not answer for it"
    );
    repo.remove("b");
    repo.commit_as("signed revert", &[("a", "1")]);
    assert_eq!(found(&repo, Some(&base)), []);
    repo.commit_as("signed again", &[("a", "3")]);
    assert_eq!(found(&repo, Some(&base)), []);
    repo.commit_as("nobody signed that nothing changes", &[]);
    assert_eq!(found(&repo, Some(&base)), []);
}

#[test]
fn an_unsigned_merge_of_signed_commits_is_not_verified_and_a_signed_merge_answers_for_its_branch() {
    let repo = Repo::new();
    let base = repo.commit_as("signed", &[("a", "1")]);
    repo.git(&["switch", "-q", "-c", "side"]);
    repo.commit_as("signed on the side", &[("b", "1")]);
    repo.git(&["switch", "-q", "main"]);
    repo.git(&["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    let merge = repo.head();
    assert_eq!(found(&repo, Some(&base)), [merge]);
    repo.git(&["reset", "-q", "--hard", base.as_str()]);
    repo.git(&["merge", "-q", "--no-ff", "-m", "signed merge", "side"]);
    assert_eq!(found(&repo, Some(&base)), []);
}

#[test]
fn a_history_that_is_not_known_is_not_verified() {
    let repo = Repo::new();
    repo.commit_as("signed", &[("a", "1")]);
    let gone: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
    let said = unverified(&repo.checkout(""), &BySubject, Some(&gone), &repo.head()).unwrap();
    assert_eq!(
        said[0].1,
        "its history since 0123456, which was verified last, is not known here"
    );
}

#[test]
fn a_real_signed_commit_is_read_from_a_checkout() {
    let ssh = Ssh::new();
    let repo = Repo::new();
    let key = ssh.dir.path().join("ada").to_str().unwrap().to_owned();
    repo.write("a", "1");
    repo.git(&["add", "-A"]);
    let sign = format!("user.signingkey={key}");
    repo.git(&[
        "-c",
        "gpg.format=ssh",
        "-c",
        &sign,
        "-c",
        "user.email=ada@example.com",
        "commit",
        "-q",
        "-S",
        "-m",
        "x",
    ]);
    let list = ssh.list("allowed", &format!("ada@example.com {}", ssh.public("ada")));
    let keys = Keys::read(vec![list]).unwrap();
    assert_eq!(
        unverified(&repo.checkout(""), &keys, None, &repo.head()).unwrap(),
        []
    );
    let bad = repo.commit(&[("a", "2")]);
    let said = unverified(&repo.checkout(""), &keys, None, &bad).unwrap();
    assert_eq!(said, [(bad, "it is not signed".to_owned())]);
}
