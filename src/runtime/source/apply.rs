//! `--apply`: brings what a revision changed to the cluster, in the order of the plan. Takes fields over from
//! kubectl and itself only.

use std::sync::Arc;

use super::{Fault, Shared, Source, read::Reading};
use crate::{
    cluster::{Cluster, ClusterError},
    error::{Class, Classified as _},
    manifest::{Manager, Write},
    repo::Revision,
    report::outcome,
};

impl Source {
    /// Applies all that changed. What the server refuses is told on the commit and left; what may pass later
    /// is tried again, with all that follows it.
    pub(super) async fn apply(
        &self,
        shared: &Arc<Shared>,
        reading: &Reading,
        to: &Revision,
    ) -> Result<(), Fault> {
        for refusal in &reading.refused {
            let text = format!("{}:{}: {}", refusal.file, refusal.line, refusal.why);
            tracing::warn!(revision = %to, "Not applied: {text}");
            self.reports.fault(&to.id, &text);
        }
        for planned in &reading.apply {
            match apply(&shared.cluster, planned.write.clone()).await {
                Ok(()) => tracing::info!(revision = %to, object = %planned.key, "Applied."),
                Err(error) if may_pass(&error) => return Err(error.into()),
                Err(error) => {
                    let text = format!("{}:{}: {}", planned.file, planned.line, why(&error));
                    let hint = error.hint().unwrap_or_default();
                    tracing::warn!(revision = %to, hint, "Not applied: {text}");
                    self.reports.fault(&to.id, &text);
                    for (canary, commit) in reading.concerned(&planned.key) {
                        self.reports.say(&commit, &canary, &outcome::refused(&text));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Says why in few words: a commit status is short, and who owns which field is at the end of the message.
fn why(error: &ClusterError) -> String {
    match error {
        ClusterError::Conflict { message, .. } => message
            .split_once(": ")
            .filter(|(intro, _)| intro.starts_with("Apply failed with "))
            .map_or_else(|| error.to_string(), |(_, conflicts)| conflicts.to_owned()),
        other => other.to_string(),
    }
}

/// A foreign owner of a field, or a refusal, stays; a server that does not answer does not.
fn may_pass(error: &ClusterError) -> bool {
    matches!(
        error,
        ClusterError::Unavailable { .. } | ClusterError::NotFound { .. }
    ) && matches!(error.class(), Class::Retry(_) | Class::WaitForChange)
}

async fn apply(cluster: &Cluster, write: Write) -> Result<(), ClusterError> {
    match cluster.write(write.clone()).await {
        Err(ClusterError::Conflict { message, .. }) if only_kubectl(&message) => {
            let Write::Apply { manager, object, .. } = write else {
                return Ok(());
            };
            cluster
                .write(Write::Apply {
                    manager,
                    object,
                    force: true,
                })
                .await
                .map(drop)
        }
        other => other.map(drop),
    }
}

/// Whether all managers that a conflict names are kubectl's, or Serin itself.
fn only_kubectl(message: &str) -> bool {
    let named = message
        .split("with \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let mut named = named.peekable();
    named.peek().is_some()
        && named.all(|manager| manager.starts_with("kubectl") || manager == Manager::Source.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_kubectl_set_is_taken_over() {
        let one = r#"Apply failed with 1 conflict: conflict with "kubectl-set" using apps/v1: .spec.x"#;
        let two = "Apply failed with 2 conflicts: conflicts with \"kubectl-set\" using apps/v1:\n- .spec.x\n\
            conflicts with \"kustomize-controller\":\n- .spec.y";
        assert!(only_kubectl(one));
        assert!(!only_kubectl(two));
        assert!(!only_kubectl("the object has been modified"));
    }
}
