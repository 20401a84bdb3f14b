//! A Gitea of its own: repositories over HTTP(S) and SSH, and commit statuses.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::assets::Assets;
use super::pki::Pki;
use super::process::{Sandbox, free_ports, hermetic};

const OWNER: &str = "gitops";
const PASSWORD: &str = "only-on-loopback";
/// Gitea refuses to run as root unless told so. A user of its own could not read a cache below `/root`, and
/// this one lives for one test on loopback; as another user the setting has no effect.
const AS_ROOT: &str = "GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT";

/// A running Gitea with one user, who owns the repositories.
#[derive(Debug)]
pub(crate) struct Gitea {
    sandbox: Sandbox,
    url: String,
    token: String,
    http: reqwest::Client,
    secure: Option<Secure>,
}

/// What only a Gitea has that speaks https and ssh.
#[derive(Debug)]
struct Secure {
    ca: PathBuf,
    ssh: u16,
    known_hosts: PathBuf,
}

/// A commit status as Gitea keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommitStatus {
    pub(crate) context: String,
    /// Gitea reads it as `state` and answers it as `status`.
    #[serde(alias = "status")]
    pub(crate) state: String,
    pub(crate) description: String,
    pub(crate) target_url: String,
}

impl Gitea {
    /// The owner of the repositories.
    pub(crate) const OWNER: &str = OWNER;

