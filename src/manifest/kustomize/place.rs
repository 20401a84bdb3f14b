//! Where a kustomization is in the tree, and the paths that it may name.

/// A directory that is being rendered, and those that led to it.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) dir: String,
    pub(super) parent: Option<&'a Place<'a>>,
    pub(super) depth: usize,
}

impl<'a> Place<'a> {
    pub(super) fn top(dir: String) -> Self {
        Self {
            dir,
            parent: None,
            depth: 0,
        }
    }

    pub(super) fn below(&'a self, dir: String) -> Self {
        Self {
            dir,
            parent: Some(self),
            depth: self.depth + 1,
        }
    }

    /// Returns the directory on the way here that a directory contains, if there is one: going there would
    /// never end.
    pub(super) fn contained_in(&self, dir: &str) -> Option<&str> {
        let mut place = Some(self);
        while let Some(here) = place {
            if is_within(&here.dir, dir) {
                return Some(&here.dir);
            }
            place = here.parent;
        }
        None
    }
}

/// Tells whether a path is a directory or in it.
pub(super) fn is_within(path: &str, dir: &str) -> bool {
    dir.is_empty()
        || path
            .strip_prefix(dir)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Follows a relative path from a directory. None: it leaves the tree.
pub(super) fn join(dir: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The way from a directory to a path.
pub(super) fn relative(dir: &str, path: &str) -> String {
    let own: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    let parts: Vec<&str> = path.split('/').collect();
    let common = own.iter().zip(&parts).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", own.len() - common);
    up.chain(parts.into_iter().skip(common))
        .collect::<Vec<_>>()
        .join("/")
}

/// Tells whether a text names something that is fetched.
pub(super) fn is_remote(path: &str) -> bool {
    let host = path.split(['/', ':']).next().unwrap_or_default();
    path.contains("://")
        || path.starts_with("git@")
        || path.starts_with("git::")
        || path.contains("?ref=")
        || (path.to_owned() + "/").contains(".git/")
        || path.contains("_git/")
        || matches!(host, "github.com" | "gh" | "gitlab.com" | "bitbucket.org")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_tree() {
        assert_eq!(join("a/b", "../c/./d").as_deref(), Some("a/c/d"));
        assert_eq!(join("a", "..").as_deref(), Some(""));
        assert_eq!(join("a", "../.."), None);
        assert_eq!(join("a", "/etc"), None);
    }

    #[test]
    fn the_way_from_one_place_to_another() {
        assert_eq!(relative("a/b", "a/c/d.yaml"), "../c/d.yaml");
        assert_eq!(relative("", "d.yaml"), "d.yaml");
        assert_eq!(relative("a", "a/d.yaml"), "d.yaml");
    }

    #[test]
    fn a_cycle_is_seen_before_it_is_gone_into() {
        let top = Place::top("apps/web".to_owned());
        let base = top.below("apps/base".to_owned());
        assert_eq!(base.contained_in("apps/web"), Some("apps/web"));
        assert_eq!(base.contained_in("apps"), Some("apps/base"));
        assert_eq!(base.contained_in("apps/we"), None);
        assert_eq!(base.contained_in(""), Some("apps/base"));
    }
}
