//! Finds where a field is written. Done only when an error message needs it, so that parsed files stay small.

use serde_saphyr::Spanned;

use super::{split::split, yaml::options};

/// A value that knows where each of its parts is written.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Located(Spanned<Node>);

enum Node {
    Map(Vec<(String, Located)>),
    List(Vec<Located>),
    Leaf,
}

/// Finds where the field at a JSON pointer is written, for an error message. `line` is that of its document.
/// Falls back to the nearest parent that is written there.
#[must_use]
pub fn locate(bytes: &[u8], line: u32, pointer: &str) -> (u32, u32) {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let chunks = split(text);
    let Some(chunk) = chunks.iter().rev().find(|chunk| chunk.line <= line) else {
        return (line, 1);
    };
    let Ok(root) = serde_saphyr::from_str_with_options::<Located>(chunk.text, options()) else {
        return (line, 1);
    };
    let mut node = &root;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        let inner = match &node.0.value {
            Node::Map(fields) => fields
                .iter()
                .find(|(key, _)| *key == part)
                .map(|(_, value)| value),
            Node::List(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)),
            Node::Leaf => None,
        };
        let Some(inner) = inner else { break };
        node = inner;
    }
    let at = node.0.referenced;
    if at.line() == 0 {
        return (line, 1);
    }
    (
        chunk.line + u32::try_from(at.line() - 1).unwrap_or_default(),
        u32::try_from(at.column()).unwrap_or(1),
    )
}

impl<'de> serde::Deserialize<'de> for Node {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

macro_rules! leaves {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Node, E> {
            Ok(Node::Leaf)
        })*
    };
}

impl<'de> serde::de::Visitor<'de> for NodeVisitor {
    type Value = Node;

    leaves!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = access.next_entry::<String, Located>()? {
            fields.push(field);
        }
        Ok(Node::Map(fields))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Located>()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n";

    #[test]
    fn a_field_is_located() {
        let text = format!("{MAP}---\n{MAP}spec:\n  containers:\n  - name: a\n    image: b\n");
        assert_eq!(locate(text.as_bytes(), 6, "/spec/containers/0/image"), (13, 12));
        assert_eq!(locate(text.as_bytes(), 6, "/spec/containers/7"), (12, 5));
        assert_eq!(locate(text.as_bytes(), 1, "/metadata/name"), (4, 9));
    }
}
