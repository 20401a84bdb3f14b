//! Webhooks: who is called with what, and what the response means.
//!
//! The payload is Flagger's. A call succeeds with any 2xx; Flagger's own code stops at 202, its documentation
//! says 2xx. This room never decides what a refusal leads to: a rollout hook that refuses, or that cannot be
//! reached, is a failed check; a gate that refuses, or that cannot be reached, holds.

mod payload;
mod send;

pub use payload::{Facts, checksum};
use send::Outcome;

use crate::{
    canary::{Canary, Hook, HookKind, Verdict},
    http::Client,
    rollout::Answer,
};

/// Calls one hook of a canary, named as in the Canary or as in an [`AskId`](crate::rollout::AskId)
/// (`hook/<name>`).
pub async fn call(name: &str, canary: &Canary, facts: &Facts, client: &Client) -> Answer {
    let name = name.strip_prefix("hook/").unwrap_or(name);
    let Some(hook) = canary.spec.analysis.hooks.iter().find(|h| h.name == name) else {
        let text = format!("the Canary has no hook {name}");
        return Answer {
            verdict: Verdict::Unavailable,
            value: None,
            text,
        };
    };
    let outcome = send::send(hook, &payload::of(canary, hook, facts), client).await;
    judge(canary, hook, &outcome)
}

/// Says what an outcome means for a hook, in Flagger's words.
fn judge(canary: &Canary, hook: &Hook, outcome: &Outcome) -> Answer {
    let answer = |verdict, text| Answer {
        verdict,
        value: None,
        text,
    };
    let Some(why) = outcome.trouble() else {
        return answer(Verdict::Passed, String::new());
    };
    let halt = format!("Halt {}.{} advancement", canary.name, canary.namespace);
    let text = match (hook.kind, outcome) {
        (HookKind::Rollout, _) => format!("{halt} external check {} failed {why}", hook.name),
        (HookKind::ConfirmPromotion, Outcome::Unreachable(_)) => {
            format!("{halt} waiting for promotion approval {}: {why}", hook.name)
        }
        // What a gate answers when it is shut ("Forbidden") adds nothing, and Flagger leaves it out.
        (HookKind::ConfirmPromotion, _) => format!("{halt} waiting for promotion approval {}", hook.name),
    };
    answer(Verdict::Failed, text)
}

#[cfg(test)]
mod tests;
