//! `status` of a Canary.

use serde_json::Value;

use super::{
    super::{Phase, Verdict},
    schema::{
        about, boolean, integer, list, map, number, object, one_of, open, required, text, text_map, texts,
        time,
    },
};

pub(super) fn schema() -> Value {
    object([
        ("phase", one_of(&Phase::ALL.map(Phase::name))),
        ("failedChecks", number()),
        ("canaryWeight", number()),
        ("iterations", number()),
        ("lastAppliedSpec", text()),
        ("lastPromotedSpec", text()),
        ("trackedConfigs", text_map()),
        ("lastPromotedConfigs", text_map()),
        ("lastTransitionTime", time()),
        ("sessionAffinityCookie", text()),
        ("primarySessionAffinityCookie", text()),
        ("previousSessionAffinityCookie", text()),
        ("conditions", list(condition())),
        ("observedGeneration", integer()),
        ("reason", about("Why the last run failed.", text())),
        ("commit", about("The commit that the run is for.", text())),
        (
            "promotedCommit",
            about("The commit that was promoted last.", text()),
        ),
        (
            "revert",
            about("What came of proposing the revert of a commit.", revert()),
        ),
        ("run", about("The run in progress, or the last one.", run())),
        (
            "drift",
            about("What others set back in this run, or since.", list(drift())),
        ),
        (
            "measurements",
            about("The newest measurements, oldest first.", list(measurement())),
        ),
        (
            "announced",
            about("What was announced with this status.", list(announced())),
        ),
        ("commits", about("Commit statuses that are owed.", list(commit()))),
        (
            "thresholds",
            about("What judged when the last revision was promoted.", thresholds()),
        ),
    ])
}

fn condition() -> Value {
    let schema = object([
        ("type", text()),
        ("status", one_of(&["True", "False", "Unknown"])),
        ("reason", text()),
        ("message", text()),
        ("observedGeneration", integer()),
        ("lastUpdateTime", time()),
        ("lastTransitionTime", time()),
    ]);
    required(schema, &["type", "status"])
}

fn run() -> Value {
    let wait = object([
        ("kind", text()),
        ("since", time()),
        ("deadline", time()),
        ("message", text()),
    ]);
    object([
        ("id", text()),
        ("counter", integer()),
        ("tick", integer()),
        ("passed", integer()),
        ("held", boolean()),
        ("nextTick", time()),
        ("rollingBack", text()),
        ("wait", wait),
        ("startedAt", time()),
        ("targetUid", text()),
        ("targetGeneration", integer()),
        ("gatesAnnounced", texts()),
        ("editAnnounced", boolean()),
    ])
}

fn revert() -> Value {
    object([("commit", text()), ("message", text()), ("proposed", boolean())])
}

fn drift() -> Value {
    object([
        ("run", text()),
        ("object", text()),
        ("field", text()),
        ("manager", text()),
        ("appliedBy", text()),
        ("at", time()),
    ])
}

fn thresholds() -> Value {
    object([("spec", open()), ("templates", map(open()))])
}

fn measurement() -> Value {
    object([
        ("name", text()),
        ("run", text()),
        ("tick", integer()),
        ("weight", number()),
        ("verdict", one_of(&Verdict::ALL.map(Verdict::name))),
        ("value", number()),
        ("message", text()),
        ("at", time()),
    ])
}

fn announced() -> Value {
    object([
        ("warning", boolean()),
        ("reason", text()),
        ("text", text()),
        ("run", text()),
        ("tick", integer()),
        ("at", time()),
    ])
}

fn commit() -> Value {
    object([
        ("commit", text()),
        ("state", one_of(&["pending", "success", "failure", "error"])),
        ("description", text()),
        ("delivered", texts()),
    ])
}

#[cfg(test)]
mod tests {
    use super::{super::tests::check, *};

    #[test]
    fn every_field_of_the_status_is_kept() {
        use crate::canary::status::{Status, tests::full};
        check("", &full().to_value(), &schema());
        check("", &Status::default().to_value(), &schema());
    }
}
