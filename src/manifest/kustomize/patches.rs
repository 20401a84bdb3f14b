//! Patches: strategic merge and JSON 6902, each for the objects that it names or that its target selects.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use super::{
    fault::Outcome,
    file::{File, objects},
    item::Item,
    load::{Loaded, Loader, Spot},
    merge::merge,
    place::Place,
    schema::Schema,
    select::Selector,
    spec::{Patch, Target},
    twins,
    yaml::Text,
};

/// Applies `patchesStrategicMerge`.
pub(super) fn strategic_merges(
    loader: &mut Loader<'_>,
    place: &Place<'_>,
    loaded: &Loaded,
    items: &mut Vec<Item>,
) -> Outcome<()> {
    let mut all = Vec::new();
    for (at, text) in loaded.spec.patches_strategic_merge.iter().enumerate() {
        let spot = loaded.spot.at(&format!("/patchesStrategicMerge/{at}"));
        // For old times' sake it may be a patch as it is; else it names a file.
        let inline = inline(text, &spot);
        let read = if let Ok(patches) = inline.texts().and_then(|texts| wholes(&texts, &spot)) {
            patches
        } else {
            loader.needed(place, text, &spot)?.items()?.to_vec()
        };
        all.extend(read.into_iter().map(|patch| (patch, spot.clone())));
    }
    for (patch, spot) in &all {
        let at = named(items, patch, spot)?;
        apply(items, &BTreeSet::from([at]), patch, Changes::default(), spot)?;
        items.retain(|item| !item.value.is_null());
    }
    Ok(())
}

/// Applies `patches`.
pub(super) fn patches(
    loader: &mut Loader<'_>,
    place: &Place<'_>,
    loaded: &Loaded,
    items: &mut Vec<Item>,
) -> Outcome<()> {
    let mut read = Vec::new();
    for (at, patch) in loaded.spec.patches.iter().enumerate() {
        let spot = loaded.spot.at(&format!("/patches/{at}"));
        let patch = Patch {
            // As kustomize does, which takes off the end of a block scalar with it.
            text: patch.text.trim().to_owned(),
            ..patch.clone()
        };
        let content = content(loader, place, &patch, &spot)?;
        read.push((patch, content, spot));
    }
    for (patch, content, spot) in read {
        match content {
            Content::Operations { file, text } => {
                let Some(target) = &patch.target else {
                    return Err(spot.wrong(
                        "a JSON 6902 patch needs a target",
                        "add `target` with the kind and the name of what is patched",
                    ));
                };
                operations(items, target, &file, &text, &spot, true)?;
            }
            Content::Objects(objects) => {
                let allowed = |option: &str| patch.options.get(option).copied().unwrap_or_default();
                let changes = Changes {
                    name: allowed("allowNameChange"),
                    kind: allowed("allowKindChange"),
                };
                merges(items, patch.target.as_ref(), &objects, changes, &spot)?;
            }
        }
    }
    Ok(())
}

/// Applies `patchesJson6902`.
pub(super) fn json6902(
    loader: &mut Loader<'_>,
    place: &Place<'_>,
    loaded: &Loaded,
    items: &mut [Item],
) -> Outcome<()> {
    for (at, patch) in loaded.spec.patches_json6902.iter().enumerate() {
        let spot = loaded.spot.at(&format!("/patchesJson6902/{at}"));
        let target = patch.target.as_ref().filter(|target| !target.name.is_empty());
        let Some(target) = target else {
            return Err(spot.wrong(
                "the patch has no target with a name",
                "add `target` with kind and name",
            ));
        };
        match content(loader, place, patch, &spot)? {
            Content::Operations { file, text }
                if text.value.as_array().is_some_and(|list| !list.is_empty()) =>
            {
                operations(items, target, &file, &text, &spot, false)?;
            }
            _ => {
                return Err(spot.wrong(
                    "not a list of JSON 6902 operations",
                    "write it as a list of `op` and `path`",
                ));
            }
        }
    }
    Ok(())
}

/// What a patch is made of.
enum Content {
    /// JSON 6902.
    Operations { file: Arc<File>, text: Text },
    /// Strategic merge.
    Objects(Vec<Item>),
}

