//! Which canaries a revision touches and why, which commit a live change belongs to, and what `--apply` may
//! write. Works on git alone: what it says of a rollout is what would happen if the cluster held the older
//! revision. The cluster, not git, starts a rollout.

mod apply;
mod attribute;
mod blame;
mod cache;
mod compare;
pub mod doctor;
mod files;
pub mod flux;
mod human;
mod layout;
mod make;
mod manifests;
mod objects;
mod part;
mod read;
mod ties;
mod types;
mod undo;

#[cfg(test)]
mod testing;

pub use apply::{ApplySet, Planned, Refusal, apply_set};
pub use attribute::{RenderedRevision, attribute, explains, history};
pub use cache::Cache;
pub use compare::{revision_parts, target_of};
pub use files::TreeFiles;
pub use human::render_human;
pub use make::plan;
pub use manifests::{Clash, Manifests, NotRendered, Placed, Settings, changed_releases};
pub use objects::Objects;
pub use read::manifests;
pub use ties::Ties;
pub use types::{Change, Effect, Plan, Reason, Touched};
pub use undo::{Steps as UndoSteps, is_as_before, undo};
