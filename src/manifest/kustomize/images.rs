//! Images and replicas.

use regex::Regex;
use serde_json::{Value, json};

use super::{
    config::Config,
    fault::Outcome,
    fields::{FieldSpec, Leaf, any, visit},
    item::Item,
    load::Spot,
    select::as_go_reads,
    spec::{Image, Replica},
};

/// Puts images in the place of others.
pub(super) fn images(items: &mut [Item], images: &[Image], specs: &[FieldSpec], spot: &Spot) -> Outcome<()> {
    let parts: Vec<_> = specs.iter().map(|spec| (spec, spec.parts())).collect();
    for (at, image) in images.iter().enumerate() {
        let spot = spot.at(&format!("/images/{at}"));
        let change = Change::new(image).ok_or_else(|| {
            spot.at("/name").wrong(
                format!("the name `{}` is not a regular expression", image.name),
                "escape what is meant as it is written",
            )
        })?;
        for item in items
            .iter_mut()
            .filter(|item| item.kind() != "CustomResourceDefinition")
        {
            // kustomize goes through the containers of every kind first, then through the fields that it is told.
            if change.any_container(&item.value) {
                change.containers(item.edit());
            }
            for (spec, parts) in &parts {
                if !spec.fits(item) || !any(&item.value, parts, &mut |value| change.concerns(value)) {
                    continue;
                }
                visit(item.edit(), parts, Leaf::None, &mut |field| change.make(field)).map_err(
                    |message| {
                        spot.wrong(
                            format!("{} of {}: {message}", spec.path, item.id()),
                            "correct the object",
                        )
                    },
                )?;
            }
        }
    }
    Ok(())
}

struct Change<'a> {
    image: &'a Image,
    pattern: Regex,
}

impl<'a> Change<'a> {
    fn new(image: &'a Image) -> Option<Self> {
        let pattern = format!(
            "^{}(:[a-zA-Z0-9_.{{}}-]*)?(@sha256:[a-zA-Z0-9_.{{}}-]*)?$",
            as_go_reads(&image.name)
        );
        let pattern = Regex::new(&pattern).ok()?;
        Some(Self { image, pattern })
    }

