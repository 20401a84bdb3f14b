//! Reasons: one word per kind of announcement, the same in events, conditions, metrics and commit statuses.
//! `docs/events.md` lists them.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*

        /// Every reason.
        pub const ALL: &[&str] = &[$($name),*];
    };
}

reasons! {
    /// The primary, the services and the routes stand.
    INITIALIZED = "Initialized";
    /// A new revision starts a run.
    NEW_REVISION = "NewRevision";
    /// A newer revision restarts the run.
    RESTARTED = "Restarted";
    /// The run's revision edits what judges it.
    THRESHOLDS_EDITED = "ThresholdsEdited";
    /// What is live is not verified, and is not rolled out.
    NOT_VERIFIED = "NotVerified";
    /// The canary is ready: the first check is one interval away.
    ANALYSIS_STARTED = "AnalysisStarted";
    /// The canary gets more traffic.
    WEIGHT_ADVANCED = "WeightAdvanced";
    /// The next blue/green iteration begins.
    ITERATION_ADVANCED = "IterationAdvanced";
    /// Blue/green: all traffic goes to the canary.
    ROUTED_TO_CANARY = "RoutedToCanary";
    /// A check failed.
    CHECK_FAILED = "CheckFailed";
    /// A check could not be made.
    CHECK_ERROR = "CheckError";
    /// A confirm-promotion hook refuses.
    WAITING_FOR_PROMOTION = "WaitingForPromotion";
    /// All gates agree.
    PROMOTION_CONFIRMED = "PromotionConfirmed";
    /// The primary is being made from the analysed revision.
    PROMOTING = "Promoting";
    /// All traffic goes to the primary.
    ROUTED_TO_PRIMARY = "RoutedToPrimary";
    /// The run ended well.
    PROMOTED = "Promoted";
    /// The target is back at what the primary runs.
    ALREADY_PROMOTED = "AlreadyPromoted";
    /// Too many checks failed.
    THRESHOLD_REACHED = "ThresholdReached";
    /// Something did not come in time.
    DEADLINE_EXCEEDED = "DeadlineExceeded";
    /// The run ended badly: the canary is scaled down.
    ROLLED_BACK = "RolledBack";
    /// The revert of the commit that failed is proposed.
    REVERT_PROPOSED = "RevertProposed";
    /// The revert of the commit that failed is not proposed.
    REVERT_REFUSED = "RevertRefused";
    /// The primary did not become ready with the new revision.
    PROMOTION_FAILED = "PromotionFailed";
    /// The run, or the initialization, waits for something that a person or another system must bring.
    WAITING = "WaitingForChange";
    /// A run was started by something else than a commit of the source.
    NO_COMMIT = "NoCommit";
    /// Somebody else set back what the rollout wrote.
    DRIFT = "Drift";
    /// Something that the Canary asks for is not implemented yet.
    NOT_IMPLEMENTED = "NotImplemented";
    /// The Canary is wrong.
    INVALID_SPEC = "InvalidSpec";
    /// The Canary is accepted with a remark.
    SPEC_WARNING = "SpecWarning";
    /// The installed CRD lacks Serin's fields.
    OUTDATED_CRD = "OutdatedCRD";
    /// The API server, or what it holds, did not allow a write.
    SYNC_FAILED = "SyncFailed";
}
