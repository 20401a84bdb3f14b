//! Ownership of fields, server-side apply, strategic merge patch.

mod merge;
mod owners;
mod set;
mod strategic;

use serde_json::{Value, json};

pub(crate) use self::strategic::strategic;
use self::{
    merge::{compare, fields_of, merge, prune},
    owners::Owner,
    set::Set,
};
use super::{
    schema::{self, Node},
    store::{ApiError, Draft, Intent, Part, Target, json as j},
};

/// Fields that nobody owns.
const UNOWNED: [&str; 10] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
];

/// Returns a value without what nobody owns.
fn ownable(value: &Value) -> Value {
    let mut value = value.clone();
    for field in ["apiVersion", "kind"] {
        j::remove(&mut value, &[field]);
    }
    for field in UNOWNED {
        j::remove(&mut value, &["metadata", field]);
    }
    let bare = j::at(&value, &["metadata"])
        .and_then(Value::as_object)
        .is_none_or(serde_json::Map::is_empty);
    if bare {
        j::remove(&mut value, &["metadata"]);
    }
    value
}

/// Records who owns which field after an ordinary write.
pub(crate) fn record_update(
    target: &Target,
    intent: &Intent,
    old: Option<&Value>,
    new: &mut Value,
    now: &str,
) {
    let node = Node::root(&target.kind, &target.version);
    let api_version = target.kind.api_version(&target.version);
    let subresource = intent.part.subresource();
    let mut owners = owners::read(new);
    if owners.is_empty() {
        owners = old.map(owners::read).unwrap_or_default();
    }
    // A list with one empty entry asks to forget all owners.
    let reset = *j::items(new, &["metadata", "managedFields"]) == [json!({})];
    if reset {
        owners.clear();
    }
    if old.is_some() && owners.is_empty() {
        // What nobody is known to own stays so until someone applies.
        owners::write(new, owners);
        return;
    }
    let difference = compare(&node, old.map(ownable).as_ref(), Some(&ownable(new)));
    if !owners
        .iter()
        .any(|o| o.is(&intent.manager, "Update", subresource, &api_version))
    {
        owners.push(Owner {
            manager: intent.manager.clone(),
            operation: "Update".to_owned(),
            api_version: api_version.clone(),
            subresource: subresource.to_owned(),
            time: String::new(),
            fields: Set::default(),
        });
    }
    for owner in &mut owners {
        owner.fields = owner.fields.difference(&difference.removed);
        if !owner.is(&intent.manager, "Update", subresource, &api_version) {
            owner.fields = owner.fields.difference(&difference.changed);
            continue;
        }
        // The scale subresource leaves no time.
        if !difference.changed.is_empty() && intent.part != Part::Scale {
            now.clone_into(&mut owner.time);
        }
        owner.fields.add(&difference.changed);
    }
    owners::write(new, owners);
}

/// Applies an intent: merges it, takes over or refuses conflicts, and drops what only this manager had.
pub(crate) fn apply(
    target: &Target,
    intent: &Intent,
    live: Option<&Value>,
    config: &Value,
    force: bool,
    now: &str,
) -> Result<Draft, ApiError> {
    let node = Node::root(&target.kind, &target.version);
    let api_version = target.kind.api_version(&target.version);
    let subresource = intent.part.subresource();
    check_declared(target, config)?;
    check_guards(target, live, config)?;
    let config = part_of(target, intent.part, config);
    let declared = ownable(&config);
    let mine = if declared.as_object().is_some_and(serde_json::Map::is_empty) {
        Set::default()
    } else {
        fields_of(&node, &declared)
    };
    let mut owners = live
        .map(|live| known_owners(&node, &api_version, live, now))
        .unwrap_or_default();
    let is_mine = |o: &Owner| o.is(&intent.manager, "Apply", subresource, &api_version);
    let last = owners
        .iter()
        .find(|o| is_mine(o))
        .map(|o| o.fields.clone())
        .unwrap_or_default();
    let time = owners.iter().find(|o| is_mine(o)).map(|o| o.time.clone());
    owners.retain(|o| !is_mine(o));

    let mut merged = merge(&node, live, &config);
    let changed = compare(&node, live.map(ownable).as_ref(), Some(&ownable(&merged))).changed;
    resolve(&mut owners, &changed, force)?;
    owners.push(Owner {
        manager: intent.manager.clone(),
        operation: "Apply".to_owned(),
        api_version: api_version.clone(),
        subresource: subresource.to_owned(),
        time: time.unwrap_or_default(),
        fields: mine,
    });
    let mut owned = Set::default();
    for owner in &owners {
        owned.add(&owner.fields);
    }
    prune(&node, &mut merged, &last, &owned);
    if let Some(live) = live {
        for field in UNOWNED.into_iter().filter(|f| *f != "managedFields") {
            j::copy(live, &mut merged, &["metadata", field]);
        }
    }
    // An intent that changes nothing leaves no time.
    if live.is_none_or(|live| ownable(live) != ownable(&merged)) {
        for owner in owners.iter_mut().filter(|o| is_mine(o)) {
            now.clone_into(&mut owner.time);
        }
    }
    owners::write(&mut merged, owners);
    Ok(Draft {
        value: merged,
        applied: true,
    })
}

