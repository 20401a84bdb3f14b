//! Kubernetes objects as values: their keys, how to write them, hashes, and the YAML documents they come from.
//! Knows no cluster and no git; works on bytes and values that it is handed.

mod object;
mod snapshot;
mod write;

pub use object::{Object, ObjectKey, Resource};
pub use snapshot::{Reading, Snapshot};
pub use write::{Manager, Write};
