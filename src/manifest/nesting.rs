//! Which directories a kustomization file refers to: one that another refers to is rendered as a part of it.

use serde_json::Value;

use super::yaml::options;

/// What a kustomization file says about others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nesting {
    /// Paths from the top of the repository that it names; those of files too.
    pub refers_to: Vec<String>,
    /// It is a component: only others render it.
    pub is_component: bool,
    /// `namespace`, for what would be in it.
    pub namespace: Option<String>,
}

impl Nesting {
    /// Reads a kustomization file. One that cannot be read refers to nothing.
    #[must_use]
    pub fn read(bytes: &[u8], dir: &str) -> Self {
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let Ok(value) = serde_saphyr::from_str_with_options::<Value>(text, options()) else {
            return Self::default();
        };
        let fields = ["resources", "bases", "components"];
        let named = fields
            .into_iter()
            .filter_map(|field| value.get(field)?.as_array())
            .flatten()
            .filter_map(Value::as_str);
        let text = |field: &str| value.get(field).and_then(Value::as_str);
        Self {
            refers_to: named.filter_map(|path| join(dir, path)).collect(),
            is_component: text("kind") == Some("Component"),
            namespace: text("namespace").map(str::to_owned),
        }
    }
}

/// Follows a relative path. None: it leaves the repository, or is no path of it.
fn join(dir: &str, path: &str) -> Option<String> {
    if path.is_empty() || path.starts_with('/') || path.contains("://") {
        return None;
    }
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_found_from_the_top() {
        let text = "namespace: prod\nresources: [../../base, deployment.yaml, https://example.com/x]\ncomponents: [../c/]\n";
        let read = Nesting::read(text.as_bytes(), "apps/overlays/prod");
        assert_eq!(
            read.refers_to,
            [
                "apps/base",
                "apps/overlays/prod/deployment.yaml",
                "apps/overlays/c"
            ]
        );
        assert_eq!(
            (read.is_component, read.namespace.as_deref()),
            (false, Some("prod"))
        );
        assert_eq!(
            Nesting::read(b"bases: [../../../x]\n", "a/b").refers_to,
            Vec::<String>::new()
        );
        assert!(Nesting::read(b"kind: Component\n", "c").is_component);
        assert_eq!(Nesting::read(b"kind: [\n", ""), Nesting::default());
    }
}
