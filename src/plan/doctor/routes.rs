//! Routes that lead past a rollout: Ingresses that split traffic between primary and canary themselves, or lead to one of
//! them.

use serde_json::Value;

use super::{Finding, Severity, Ward, declared_by, flux, made};
use crate::{
    canary::{Canary, generated::is_ours},
    manifest::{Object, Resource},
};

/// Annotations that split traffic: of Skipper, and of Ingress controllers that do as ingress-nginx.
const WEIGHTS: &str = "zalando.org/backend-weights";
const CANARY_WEIGHT: &str = "/canary-weight";

/// What is wrong with an Ingress.
pub(super) struct Past {
    pub(super) problem: String,
    /// Words, for a manifest.
    pub(super) fix: String,
    /// The annotation that has to go; none where a path leads elsewhere.
    annotation: Option<String>,
}

impl Past {
    /// A way to the canary of one's own may be meant so; a split of one's own is none.
    pub(super) fn severity(&self) -> Severity {
        if self.annotation.is_some() {
            Severity::Fight
        } else {
            Severity::Note
        }
    }
}

/// Says how an Ingress that is not Serin's leads past the weights, if it does.
pub(super) fn past(canary: &Canary, ingress: &Object) -> Option<Past> {
    let sides = [canary.primary_service(), canary.canary_service()];
    let leads = backends(ingress)
        .into_iter()
        .find(|name| sides.iter().any(|side| side == name));
    let annotations = ingress.at("/metadata/annotations").and_then(Value::as_object);
    let mut annotations = annotations.into_iter().flatten();
    let splits = annotations.find(|(name, value)| {
        let text = value.as_str().unwrap_or_default();
        let weights =
            name.as_str() == WEIGHTS && sides.iter().any(|side| text.contains(&format!("\"{side}\"")));
        weights || name.ends_with(CANARY_WEIGHT) && leads.is_some()
    });
    if let Some((name, _)) = splits {
        return Some(Past {
            problem: format!("splits traffic by {name}, which the rollout does"),
            fix: format!(
                "take the annotation {name} out; the rollout splits traffic by the Ingress that it makes"
            ),
            annotation: Some(name.clone()),
        });
    }
    let leads = leads?;
    Some(Past {
        problem: format!("leads to service {leads}, past the weights of the rollout"),
        fix: format!(
            "let the path lead to service {}; the rollout splits traffic by the Ingress that it makes",
            canary.spec.service.name
        ),
        annotation: None,
    })
}

fn backends(ingress: &Object) -> Vec<&str> {
    let rules = ingress.at("/spec/rules").and_then(Value::as_array);
    let paths = rules
        .into_iter()
        .flatten()
        .filter_map(|rule| rule.pointer("/http/paths")?.as_array());
    let of_paths = paths
        .flatten()
        .filter_map(|path| path.pointer("/backend/service/name")?.as_str());
    let default = ingress
        .at("/spec/defaultBackend/service/name")
        .and_then(Value::as_str);
    of_paths.chain(default).collect()
}

/// Looks at what is live.
pub(super) fn examine(ward: &Ward, canary: &Canary, found: &mut Vec<Finding>) {
    let ingresses = ward
        .of(Resource::INGRESS)
        .filter(|ingress| ingress.namespace() == canary.namespace && !is_ours(canary, ingress));
    found.extend(ingresses.filter_map(|ingress| {
        let past = past(canary, ingress)?;
        let (name, namespace) = (ingress.name(), ingress.namespace());
        let fix = match (&past.annotation, flux::applier(ingress)) {
            (_, Some(owner)) => format!("in git, in what {owner} applies: {}", past.fix),
            (Some(annotation), None) => {
                format!("kubectl -n {namespace} annotate ingress {name} {annotation}-")
            }
            (None, None) => format!("kubectl -n {namespace} edit ingress {name}\n{}", past.fix),
        };
        Some(Finding {
            severity: past.severity(),
            code: "route",
            object: ingress.key().to_string(),
            problem: format!("it {}", past.problem),
            fix,
        })
    }));
    found.extend(made::generated(canary).into_iter().filter_map(|key| {
        let object = ward.objects.get(&key)?;
        let fields: &[&[&str]] = match key.kind.as_str() {
            "Service" => &[&["spec", "selector"], &["spec", "ports"]],
            "Ingress" => &[
                &["spec", "rules"],
                &["metadata", "annotations", "zalando.org~1backend-weights"],
            ],
            _ => &[&["spec", "template"]],
        };
        let manager = fields.iter().find_map(|path| declared_by(object, path))?;
        let let_go = object.annotation("kustomize.toolkit.fluxcd.io/reconcile") == Some("disabled");
        (!let_go).then(|| Finding {
            severity: Severity::Fight,
            code: "generated",
            object: key.to_string(),
            problem: format!("{manager} declares it too, and the rollout makes it"),
            fix: super::let_go(&key, &format!("the {}", key.kind)),
        })
    }));
}
