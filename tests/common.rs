//! What the test targets of the `real` tier share.

#![allow(dead_code, reason = "each target uses its own part")]

pub(crate) mod lab;
pub(crate) mod prometheus;
pub(crate) mod web;