fn content(loader: &mut Loader<'_>, place: &Place<'_>, patch: &Patch, spot: &Spot) -> Outcome<Content> {
    let file = match (patch.text.as_str(), patch.path.as_str()) {
        ("", "") => return Err(spot.wrong("neither `patch` nor `path` is given", "give one of the two")),
        ("", path) => loader.needed(place, path, &spot.at("/path"))?,
        (text, "") => inline(text, spot),
        _ => return Err(spot.wrong("both `patch` and `path` are given", "give one of the two")),
    };
    let is_inline = patch.path.is_empty();
    let texts = match file.texts() {
        // As operations it may be fine.
        Err(_)
            if file
                .settings()
                .is_ok_and(|texts| texts.first().is_some_and(|text| text.value.is_array())) =>
        {
            file.settings()
        }
        texts => texts,
    };
    let texts = texts.map_err(|fault| {
        if !is_inline {
            return fault;
        }
        let problem = fault.problem();
        let message = format!("line {} of the patch: {}", problem.line, problem.message);
        spot.at("/patch").wrong(message, &problem.hint)
    })?;
    match texts.first() {
        None => Err(spot.wrong("the patch is empty", "write it, or leave it out")),
        Some(text) if text.value.is_array() => {
            refuse_flow(&file, spot)?;
            Ok(Content::Operations {
                text: file.settings()?.first().unwrap_or(text).clone(),
                file,
            })
        }
        Some(_) if is_inline => wholes(&texts, &spot.at("/patch")).map(Content::Objects),
        Some(_) => Ok(Content::Objects(file.items()?.to_vec())),
    }
}

/// kustomize reads operations that begin with `[` as JSON.
fn refuse_flow(file: &File, spot: &Spot) -> Outcome<()> {
    let json = file
        .bytes()
        .starts_with(b"[")
        .then(|| serde_json::from_slice::<Value>(file.bytes()));
    match json {
        Some(Err(error)) => Err(spot.at("/patch").wrong(
            format!("operations that begin with `[` are JSON: {error}"),
            "quote what is not quoted, or write them as a list with dashes",
        )),
        _ => Ok(()),
    }
}

/// A patch that is written in the kustomization.
fn inline(text: &str, spot: &Spot) -> Arc<File> {
    Arc::new(File::new(spot.file.path(), text.as_bytes().to_vec()))
}

fn wholes(texts: &[Text], spot: &Spot) -> Outcome<Vec<Item>> {
    let mut items = objects(texts, spot.file.path()).map_err(|problem| {
        spot.wrong(
            format!("the patch holds {}", problem.message),
            "a strategic merge patch needs apiVersion, kind and metadata.name",
        )
    })?;
    for item in &mut items {
        item.line = spot.line;
    }
    Ok(items)
}

/// What a patch may change beside the content.
#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    name: bool,
    kind: bool,
}

fn merges(
    items: &mut Vec<Item>,
    target: Option<&Target>,
    patches: &[Item],
    changes: Changes,
    spot: &Spot,
) -> Outcome<()> {
    let Some(target) = target else {
        for patch in patches {
            let at = named(items, patch, spot)?;
            apply(items, &BTreeSet::from([at]), patch, changes, spot)?;
        }
        items.retain(|item| !item.value.is_null());
        return Ok(());
    };
    let [patch] = patches else {
        return Err(spot.wrong(
            "several patches in one entry that has a target",
            "give every patch an entry of its own",
        ));
    };
    let selector = selector(target, spot)?;
    let selected = (0..items.len())
        .filter(|at| items.get(*at).is_some_and(|item| selector.selects(item)))
        .collect();
    apply(items, &selected, &with_kind_of_target(patch), changes, spot)?;
    items.retain(|item| !item.value.is_null());
    let mut ids = BTreeSet::new();
    match items.iter().map(Item::id).find(|id| !ids.insert(id.clone())) {
        Some(id) => Err(spot.wrong(format!("two objects become {id}"), "patch them one by one")),
        None => Ok(()),
    }
}

fn selector(target: &Target, spot: &Spot) -> Outcome<Selector> {
    Selector::new(target).map_err(|(field, message)| {
        spot.at(&format!("/target/{field}"))
            .wrong(message, "correct the target")
    })
}

