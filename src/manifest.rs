//! Kubernetes objects as values: their keys, how to write them, hashes, differences, and the YAML documents
//! they come from. Knows no cluster and no git; works on bytes and values that it is handed.

mod cache;
mod diff;
mod ending;
mod fields;
pub mod flux;
mod hash;
pub mod kustomize;
mod locate;
mod managers;
mod nesting;
mod object;
mod quantity;
mod references;
mod snapshot;
mod split;
mod subset;
pub mod substitute;
mod words;
mod write;
mod yaml;

pub use cache::Cache;
pub use diff::{Difference, differences, differences_in};
pub use hash::{Digest, ManifestDigest, ParseDigestError, canonical};
pub use locate::locate;
pub use managers::{Setter, set_by_others};
pub use nesting::Nesting;
pub use object::{Object, ObjectKey, Resource};
pub use references::{config_references, is_tracked_config};
pub use snapshot::{Reading, Snapshot};
pub use subset::{declared_by, left_over};
pub use write::{Manager, Write};
pub use yaml::{Document, Documents, MAX_FILE_BYTES, MAX_TOTAL_BYTES, Problem, Skipped, documents};
