//! The contract with Flux: Providers and Secrets as its documentation has them, and what Serin makes of each.

use serde_json::{Value, json};

use super::*;

fn provider(spec: &Value) -> Object {
    Object::from(json!({
        "apiVersion": "notification.toolkit.fluxcd.io/v1beta3", "kind": "Provider",
        "metadata": {"name": "status", "namespace": "flux-system"}, "spec": spec,
    }))
}

fn secret(name: &str, data: &[(&str, &str)]) -> Object {
    let data: serde_json::Map<String, Value> = data
        .iter()
        .map(|(key, text)| ((*key).to_owned(), BASE64_STANDARD.encode(text).into()))
        .collect();
    Object::from(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": "flux-system"}, "data": data,
    }))
}

/// What was made, in a line; secrets in the open.
fn line(made: Result<Lent, ForgeError>) -> String {
    let made = match made {
        Ok(made) => made,
        Err(error) => return error.to_string(),
    };
    let open = |file: &SecretFile| match file {
        SecretFile::Fixed(secret) => secret.expose().to_owned(),
        other => format!("{other:?}"),
    };
    let credential = match &made.credential {
        Credential::Token(token) => format!("token {}", open(token)),
        Credential::Basic { username, password } => format!("user {username} {}", open(password)),
        Credential::App(app) => format!(
            "app {} {:?} {}",
            app.id,
            app.installation,
            open(&app.private_key).lines().count()
        ),
    };
    let Route { proxy, tls, timeout } = &made.route;
    let mut words = vec![format!(
        "{:?} {} {} {credential}",
        made.kind, made.url, made.repository
    )];
    if let Proxy::At(address) = proxy {
        words.push(format!("proxy {}", address.expose()));
    }
    words.extend(tls.ca.as_ref().map(|_| "ca".to_owned()));
    words.extend(tls.identity.as_ref().map(|_| "certificate".to_owned()));
    words.extend(timeout.map(|timeout| format!("within {timeout:?}")));
    let ignored = made.ignored.iter().filter_map(|text| text.split(':').next());
    words.extend(ignored.map(|name| format!("ignores {name}")));
    words.join(" ")
}