/// A patch for what a target selects says nothing about the version, and does not remove annotations, nor all labels.
fn with_kind_of_target(patch: &Item) -> Item {
    let mut patch = patch.clone();
    patch.spell_out_annotations();
    if let Some(Value::Object(metadata)) = patch.edit().get_mut("metadata") {
        let is_emptied =
            |field: &str, value: &Value| value.is_null() && matches!(field, "labels" | "annotations");
        metadata.retain(|field, value| !is_emptied(field, value));
    }
    if let Some(fields) = patch.edit().as_object_mut() {
        fields.remove("apiVersion");
    }
    patch
}

/// Finds the one object that a patch names, by what it is or was called.
fn named(items: &[Item], patch: &Item, spot: &Spot) -> Outcome<usize> {
    let meant = |item: &Item| {
        item.group() == patch.group()
            && item.version() == patch.version()
            && item.identities().any(|was| {
                was.name == patch.name()
                    && was.kind == patch.kind()
                    && was.namespace == patch.effective_namespace()
            })
    };
    let mut found = (0..items.len()).filter(|at| {
        items
            .get(*at)
            .is_some_and(|item| !item.value.is_null() && meant(item))
    });
    match (found.next(), found.next()) {
        (Some(at), None) => Ok(at),
        (None, _) => Err(spot.wrong(
            format!("there is no {} that the patch could be for", patch.id()),
            "correct apiVersion, kind, name or namespace of the patch, or give it a target",
        )),
        (Some(_), Some(_)) => Err(spot.wrong(
            format!("the patch may be for more than one {}", patch.id()),
            "give it a target that selects one",
        )),
    }
}

/// Merges a patch into some of the objects; those that it deletes become null.
fn apply(
    items: &mut [Item],
    selected: &BTreeSet<usize>,
    patch: &Item,
    changes: Changes,
    spot: &Spot,
) -> Outcome<()> {
    for at in selected {
        let Some(item) = items.get_mut(*at) else { continue };
        // A whole object is not replaced by kustomize, but left as it is.
        if patch.value.get("$patch").is_some_and(|asked| asked == "replace") {
            continue;
        }
        let (name, kind, namespace) = (
            item.name().to_owned(),
            item.kind().to_owned(),
            item.namespace().to_owned(),
        );
        if changes.name || changes.kind {
            item.remember();
        }
        forget_hollow(item);
        twins::part(item, &patch.value);
        let old = twins::before(item);
        let schema = Schema::of(item.api_version(), item.kind());
        let object = std::mem::take(item.edit());
        let merged = merge(object, &patch.value, schema).map_err(|message| {
            spot.wrong(
                format!("the patch does not fit {kind}/{name}: {message}"),
                "write the field as the object has it",
            )
        })?;
        let Some(merged) =
            merged.filter(|merged| merged.as_object().is_some_and(|fields| !fields.is_empty()))
        else {
            continue;
        };
        *item.edit() = merged;
        if !changes.kind
            && let Some(fields) = item.edit().as_object_mut()
        {
            fields.insert("kind".to_owned(), json!(kind));
        }
        if !changes.name {
            item.set_metadata("name", &name);
        }
        item.set_metadata("namespace", &namespace);
        twins::after(item, &old);
    }
    Ok(())
}

/// Removes the fields that were written without a value, and still have none.
fn forget_hollow(item: &mut Item) {
    for pointer in Arc::clone(&item.hollow).iter() {
        let Some((parent, name)) = pointer.rsplit_once('/') else {
            continue;
        };
        if item.value.pointer(pointer).is_some_and(Value::is_null)
            && let Some(Value::Object(fields)) = item.edit().pointer_mut(parent)
        {
            fields.remove(&name.replace("~1", "/").replace("~0", "~"));
        }
    }
}

