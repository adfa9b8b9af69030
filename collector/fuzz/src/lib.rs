//! The decoding modules of the collector, and what must hold of them for any input.
#![allow(dead_code, reason = "only the entry points that read input are fuzzed")]
#![allow(missing_docs, unreachable_pub, reason = "modules of another crate")]

#[path = "../../src/budget.rs"]
mod budget;
#[path = "../../src/inflate.rs"]
mod inflate;
#[path = "../../src/json/mod.rs"]
mod json;
#[path = "../../src/tally.rs"]
mod tally;
mod targets;
#[path = "../../src/validate/mod.rs"]
mod validate;
#[path = "../../src/wire.rs"]
mod wire;

pub fn otlp_protobuf(input: &[u8]) {
    targets::otlp_protobuf(input);
}

pub fn otlp_json(input: &[u8]) {
    targets::otlp_json(input);
}

pub fn decompress(input: &[u8]) {
    targets::decompress(input);
}
