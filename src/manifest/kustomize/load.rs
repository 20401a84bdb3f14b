//! Reads the files that kustomizations name, within limits, and remembers which.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    fault::{Fault, Outcome},
    file::{File, Files},
    overlay::Rules,
    place::{Place, is_within, join},
    spec::{Kustomization, Misread},
};
use crate::manifest::{MAX_TOTAL_BYTES, Problem, locate};

/// The names of kustomization files; a directory has at most one of them.
pub(super) const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// The most files that one build reads.
const MAX_FILES: usize = 10_000;

/// Where a problem is: in a field of a document of a file.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) file: Arc<File>,
    pub(super) line: u32,
    pub(super) pointer: String,
}

impl Spot {
    pub(super) fn at(&self, pointer: &str) -> Self {
        Self {
            pointer: format!("{}{pointer}", self.pointer),
            ..self.clone()
        }
    }

    pub(super) fn problem(&self, message: impl Into<String>, hint: &str) -> Problem {
        let (line, column) = locate(self.file.bytes(), self.line, &self.pointer);
        Problem {
            file: self.file.path().to_string(),
            line,
            column,
            message: message.into(),
            snippet: String::new(),
            hint: hint.to_owned(),
        }
    }

    pub(super) fn wrong(&self, message: impl Into<String>, hint: &str) -> Fault {
        Fault::Wrong(self.problem(message, hint))
    }

    pub(super) fn beyond(&self, message: impl Into<String>, hint: &str) -> Fault {
        Fault::Beyond(self.problem(message, hint))
    }

    pub(super) fn too_much(&self, message: impl Into<String>) -> Fault {
        Fault::TooMuch(self.problem(message, "split it"))
    }
}

/// A kustomization that was read, and where it says what.
pub(super) struct Loaded {
    pub(super) spec: Kustomization,
    pub(super) spot: Spot,
}

/// Reads files and remembers which.
pub(super) struct Loader<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) rules: Rules,
    /// What was read or looked for, per directory that is being rendered.
    inputs: Vec<BTreeSet<String>>,
    read: usize,
    bytes: usize,
}

impl<'a> Loader<'a> {
    pub(super) fn new(files: &'a dyn Files) -> Self {
        Self {
            files,
            rules: Rules::default(),
            inputs: vec![BTreeSet::new()],
            read: 0,
            bytes: 0,
        }
    }

    /// Starts to count anew.
    pub(super) fn restart(&mut self, rules: Rules) {
        self.rules = rules;
        self.inputs = vec![BTreeSet::new()];
        (self.read, self.bytes) = (0, 0);
    }

    pub(super) fn note(&mut self, path: &str) {
        if let Some(inputs) = self.inputs.last_mut().filter(|inputs| !inputs.contains(path)) {
            inputs.insert(path.to_owned());
        }
    }

    pub(super) fn note_all(&mut self, paths: &BTreeSet<String>) {
        if let Some(inputs) = self.inputs.last_mut() {
            inputs.extend(paths.iter().cloned());
        }
    }

    pub(super) fn open(&mut self) {
        self.inputs.push(BTreeSet::new());
    }

    /// Ends a directory and returns what was read for it, which its parent has read too.
    pub(super) fn close(&mut self) -> BTreeSet<String> {
        let inputs = self.inputs.pop().unwrap_or_default();
        self.note_all(&inputs);
        inputs
    }

    /// Returns everything that was read or looked for.
    pub(super) fn take(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.inputs).into_iter().flatten().collect()
    }

    /// Reads the file at a path from the top.
    fn get(&mut self, path: &str, spot: Option<&Spot>) -> Outcome<Option<Arc<File>>> {
        self.note(path);
        let file = match self.files.file(path) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(None),
            Err(error) => {
                let message = format!("{path} cannot be read: {error}");
                let hint = "Serin reads only plain files of the repository";
                return Err(spot.map_or_else(
                    || Fault::Beyond(nowhere(path, &message, hint)),
                    |spot| spot.beyond(message.clone(), hint),
                ));
            }
        };
        self.read += 1;
        self.bytes += file.bytes().len();
        if self.read > MAX_FILES || self.bytes > MAX_TOTAL_BYTES {
            let message =
                format!("more than {MAX_FILES} files or {MAX_TOTAL_BYTES} bytes belong to one build");
            return Err(Fault::TooMuch(nowhere(path, &message, "split it")));
        }
        Ok(Some(file))
    }

    /// Reads a file that a kustomization names; none if there is none.
    pub(super) fn named(&mut self, place: &Place<'_>, path: &str, spot: &Spot) -> Outcome<Option<Arc<File>>> {
        if path.is_empty() {
            return Err(spot.wrong(
                "the name of a file is empty",
                "name the file, or leave the entry out",
            ));
        }
        let Some(full) = join(&place.dir, path) else {
            return Err(spot.wrong(
                format!("{path} is outside of the repository"),
                "keep what belongs together in one repository",
            ));
        };
        if self.files.is_dir(&full) {
            return Ok(None);
        }
        let file = self.get(&full, Some(spot))?;
        if file.is_some() && self.rules == Rules::Kustomize && !is_within(&full, &place.dir) {
            return Err(spot.wrong(
                format!(
                    "{path} is not below the directory of the kustomization, and kustomize refuses such files"
                ),
                "give that directory a kustomization of its own, and name the directory",
            ));
        }
        Ok(file)
    }

    /// Reads a file that must be there.
    pub(super) fn needed(&mut self, place: &Place<'_>, path: &str, spot: &Spot) -> Outcome<Arc<File>> {
        if super::place::is_remote(path) {
            return Err(spot.beyond(format!("{path} is fetched"), "keep it in the repository"));
        }
        self.named(place, path, spot)?.ok_or_else(|| {
            spot.wrong(
                format!("there is no file {path}"),
                "correct the path, or add the file",
            )
        })
    }

    /// Finds the kustomization file of a directory.
    pub(super) fn find(&mut self, dir: &str) -> Outcome<Option<Arc<File>>> {
        let mut found: Option<Arc<File>> = None;
        for name in NAMES {
            let path = join(dir, name).unwrap_or_default();
            let Some(file) = self.get(&path, None)? else {
                continue;
            };
            if let Some(first) = &found {
                let message = format!("{dir} has two kustomization files, {} too", first.path());
                return Err(Fault::Wrong(nowhere(&path, &message, "remove one of the two")));
            }
            found = Some(file);
        }
        Ok(found)
    }

    /// Reads the kustomization of a directory.
    pub(super) fn kustomization(&mut self, dir: &str) -> Outcome<Option<Loaded>> {
        let Some(file) = self.find(dir)? else {
            return Ok(None);
        };
        let texts = file.settings()?;
        let spot = |line| Spot {
            file: Arc::clone(&file),
            line,
            pointer: String::new(),
        };
        // As to kustomize, only the first document counts.
        let Some(text) = texts.first() else {
            return Err(spot(1).wrong("the kustomization is empty", "list its resources"));
        };
        let spot = spot(text.line);
        match Kustomization::read(&text.value) {
            Ok(spec) => Ok(Some(Loaded { spec, spot })),
            Err(Misread {
                pointer,
                message,
                hint,
            }) => Err(spot.at(&pointer).wrong(message, hint)),
        }
    }
}

/// A problem with a file as a whole.
pub(super) fn nowhere(path: &str, message: &str, hint: &str) -> Problem {
    Problem {
        file: path.to_owned(),
        line: 1,
        column: 1,
        message: message.to_owned(),
        snippet: String::new(),
        hint: hint.to_owned(),
    }
}