    /// Starts one and waits until it answers.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let [port] = free_ports()?;
        let http = format!("PROTOCOL = http\nDISABLE_SSH = true\nROOT_URL = http://127.0.0.1:{port}/");
        let sandbox = Sandbox::new("gitea")?;
        Self::start_with(sandbox, &format!("http://127.0.0.1:{port}"), port, &http, None).await
    }

    /// Starts one that speaks https, with a certificate of an authority that nobody else knows, and ssh.
    pub(crate) async fn start_secure() -> anyhow::Result<Self> {
        let [port, ssh] = free_ports()?;
        let sandbox = Sandbox::new("gitea")?;
        let pki = Pki::generate()?;
        let ca = sandbox.write("ca.pem", &pki.ca)?;
        sandbox.write("server.pem", &pki.server_certificate)?;
        sandbox.write("server.key", &pki.server_key)?;
        let host = ssh_key(&sandbox, "host")?;
        let known_hosts = sandbox.write("known_hosts", &format!("[127.0.0.1]:{ssh} {host}"))?;
        let folder = sandbox.path("");
        let folder = folder.display();
        let server = format!(
            "PROTOCOL = https
CERT_FILE = {folder}/server.pem
KEY_FILE = {folder}/server.key
ROOT_URL = https://127.0.0.1:{port}/
START_SSH_SERVER = true
BUILTIN_SSH_SERVER_USER = git
SSH_LISTEN_HOST = 127.0.0.1
SSH_LISTEN_PORT = {ssh}
SSH_PORT = {ssh}
SSH_DOMAIN = 127.0.0.1
SSH_ROOT_PATH = {folder}/ssh
SSH_SERVER_HOST_KEYS = {folder}/host
SSH_CREATE_AUTHORIZED_KEYS_FILE = false"
        );
        let secure = Secure { ca, ssh, known_hosts };
        let url = format!("https://127.0.0.1:{port}");
        Self::start_with(sandbox, &url, port, &server, Some(secure)).await
    }

    async fn start_with(
        mut sandbox: Sandbox,
        url: &str,
        port: u16,
        server: &str,
        secure: Option<Secure>,
    ) -> anyhow::Result<Self> {
        serin::http::install_crypto();
        let assets = Assets::locate()?;
        let (binary, share) = (assets.binary("gitea")?, assets.share("gitea")?);
        sandbox.write("app.ini", &settings(&sandbox.path(""), &share, server, port))?;
        let mut web = gitea(&binary, &sandbox);
        sandbox.spawn("gitea", web.arg("web"))?;
        let mut builder = reqwest::Client::builder();
        if let Some(secure) = &secure {
            let ca = reqwest::Certificate::from_pem(&std::fs::read(&secure.ca)?)?;
            builder = builder.tls_certs_only([ca]);
        }
        let http = builder.build()?;
        let health = format!("{url}/api/healthz");
        let probe = async || Ok(http.get(&health).send().await?.error_for_status()?);
        sandbox.ready("gitea", probe).await?;
        create_user(&binary, &sandbox)?;
        let token = create_token(&http, url).await?;
        Ok(Self {
            sandbox,
            url: url.to_owned(),
            token,
            http,
            secure,
        })
    }

    /// Returns where it listens, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns a token of the owner, for API and git alike.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Creates an empty repository and returns its clone address (without a credential: see [`Gitea::git`]).
    pub(crate) async fn create_repo(&self, name: &str) -> anyhow::Result<String> {
        let body = json!({"name": name, "private": true, "default_branch": "main"});
        self.post("user/repos", &body).await?;
        Ok(format!("{}/{OWNER}/{name}.git", self.url))
    }

    /// The authority that its certificate is of.
    pub(crate) fn ca_file(&self) -> anyhow::Result<&Path> {
        Ok(&self.secure()?.ca)
    }

    /// What it proves by that it is itself, over ssh.
    pub(crate) fn known_hosts_file(&self) -> anyhow::Result<&Path> {
        Ok(&self.secure()?.known_hosts)
    }

    /// The address of a repository over ssh.
    pub(crate) fn ssh_address(&self, repo: &str) -> anyhow::Result<String> {
        let port = self.secure()?.ssh;
        Ok(format!("ssh://git@127.0.0.1:{port}/{OWNER}/{repo}.git"))
    }

    fn secure(&self) -> anyhow::Result<&Secure> {
        self.secure.as_ref().context("it speaks neither https nor ssh")
    }

    /// Makes an SSH key that the owner is known by, and gives its file.
    pub(crate) async fn create_ssh_key(&self) -> anyhow::Result<PathBuf> {
        let key = ssh_key(&self.sandbox, "person")?;
        self.post("user/keys", &json!({"title": "lab", "key": key}))
            .await?;
        Ok(self.sandbox.path("person"))
    }

    /// Gives a repository another name.
    pub(crate) async fn rename(&self, repo: &str, name: &str) -> anyhow::Result<()> {
        let address = format!("{}/api/v1/repos/{OWNER}/{repo}", self.url);
        let request = self.http.patch(address).bearer_auth(&self.token);
        let answer = request.json(&json!({ "name": name })).send().await?;
        answer.error_for_status()?;
        Ok(())
    }

    /// Makes an organization, and gives it a repository.
    pub(crate) async fn transfer(&self, repo: &str, to: &str) -> anyhow::Result<()> {
        self.post("orgs", &json!({ "username": to })).await?;
        let path = format!("repos/{OWNER}/{repo}/transfer");
        self.post(&path, &json!({ "new_owner": to })).await
    }

    /// Opens a pull request into main, as a person would, and gives its number.
    pub(crate) async fn open_pull(&self, repo: &str, head: &str) -> anyhow::Result<u64> {
        #[derive(Deserialize)]
        struct Pull {
            number: u64,
        }
        let address = format!("{}/api/v1/repos/{OWNER}/{repo}/pulls", self.url);
        let request = self.http.post(address).bearer_auth(&self.token);
        let body = json!({"head": head, "base": "main", "title": format!("Merge {head}")});
        let pull: Pull = request
            .json(&body)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        Ok(pull.number)
    }

    /// Makes a hermetic `git` command, whose credential is in its environment: neither in its arguments, which
    /// every user of the machine can read, nor in the checkout's configuration.
    pub(crate) fn git(&self, folder: &Path) -> Command {
        let credential = base64::engine::general_purpose::STANDARD.encode(format!("{OWNER}:{}", self.token));
        let mut command = hermetic(Path::new("git"), &self.sandbox.path(""));
        if let Some(secure) = &self.secure {
            command.env("GIT_SSL_CAINFO", &secure.ca);
        }
        command
            .arg("-C")
            .arg(folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_COUNT", "3")
            .env("GIT_CONFIG_KEY_0", format!("http.{}/.extraHeader", self.url))
            .env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {credential}"))
            .env("GIT_CONFIG_KEY_1", "user.name")
            .env("GIT_CONFIG_VALUE_1", "A Developer")
            .env("GIT_CONFIG_KEY_2", "user.email")
            .env("GIT_CONFIG_VALUE_2", "developer@example.com");
        command
    }

    /// Has pushes told to an address, signed with a secret; returns the number of the webhook.
    pub(crate) async fn create_hook(&self, repo: &str, url: &str, secret: &str) -> anyhow::Result<u64> {
        #[derive(Deserialize)]
        struct Hook {
            id: u64,
        }
        let body = json!({
            "type": "gitea", "active": true, "events": ["push"],
            "config": {"url": url, "content_type": "json", "secret": secret},
        });
        let address = format!("{}/api/v1/repos/{OWNER}/{repo}/hooks", self.url);
        let request = self.http.post(address).bearer_auth(&self.token).json(&body);
        let hook: Hook = request.send().await?.error_for_status()?.json().await?;
        Ok(hook.id)
    }

    /// Takes a webhook away.
    pub(crate) async fn delete_hook(&self, repo: &str, id: u64) -> anyhow::Result<()> {
        let address = format!("{}/api/v1/repos/{OWNER}/{repo}/hooks/{id}", self.url);
        let request = self.http.delete(address).bearer_auth(&self.token);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// Sets a commit's status.
    pub(crate) async fn set_status(
        &self,
        repo: &str,
        commit: &str,
        status: &CommitStatus,
    ) -> anyhow::Result<()> {
        self.post(&format!("repos/{OWNER}/{repo}/statuses/{commit}"), status)
            .await
    }

    /// Reads all statuses that were ever set on a commit, newest first. Gitea's own orders are by the second
    /// (and its `leastindex` is the greatest first), so they are sorted here.
    pub(crate) async fn statuses(&self, repo: &str, commit: &str) -> anyhow::Result<Vec<CommitStatus>> {
        self.statuses_in(&format!("{OWNER}/{repo}"), commit).await
    }

    /// The same, of a repository that another owner has now.
    pub(crate) async fn statuses_in(
        &self,
        repository: &str,
        commit: &str,
    ) -> anyhow::Result<Vec<CommitStatus>> {
        #[derive(Deserialize)]
        struct Numbered {
            id: u64,
            #[serde(flatten)]
            status: CommitStatus,
        }
        let url = format!("{}/api/v1/repos/{repository}/statuses/{commit}", self.url);
        let answer = self.http.get(url).bearer_auth(&self.token).send().await?;
        let mut statuses: Vec<Numbered> = answer.error_for_status()?.json().await?;
        statuses.sort_by_key(|numbered| std::cmp::Reverse(numbered.id));
        Ok(statuses.into_iter().map(|numbered| numbered.status).collect())
    }

    /// Reads all pull requests, open or not.
    pub(crate) async fn pull_requests(&self, repo: &str) -> anyhow::Result<Vec<serde_json::Value>> {
        let url = format!("{}/api/v1/repos/{OWNER}/{repo}/pulls?state=all", self.url);
        let answer = self.http.get(url).bearer_auth(&self.token).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Merges a pull request, as a person would. It is refused while Gitea still looks at it.
    pub(crate) async fn merge(&self, repo: &str, number: u64) -> anyhow::Result<()> {
        let path = format!("repos/{OWNER}/{repo}/pulls/{number}/merge");
        self.post(&path, &json!({"Do": "merge"})).await
    }

    /// Returns the comments of an issue or pull request, oldest first.
    pub(crate) async fn comments(&self, repo: &str, number: u64) -> anyhow::Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Comment {
            body: String,
        }
        let url = format!(
            "{}/api/v1/repos/{OWNER}/{repo}/issues/{number}/comments",
            self.url
        );
        let answer = self.http.get(url).bearer_auth(&self.token).send().await?;
        let comments: Vec<Comment> = answer.error_for_status()?.json().await?;
        Ok(comments.into_iter().map(|comment| comment.body).collect())
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> anyhow::Result<()> {
        let url = format!("{}/api/v1/{path}", self.url);
        let answer = self
            .http
            .post(url)
            .bearer_auth(&self.token)
            .json(body)
            .send()
            .await?;
        let code = answer.status();
        ensure!(
            code.is_success(),
            "gitea answers {code} to POST {path}: {}",
            answer.text().await?
        );
        Ok(())
    }
}

fn gitea(binary: &Path, sandbox: &Sandbox) -> Command {
    let mut command = hermetic(binary, &sandbox.path(""));
    command
        .env(AS_ROOT, "true")
        .arg("--config")
        .arg(sandbox.path("app.ini"))
        .arg("--work-path")
        .arg(sandbox.path(""));
    command
}

/// Makes an SSH key without a passphrase, and gives its public part.
fn ssh_key(sandbox: &Sandbox, name: &str) -> anyhow::Result<String> {
    let file = sandbox.path(name);
    let done = hermetic(Path::new("ssh-keygen"), &sandbox.path(""))
        .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
        .arg(&file)
        .output()
        .context("`ssh-keygen` cannot be run: install OpenSSH's client")?;
    let complaint = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "no SSH key: {}", complaint.trim());
    Ok(std::fs::read_to_string(file.with_extension("pub"))?)
}

fn settings(folder: &Path, share: &Path, server: &str, port: u16) -> String {
    let (folder, share) = (folder.display(), share.display());
    format!(
        "[server]
{server}
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
STATIC_ROOT_PATH = {share}
APP_DATA_PATH = {folder}/data
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
[repository]
ROOT = {folder}/repositories
[security]
INSTALL_LOCK = true
[indexer]
ISSUE_INDEXER_TYPE = db
[actions]
ENABLED = false
[packages]
ENABLED = false
[webhook]
ALLOWED_HOST_LIST = loopback
[cron]
ENABLED = false
[log]
LEVEL = Warn
"
    )
}

fn create_user(binary: &Path, sandbox: &Sandbox) -> anyhow::Result<()> {
    let output = gitea(binary, sandbox)
        .args([
            "admin",
            "user",
            "create",
            "--username",
            OWNER,
            "--password",
            PASSWORD,
        ])
        .args([
            "--email",
            "gitops@example.com",
            "--admin",
            "--must-change-password=false",
        ])
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        output.status.success(),
        "gitea did not create its user: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

async fn create_token(http: &reqwest::Client, url: &str) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Token {
        sha1: String,
    }
    let request = http
        .post(format!("{url}/api/v1/users/{OWNER}/tokens"))
        .basic_auth(OWNER, Some(PASSWORD))
        .json(&json!({"name": "lab", "scopes": ["all"]}));
    let answer = request.send().await?.error_for_status()?;
    let token: Token = answer.json().await.context("gitea answers no token")?;
    Ok(token.sha1)
}
