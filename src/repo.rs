//! What is the newest revision of a source, and which files changed: revisions, first-parent logs, trees and
//! blobs of a checkout that another process updates. Reads the object database at an id, never the work tree,
//! and knows no Kubernetes.
//!
//! All calls of [`Checkout`] block (libgit2); async callers wrap them in `spawn_blocking`. [`watch`] does so.

mod artifact;
mod backend;
mod checkout;
mod clone;
mod command;
mod error;
pub mod git;
mod library;
mod log;
mod open;
mod repository;
pub mod revert;
mod revision;
mod tree;
pub mod verify;
mod watch;
mod watcher;
pub mod webhook;

#[cfg(test)]
pub(crate) mod testing;

pub use artifact::{ArchiveError, Artifact, ArtifactError, Artifacts, Download, File, Unpacked, unpack};
pub use checkout::{Checkout, Options};
pub use clone::{CloneOptions, RemoteClone, default_dir};
pub use error::RepoError;
pub use log::{Commit, Log, Since};
pub(crate) use open::open;
pub use repository::Repository;
pub use revision::{BlobId, CommitId, ParseRevisionError, Revision};
pub use tree::{Change, Entry, Mode, Tree};
pub use watch::{Hints, Pace, Trigger, Update, Watch};
pub use watcher::Touched;
