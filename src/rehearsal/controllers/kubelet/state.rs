//! How a pod is at a moment, and how its status says so.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Condition, Context, Fault, ImageRule, Times, config::Missing, j, set_condition};

/// How the containers of a pod are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// They do not run: reason and message.
    Waiting(&'static str, String),
    /// They run.
    Running { ready: bool },
    /// They ended, and wait to be run again.
    Crashed { restarts: u32 },
}

impl State {
    /// A pod that lacks configuration.
    pub(super) fn unconfigured(missing: Missing) -> Self {
        match missing {
            Missing::Variable(message) => Self::Waiting("CreateContainerConfigError", message),
            Missing::Volume(message) => Self::Waiting("ContainerCreating", message),
        }
    }

    /// Returns the state of a pod that has had all that it needs for a time, and when that will change.
    pub(super) fn at(
        context: &Context,
        rule: Option<&ImageRule>,
        elapsed: Duration,
        ran: bool,
    ) -> (Self, Option<Duration>) {
        let start = rule
            .and_then(|rule| rule.start)
            .unwrap_or(context.options.start)
            .0;
        let created = start.min(context.options.start.0);
        let (fault, turn) = rule.map_or((None, None), |rule| fault(rule, context.age()));
        let until = |at: Duration| Some(at.saturating_sub(elapsed));
        let (state, next) = match fault {
            Some(Fault::ImagePullBackOff) if !ran => {
                let image = rule.map_or("", |rule| rule.image.as_str());
                let message = format!("Back-off pulling image \"{image}\"");
                (Self::Waiting("ImagePullBackOff", message), None)
            }
            _ if elapsed < created => (Self::Waiting("ContainerCreating", String::new()), until(created)),
            Some(Fault::CrashLoopBackOff) => {
                let (restarts, next) = restarts(elapsed.saturating_sub(created));
                (Self::Crashed { restarts }, until(created + next))
            }
            Some(Fault::Unready) => (Self::Running { ready: false }, None),
            _ if elapsed < start => (Self::Running { ready: false }, until(start)),
            _ => (Self::Running { ready: true }, None),
        };
        (state, [next, turn].into_iter().flatten().min())
    }

    pub(super) fn runs(&self) -> bool {
        !matches!(self, Self::Waiting(..))
    }

    fn is_ready(&self) -> bool {
        *self == Self::Running { ready: true }
    }

    /// Writes phase, conditions and containers.
    pub(super) fn write(&self, status: &mut Value, containers: &[Value], ran: Option<&str>, now: &str) {
        j::set(
            status,
            &["phase"],
            if self.runs() { "Running" } else { "Pending" },
        );
        j::set(status, &["qosClass"], "BestEffort");
        let names: Vec<&str> = containers.iter().map(|c| j::text(c, &["name"])).collect();
        let unready = format!("containers with unready status: [{}]", names.join(" "));
        let ready = self.is_ready();
        let reason = if ready { "" } else { "ContainersNotReady" };
        let message = if ready { "" } else { unready.as_str() };
        for (kind, up, reason, message) in [
            ("PodReadyToStartContainers", true, "", ""),
            ("Initialized", true, "", ""),
            ("Ready", ready, reason, message),
            ("ContainersReady", ready, reason, message),
        ] {
            set_condition(
                status,
                &Condition {
                    kind,
                    status: Some(up),
                    reason,
                    message,
                },
                now,
                Times::default(),
            );
        }
        let statuses: Vec<Value> = containers.iter().map(|c| self.container(c, ran)).collect();
        j::set(status, &["containerStatuses"], statuses);
    }

    fn container(&self, container: &Value, ran: Option<&str>) -> Value {
        let image = j::text(container, &["image"]);
        let (state, restarts) = match self {
            Self::Waiting(reason, message) if message.is_empty() => {
                (json!({"waiting": {"reason": reason}}), 0)
            }
            Self::Waiting(reason, message) => (json!({"waiting": {"reason": reason, "message": message}}), 0),
            Self::Running { .. } => (json!({"running": {"startedAt": ran}}), 0),
            Self::Crashed { restarts } => {
                let message = format!(
                    "back-off restarting failed container {}",
                    j::text(container, &["name"])
                );
                (
                    json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}}),
                    *restarts,
                )
            }
        };
        json!({
            "name": container.get("name"), "image": image,
            "imageID": if self.runs() { format!("embedded://{image}") } else { String::new() },
            "ready": self.is_ready(), "started": matches!(self, Self::Running { .. }),
            "restartCount": restarts, "state": state, "lastState": {},
        })
    }
}

/// Returns a rule's fault at an age of the cluster, and when that will change.
fn fault(rule: &ImageRule, age: Duration) -> (Option<Fault>, Option<Duration>) {
    let from = rule.from.unwrap_or_default().0;
    let until = rule.until.map_or(Duration::MAX, |span| span.0);
    if rule.fault.is_none() || age >= until {
        (None, None)
    } else if age < from {
        (None, Some(from.saturating_sub(age)))
    } else {
        (rule.fault, rule.until.map(|_| until.saturating_sub(age)))
    }
}

/// Returns how often a container that ends at once has been run again, with back-offs of 10 s, 20 s … 300 s,
/// and the time since its first start at which it will be again.
fn restarts(elapsed: Duration) -> (u32, Duration) {
    let (mut restarts, mut next, mut pause) = (0_u32, Duration::from_secs(10), 10_u64);
    while next <= elapsed {
        restarts = restarts.saturating_add(1);
        pause = (pause * 2).min(300);
        next += Duration::from_secs(pause);
    }
    (restarts, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::span::Span;

    #[test]
    fn back_offs_double() {
        let seconds = |n| Duration::from_secs(n);
        assert_eq!(restarts(seconds(0)), (0, seconds(10)));
        assert_eq!(restarts(seconds(10)), (1, seconds(30)));
        assert_eq!(restarts(seconds(69)), (2, seconds(70)));
    }

    #[test]
    fn a_fault_has_a_beginning_and_an_end() {
        let seconds = |n| Duration::from_secs(n);
        let rule = ImageRule {
            image: "*".to_owned(),
            start: None,
            fault: Some(Fault::Unready),
            from: Some(Span::from_secs(20)),
            until: Some(Span::from_secs(30)),
        };
        assert_eq!(fault(&rule, seconds(5)), (None, Some(seconds(15))));
        assert_eq!(
            fault(&rule, seconds(20)),
            (Some(Fault::Unready), Some(seconds(10)))
        );
        assert_eq!(fault(&rule, seconds(30)), (None, None));
    }
}
