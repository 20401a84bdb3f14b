//! Calls with the headers and bodies that the forges document.

use super::*;

const NOW: i64 = 1_800_000_000;

const GITEA: &str = r#"{
  "ref": "refs/heads/main", "before": "28e1879d029cb852e4844d9c718537df08844e03",
  "after": "bffeb74224043ba2feb48d137756c8a9331c449a",
  "compare_url": "http://git.example.com/team/apps/compare/28e1879d...bffeb742",
  "commits": [{"id": "bffeb74224043ba2feb48d137756c8a9331c449a", "message": "Webhooks Yay!",
    "added": [], "removed": [], "modified": ["a.yaml"]}],
  "repository": {"id": 140, "name": "apps", "full_name": "team/apps", "private": false,
    "html_url": "http://git.example.com/team/apps", "ssh_url": "ssh://gitea@git.example.com:2222/team/apps.git",
    "clone_url": "http://git.example.com/team/apps.git", "default_branch": "main"},
  "pusher": {"id": 1, "login": "ada", "email": "ada@example.com"}
}"#;

const GITHUB: &str = r#"{
  "ref": "refs/heads/main", "before": "0000000000000000000000000000000000000000",
  "after": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "created": false, "deleted": false, "forced": false,
  "repository": {"id": 17273051, "name": "apps", "full_name": "Team/Apps", "private": true,
    "owner": {"name": "team", "login": "team"}, "html_url": "https://git.example.com/Team/Apps"},
  "pusher": {"name": "ada"}, "head_commit": null, "commits": []
}"#;

const GITLAB: &str = r#"{
  "object_kind": "push", "event_name": "push", "before": "95790bf891e76fee5e1747ab589903a6a1f80f22",
  "after": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7", "ref": "refs/heads/main", "ref_protected": true,
  "checkout_sha": "da1560886d4f094c3e6c9ef40349f7d38b5d27d7", "project_id": 15,
  "project": {"id": 15, "name": "Apps", "path_with_namespace": "team/apps", "default_branch": "main",
    "git_ssh_url": "git@git.example.com:team/apps.git", "git_http_url": "https://git.example.com/team/apps.git"},
  "repository": {"name": "Apps", "url": "git@git.example.com:team/apps.git"},
  "commits": [], "total_commits_count": 4
}"#;

fn secret() -> Secret {
    Secret::new("It's a Secret to Everybody")
}

fn signature(body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret().expose().as_bytes());
    let tag = hmac::sign(&key, body);
    tag.as_ref()
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn following(branch: &str) -> Following {
    Following {
        branch: Some(branch.to_owned()),
        repository: Some("team/apps".to_owned()),
    }
}

fn judged(headers: &[(&str, &str)], body: &[u8], secret: Option<&Secret>, following: &Following) -> Verdict {
    let header = |name: &str| {
        headers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    };
    let call = Call {
        header: &header,
        body,
        is_local: false,
    };
    judge(&call, secret, following, Timestamp::from_second(NOW).unwrap())
}

/// The signed call of each forge.
fn calls() -> Vec<(Vec<(&'static str, String)>, &'static str)> {
    let of = |name, value: &str| (name, value.to_owned());
    vec![
        (
            vec![
                of("x-gitea-event", "push"),
                // Gitea sends these too.
                of("x-github-event", "push"),
                of("x-gogs-event", "push"),
                ("x-gitea-signature", signature(GITEA.as_bytes())),
            ],
            GITEA,
        ),
        (
            vec![
                of("x-github-event", "push"),
                (
                    "x-hub-signature-256",
                    format!("sha256={}", signature(GITHUB.as_bytes())),
                ),
            ],
            GITHUB,
        ),
        (
            vec![
                of("x-gitlab-event", "Push Hook"),
                of("x-gitlab-token", secret().expose()),
            ],
            GITLAB,
        ),
        (
            vec![("x-signature", format!("sha256={}", signature(GITEA.as_bytes())))],
            GITEA,
        ),
    ]
}

fn plain<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}

