//! The protobuf views of the storage crate.
#![allow(missing_docs, unreachable_pub, reason = "modules of another crate")]

#[path = "../../../storage/src/wire/mod.rs"]
pub mod wire;
