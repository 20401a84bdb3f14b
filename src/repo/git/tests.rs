//! Real runs of git, and of programs that stand in for it.

use std::{fs, path::Path, time::Duration};

use super::*;
use crate::{
    http::{Secret, SecretFile},
    repo::testing::{Repo, script},
};

#[test]
fn git_is_asked_and_its_version_demanded() {
    let git = Git::find();
    assert!(git.version().unwrap() >= OLDEST);
    git.require(OLDEST, "this test").unwrap();
    let refused = git.require(Version(99, 0), "the future").unwrap_err();
    assert!(
        refused.to_string().ends_with("the future needs 99.0"),
        "{refused}"
    );
    let missing = Git::at("/no/such/git").version().unwrap_err();
    assert!(matches!(missing, GitError::NotStarted { .. }), "{missing}");
}

#[test]
fn it_reads_only_the_repository_that_it_is_given_and_none_of_the_configuration_around_it() {
    let repo = Repo::new();
    let id = repo.commit(&[("a", "1")]);
    let git = Git::find();
    let head = |dir: &Path| git.local(dir).args(["rev-parse", "--verify", "HEAD"]).text();
    assert_eq!(head(repo.dir()).unwrap(), id.as_str());
    fs::create_dir(repo.dir().join("sub")).unwrap();
    let below = head(&repo.dir().join("sub")).unwrap_err();
    assert!(matches!(below, GitError::Failed { .. }), "{below}");
    // What a repository's own configuration may not do: run a program.
    repo.git(&["config", "core.fsmonitor", "touch ran"]);
    repo.git(&["config", "core.pager", "touch ran"]);
    git.local(repo.dir()).args(["log", "-1"]).run().unwrap();
    git.local(repo.dir())
        .env("GIT_WORK_TREE", repo.dir())
        .args(["status"])
        .run()
        .unwrap();
    assert!(!repo.dir().join("ran").exists());
}

#[test]
fn output_input_and_failures_come_through() {
    let repo = Repo::new();
    let git = Git::find();
    let id = git
        .local(repo.dir())
        .args(["hash-object", "-w", "--stdin"])
        .input("content")
        .text()
        .unwrap();
    let blob = || git.local(repo.dir()).args(["cat-file", "blob", &id]);
    assert_eq!(blob().run().unwrap(), b"content");
    let cut = blob().limit(3).run().unwrap_err();
    assert!(matches!(cut, GitError::TooMuch { limit: 3, .. }), "{cut}");
    let failed = git
        .local(repo.dir())
        .args(["cat-file", "blob", "HEAD"])
        .run()
        .unwrap_err();
    let GitError::Failed { what, code, message } = failed else {
        panic!("{failed}")
    };
    assert_eq!((what.as_str(), code), ("git cat-file", Some(128)));
    assert!(
        message.starts_with("fatal: Not a valid object name HEAD"),
        "{message}"
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test may sleep")]
fn what_lasts_too_long_is_ended_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let text = format!(
        "sleep 600 & echo $! $$ > {0}.new; mv {0}.new {0}; wait",
        pids.display()
    );
    let git = Git::at(script(dir.path(), "git", &text));
    let ended = git
        .bare()
        .args(["fetch"])
        .timeout(Duration::from_millis(600))
        .run()
        .unwrap_err();
    assert!(matches!(ended, GitError::TimedOut { .. }), "{ended}");
    let pids = fs::read_to_string(pids).unwrap();
    for pid in pids.split_whitespace() {
        // One that is dead but not reaped yet (by whoever is its parent now) counts as ended.
        let lives = || {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !(state.is_empty() || state.contains(") Z "))
        };
        let waited = (0..200)
            .take_while(|_| lives())
            .inspect(|_| std::thread::sleep(Duration::from_millis(50)));
        assert!(waited.count() < 200, "{pid} lives on");
    }
}

#[test]
fn a_shutdown_ends_it_and_so_does_a_directory_that_grows_too_large() {
    let dir = tempfile::tempdir().unwrap();
    let git = Git::at(script(dir.path(), "git", "exec sleep 600"));
    git.stop().now();
    let stopped = git.bare().args(["fetch"]).run().unwrap_err();
    assert!(matches!(stopped, GitError::Stopped { .. }), "{stopped}");
    let grown = dir.path().join("objects");
    fs::create_dir(&grown).unwrap();
    let text = format!(
        "head -c 5000 /dev/zero > {}/pack; exec sleep 600",
        grown.display()
    );
    let git = Git::at(script(dir.path(), "git", &text));
    let large = git.bare().args(["fetch"]).grows(&grown, 4000).run().unwrap_err();
    assert!(matches!(large, GitError::TooLarge { limit: 4000, .. }), "{large}");
}

/// Runs a command that stands in for git, and returns its environment and its arguments.
fn seen(credentials: Credentials, url: &str) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let text = "env; echo ---; tr '\\0' ' ' < /proc/$$/cmdline";
    let git = Git::at(script(dir.path(), "git", text));
    let remote = Remote::new(url.parse().unwrap()).with_credentials(credentials);
    let printed = git
        .remote(dir.path(), &remote)
        .unwrap()
        .args(["fetch"])
        .arg(remote.url())
        .text()
        .unwrap();
    let (env, args) = printed.split_once("---").unwrap();
    (env.to_owned(), args.to_owned())
}

