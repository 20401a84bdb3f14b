//! Says what happened: events on the Canary, statuses on the commit.
//!
//! What is to be said is pure ([`event()`], [`outcome()`]). Saying it is level-triggered: the [`Outbox`] makes
//! what each [`Forge`] shows equal to what is desired, across restarts. This room never decides what a
//! rollout does, and never writes to Kubernetes: it hands [`Write`](crate::manifest::Write)s over.

mod address;
mod api;
mod azure;
mod bitbucket;
mod bitbucket_server;
mod comment;
mod credential;
mod event;
mod forge;
mod gitea;
mod github;
mod gitlab;
mod guard;
mod notes;
mod outbox;
pub mod outcome;
pub mod provider;
mod pull_request;
pub mod revert;
mod settings;
mod status;

#[cfg(test)]
mod contract;
#[cfg(test)]
pub(crate) mod testing;

pub use address::{Dialect, ParseAddressError, RepositoryAddress};
pub use api::Remote;
pub use azure::AzureDevOps;
pub use bitbucket::Bitbucket;
pub use bitbucket_server::BitbucketServer;
pub use comment::{Comments, comment};
pub use credential::{AppKey, Credential, Installation};
pub use event::event;
pub use forge::{Forge, ForgeError, Rate};
pub use gitea::Gitea;
pub use github::{Deployments, GitHub};
pub use gitlab::GitLab;
pub use guard::Origin;
pub use notes::{Notes, REF as NOTES_REF};
pub use outbox::Outbox;
pub use outcome::outcome;
pub use pull_request::{Draft, NewPullRequest, PullRequest, PullRequests};
pub use settings::{ForgeKind, Forges, Settings, Shown, read};
pub use status::{CommitState, CommitStatus, Outcome, aggregate_context, context};
