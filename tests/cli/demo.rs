//! The demo is what the README says it is.

use super::environment::TestEnvironment;

/// What is said on the way depends on how fast the machine is: a newer word overtakes an older one.
fn is_progress(line: &str) -> bool {
    line.starts_with("status pending")
}

/// A line without times, ids and measured values.
fn stable(line: &str) -> String {
    let id = regex::Regex::new(r"\b[0-9a-f]{7}\b").unwrap();
    let time = regex::Regex::new(r"^ *\d+\.\d s ").unwrap();
    let value = regex::Regex::new(r"\d+\.\d\d%?").unwrap();
    let count = regex::Regex::new(r"^Of \d+ requests meanwhile, \d+ failed").unwrap();
    let line = time.replace(line, "");
    let line = id.replace_all(&line, "<id>");
    let line = value.replace_all(&line, "<value>");
    let line = count.replace(&line, "Of <n> requests meanwhile, <n> failed");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn transcript() -> Vec<Vec<String>> {
    let readme = include_str!("../../README.md");
    let text = readme.split("$ serin demo\n").nth(1).unwrap();
    let text = text.split("```").next().unwrap();
    // `…` stands for lines that are left out: between two of them, the lines follow one another.
    let mut runs = vec![Vec::new()];
    for line in text.lines() {
        match line {
            "…" => runs.push(Vec::new()),
            "" => {}
            line if is_progress(&stable(line)) => {}
            line => runs.last_mut().unwrap().push(stable(line)),
        }
    }
    runs
}

#[test]
fn the_transcript_of_the_readme_is_a_real_run() {
    let env = TestEnvironment::new();
    let keep = env.path("kept");
    let ended = env.finish(env.serin(&["demo", "--keep", keep.to_str().unwrap()]));
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{}",
        ended.stdout
    );
    let lines: Vec<String> = ended.stdout.lines().map(stable).collect();
    let mut lines: &[String] = &lines
        .into_iter()
        .filter(|line| !line.is_empty() && !is_progress(line))
        .collect::<Vec<_>>();
    for run in transcript() {
        let found = lines.windows(run.len()).position(|window| *window == *run);
        let at = found.unwrap_or_else(|| panic!("the demo does not show {run:#?}, but:\n{}", ended.stdout));
        lines = &lines[at + run.len()..];
    }
    let notes = env.git(&[
        "-C",
        keep.to_str().unwrap(),
        "log",
        "--notes=serin",
        "--format=%s%n%N",
    ]);
    let said: Vec<String> = notes
        .lines()
        .filter(|line| line.contains("serin/test/podinfo"))
        .map(stable)
        .collect();
    assert_eq!(
        said,
        [
            "failure serin/test/podinfo rolled back: request-success-rate <value> < 99%",
            "success serin/test/podinfo promoted, 3 checks passed",
            "success serin/test/podinfo initialized",
        ]
    );
}