fn pem() -> (String, String) {
    crate::http::install_crypto();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[test]
fn each_type_is_taken_as_its_documentation_has_it() {
    for (spec, data, expected) in [
        (
            json!({"type": "github", "address": "https://github.com/my-gh-org/my-gh-repo"}),
            &[("token", "ghp_1")][..],
            "GitHub https://github.com my-gh-org/my-gh-repo token ghp_1",
        ),
        (
            json!({"type": "github", "address": "ssh://git@github.com/my-gh-org/my-gh-repo.git"}),
            &[
                ("githubAppID", "12"),
                ("githubAppInstallationID", "34"),
                ("githubAppPrivateKey", "-----BEGIN\nkey\n-----END"),
            ],
            "GitHub https://github.com my-gh-org/my-gh-repo app 12 Id(\"34\") 3",
        ),
        (
            json!({"type": "github", "address": "https://ghe.example.com/org/repo"}),
            &[
                ("githubAppID", "12"),
                ("githubAppInstallationOwner", "org"),
                ("githubAppPrivateKey", "key"),
                ("githubAppBaseURL", "https://ghe.example.com/api/v3"),
            ],
            "GitHub https://ghe.example.com org/repo app 12 Owner(\"org\") 1",
        ),
        (
            json!({"type": "gitlab", "address": "https://gitlab.com/group/sub/project"}),
            &[("token", "glpat-1\n")],
            "GitLab https://gitlab.com group/sub/project token glpat-1",
        ),
        (
            json!({"type": "gitlab", "address": "https://gitlab.com/1234"}),
            &[("token", "glpat-1")],
            "GitLab https://gitlab.com 1234 token glpat-1",
        ),
        (
            json!({"type": "gitea", "address": "https://gitea.example.com:3000/team/apps", "timeout": "30s"}),
            &[("token", "t")],
            "Gitea https://gitea.example.com:3000 team/apps token t within 30s",
        ),
        (
            json!({"type": "bitbucket", "address": "https://bitbucket.org/workspace/apps"}),
            &[("token", "ada:app-password")],
            "Bitbucket https://bitbucket.org workspace/apps user ada app-password",
        ),
        (
            json!({"type": "bitbucket", "address": "https://bitbucket.org/workspace/apps"}),
            &[("token", "ATCTT-1")],
            "Bitbucket https://bitbucket.org workspace/apps token ATCTT-1",
        ),
        (
            json!({"type": "bitbucketserver", "address": "https://bb.example.com/context/scm/prj/apps.git"}),
            &[("token", "t")],
            "BitbucketServer https://bb.example.com/context prj/apps token t",
        ),
        (
            json!({"type": "bitbucketserver", "username": "ada", "address": "https://bb.example.com/scm/prj/apps.git"}),
            &[("password", "p")],
            "BitbucketServer https://bb.example.com prj/apps user ada p",
        ),
        (
            json!({"type": "bitbucketserver", "username": "ada", "address": "https://bb.example.com/scm/prj/apps.git"}),
            &[("username", "eve"), ("password", "p")],
            "BitbucketServer https://bb.example.com prj/apps user eve p",
        ),
        (
            json!({"type": "azuredevops", "address": "https://dev.azure.com/org/my%20project/_git/apps",
                "commitStatusExpr": "event.involvedObject.name"}),
            &[("token", "pat")],
            "AzureDevOps https://dev.azure.com org/my project/apps token pat ignores commitStatusExpr",
        ),
        (
            json!({"type": "gitea", "address": "https://wrong.example.com/a/b"}),
            &[("token", "t"), ("address", "https://right.example.com/team/apps")],
            "Gitea https://right.example.com team/apps token t",
        ),
        (
            json!({"type": "gitea", "address": "https://gitea.example.com/team/apps"}),
            &[("token", "t"), ("proxy", "http://old.example.com:3128")],
            "Gitea https://gitea.example.com team/apps token t proxy http://old.example.com:3128",
        ),
    ] {
        let mut spec = spec;
        spec["secretRef"] = json!({"name": "credentials"});
        let made = of_provider(&provider(&spec), &[secret("credentials", data)]);
        assert_eq!(line(made), expected);
    }
}

#[test]
fn certificates_and_proxies_have_secrets_of_their_own() {
    let (certificate, key) = pem();
    let token = secret("credentials", &[("token", "t")]);
    let proxy_data = [
        ("address", "https://proxy.example.com:3128"),
        ("username", "ada"),
        ("password", "p@ss/word"),
    ];
    let proxy = secret("proxy", &proxy_data);
    let spec = json!({"type": "gitea", "address": "https://gitea.example.com/team/apps",
        "secretRef": {"name": "credentials"}, "certSecretRef": {"name": "tls"}, "proxySecretRef": {"name": "proxy"}});
    let spec = provider(&spec);
    assert_eq!(
        secrets_of(&spec)
            .iter()
            .map(|key| key.name.as_str())
            .collect::<Vec<_>>(),
        ["credentials", "tls", "proxy"]
    );
    let expected = "Gitea https://gitea.example.com team/apps token t \
        proxy https://ada:p%40ss%2Fword@proxy.example.com:3128/";
    for (data, ends) in [
        (&[("ca.crt", certificate.as_str())][..], " ca"),
        (
            &[
                ("ca.crt", &certificate),
                ("tls.crt", &certificate),
                ("tls.key", &key),
            ],
            " ca certificate",
        ),
        (&[("tls.crt", &certificate), ("tls.key", &key)], " certificate"),
        (
            &[
                ("caFile", &certificate),
                ("certFile", &certificate),
                ("keyFile", &key),
            ],
            " ca certificate",
        ),
    ] {
        let secrets = [token.clone(), proxy.clone(), secret("tls", data)];
        assert_eq!(line(of_provider(&spec, &secrets)), format!("{expected}{ends}"));
    }
    let half = [
        token.clone(),
        proxy.clone(),
        secret("tls", &[("tls.crt", &certificate)]),
    ];
    assert!(line(of_provider(&spec, &half)).ends_with("one is missing"));
    let broken = [token, proxy, secret("tls", &[("ca.crt", "hidden")])];
    let text = line(of_provider(&spec, &broken));
    assert_eq!(
        text,
        "Provider flux-system/status: the CA bundle: it holds no certificate"
    );
}

#[test]
fn what_cannot_be_used_is_told_with_its_name_and_without_its_secrets() {
    let address = "https://gitea.example.com/team/apps";
    for (spec, data, expected) in [
        (
            json!({"type": "slack", "address": "https://hooks.example.com/hidden", "secretRef": {"name": "s"}}),
            &[("token", "hidden")][..],
            "type `slack` sets no commit statuses",
        ),
        (
            json!({"type": "gitea", "address": address, "suspend": true, "secretRef": {"name": "s"}}),
            &[("token", "hidden")],
            "it is suspended",
        ),
        (
            json!({"type": "gitea", "address": address}),
            &[],
            "it has no secretRef",
        ),
        (
            json!({"type": "azuredevops", "address": address, "serviceAccountName": "status"}),
            &[],
            "the identity of a service account cannot be used",
        ),
        (
            json!({"type": "gitea", "address": address, "secretRef": {"name": "other"}}),
            &[("token", "hidden")],
            "there is no Secret flux-system/other, its secretRef",
        ),
        (
            json!({"type": "gitea", "address": address, "secretRef": {"name": "s"}}),
            &[("password", "hidden")],
            "a password has no username",
        ),
        (
            json!({"type": "gitea", "address": address, "secretRef": {"name": "s"}}),
            &[("tokens", "hidden")],
            "there is no token",
        ),
        (
            json!({"type": "gitea", "secretRef": {"name": "s"}}),
            &[("token", "t"), ("address", "hidden")],
            "its address: it is not the address of a repository, such as https://HOST/OWNER/NAME or \
             git@HOST:OWNER/NAME",
        ),
        (
            json!({"type": "gitea", "address": address, "secretRef": {"name": "s"}}),
            &[("token", "t"), ("proxy", "socks5://ada:hidden@proxy")],
            "the proxy's address: only proxies that speak http or https can be used",
        ),
    ] {
        let error = of_provider(&provider(&spec), &[secret("s", data)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("Provider flux-system/status: {expected}")
        );
        assert!(!format!("{error:?}").contains("hidden"));
    }
}

#[test]
fn a_secret_of_its_own_needs_no_provider() {
    let given = |url: Option<&str>, repository: Option<&str>| Given {
        kind: ForgeKind::Gitea,
        url: url.map(str::to_owned),
        repository: repository.map(str::to_owned),
    };
    let flags = given(Some("https://gitea.example.com"), Some("team/apps"));
    for (given, data, expected) in [
        (
            flags.clone(),
            &[("token", "t"), ("proxy", "http://proxy:3128")][..],
            "Gitea https://gitea.example.com team/apps token t proxy http://proxy:3128",
        ),
        (
            flags.clone(),
            &[("username", "ada"), ("password", "p")],
            "Gitea https://gitea.example.com team/apps user ada p",
        ),
        (
            given(None, None),
            &[
                ("token", "t"),
                ("address", "https://right.example.com/team/apps.git"),
            ],
            "Gitea https://right.example.com team/apps token t",
        ),
        (
            given(None, None),
            &[("token", "t")],
            "Secret flux-system/forge: it has no address, --status-repo is missing, and the source's address does not \
             tell it",
        ),
        (flags, &[], "Secret flux-system/forge: there is no token"),
    ] {
        assert_eq!(line(of_secret(&given, None, &secret("forge", data))), expected);
    }
}

#[test]
fn without_an_address_a_secret_is_for_where_the_source_is_cloned_from() {
    let source = Some("https://git.example.com/team/apps.git");
    let given = |url: Option<&str>, repository: Option<&str>| Given {
        kind: ForgeKind::Gitea,
        url: url.map(str::to_owned),
        repository: repository.map(str::to_owned),
    };
    let address = ("address", "https://right.example.com/team/web.git");
    for (given, data, expected) in [
        (
            given(None, None),
            &[("token", "t")][..],
            "Gitea https://git.example.com team/apps token t",
        ),
        (
            given(Some("https://gitea.example.com"), None),
            &[("token", "t")],
            "Gitea https://gitea.example.com team/apps token t",
        ),
        (
            given(None, Some("team/other")),
            &[("token", "t")],
            "Secret flux-system/forge: it has no address, --status-url is missing, and the source's address does not \
             tell it",
        ),
        (
            given(None, None),
            &[("token", "t"), address],
            "Gitea https://right.example.com team/web token t",
        ),
    ] {
        assert_eq!(line(of_secret(&given, source, &secret("forge", data))), expected);
    }
}

#[test]
fn nothing_that_was_made_prints_its_secrets() {
    let spec = json!({"type": "gitea", "address": "https://gitea.example.com/team/apps",
        "secretRef": {"name": "s"}});
    let data = [("token", "hidden-1"), ("proxy", "http://ada:hidden-2@proxy")];
    let made = of_provider(&provider(&spec), &[secret("s", &data)]).unwrap();
    assert!(!format!("{made:?}").contains("hidden"));
}