    fn concerns(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.pattern.is_match(text),
            Value::Object(_) | Value::Array(_) => true,
            _ => false,
        }
    }

    fn make(&self, field: &mut Value) -> Result<(), String> {
        match field {
            Value::String(text) if self.pattern.is_match(text) => *field = json!(self.changed(text)),
            Value::Object(_) | Value::Array(_) => return Err("it is not a text".to_owned()),
            _ => {}
        }
        Ok(())
    }

    /// Tells whether one of the containers somewhere in a value has the image.
    fn any_container(&self, value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().any(|item| self.any_container(item)),
            Value::Object(fields) => fields.iter().any(|(name, value)| {
                let here = is_containers(name)
                    && value.as_array().into_iter().flatten().any(|container| {
                        matches!(container.get("image"), Some(Value::String(text)) if self.pattern.is_match(text))
                    });
                here || self.any_container(value)
            }),
            _ => false,
        }
    }

    /// Changes the image of the containers somewhere in a value.
    fn containers(&self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.containers(item)),
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    self.containers(value);
                    if let Value::Array(containers) = value
                        && is_containers(name)
                    {
                        for container in containers {
                            if let Some(image @ Value::String(_)) = container.get_mut("image") {
                                self.make(image).ok();
                            }
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn changed(&self, text: &str) -> String {
        let (name, tag, digest) = split(text);
        let own = self.image;
        let mut changed = if own.new_name.is_empty() {
            name
        } else {
            &own.new_name
        }
        .to_owned();
        let (tag, digest) = match (own.new_tag.as_str(), own.digest.as_str(), own.tag_suffix.as_str()) {
            ("", "", "") => (tag.to_owned(), digest),
            ("", "", suffix) => (format!("{tag}{suffix}"), ""),
            (tag, digest, _) => (tag.to_owned(), digest),
        };
        if !tag.is_empty() {
            changed.push(':');
            changed.push_str(&tag);
        }
        if !digest.is_empty() {
            changed.push('@');
            changed.push_str(digest);
        }
        changed
    }
}

fn is_containers(name: &str) -> bool {
    matches!(name, "containers" | "initContainers")
}

/// Splits an image into its name, tag and digest.
fn split(image: &str) -> (&str, &str, &str) {
    let from = image.find('/').unwrap_or(0);
    let (named, digest) = match image.get(from..).unwrap_or_default().find('@') {
        Some(at) => (image.get(..from + at), image.get(from + at + 1..)),
        None => (Some(image), Some("")),
    };
    let (named, digest) = (named.unwrap_or_default(), digest.unwrap_or_default());
    match named.get(from..).unwrap_or_default().find(':') {
        Some(at) => (
            named.get(..from + at).unwrap_or_default(),
            named.get(from + at + 1..).unwrap_or_default(),
            digest,
        ),
        None => (named, "", digest),
    }
}

/// Sets replicas.
pub(super) fn replicas(
    items: &mut [Item],
    replicas: &[Replica],
    config: &Config,
    spot: &Spot,
) -> Outcome<()> {
    for (at, replica) in replicas.iter().enumerate() {
        let spot = spot.at(&format!("/replicas/{at}"));
        let mut found = false;
        for spec in &config.replicas {
            let parts = spec.parts();
            for item in items.iter_mut() {
                let (group, version) = (item.group(), item.version());
                let meant = item
                    .identities()
                    .any(|was| was.name == replica.name && spec.selected().matches(group, version, was.kind));
                if !meant {
                    continue;
                }
                found = true;
                if !spec.fits(item) {
                    continue;
                }
                let mut set = |field: &mut Value| {
                    *field = json!(replica.count);
                    Ok(())
                };
                let leaf = if spec.create { Leaf::Scalar } else { Leaf::None };
                visit(item.edit(), &parts, leaf, &mut set).map_err(|message| {
                    spot.wrong(format!("{}: {message}", item.id()), "correct the object")
                })?;
            }
        }
        if !found {
            return Err(spot.at("/name").wrong(
                format!("there is no workload `{}` whose replicas could be set", replica.name),
                "correct the name: it is that of a Deployment, StatefulSet, ReplicaSet or ReplicationController",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(image: &Image, text: &str) -> String {
        let mut value = json!(text);
        Change::new(image).unwrap().make(&mut value).unwrap();
        value.as_str().unwrap().to_owned()
    }

    #[test]
    fn images_are_split_after_the_host() {
        assert_eq!(
            split("localhost:5000/app:1@sha256:ab"),
            ("localhost:5000/app", "1", "sha256:ab")
        );
        assert_eq!(split("localhost:5000/app"), ("localhost:5000/app", "", ""));
        assert_eq!(split("app@sha256:ab"), ("app", "", "sha256:ab"));
    }

    #[test]
    fn a_tag_or_digest_replaces_both() {
        let image = |new_tag: &str, digest: &str, tag_suffix: &str| Image {
            name: "app".into(),
            new_name: String::new(),
            new_tag: new_tag.into(),
            tag_suffix: tag_suffix.into(),
            digest: digest.into(),
        };
        assert_eq!(changed(&image("2", "", ""), "app:1@sha256:ab"), "app:2");
        assert_eq!(changed(&image("", "sha256:cd", ""), "app:1"), "app@sha256:cd");
        assert_eq!(changed(&image("2", "sha256:cd", ""), "app"), "app:2@sha256:cd");
        assert_eq!(changed(&image("", "", "-x"), "app:1@sha256:ab"), "app:1-x");
        assert_eq!(changed(&image("2", "", ""), "apple:1"), "apple:1");
        assert_eq!(changed(&image("2", "", ""), "host/app:1"), "host/app:1");
    }
}
