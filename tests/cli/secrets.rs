//! No secret is ever told: not in logs at their finest, not in what is written to the cluster or to git, not on the
//! command line, not even if the forge says back all that it was asked with.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use super::{
    cluster::{RUN, TestCluster},
    environment::TestEnvironment,
    web::WEB,
};

/// A forge, and a proxy, that refuses everything and says back all that it got.
struct Parrot {
    port: u16,
    heard: Arc<Mutex<String>>,
}

impl Parrot {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::<Mutex<String>>::default();
        let keep = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keep = Arc::clone(&keep);
                std::thread::spawn(move || answer(&stream, &keep));
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }
}

fn answer(stream: &TcpStream, heard: &Mutex<String>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or_default() == 0 {
            return;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok();
    let all = head + &String::from_utf8_lossy(&body);
    heard.lock().unwrap().push_str(&all);
    // People's own words, with the scheme taken off and put on, decoded and not.
    let decoded: Vec<String> = all
        .split_whitespace()
        .filter_map(|word| String::from_utf8(BASE64_STANDARD.decode(word).ok()?).ok())
        .collect();
    let text = json!({"message": format!("{decoded:?} {all}"), "errors": [all]}).to_string();
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    (&mut &*stream).write_all(answer.as_bytes()).ok();
}

/// A sidecar that writes what it says into files.
struct Sidecar {
    child: Child,
}

impl Sidecar {
    fn start(env: &TestEnvironment, mut command: Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(env.path("stdout")).unwrap())
            .stderr(File::create(env.path("stderr")).unwrap())
            .spawn()
            .unwrap();
        Self { child }
    }

    fn command_line(&self) -> String {
        let words = fs::read(format!("/proc/{}/cmdline", self.child.id())).unwrap();
        String::from_utf8_lossy(&words).replace('\0', " ")
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A credential, as it may be given.
struct Case {
    name: &'static str,
    /// Flags, with `PORT` for the port of the parrot.
    flags: &'static [&'static str],
    /// What the parrot must hear: that the credential is used at all.
    heard: &'static str,
}

const TOKEN: &str = "tok-a1b2c3d4\"e5/f6";
const PASSWORD: &str = "p\"ss+w/rd-77";
const URL: [&str; 6] = [
    "--status",
    "gitea",
    "--status-url",
    "http://127.0.0.1:PORT",
    "--status-repo",
    "team/apps",
];
const CASES: &[Case] = &[
    Case {
        name: "a file, a certificate, and a proxy with credentials",
        flags: &[
            "--status-token-file",
            "../token",
            "--status-proxy-file",
            "../proxy",
            "--status-cert-file",
            "../tls.crt",
            "--status-key-file",
            "../tls.key",
        ],
        heard: "proxy-authorization: Basic ",
    },
    Case {
        name: "the environment",
        flags: &["--status-token-env", "FORGE_TOKEN"],
        heard: TOKEN,
    },
    Case {
        name: "a token in a Secret",
        flags: &["--status-secret", "default/forge"],
        heard: TOKEN,
    },
    Case {
        name: "a password in a Secret",
        flags: &["--status-secret", "default/person"],
        heard: "authorization: Basic ",
    },
    Case {
        name: "a token in a Secret, for where the source is cloned from",
        flags: &["--status", "gitea", "--status-secret", "default/forge"],
        heard: TOKEN,
    },
    Case {
        name: "a GitHub App with its key in a file",
        flags: &[
            "--status",
            "github",
            "--status-url",
            "http://127.0.0.1:PORT",
            "--github-app-id",
            "12",
            "--github-app-private-key-file",
            "../app.pem",
        ],
        heard: "authorization: Bearer ey",
    },
    Case {
        name: "a GitHub App with its key in a Secret",
        flags: &["--status", "github", "--status-secret", "default/app"],
        heard: "authorization: Bearer ey",
    },
    Case {
        name: "a Provider with a proxy and a certificate",
        flags: &["--status-provider", "default/status"],
        heard: "proxy-authorization: Basic ",
    },
];

/// The key of a GitHub App that is nobody's.
const APP_KEY: &str = include_str!("../../src/report/contract/app-key.pem");

/// The secrets, in every form in which they might be told.
fn forms(keys: [&str; 2]) -> Vec<String> {
    let mut forms = Vec::new();
    for secret in [TOKEN, PASSWORD] {
        let address: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        forms.extend([secret.to_owned(), address, BASE64_STANDARD.encode(secret)]);
        for user in ["ada", "proxy"] {
            forms.push(BASE64_STANDARD.encode(format!("{user}:{secret}")));
        }
    }
    let lines = keys.into_iter().flat_map(str::lines);
    forms.extend(lines.filter(|line| !line.starts_with("-----")).map(str::to_owned));
    forms
}

#[test]
fn secrets_are_never_told() {
    let env = TestEnvironment::new();
    env.commit("Add web", &[("web.yaml", WEB)]);
    let parrot = Parrot::start();
    let made = rcgen::generate_simple_self_signed(vec!["serin".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let proxy = format!("http://127.0.0.1:{}", parrot.port);
    let mut proxy_address = url::Url::parse(&proxy).unwrap();
    proxy_address.set_username("proxy").unwrap();
    proxy_address.set_password(Some(PASSWORD)).unwrap();
    for (file, text) in [
        ("token", TOKEN),
        ("proxy", proxy_address.as_str()),
        ("tls.crt", &certificate),
        ("tls.key", &key),
        ("app.pem", APP_KEY),
    ] {
        env.write(file, text);
    }
    env.git(&["remote", "add", "origin", &format!("{proxy}/team/apps.git")]);
    let cluster = TestCluster::start(&env);
    let proxy_secret = json!({"address": proxy, "username": "proxy", "password": PASSWORD});
    cluster.secret(
        "forge",
        &json!({"token": TOKEN, "tls.crt": certificate, "tls.key": key}),
    );
    cluster.secret(
        "app",
        &json!({"githubAppID": "12", "githubAppPrivateKey": APP_KEY}),
    );
    cluster.secret("person", &json!({"username": "ada", "password": PASSWORD}));
    cluster.secret("proxy", &proxy_secret);
    cluster.provider(&json!({"type": "gitea", "address": proxy.clone() + "/team/apps",
        "secretRef": {"name": "forge"}, "certSecretRef": {"name": "forge"}, "proxySecretRef": {"name": "proxy"}}));
    let forms = forms([&key, APP_KEY]);
    for case in CASES {
        hold(&env, &cluster, &parrot, case, &forms);
    }
}

#[test]
fn a_token_that_is_rotated_in_the_cluster_counts_without_a_restart() {
    let env = TestEnvironment::new();
    env.commit("Add web", &[("web.yaml", WEB)]);
    let parrot = Parrot::start();
    let cluster = TestCluster::start(&env);
    let address = format!("http://127.0.0.1:{}/team/apps", parrot.port);
    cluster.provider(&json!({"type": "gitea", "address": address, "secretRef": {"name": "forge"}}));
    let mut command = env.serin(&RUN);
    command.args(["--status-provider", "default/status"]);
    let _sidecar = Sidecar::start(&env, command);
    let log = || fs::read_to_string(env.path("stderr")).unwrap();
    wait_until("the Secret is missed", || {
        log().contains("there is no Secret default/forge, its secretRef")
    });
    cluster.secret("forge", &json!({"token": "first-token"}));
    wait_until("the first token is used", || {
        parrot.heard().contains("token first-token")
    });
    // A refusal is tried again after minutes; a new token at once.
    cluster.replace_secret("forge", &json!({"token": "second-token"}));
    wait_until("the second token is used", || {
        parrot.heard().contains("token second-token")
    });
}

fn hold(env: &TestEnvironment, cluster: &TestCluster, parrot: &Parrot, case: &Case, forms: &[String]) {
    let port = parrot.port.to_string();
    let says_where = case.flags.contains(&"--status-provider") || case.flags.contains(&"--status");
    let at = if says_where { &[][..] } else { &URL[..] };
    let flags = at
        .iter()
        .chain(case.flags)
        .map(|flag| flag.replace("PORT", &port));
    let mut command = env.serin(&[
        "run",
        "--apply",
        "--kubeconfig",
        "../kubeconfig",
        "--listen",
        "127.0.0.1:0",
    ]);
    command
        .args(flags)
        .args(["--status", "notes", "--log-level", "trace,serin=trace"])
        .env("FORGE_TOKEN", TOKEN);
    parrot.heard.lock().unwrap().clear();
    // Something to say that was not said before.
    let image = format!("web:{}", case.name.len());
    env.commit(case.name, &[("web.yaml", &WEB.replace("web:1", &image))]);
    let sidecar = Sidecar::start(env, command);
    let log = || fs::read_to_string(env.path("stderr")).unwrap();
    wait_until(case.name, || {
        assert!(!log().contains("error:"), "{}: {}", case.name, log());
        parrot.heard().to_lowercase().contains(&case.heard.to_lowercase()) && log().contains("not delivered")
    });
    let told = [
        ("stderr", log()),
        ("stdout", fs::read_to_string(env.path("stdout")).unwrap()),
        ("command line", sidecar.command_line()),
        ("events", cluster.ask("GET", "/api/v1/events", "")),
        (
            "canaries",
            cluster.ask("GET", "/apis/flagger.app/v1beta1/canaries", ""),
        ),
        ("config maps", cluster.ask("GET", "/api/v1/configmaps", "")),
        ("notes", env.git(&["log", "--all", "--notes=serin"])),
    ];
    assert!(log().contains("TRACE"), "the finest log");
    // What an App proves itself with is made from its key, and as good as that for some minutes.
    let heard = parrot.heard();
    let issued = heard.split_whitespace().filter(|word| word.starts_with("ey"));
    let forms: Vec<&str> = forms.iter().map(String::as_str).chain(issued).collect();
    for (place, text) in told {
        // A JSON text in a JSON text escapes as often as it is deep.
        let text = text.replace('\\', "");
        for form in &forms {
            if let Some(at) = text.find(form) {
                let from = text[..at].rfind('\n').map_or(0, |at| at + 1);
                let line: String = text[from..].lines().next().unwrap().chars().take(2000).collect();
                panic!("{}: {place} tells a secret: {line}", case.name);
            }
        }
    }
}
