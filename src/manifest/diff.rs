//! What differs between two versions of an object, in people's words: `image podinfo 6.0.0 → 6.0.1`.

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde_json::Value;

use super::{
    Object,
    fields::{all_keys, by_key, is_empty, key_order, list_key, quantities, same_scalar, stored},
    words::{images, shown, shown_variable, sounds_secret},
};

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where, such as `spec.template.spec.containers[podinfo].image`.
    pub path: String,
    /// The value before; absent for a new field and for what must not be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The value after; absent for a removed field and for what must not be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The difference in words.
    pub text: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Lists the fields that differ between two versions of an object, images first. Status and what the server
/// writes into metadata do not count. Values of Secrets are not shown.
#[must_use]
pub fn differences(old: &Object, new: &Object) -> Vec<Difference> {
    differences_in(old, new, &[""])
}

/// Lists the fields that differ under the given JSON pointers.
#[must_use]
pub fn differences_in(old: &Object, new: &Object, parts: &[&str]) -> Vec<Difference> {
    let hidden = [old, new].iter().any(|object| object.str_at("/kind") == "Secret");
    let mut walk = Walk {
        path: Vec::new(),
        found: Vec::new(),
        hidden,
    };
    let (old, new) = (stored(old), stored(new));
    for part in parts {
        walk.path = part
            .split('/')
            .skip(1)
            .map(|key| Step::Field(key.to_owned()))
            .collect();
        walk.compare(old.pointer(part), new.pointer(part), false, false);
    }
    walk.found
        .sort_by_key(|difference| !difference.text.starts_with("image "));
    walk.found
}

/// A step of a path.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// An entry of a list, by its key.
    Entry(String),
    Index(usize),
}

struct Walk {
    path: Vec<Step>,
    found: Vec<Difference>,
    hidden: bool,
}

impl Walk {
    fn compare(&mut self, old: Option<&Value>, new: Option<&Value>, is_quantity: bool, in_quantities: bool) {
        let (old, new) = (old.filter(|v| !is_empty(v)), new.filter(|v| !is_empty(v)));
        match (old, new) {
            (None, None) => {}
            _ if self.is_server_written() => {}
            (Some(old), Some(new)) if same_scalar(old, new, is_quantity) => {}
            // A variable is one thing: its value, or where it comes from.
            _ if self.variable().is_some() => self.note(old, new),
            (Some(Value::Object(old)), Some(Value::Object(new))) => {
                for key in all_keys(old, new) {
                    let (quantity, map) = quantities(key, in_quantities);
                    self.within(Step::Field(key.to_owned()), |walk| {
                        walk.compare(old.get(key), new.get(key), quantity, map);
                    });
                }
            }
            (Some(Value::Array(old)), Some(Value::Array(new))) => self.compare_lists(old, new),
            // A new or removed map of short values (annotations, limits) is shown field by field.
            (Some(Value::Object(fields)), None) | (None, Some(Value::Object(fields)))
                if self.by_field(fields) =>
            {
                for (key, value) in fields {
                    let (old, new) = (old.map(|_| value), new.map(|_| value));
                    self.within(Step::Field(key.clone()), |walk| {
                        walk.compare(old, new, false, false);
                    });
                }
            }
            (None, Some(Value::Array(only))) if list_key(only, only).is_some() => {
                self.compare_lists(&[], only);
            }
            (Some(Value::Array(only)), None) if list_key(only, only).is_some() => {
                self.compare_lists(only, &[]);
            }
            _ => self.note(old, new),
        }
    }