/// Applies JSON 6902 operations to what a target selects.
fn operations(
    items: &mut [Item],
    target: &Target,
    file: &Arc<File>,
    text: &Text,
    spot: &Spot,
    remember: bool,
) -> Outcome<()> {
    let selector = selector(target, spot)?;
    let is_inline = file.path() == spot.file.path();
    let list = text.value.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut read = Vec::with_capacity(list.len());
    for (at, operation) in list.iter().enumerate() {
        let place = if is_inline {
            spot.at("/patch")
        } else {
            Spot {
                file: Arc::clone(file),
                line: text.line,
                pointer: format!("/{at}"),
            }
        };
        if !operation.is_object() {
            return Err(place.wrong(format!("operation {at} is not a map"), "write `op` and `path`"));
        }
        read.push((operation, place));
    }
    for item in items.iter_mut().filter(|item| selector.selects(item)) {
        if remember {
            item.remember();
        }
        item.twins.clear();
        let id = item.id();
        for (at, (operation, place)) in read.iter().enumerate() {
            operate(item.edit(), operation).map_err(|message| {
                let path = operation.get("path").and_then(Value::as_str).unwrap_or_default();
                place.wrong(
                    format!("operation {at} at `{path}` cannot be applied to {id}: {message}"),
                    "compare the path with the object, as it is after the patches before",
                )
            })?;
        }
        if item.name().is_empty() {
            return Err(spot.wrong(format!("{id} has no name any more"), "leave it its name"));
        }
    }
    Ok(())
}

fn operate(object: &mut Value, operation: &Value) -> Result<(), String> {
    let mut operation = operation.clone();
    let op = operation
        .get("op")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    for field in ["path", "from"] {
        let is_place = field == "path" && matches!(op.as_str(), "add" | "copy" | "move");
        if let Some(Value::String(pointer)) = operation.get_mut(field) {
            count_from_the_end(object, pointer, is_place);
        }
    }
    if matches!(op.as_str(), "add" | "replace" | "test")
        && let Some(fields) = operation.as_object_mut()
    {
        fields.entry("value").or_insert(Value::Null);
    }
    if op == "test" && is_missing_as_it_should(object, &operation) {
        return Ok(());
    }
    add_what_is_missing(object, &mut operation);
    let patch: json_patch::Patch = serde_json::from_value(json!([operation])).map_err(|error| {
        error
            .to_string()
            .split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned()
    })?;
    json_patch::patch(object, &patch).map_err(|error| error.kind.to_string())
}

/// kustomize lets `replace` add a field to a map that is there.
fn add_what_is_missing(object: &Value, operation: &mut Value) {
    let replaces = operation.get("op").is_some_and(|op| op == "replace");
    let pointer = operation.get("path").and_then(Value::as_str).unwrap_or_default();
    let parent = pointer
        .rsplit_once('/')
        .and_then(|(parent, _)| object.pointer(parent));
    if replaces
        && parent.is_some_and(Value::is_object)
        && object.pointer(pointer).is_none()
        && let Some(op) = operation.get_mut("op")
    {
        *op = json!("add");
    }
}

/// Tells whether it is asked that a field of a map is null, and it is not there.
fn is_missing_as_it_should(object: &Value, operation: &Value) -> bool {
    let pointer = operation.get("path").and_then(Value::as_str).unwrap_or_default();
    let parent = pointer
        .rsplit_once('/')
        .and_then(|(parent, _)| object.pointer(parent));
    operation.get("value").is_some_and(Value::is_null)
        && parent.is_some_and(Value::is_object)
        && object.pointer(pointer).is_none()
}

/// Writes `/list/-1` as the index that it means; a place for something new may be at the end.
fn count_from_the_end(object: &Value, pointer: &mut String, is_place: bool) {
    let negative = |part: &str| {
        part.strip_prefix('-')
            .and_then(|digits| digits.parse::<usize>().ok())
    };
    if !pointer.split('/').any(|part| negative(part).is_some()) {
        return;
    }
    let mut done = String::new();
    let depth = pointer.split('/').count();
    for (at, part) in pointer.split('/').enumerate().skip(1) {
        let list = object.pointer(&done).and_then(Value::as_array);
        let more = usize::from(is_place && at + 1 == depth);
        let index = list.and_then(|list| (list.len() + more).checked_sub(negative(part)?));
        done.push('/');
        match index {
            Some(index) => done.push_str(&index.to_string()),
            None => done.push_str(part),
        }
    }
    *pointer = done;
}
