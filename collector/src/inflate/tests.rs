use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;
use crate::budget::Budget;

const LIMIT: usize = 1 << 20;

fn run(encoding: Encoding, body: Vec<u8>) -> Result<Bytes, InflateError> {
    inflate(encoding, body.into(), LIMIT, &mut Budget::new(8 << 20).open())
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(content).unwrap();
    out.finish().unwrap()
}

fn compressed(content: &[u8]) -> Vec<(Encoding, Vec<u8>)> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(content).unwrap();
    let mut bare = DeflateEncoder::new(Vec::new(), Compression::fast());
    bare.write_all(content).unwrap();
    let mut streamed = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    streamed.write_all(content).unwrap();
    vec![
        (Encoding::Identity, content.to_vec()),
        (Encoding::Gzip, gzip(content)),
        (Encoding::Deflate, zlib.finish().unwrap()),
        (Encoding::Deflate, bare.finish().unwrap()),
        (Encoding::Zstd, zstd::bulk::compress(content, 3).unwrap()),
        (Encoding::Zstd, streamed.finish().unwrap()),
    ]
}

proptest! {
    #[test]
    fn every_encoding_gives_the_content_back(content in prop::collection::vec(any::<u8>(), 0..5000)) {
        for (encoding, body) in compressed(&content) {
            let out = run(encoding, body);
            prop_assert_eq!(out.unwrap(), &content[..], "{:?}", encoding);
        }
    }

    #[test]
    fn damage_never_panics_and_never_exceeds_the_limit(
        content in prop::collection::vec(any::<u8>(), 0..2000),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        for (encoding, mut body) in compressed(&content).into_iter().skip(1) {
            let at = at.index(body.len());
            body[at] ^= 1 << bit;
            if let Ok(out) = run(encoding, body) {
                prop_assert!(out.len() <= LIMIT);
            }
        }
    }
}

#[test]
fn exactly_the_limit_passes_and_one_more_does_not() {
    for (encoding, body) in compressed(&vec![7; LIMIT]) {
        assert_eq!(run(encoding, body).unwrap().len(), LIMIT, "{encoding:?}");
    }
    for (encoding, body) in compressed(&vec![7; LIMIT + 1]) {
        assert!(matches!(run(encoding, body), Err(InflateError::TooLarge)), "{encoding:?}");
    }
}

#[test]
fn truncation_is_damage_at_every_length() {
    let content: Vec<u8> = (0..2000u32).flat_map(u32::to_le_bytes).collect();
    for (encoding, body) in compressed(&content).into_iter().skip(1) {
        for len in [0, 1, 5, body.len() / 2, body.len() - 1] {
            let out = run(encoding, body[..len].to_vec());
            assert!(matches!(out, Err(InflateError::Damaged(_))), "{encoding:?} {len} {out:?}");
        }
    }
}

#[test]
fn several_members_are_one_body() {
    let body = [gzip(b"ab"), gzip(b"cd")].concat();
    assert_eq!(run(Encoding::Gzip, body).unwrap(), &b"abcd"[..]);
}

#[test]
fn memory_is_reserved_before_it_is_used() {
    let budget = Budget::new(LIMIT);
    let mut others = budget.open();
    others.grow(LIMIT - 1000).unwrap();
    let out = inflate(Encoding::Gzip, gzip(&[0; 9000]).into(), LIMIT, &mut budget.open());
    assert!(matches!(out, Err(InflateError::Exhausted(Exhausted::Now))));
}
