//! File events as hints. Watches directories, not files: git replaces files, git-sync replaces links.

use std::{ffi::OsStr, path::Path};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::{Repository, Trigger};

/// Watches where the newest revision of a repository can change. Stops when dropped.
pub(super) struct Watcher {
    _events: RecommendedWatcher,
}

impl Watcher {
    /// Starts to watch. `None`: file events cannot be had here, only the poll finds new revisions.
    pub(super) fn new(repository: &dyn Repository, trigger: Trigger) -> Option<Self> {
        let made = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if is_hint(&event) {
                trigger.fire();
            }
        });
        let mut events = match made {
            Ok(events) => events,
            Err(error) => {
                tracing::warn!(source = repository.name(), %error, "File events cannot be had; new commits are found by polling.");
                return None;
            }
        };
        for (dir, below) in repository.watched() {
            let mode = if below {
                RecursiveMode::Recursive
            } else {
                RecursiveMode::NonRecursive
            };
            if let Err(error) = events.watch(&dir, mode) {
                tracing::warn!(dir = %dir.display(), %error, "A directory cannot be watched; new commits are found by polling.");
            }
        }
        Some(Self { _events: events })
    }
}

/// A file that somebody touches to say that there is something new, as git-sync's `--touch-file` does.
#[derive(Debug)]
pub struct Touched {
    _events: RecommendedWatcher,
}

impl Touched {
    /// Fires the trigger whenever the file is made, written or touched. Its directory has to be there. Blocks.
    pub fn watch(file: &Path, trigger: Trigger) -> Result<Self, String> {
        let name = file.file_name().map(OsStr::to_owned);
        let mut events = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let is_it = |event: &Event| {
                !matches!(event.kind, EventKind::Access(_) | EventKind::Remove(_))
                    && event.paths.iter().any(|path| path.file_name() == name.as_deref())
            };
            if event.as_ref().map_or(true, is_it) {
                trigger.fire();
            }
        })
        .map_err(|error| error.to_string())?;
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
        events
            .watch(dir.unwrap_or(Path::new(".")), RecursiveMode::NonRecursive)
            .map_err(|error| error.to_string())?;
        Ok(Self { _events: events })
    }
}

/// Tells whether an event may mean a new revision. Our own reads arrive as `Access` and must not.
fn is_hint(event: &notify::Result<Event>) -> bool {
    match event {
        Err(_) => true,
        Ok(event) if event.need_rescan() => true,
        Ok(Event {
            kind: EventKind::Access(_),
            ..
        }) => false,
        Ok(event) => event
            .paths
            .iter()
            .any(|path| path.extension().is_none_or(|end| end != "lock")),
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, CreateKind, Flag, ModifyKind, RenameMode};

    use super::*;

    fn hints(kind: EventKind, paths: &[&str]) -> bool {
        is_hint(&Ok(paths
            .iter()
            .fold(Event::new(kind), |event, path| event.add_path(path.into()))))
    }

    #[test]
    fn reads_and_lock_files_are_no_hints_and_lost_events_are() {
        assert!(!hints(EventKind::Access(AccessKind::Any), &["/r/.git/HEAD"]));
        assert!(!hints(
            EventKind::Create(CreateKind::File),
            &["/r/.git/index.lock"]
        ));
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::Both));
        assert!(hints(
            renamed,
            &["/r/.git/refs/heads/main.lock", "/r/.git/refs/heads/main"]
        ));
        assert!(hints(
            EventKind::Create(CreateKind::File),
            &["/r/.git/packed-refs"]
        ));
        assert!(is_hint(&Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan))));
        assert!(is_hint(&Err(notify::Error::generic("overflow"))));
    }
}