/// Returns the owners of an object. What has none was there before the first apply.
fn known_owners(node: &Node<'_>, api_version: &str, live: &Value, now: &str) -> Vec<Owner> {
    let owners = owners::read(live);
    if !owners.is_empty() {
        return owners;
    }
    vec![Owner {
        manager: "before-first-apply".to_owned(),
        operation: "Update".to_owned(),
        api_version: api_version.to_owned(),
        subresource: String::new(),
        time: now.to_owned(),
        fields: compare(node, None, Some(&ownable(live))).changed,
    }]
}

/// An intent may name the incarnation and the state that it is meant for.
fn check_guards(target: &Target, live: Option<&Value>, config: &Value) -> Result<(), ApiError> {
    let kind = &target.kind;
    let version = j::text(config, &["metadata", "resourceVersion"]);
    let uid = j::text(config, &["metadata", "uid"]);
    let Some(live) = live else {
        let given = if version.is_empty() { uid } else { version };
        return if given.is_empty() {
            Ok(())
        } else {
            Err(target.not_found())
        };
    };
    if !version.is_empty() && version != j::text(live, &["metadata", "resourceVersion"]) {
        return Err(ApiError::stale(&kind.group, &kind.plural, &target.name));
    }
    let present = j::text(live, &["metadata", "uid"]);
    if !uid.is_empty() && uid != present {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {present}");
        return Err(ApiError::conflict(&kind.group, &kind.plural, &target.name, &why));
    }
    Ok(())
}

/// An intent must have the types of its kind, and name no field that it lacks.
fn check_declared(target: &Target, config: &Value) -> Result<(), ApiError> {
    let (kind, version) = (&target.kind, &target.version);
    let refuse = |why: &str| {
        let name = |field: &str| j::text(config, &["metadata", field]);
        let api_version = kind.api_version(version);
        let group_version = if kind.group.is_empty() {
            format!("/{version}")
        } else {
            api_version
        };
        Err(ApiError::unclassified(format!(
            "failed to create typed patch object ({}/{}; {group_version}, Kind={}): {why}",
            name("namespace"),
            name("name"),
            kind.kind
        )))
    };
    let unknown = match schema::unknown_fields(kind, version, config) {
        Ok(unknown) => unknown,
        Err(error) => return refuse(&error.message),
    };
    if let Some(field) = unknown.first() {
        return refuse(&format!(".{field}: field not declared in schema"));
    }
    if let Some(cause) = schema::mistyped(kind, version, config).first() {
        return refuse(&format!(".{}: {}", cause.field, cause.message));
    }
    match merge::duplicate(&Node::root(kind, version), config, "") {
        Some(text) => refuse(&text),
        None => Ok(()),
    }
}

/// Returns the part of an intent that this endpoint may write, without nulls.
fn part_of(target: &Target, part: Part, config: &Value) -> Value {
    let mut config = config.clone();
    drop_nulls(&mut config);
    for field in UNOWNED
        .into_iter()
        .filter(|f| !matches!(*f, "name" | "namespace"))
    {
        j::remove(&mut config, &["metadata", field]);
    }
    if part == Part::Status {
        let mut status = json!({});
        for path in [
            &["apiVersion"][..],
            &["kind"],
            &["metadata", "name"],
            &["metadata", "namespace"],
            &["status"],
        ] {
            j::copy(&config, &mut status, path);
        }
        return status;
    }
    if target.kind.has_status() {
        j::remove(&mut config, &["status"]);
    }
    config
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Refuses what others own, or takes it over.
fn resolve(owners: &mut [Owner], changed: &Set, force: bool) -> Result<(), ApiError> {
    let mut conflicts: Vec<(String, Vec<String>)> = Vec::new();
    for owner in owners.iter_mut() {
        let disputed = owner.fields.intersection(changed);
        if disputed.is_empty() {
            continue;
        }
        if force {
            owner.fields = owner.fields.difference(&disputed);
        } else {
            conflicts.push((owner.label(), disputed.paths()));
        }
    }
    if conflicts.is_empty() {
        Ok(())
    } else {
        Err(conflict(&conflicts))
    }
}

fn conflict(conflicts: &[(String, Vec<String>)]) -> ApiError {
    let count: usize = conflicts.iter().map(|(_, paths)| paths.len()).sum();
    let text = match conflicts {
        [(owner, paths)] if count == 1 => format!("conflict with {owner}: {}", paths.concat()),
        _ => {
            let blocks: Vec<String> = conflicts
                .iter()
                .map(|(owner, paths)| format!("conflicts with {owner}:\n- {}", paths.join("\n- ")))
                .collect();
            blocks.join("\n")
        }
    };
    let plural = if count == 1 { "conflict" } else { "conflicts" };
    let causes: Vec<Value> = conflicts
        .iter()
        .flat_map(|(owner, paths)| {
            paths.iter().map(move |path| {
            json!({
                "reason": "FieldManagerConflict", "message": format!("conflict with {owner}"), "field": path,
            })
        })
        })
        .collect();
    ApiError::apply_conflict(format!("Apply failed with {count} {plural}: {text}"), &causes)
}

/// Whether two states differ in nothing but the times in `managedFields`.
pub(crate) fn same(old: &Value, new: &Value) -> bool {
    let timeless = |value: &Value| {
        let mut value = value.clone();
        if let Some(entries) = value
            .pointer_mut("/metadata/managedFields")
            .and_then(Value::as_array_mut)
        {
            for entry in entries {
                j::remove(entry, &["time"]);
            }
        }
        value
    };
    timeless(old) == timeless(new)
}
