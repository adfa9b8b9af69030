//! The fuzz targets over their corpus and over mutations of it, with the ordinary compiler.

use std::path::Path;

use crate::targets;
use headrope_testdata::arbitrary::Dice;

const MUTATIONS: u64 = 300;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    // Asked when run: a test binary may be used again in another clone with the same target directory.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").expect("run by cargo");
    let folder = Path::new(&manifest).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no corpus for {target}");
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Changes a few bytes, cuts, or repeats a part.
fn mutate(input: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(3) {
        let at = dice.below(input.len() as u64 + 1) as usize;
        match dice.below(4) {
            0 => input.truncate(at),
            1 => input.insert(at, dice.next() as u8),
            2 => {
                let end = at + dice.below((input.len() - at) as u64 + 1) as usize;
                input.extend_from_within(at..end);
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
        }
    }
}

fn replay(name: &str, target: fn(&[u8])) {
    let mut dice = Dice::new(1);
    for input in corpus(name) {
        target(&input);
        for _ in 0..MUTATIONS {
            let mut input = input.clone();
            mutate(&mut input, &mut dice);
            target(&input);
        }
    }
}

#[test]
fn otlp_protobuf() {
    replay("otlp_protobuf", targets::otlp_protobuf);
}

#[test]
fn otlp_json() {
    replay("otlp_json", targets::otlp_json);
}

#[test]
fn decompress() {
    replay("decompress", targets::decompress);
}