#[test]
fn a_signed_push_makes_us_look() {
    for (headers, body) in calls() {
        let verdict = judged(
            &plain(&headers),
            body.as_bytes(),
            Some(&secret()),
            &following("main"),
        );
        assert_eq!(verdict, Verdict::Look, "{headers:?}");
        let any = Following::default();
        assert_eq!(
            judged(&plain(&headers), body.as_bytes(), Some(&secret()), &any),
            Verdict::Look
        );
    }
}

#[test]
fn a_push_of_another_branch_or_repository_does_not() {
    for (headers, body) in calls() {
        let verdict = judged(
            &plain(&headers),
            body.as_bytes(),
            Some(&secret()),
            &following("release"),
        );
        assert_eq!(verdict, Verdict::Ignore("branch `main` is not followed".into()));
        let other = Following {
            branch: None,
            repository: Some("team/other".into()),
        };
        let verdict = judged(&plain(&headers), body.as_bytes(), Some(&secret()), &other);
        assert!(
            matches!(&verdict, Verdict::Ignore(why) if why.starts_with("repository `")),
            "{verdict:?}"
        );
    }
}

#[test]
fn who_does_not_know_the_secret_is_refused() {
    for (headers, body) in calls() {
        let wrong = Secret::new("hunter2");
        let verdict = judged(
            &plain(&headers),
            body.as_bytes(),
            Some(&wrong),
            &following("main"),
        );
        assert!(matches!(verdict, Verdict::Refuse(_)), "{verdict:?}");
        let unsigned: Vec<_> = plain(&headers)
            .into_iter()
            .filter(|(name, _)| name.ends_with("event"))
            .collect();
        let verdict = judged(&unsigned, body.as_bytes(), Some(&secret()), &following("main"));
        assert!(matches!(verdict, Verdict::Refuse(_)), "{verdict:?}");
        if !headers.iter().any(|(name, _)| *name == "x-gitlab-token") {
            let changed = body.replace("main", "mean");
            let verdict = judged(
                &plain(&headers),
                changed.as_bytes(),
                Some(&secret()),
                &following("main"),
            );
            assert_eq!(verdict, Verdict::Refuse("the signature is wrong"));
        }
    }
}

#[test]
fn without_a_secret_only_this_machine_may_call() {
    let none = |name: &str| (name == "content-type").then_some("application/x-www-form-urlencoded");
    let now = Timestamp::from_second(NOW).unwrap();
    let call = |is_local, body| Call {
        header: &none,
        body,
        is_local,
    };
    let following = following("main");
    assert_eq!(judge(&call(true, b""), None, &following, now), Verdict::Look);
    assert_eq!(judge(&call(true, b"x=1"), None, &following, now), Verdict::Look);
    let refused = judge(&call(false, b""), None, &following, now);
    assert_eq!(
        refused,
        Verdict::Refuse("without --notify-secret-file only this machine may call")
    );
    let refused = judge(&call(true, b""), Some(&secret()), &following, now);
    assert_eq!(
        refused,
        Verdict::Refuse("the call is not signed"),
        "with one, this machine must sign too"
    );
}

#[test]
fn the_signature_that_github_documents_is_right() {
    let body = b"Hello, World!";
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = [("x-github-event", "push"), ("x-hub-signature-256", signature)];
    let verdict = judged(&headers, body, Some(&secret()), &Following::default());
    assert_eq!(
        verdict,
        Verdict::Malformed("the body is not the JSON of a push"),
        "signed, but no push"
    );
}

