//! Texts from templates: `{…}` stands for something that differs from one text to the next.

use std::fmt::Write as _;

use super::words;
use crate::dice::{Dice, exp, mix};

/// Natural logarithm of the number of ids.
const LN_IDS: f64 = 16.118_095_650_958_32;

/// Appends a template with its placeholders filled in: `{n}` below 100, `{id}` (small ones are
/// frequent), `{bytes}`, `{ms}`, `{ip}`, `{day}`, `{word}`, `{session}` (16 hex digits) and `{entity}`
/// (a UUID) by Zipf out of a stock, `{hex}` (16 digits), `{uuid}` and `{token}` (32 characters of
/// base64url) anew each time. Any other is left out.
pub(super) fn fill(template: &str, dice: &mut Dice, out: &mut String) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((what, behind)) = after.split_once('}') else { return };
        push(what, dice, out);
        rest = behind;
    }
    out.push_str(rest);
}

/// A template with its placeholders filled in.
pub(super) fn filled(template: &str, dice: &mut Dice) -> String {
    let mut out = String::with_capacity(template.len() + 64);
    fill(template, dice, &mut out);
    out
}

fn push(what: &str, dice: &mut Dice, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = match what {
        "n" => write!(out, "{}", dice.below(100)),
        "id" => write!(out, "{}", 1000 + exp(dice.unit() * LN_IDS) as u64),
        "bytes" => write!(out, "{}", dice.log_normal(4000.0, 1.2) as u64),
        "ms" => write!(out, "{:.2}", dice.log_normal(12.0, 1.1)),
        "hex" => write!(out, "{:016x}", dice.word()),
        "session" => write!(out, "{:016x}", mix(0x5e55, words::rank(dice))),
        "uuid" => {
            uuid((dice.word(), dice.word()), out);
            Ok(())
        }
        "entity" => {
            let rank = words::rank(dice);
            uuid((mix(0xe171, rank), mix(0x1d, rank)), out);
            Ok(())
        }
        "token" => {
            (0..4).for_each(|_| token(dice.word(), out));
            Ok(())
        }
        "word" => {
            words::push(words::rank(dice), out);
            Ok(())
        }
        "ip" => {
            let bits = dice.below(1 << 20);
            write!(out, "10.{}.{}.{}", bits >> 16, (bits >> 8) & 0xff, bits & 0xff)
        }
        "day" => write!(out, "2025-{:02}-{:02}", 1 + dice.below(12), 1 + dice.below(28)),
        _ => Ok(()),
    };
}

/// Eight characters of base64url.
fn token(mut bits: u64, out: &mut String) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for _ in 0..8 {
        out.push(char::from(LETTERS[(bits % 64) as usize]));
        bits /= 64;
    }
}

/// A version 4 UUID.
fn uuid((high, low): (u64, u64), out: &mut String) {
    let (version, variant) = (0x4000 | (high & 0xfff), 0x8000 | ((low >> 48) & 0x3fff));
    let _ = write!(
        out,
        "{:08x}-{:04x}-{version:04x}-{variant:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        low & 0xffff_ffff_ffff
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled() {
        let mut dice = Dice::new(1, 1);
        let all =
            "a {n} {id} {bytes} {ms} {hex} {uuid} {word} {ip} {day} {token} {session} {entity} b{";
        let text = filled(all, &mut dice);
        assert!(text.starts_with("a ") && text.ends_with(" b"), "{text}");
        assert!(!text.contains(['{', '}']), "{text}");
        let parts: Vec<&str> = text.split(' ').collect();
        let lengths = (parts[5].len(), parts[6].len(), parts[10].len());
        assert_eq!((parts.len(), lengths), (14, (16, 36, 32)), "{text}");
        assert_eq!((parts[11].len(), parts[12].len()), (16, 36), "{text}");
        assert_eq!(filled("{unknown}x", &mut dice), "x");
    }
}