    fn compare_lists(&mut self, old: &[Value], new: &[Value]) {
        let keyed = list_key(old, new).and_then(|key| Some((key, by_key(old, key)?, by_key(new, key)?)));
        let Some((key, old_by, new_by)) = keyed else {
            if old.len() != new.len() || old.iter().chain(new).all(|item| !item.is_object()) {
                let (old, new) = (Value::from(old.to_vec()), Value::from(new.to_vec()));
                return if old == new {
                } else {
                    self.note(Some(&old), Some(&new));
                };
            }
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                self.within(Step::Index(index), |walk| {
                    walk.compare(Some(old), Some(new), false, false);
                });
            }
            return;
        };
        let before = self.found.len();
        for name in old_by
            .keys()
            .chain(new_by.keys().filter(|name| !old_by.contains_key(*name)))
        {
            let (old, new) = (old_by.get(name).copied(), new_by.get(name).copied());
            self.within(Step::Entry(name.clone()), |walk| walk.compare_entries(old, new));
        }
        // The order alone makes a new pod template too.
        if before == self.found.len() && key_order(old, key) != key_order(new, key) {
            let path = self.printed();
            let text = format!("order of {path} changed");
            self.found.push(Difference {
                path,
                before: None,
                after: None,
                text,
            });
        }
    }

    fn compare_entries(&mut self, old: Option<&Value>, new: Option<&Value>) {
        if old.is_some() && new.is_some() || self.variable().is_some() {
            self.compare(old, new, false, false);
        } else {
            self.note(old, new);
        }
    }

    fn within(&mut self, step: Step, inner: impl FnOnce(&mut Self)) {
        self.path.push(step);
        inner(self);
        self.path.pop();
    }

    fn by_field(&self, fields: &serde_json::Map<String, Value>) -> bool {
        self.path.len() <= 1 || fields.len() <= 8 && fields.values().all(|v| !v.is_object() && !v.is_array())
    }

    /// Returns the name of the environment variable that the path ends at.
    fn variable(&self) -> Option<&str> {
        match self.path.as_slice() {
            [.., Step::Field(list), Step::Entry(name)] if list == "env" => Some(name),
            _ => None,
        }
    }

    /// Returns the container whose image the path ends at.
    fn image(&self) -> Option<&str> {
        match self.path.as_slice() {
            [.., Step::Field(list), Step::Entry(name), Step::Field(field)]
                if field == "image" && (list == "containers" || list == "initContainers") =>
            {
                Some(name)
            }
            _ => None,
        }
    }

    fn is_server_written(&self) -> bool {
        const METADATA: [&str; 7] = [
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "managedFields",
            "selfLink",
            "deletionTimestamp",
        ];
        match self.path.as_slice() {
            [Step::Field(top)] => top == "status",
            [Step::Field(top), Step::Field(field)] => top == "metadata" && METADATA.contains(&field.as_str()),
            _ => false,
        }
    }

    fn note(&mut self, old: Option<&Value>, new: Option<&Value>) {
        let path = self.printed();
        let hide = self.hidden || self.variable().is_some_and(sounds_secret);
        let name = match (self.image(), self.variable()) {
            (Some(container), _) => format!("image {container}"),
            (_, Some(variable)) => format!("env {variable}"),
            _ => path.clone(),
        };
        let verb = match (old, new) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        if hide {
            self.found.push(Difference {
                path,
                before: None,
                after: None,
                text: format!("{name} {verb}"),
            });
            return;
        }
        let (before, after) = (
            old.map(|value| self.shown(value)),
            new.map(|value| self.shown(value)),
        );
        let text = match (&before, &after) {
            (Some(old), Some(new)) if self.image().is_some() => images(&name, old, new),
            (Some(old), Some(new)) if old == new => format!("{name} changed"),
            (Some(old), Some(new)) => format!("{name} {old} → {new}"),
            (None, Some(new)) => format!("{name} added: {new}"),
            (Some(old), None) => format!("{name} removed (was {old})"),
            (None, None) => return,
        };
        self.found.push(Difference {
            path,
            before,
            after,
            text,
        });
    }

    fn shown(&self, value: &Value) -> String {
        if self.variable().is_some() {
            return shown_variable(value);
        }
        // A whole container or volume says enough by what it runs or where it comes from.
        if let (Some(Step::Entry(_)), Some(image)) =
            (self.path.last(), value.get("image").and_then(Value::as_str))
        {
            return image.to_owned();
        }
        shown(value)
    }

    fn printed(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            let _ = match step {
                Step::Field(key) if key.contains(['.', '/']) => write!(text, "[{key}]"),
                Step::Field(key) if text.is_empty() => write!(text, "{key}"),
                Step::Field(key) => write!(text, ".{key}"),
                Step::Entry(key) => write!(text, "[{key}]"),
                Step::Index(index) => write!(text, "[{index}]"),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn texts(old: &Value, new: &Value) -> Vec<String> {
        let found = differences(&Object::from(old.clone()), &Object::from(new.clone()));
        found.into_iter().map(|difference| difference.text).collect()
    }

    fn pod(container: &Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": [container]}}}})
    }

    #[test]
    fn images_are_shown_by_their_tags() {
        let image = |image: &str| pod(&json!({"name": "podinfo", "image": image}));
        for (old, new, said) in [
            (
                "r.io/a/podinfo:6.0.0",
                "r.io/a/podinfo:6.0.1",
                "image podinfo 6.0.0 → 6.0.1",
            ),
            ("localhost:5000/p:1", "localhost:5000/p:2", "image podinfo 1 → 2"),
            (
                "localhost:5000/p",
                "localhost:5000/p:2",
                "image podinfo localhost:5000/p → localhost:5000/p:2",
            ),
            ("a/p:1", "b/p:1", "image podinfo a/p:1 → b/p:1"),
            (
                "p@sha256:0123456789abcdef",
                "p@sha256:fedcba9876543210",
                "image podinfo sha256:01234567 → sha256:fedcba98",
            ),
        ] {
            assert_eq!(texts(&image(old), &image(new)), [said]);
        }
    }

    #[test]
    fn variables_limits_and_others_read_well() {
        let old = pod(
            &json!({"name": "p", "image": "p:1", "resources": {"limits": {"cpu": "100m"}},
            "env": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "OLD", "value": "1"}, {"name": "DB_PASSWORD", "value": "hunter2"}]}),
        );
        let new = pod(
            &json!({"name": "p", "image": "p:2", "resources": {"limits": {"cpu": "200m"}}, "args": ["-v"],
            "env": [{"name": "LOG_LEVEL", "value": "debug"}, {"name": "DB_PASSWORD", "value": "hunter3"},
                {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "colors", "key": "ui"}}}]}),
        );
        assert_eq!(
            texts(&old, &new),
            [
                "image p 1 → 2",
                "spec.template.spec.containers[p].args added: [\"-v\"]",
                "env DB_PASSWORD changed",
                "env LOG_LEVEL info → debug",
                "env OLD removed (was 1)",
                "env COLOR added: config map colors/ui",
                "spec.template.spec.containers[p].resources.limits.cpu 100m → 200m",
            ]
        );
    }

    #[test]
    fn new_containers_annotations_and_orders_are_named() {
        let containers = |names: &[&str]| {
            let all: Vec<_> = names
                .iter()
                .map(|name| json!({"name": name, "image": format!("{name}:1")}))
                .collect();
            json!({"spec": {"containers": all}})
        };
        assert_eq!(
            texts(&containers(&["a"]), &containers(&["a", "b"])),
            ["spec.containers[b] added: b:1"]
        );
        assert_eq!(
            texts(&containers(&["a", "b"]), &containers(&["b", "a"])),
            ["order of spec.containers changed"]
        );
        let annotated = json!({"metadata": {"annotations": {"a.b/c": "d"}}});
        assert_eq!(texts(&json!({}), &json!({"metadata": {}})), Vec::<String>::new());
        assert_eq!(
            texts(&json!({"metadata": {}}), &annotated),
            ["metadata.annotations[a.b/c] added: d"]
        );
        let text = |text: &str| json!({"data": {"f": text}});
        assert_eq!(texts(&text("a\nb\n"), &text("a\nc\n")), ["data.f changed"]);
        assert_eq!(texts(&text("a"), &text("b")), ["data.f a → b"]);
    }

    #[test]
    fn values_of_secrets_are_never_shown() {
        let old = json!({"kind": "Secret", "data": {"same": "eA==", "old": "eA=="}, "stringData": {"key": "hunter2"}});
        let new = json!({"kind": "Secret", "data": {"same": "eA==", "key": "aHVudGVyMw=="}, "stringData": {"new": "hunter4"}});
        let found = differences(&Object::from(old), &Object::from(new));
        let said: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["data.key changed", "data.new added", "data.old removed"]);
        let all = serde_json::to_string(&found).unwrap();
        assert!(!all.contains("hunter") && !all.contains("aHV"), "{all}");
    }

    #[test]
    fn other_spellings_and_what_the_server_writes_are_no_difference() {
        let old = json!({"spec": {"resources": {"limits": {"cpu": "1000m"}}, "env": [], "x": null}});
        let new = json!({"metadata": {"resourceVersion": "7", "uid": "u"}, "status": {"a": 1},
            "spec": {"resources": {"limits": {"cpu": 1}}, "labels": {}}});
        assert_eq!(texts(&old, &new), Vec::<String>::new());
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i32>().prop_map(Value::from),
            "[a-z]{1,3}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::btree_map("[a-e]", inner.clone(), 1..4).prop_map(|m| json!(m)),
                prop::collection::vec(inner, 1..4).prop_map(Value::from),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_differs_from_itself_and_anything_else_does(one in values(), other in values()) {
            let (left, right) = (json!({"spec": one}), json!({"spec": other}));
            prop_assert_eq!(texts(&left, &left), Vec::<String>::new());
            prop_assert_eq!(texts(&left, &right).is_empty(), one == other);
        }
    }
}