#[test]
fn other_events_are_answered_and_nothing_is_done() {
    for (event, name, why) in [
        ("x-github-event", "ping", "pong"),
        ("x-github-event", "issues", "event `issues` is not followed"),
        (
            "x-gitea-event",
            "pull_request",
            "event `pull_request` is not followed",
        ),
    ] {
        let signature = signature(b"{}");
        let (plain, prefixed) = (signature.clone(), format!("sha256={signature}"));
        let headers = [
            (event, name),
            ("x-hub-signature-256", prefixed.as_str()),
            ("x-gitea-signature", plain.as_str()),
        ];
        let verdict = judged(&headers, b"{}", Some(&secret()), &Following::default());
        assert_eq!(verdict, Verdict::Ignore(why.into()));
    }
    let token = secret();
    let headers = [
        ("x-gitlab-event", "System Hook"),
        ("x-gitlab-token", token.expose()),
    ];
    let body = br#"{"object_kind": "tag_push", "ref": "refs/tags/v1"}"#;
    let verdict = judged(&headers, body, Some(&token), &Following::default());
    assert_eq!(verdict, Verdict::Ignore("not a push".into()));
    let body = br#"{"object_kind": "push", "ref": "refs/tags/v1"}"#;
    let verdict = judged(&headers, body, Some(&token), &Following::default());
    assert_eq!(verdict, Verdict::Ignore("`refs/tags/v1` is not a branch".into()));
}

#[test]
fn a_form_holds_the_push_too() {
    let payload: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", GITHUB)
        .finish();
    let signature = format!("sha256={}", signature(payload.as_bytes()));
    let headers = [
        ("x-github-event", "push"),
        ("x-hub-signature-256", signature.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let look = |branch: &str| judged(&headers, payload.as_bytes(), Some(&secret()), &following(branch));
    assert_eq!(look("main"), Verdict::Look);
    assert!(matches!(look("other"), Verdict::Ignore(_)));
}

#[test]
fn a_signature_with_a_time_is_good_for_five_minutes() {
    let at = |seconds: i64, signed: i64| {
        let (time, body) = (seconds.to_string(), b"{}");
        let message = [signed.to_string().as_bytes(), b".", &body[..]].concat();
        let signature = format!("sha256={}", signature(&message));
        let headers = [
            ("x-timestamp", time.as_str()),
            ("x-signature", signature.as_str()),
        ];
        judged(&headers, body, Some(&secret()), &Following::default())
    };
    assert_eq!(at(NOW - 299, NOW - 299), Verdict::Look);
    assert_eq!(
        at(NOW - 301, NOW - 301),
        Verdict::Refuse("X-Timestamp is more than five minutes off")
    );
    assert_eq!(
        at(NOW + 301, NOW + 301),
        Verdict::Refuse("X-Timestamp is more than five minutes off")
    );
    assert_eq!(
        at(NOW, NOW - 301),
        Verdict::Refuse("the signature is wrong"),
        "a fresh time is not enough"
    );
    assert!(matches!(at(i64::MAX, i64::MAX), Verdict::Refuse(_)));
}

#[test]
fn nonsense_is_refused_without_a_crash() {
    for body in [
        &b"\xff\xfe"[..],
        b"[]",
        b"null",
        b"{\"ref\": 5}",
        b"{\"repository\": 1}",
        "[".repeat(10_000).as_bytes(),
    ] {
        let signature = format!("sha256={}", signature(body));
        let headers = [
            ("x-github-event", "push"),
            ("x-hub-signature-256", signature.as_str()),
        ];
        let verdict = judged(&headers, body, Some(&secret()), &following("main"));
        assert_eq!(verdict, Verdict::Malformed("the body is not the JSON of a push"));
    }
    for signature in [
        "",
        "sha256=",
        "sha256=0",
        "sha256=zz",
        "sha1=00",
        "sha256=é",
        &"a".repeat(5000),
    ] {
        let headers = [("x-github-event", "push"), ("x-hub-signature-256", signature)];
        let verdict = judged(&headers, b"{}", Some(&secret()), &following("main"));
        assert!(matches!(verdict, Verdict::Refuse(_)), "{signature}");
    }
}

/// GitHub signs the form, Gitea and Forgejo what is in it (`newDefaultRequest` there).
#[test]
fn gitea_signs_what_is_in_a_form() {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    let form = form.append_pair("payload", GITEA).finish();
    let judge = |signed: &str| {
        let signature = signature(signed.as_bytes());
        let headers = [
            ("x-gitea-event", "push"),
            ("x-gitea-signature", signature.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        judged(&headers, form.as_bytes(), Some(&secret()), &following("main"))
    };
    assert_eq!(judge(GITEA), Verdict::Look);
    assert_eq!(judge(GITHUB), Verdict::Refuse("the signature is wrong"));
}