#[test]
fn a_secret_is_in_no_argument_and_meant_for_one_host() {
    let token = Credentials::Token {
        username: None,
        token: SecretFile::Fixed(Secret::new("hunter2")),
    };
    let (env, args) = seen(token.clone(), "https://bot@git.example.com:8443/a/b");
    assert!(!args.contains("hunter2"), "{args}");
    assert!(env.contains("SERIN_GIT_USERNAME=bot\n"), "{env}");
    assert!(
        env.contains("=credential.https://git.example.com:8443.helper\n"),
        "{env}"
    );
    assert!(env.contains("GIT_ALLOW_PROTOCOL=https:http\n"), "{env}");
    let (env, _) = seen(token, "git@git.example.com:a/b");
    assert!(!env.contains("hunter2"), "not where nothing asks for it: {env}");
    let key = Credentials::Ssh {
        key: "/keys/it's".into(),
        known_hosts: Some("/keys/hosts".into()),
    };
    let (env, _) = seen(key, "git@git.example.com:a/b");
    assert!(
        env.contains(
            r"-i '/keys/it'\''s' -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile='/keys/hosts'"
        ),
        "{env}"
    );
    assert!(env.contains("GIT_ALLOW_PROTOCOL=ssh\n"), "{env}");
}

#[test]
fn what_git_says_is_repeated_without_the_secret() {
    let dir = tempfile::tempdir().unwrap();
    let text = "echo \"fatal: Authentication failed for $SERIN_GIT_PASSWORD\" >&2; exit 128";
    let git = Git::at(script(dir.path(), "git", text));
    let remote = Remote::new("https://h/a/b".parse().unwrap()).with_credentials(Credentials::Token {
        username: None,
        token: SecretFile::Fixed(Secret::new("hunter2")),
    });
    let refused = git
        .outside(&remote)
        .unwrap()
        .args(["ls-remote"])
        .run()
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the credential was refused at https://h/a/b: fatal: Authentication failed for ***"
    );
}

#[test]
fn a_secret_that_cannot_be_read_is_said() {
    let remote = Remote::new("https://h/a/b".parse().unwrap()).with_credentials(Credentials::Token {
        username: None,
        token: SecretFile::Path("/no/such/token".into()),
    });
    let refused = Git::find().outside(&remote).unwrap_err();
    assert!(refused.to_string().contains("/no/such/token"), "{refused}");
}

#[test]
fn remotes_are_read_with_no_repository_around_and_local_commands_reach_none() {
    let repo = Repo::new();
    let id = repo.commit(&[("a", "1")]);
    let remote = Remote::new(repo.dir().display().to_string().parse().unwrap());
    let list = Git::find()
        .outside(&remote)
        .unwrap()
        .args(["ls-remote", "--"])
        .arg(remote.url())
        .arg("refs/heads/main")
        .text()
        .unwrap();
    assert_eq!(list, format!("{id}\trefs/heads/main"));
    let local = Git::find()
        .local(repo.dir())
        .args(["fetch", "--"])
        .arg(remote.url());
    let refused = local.run().unwrap_err().to_string();
    assert!(refused.contains("transport 'file' not allowed"), "{refused}");
}
