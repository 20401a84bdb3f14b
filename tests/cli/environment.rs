//! A hermetic place to run the built binary in: a home of its own, no configuration, a fixed author and time.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The manifests of the demo, in a repository of their own.
pub(crate) const APP: [(&str, &str); 5] = [
    (
        "apps/canary.yaml",
        include_str!("../../fixtures/podinfo/canary.yaml"),
    ),
    (
        "apps/config.yaml",
        include_str!("../../fixtures/podinfo/config.yaml"),
    ),
    (
        "apps/deployment.yaml",
        include_str!("../../fixtures/podinfo/deployment.yaml"),
    ),
    (
        "apps/ingress.yaml",
        include_str!("../../fixtures/podinfo/ingress.yaml"),
    ),
    (
        "apps/metric-template.yaml",
        include_str!("../../fixtures/podinfo/metric-template.yaml"),
    ),
];

/// The longest that a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct TestEnvironment {
    root: TempDir,
    commits: Mutex<Vec<String>>,
    clock: AtomicU32,
}

impl TestEnvironment {
    /// Makes a home and, beside it, an empty repository `repo` with the branch `main`.
    pub(crate) fn new() -> Self {
        let env = Self {
            root: tempfile::tempdir().unwrap(),
            commits: Mutex::default(),
            clock: AtomicU32::new(0),
        };
        fs::create_dir(env.path("home")).unwrap();
        fs::create_dir(env.path("repo")).unwrap();
        env.git(&["init", "-q", "-b", "main"]);
        env
    }

    /// Makes an environment whose repository has the application of the demo in `apps`.
    pub(crate) fn with_app() -> Self {
        let env = Self::new();
        env.commit("Add podinfo 6.0.0", &APP);
        env
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let file = self.path(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// Commits files of the repository, and remembers the commit: it is `<1>`, `<2>`… in what is shown.
    pub(crate) fn commit(&self, subject: &str, files: &[(&str, &str)]) -> String {
        for (path, text) in files {
            self.write(&format!("repo/{path}"), text);
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", subject]);
        self.remember()
    }

    /// Commits a file with a text replaced.
    pub(crate) fn edit(&self, subject: &str, path: &str, from: &str, to: &str) -> String {
        let old = fs::read_to_string(self.path("repo").join(path)).unwrap();
        assert!(old.contains(from), "{path} has no {from}");
        self.commit(subject, &[(path, &old.replace(from, to))])
    }

    /// Remembers the commit that is checked out.
    pub(crate) fn remember(&self) -> String {
        let id = self.git(&["rev-parse", "HEAD"]).trim().to_owned();
        let mut commits = self.commits.lock().unwrap();
        if !commits.contains(&id) {
            commits.push(id.clone());
        }
        id
    }

    /// Runs git in the repository.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let minute = self.clock.fetch_add(1, Ordering::Relaxed);
        let time = format!("2026-11-22T03:{:02}:00Z", minute % 60);
        let mut git = Command::new("git");
        self.hermetic(&mut git)
            .args(args)
            .current_dir(self.path("repo"))
            .env("GIT_AUTHOR_DATE", &time)
            .env("GIT_COMMITTER_DATE", &time);
        let output = git.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn hermetic<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.root.path())
            .env("NO_COLOR", "1")
            .env("RUST_BACKTRACE", "1")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_NAME", "Ada")
            .env("GIT_AUTHOR_EMAIL", "ada@example.com")
            .env("GIT_COMMITTER_NAME", "Ada")
            .env("GIT_COMMITTER_EMAIL", "ada@example.com")
    }

    /// Makes a command of the binary, in the repository.
    pub(crate) fn serin(&self, args: &[&str]) -> Command {
        self.program(Path::new(env!("CARGO_BIN_EXE_serin")), args)
    }

    /// Makes a command of another program, with the same surroundings.
    pub(crate) fn program(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        self.hermetic(&mut command)
            .args(args)
            .current_dir(self.path("repo"));
        command
    }

    /// Runs the binary in the repository, and shows how it ended.
    pub(crate) fn show(&self, args: &[&str]) -> String {
        self.shown(&self.finish(self.serin(args)))
    }

    /// Runs a command to its end, which has to come.
    pub(crate) fn finish(&self, mut command: Command) -> Ended {
        // Into files: a pipe that nobody reads would stop it.
        let name = self.clock.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (
            self.path(&format!("out-{name}")),
            self.path(&format!("err-{name}")),
        );
        let mut child = command
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap())
            .spawn()
            .unwrap();
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if began.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("{command:?} does not end: {}", fs::read_to_string(&err).unwrap());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let ended = Ended {
            code: status.code(),
            stdout: fs::read_to_string(&out).unwrap(),
            stderr: fs::read_to_string(&err).unwrap(),
        };
        for (file, text) in [(out, &ended.stdout), (err, &ended.stderr)] {
            fs::remove_file(file).unwrap();
            assert!(!text.contains("panicked at"), "{text}");
            assert!(!text.contains("stack backtrace"), "{text}");
        }
        ended
    }

    /// Shows how a command ended: exit code, data, and what was said beside them.
    pub(crate) fn shown(&self, ended: &Ended) -> String {
        let code = ended.code.map_or("none".to_owned(), |code| code.to_string());
        let mut text = format!("exit {code}\n");
        for (name, part) in [("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
            if !part.is_empty() {
                text += &format!("--- {name}\n{}", self.normal(part));
            }
        }
        text
    }

    /// Takes out of a text what differs from run to run: folders, commits, times.
    pub(crate) fn normal(&self, text: &str) -> String {
        let root = self.root.path();
        let real = root.canonicalize().unwrap();
        let mut text = text.replace(&*real.to_string_lossy(), "$DIR");
        text = text.replace(&*root.to_string_lossy(), "$DIR");
        for (id, number) in self.commits.lock().unwrap().iter().zip(1..) {
            for length in [40, 12, 7] {
                text = text.replace(&id[..length], &format!("<{number}>"));
            }
        }
        let time = regex::Regex::new(r"\d{4}-\d\d-\d\dT[0-9:.]+Z").unwrap();
        time.replace_all(&text, "<time>").into_owned()
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A process that runs until the test ends it.
pub(crate) struct Running {
    child: Child,
    log: mpsc::Receiver<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (line, log) = mpsc::channel();
        let err = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            // Reads on when nobody listens: a full pipe would stop the process.
            for text in err.lines().map_while(Result::ok) {
                line.send(text).ok();
            }
        });
        Self { child, log }
    }

    /// Waits for a line of the log that says this.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            let line = self.log.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no line says {text:?}: {seen}"));
            if line.contains(text) {
                return line;
            }
            seen += &line;
            seen.push('\n');
        }
    }

    /// Asks it to end, and gives its exit code.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let done = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(done.unwrap().success());
        self.child.wait().unwrap().code()
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
