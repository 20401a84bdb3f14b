//! The deprecated `vars`: texts `$(NAME)` that stand for a field of an object, filled in at the end.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    fault::Outcome,
    fields::{Leaf, any, visit},
    item::{Item, group_version},
    layer::Layer,
    load::{Loaded, Spot},
    replacements::{NAME, look_up, split_field_path},
    spec::Var,
    twins,
};

/// Notes which objects the variables of a kustomization are about.
pub(super) fn note(loaded: &Loaded, layer: &mut Layer) -> Outcome<()> {
    for (at, var) in loaded.spec.vars.iter().enumerate() {
        let spot = loaded.spot.at(&format!("/vars/{at}"));
        let mut matched = layer.items.iter_mut().filter(|item| is_about(item, var));
        let (first, second) = (matched.next(), matched.next());
        match (first, second) {
            (Some(_), Some(_)) => {
                let message = format!("the variable {} may be about more than one object", var.name);
                return Err(spot.at("/objref").wrong(message, "add the namespace"));
            }
            (Some(item), None) => item.vars.push(var.name.clone()),
            (None, _) => {}
        }
        add(&mut layer.vars, var, &spot)?;
    }
    Ok(())
}

/// Adds a variable; two of one name are refused.
pub(super) fn add(vars: &mut Vec<Var>, var: &Var, spot: &Spot) -> Outcome<()> {
    if vars.iter().any(|known| known.name == var.name) {
        return Err(spot.wrong(
            format!("the variable {} is there twice", var.name),
            "rename one of the two",
        ));
    }
    vars.push(var.clone());
    Ok(())
}

fn is_about(item: &Item, var: &Var) -> bool {
    let object = &var.object;
    let (group, version) = match object.api_version.as_str() {
        "" => (object.group.as_str(), object.version.as_str()),
        api_version => group_version(api_version),
    };
    let here = |namespace: &str| match object.namespace.as_str() {
        "" => true,
        wanted => wanted == namespace,
    };
    item.group() == group
        && item.version() == version
        && item
            .identities()
            .any(|was| was.name == object.name && was.kind == object.kind && here(was.namespace))
}

/// Fills in the variables.
pub(super) fn resolve(layer: &mut Layer, spot: &Spot) -> Outcome<()> {
    if layer.vars.is_empty() {
        return Ok(());
    }
    let mut values = BTreeMap::new();
    for var in &layer.vars {
        let path = if var.field.field_path.is_empty() {
            NAME
        } else {
            &var.field.field_path
        };
        // `a.b[0].c` is another spelling of `a.b.0.c`.
        let dotted = path.replace('[', ".").replace(']', "");
        let item = layer.items.iter().find(|item| item.vars.contains(&var.name));
        let value = item.and_then(|item| look_up(&item.value, &split_field_path(&dotted)));
        let Some(value) = value else {
            return Err(spot.wrong(
                format!("the variable {} has no object or no field `{path}`", var.name),
                "correct its objref or fieldref",
            ));
        };
        if value.is_object() || value.is_array() || value.is_null() {
            return Err(spot.beyond(format!("the variable {} is no text", var.name), "refer to a text"));
        }
        values.insert(var.name.clone(), value.clone());
    }
    let config = std::sync::Arc::clone(&layer.config);
    let specs: Vec<_> = config
        .var_reference
        .iter()
        .map(|spec| (spec, spec.parts()))
        .collect();
    for item in &mut layer.items {
        for (spec, parts) in &specs {
            if !spec.fits(item) || !any(&item.value, parts, &mut has_variable) {
                continue;
            }
            let old = twins::before(item);
            let mut set = |field: &mut Value| {
                fill(field, &values);
                Ok(())
            };
            visit(item.edit(), parts, Leaf::None, &mut set)
                .map_err(|message| spot.wrong(format!("{}: {message}", item.id()), "correct the object"))?;
            twins::after(item, &old);
        }
    }
    Ok(())
}

fn has_variable(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('$'),
        Value::Array(items) => items.iter().any(has_variable),
        Value::Object(fields) => fields.values().any(has_variable),
        _ => false,
    }
}

/// Fills in a text, or the texts right in a list or a map.
fn fill(field: &mut Value, values: &BTreeMap<String, Value>) {
    match field {
        Value::String(text) => *field = expanded(text, values),
        Value::Array(items) => items
            .iter_mut()
            .filter(|item| item.is_string())
            .for_each(|item| fill(item, values)),
        Value::Object(fields) => fields
            .values_mut()
            .filter(|value| value.is_string())
            .for_each(|value| fill(value, values)),
        _ => {}
    }
}

/// A text that is one variable becomes its value, of its type; `$$` is a dollar.
fn expanded(text: &str, values: &BTreeMap<String, Value>) -> Value {
    let whole = text.strip_prefix("$(").and_then(|rest| rest.strip_suffix(')'));
    if let Some(value) = whole.and_then(|name| values.get(name)) {
        return value.clone();
    }
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        made.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            made.push('$');
            rest = after;
        } else if let Some((name, after)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match values.get(name) {
                Some(Value::String(value)) => made.push_str(value),
                Some(value) => made.push_str(&value.to_string()),
                None => {
                    made.push_str("$(");
                    made.push_str(name);
                    made.push(')');
                }
            }
            rest = after;
        } else {
            made.push('$');
            rest = after;
        }
    }
    made.push_str(rest);
    Value::String(made)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_are_filled_in() {
        let values = BTreeMap::from([("A".to_owned(), json!("x")), ("N".to_owned(), json!(5))]);
        for (text, value) in [
            ("$(A)", json!("x")),
            ("$(N)", json!(5)),
            ("a $(A)-$(N)", json!("a x-5")),
            ("$(B) $$(A) $x $(", json!("$(B) $(A) $x $(")),
        ] {
            assert_eq!(expanded(text, &values), value, "{text}");
        }
    }
}
