mod groups;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::noise::Noise;

#[test]
fn values_are_masked_by_their_form() {
    for (text, want) in [
        ("took 12.5 ms, 7ms of it waiting", "took <num> ms, <num>ms of it waiting"),
        ("delta -5 at 2024-10-04T12:30:00.123Z", "delta <num> at <num>-<num>-<id>:<num>:<num>Z"),
        ("from 10.0.0.12:8080 to 192.168.0.0/24", "from <ip> to <ip>"),
        ("peer fe80::1ff:fe23:4567 and std::vec", "peer <ip> and std::vec"),
        (
            "HTTP/1.1 status=200 worker-7 v1.2.3",
            "HTTP/<num> status=<num> worker-<num> v<num>.<num>",
        ),
        ("id 3f2504e0-4f89-11d3-9a0c-0305e82c3301.", "id <uuid>."),
        ("at 0x7ffe12 checksum 9f86d081884c7d65", "at <hex> checksum <hex>"),
        ("deadbeef facade", "deadbeef facade"),
        ("pod shop-7f9c4d-x2x4k on utf8", "pod shop-<id>-<id> on utf<num>"),
        ("query \"a 'b' \\\"c\" failed: 'it''s' don't", "query <str> failed: <str><str> don't"),
        ("'a 'b \\\"c\\\" \"d\ne\" 'f'", "'a 'b \\\"c\\\" \"d\ne\" <str>"),
        ("user_123 größe5", "user_<num> größe<num>"),
        ("", ""),
    ] {
        assert_eq!(mask(text), want);
    }
    let long = "é1".repeat(MOST_BYTES);
    assert!(mask(&long).len() <= 7 * MOST_BYTES);
}

/// Text in which what is masked, quotes and the masks themselves meet in all ways.
fn any_line() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-f0-9]{1,9}",
        "[0-9]{1,3}(\\.[0-9]{1,3}){0,4}",
        "[ '\"\\\\:./+<>_xyzé-]{1,3}",
        Just("<num>".to_owned()),
        Just("<*>".to_owned()),
        Just("3f2504e0-4f89-11d3-9a0c-0305e82c3301".to_owned()),
        Just("fe80::1:2".to_owned()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn masking_twice_is_masking_once(line in prop_oneof![any_line(), ".{0,40}"]) {
        let masked = mask(&line);
        prop_assert_eq!(mask(&masked), masked.clone());
        prop_assert!(!masked.bytes().any(|b| b.is_ascii_digit()), "{}", masked);
    }
}

/// What lines are made of, after those that services write.
const TEMPLATES: [(&str, &str); 9] = [
    (
        "GET request for /api/v1/{w}/{n} HTTP/1.1 status=200 bytes={n} duration_ms={n} remote={ip}",
        "GET request for <*> HTTP/<num> status=<num> bytes=<num> duration_ms=<num> remote=<ip>",
    ),
    (
        "order {n} accepted for customer {n}: {n} items, reserved in warehouse {w}, correlation {h}",
        "order <num> accepted for customer <num>: <num> items, reserved in warehouse <*> correlation <hex>",
    ),
    (
        "statement finished in {n} ms: SELECT id FROM orders WHERE state = '{w}' LIMIT {n}",
        "statement finished in <num> ms: SELECT id FROM orders WHERE state = <str> LIMIT <num>",
    ),
    (
        "session {h} renewed for user {n} from {ip}, device {w}, scope {w}",
        "session <hex> renewed for user <num> from <ip>, device <*> scope <*>",
    ),
    (
        "connection pool orders-{n} is nearly exhausted: active={n} idle={n} held by {w}",
        "connection pool orders-<num> is nearly exhausted: active=<num> idle=<num> held by <*>",
    ),
    (
        "query \"{w} {w}\" answered in {n} ms: {n} hits",
        "query <str> answered in <num> ms: <num> hits",
    ),
    (
        "partition {n} of topic {w}.events assigned, lag {n}",
        "partition <num> of topic <*> assigned, lag <num>",
    ),
    (
        "upload of part {n} failed: disk full on volume {w}",
        "upload of part <num> failed: disk full on volume <*>",
    ),
    ("cache warmed", "cache warmed"),
];

fn filled(template: &str, noise: &mut Noise) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let (what, behind) = after.split_once('}').unwrap();
        out.push_str(&match what {
            "n" => noise.below(5_000).to_string(),
            "h" => format!("a{:015x}", noise.next() >> 4),
            "ip" => format!("10.{}.{}.7", noise.below(256), noise.below(256)),
            _ => ["alpha", "beta", "gamma", "delta", "omega"][noise.below(5)].to_owned(),
        });
        rest = behind;
    }
    out + rest
}

/// Lines with the number of the template they are made from.
fn planted(noise: &mut Noise, n: usize) -> Vec<(usize, String)> {
    (0..n)
        .map(|_| {
            let template = noise.below(TEMPLATES.len());
            (template, filled(TEMPLATES[template].0, noise))
        })
        .collect()
}

fn learnt<'a>(lines: impl IntoIterator<Item = &'a String>) -> Patterns {
    let mut learner = Learner::default();
    lines.into_iter().for_each(|l| learner.add(l));
    learner.finish()
}

#[test]
fn planted_templates_are_recovered_in_any_order_and_from_any_segments() {
    let mut noise = Noise::new(1);
    let mut lines = planted(&mut noise, 2_000);
    let patterns = learnt(lines.iter().map(|l| &l.1));
    let want: BTreeSet<&str> = TEMPLATES.iter().map(|t| t.1).collect();
    assert_eq!(patterns.iter().map(|p| p.1).collect::<BTreeSet<_>>(), want);
    for (template, line) in &lines {
        assert_eq!(patterns.template_of(line), Some(TEMPLATES[*template].1));
    }
    noise.shuffle(&mut lines);
    assert_eq!(learnt(lines.iter().map(|l| &l.1)), patterns);
    let segments: Vec<Patterns> =
        lines.chunks(300).map(|c| learnt(c.iter().map(|l| &l.1))).collect();
    let merged = Patterns::merge(&segments);
    assert_eq!(merged.iter().map(|p| p.1).collect::<BTreeSet<_>>(), want);
    assert_eq!(Patterns::merge(segments.iter().rev()), merged);
    let stored: Vec<(String, u64)> = patterns.iter().map(|(_, t, n)| (t.to_owned(), n)).collect();
    assert_eq!(Patterns::from_templates(stored.iter().map(|(t, n)| (t.as_str(), *n))), patterns);
}

#[test]
fn a_template_that_became_general_is_found_under_its_old_text() {
    let (a, b) =
        (["disk full on volume alpha".to_owned()], ["disk full on volume beta".to_owned()]);
    let (a, b) = (learnt(&a), learnt(&b));
    let merged = Patterns::merge([&a, &b]);
    assert_eq!(merged.iter().map(|p| p.1).collect::<Vec<_>>(), ["disk full on volume <*>"]);
    for (old, text, _) in a.iter().chain(b.iter()) {
        assert_ne!(merged.id_of(text), old);
        assert_eq!(merged.template_of(text), Some("disk full on volume <*>"));
    }
}

#[test]
fn memory_is_bounded_and_what_is_left_out_is_other() {
    let word = |mut n: usize| {
        let mut word = String::new();
        while n > 0 {
            word.push(char::from(b'g' + (n % 20) as u8));
            n /= 20;
        }
        word
    };
    let lines: Vec<String> =
        (1..MOST_SHAPES + 3_000).map(|n| format!("{0} {0} {0}", word(n))).collect();
    let learnt_from = |lines: &[&String]| {
        let mut learner = Learner::default();
        lines.iter().for_each(|l| learner.add(l));
        assert!(learner.kept() <= MOST_SHAPES * LINES_OF_A_SHAPE);
        learner.finish()
    };
    let forth: Vec<&String> = lines.iter().collect();
    let back: Vec<&String> = lines.iter().rev().collect();
    let patterns = learnt_from(&forth);
    assert_eq!(patterns.len(), MOST_PATTERNS);
    assert_eq!(learnt_from(&back), patterns);
    let other = lines.iter().filter(|l| patterns.id_of(l) == PatternId::OTHER).count();
    assert!(other > 1_000, "{other}");
    let long = "word ".repeat(MOST_WORDS * 2);
    let one = learnt([&long]);
    assert_eq!(one.iter().next().unwrap().1.split(' ').count(), MOST_WORDS);
    assert_ne!(one.id_of(&long), PatternId::OTHER);
    assert_eq!(one.id_of(""), PatternId::OTHER);
}

/// Drain word for word, without a tree: the leaf of a line is its length and its first words.
fn by_the_book(lines: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    type Leaf = (usize, Vec<String>);
    let mut groups: Vec<(Leaf, Vec<String>, u64)> = Vec::new();
    for (line, count) in lines {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let leaf = (words.len(), words.iter().take(LEADING_WORDS).cloned().collect::<Vec<_>>());
        let score = |template: &Vec<String>| {
            let equal =
                template.iter().zip(&words).filter(|(t, w)| *t != WILDCARD && t == w).count();
            (equal, template.iter().filter(|t| *t == WILDCARD).count())
        };
        let mut best: Option<usize> = None;
        for (i, (of, template, _)) in groups.iter().enumerate() {
            let enough = score(template).0 as f64 / words.len() as f64 >= SIMILARITY;
            if *of == leaf && enough && best.is_none_or(|b| score(template) > score(&groups[b].1)) {
                best = Some(i);
            }
        }
        match best {
            Some(b) => {
                groups[b].2 += count;
                for (t, w) in groups[b].1.iter_mut().zip(&words) {
                    if t != w {
                        *t = WILDCARD.to_owned();
                    }
                }
            }
            None => groups.push((leaf, words, *count)),
        }
    }
    let mut out = BTreeMap::new();
    groups.iter().for_each(|(_, words, n)| *out.entry(words.join(" ")).or_default() += n);
    out
}

proptest! {
    #[test]
    fn templates_are_those_of_drain_whatever_the_order(
        lines in prop::collection::vec("[abc]( [ab]){0,5}|<\\*>( [abc]){1,3}", 0..60), seed in any::<u64>(),
    ) {
        let patterns = learnt(&lines);
        let mut masked = BTreeMap::new();
        lines.iter().for_each(|l| *masked.entry(l.clone()).or_default() += 1);
        let got: BTreeMap<String, u64> = patterns.iter().map(|(_, t, n)| (t.to_owned(), n)).collect();
        prop_assert_eq!(&got, &by_the_book(&masked));
        // Every line has a template that agrees with it word for word.
        for line in &lines {
            let template = patterns.template_of(line);
            prop_assert!(template.is_some(), "{}", line);
            let agrees = template.unwrap().split(' ').zip(line.split(' ')).all(|(t, w)| t == WILDCARD || t == w);
            prop_assert!(agrees);
        }
        let mut shuffled = lines;
        Noise::new(seed).shuffle(&mut shuffled);
        prop_assert_eq!(&learnt(&shuffled), &patterns);
        // Lines that were counted before are as good.
        let mut counted = Learner::default();
        masked.iter().for_each(|(line, n)| counted.add_masked(line, *n));
        prop_assert_eq!(counted.finish(), patterns);
    }

    #[test]
    fn ids_follow_from_texts_alone(lines in prop::collection::vec(any_line(), 0..30)) {
        let patterns = learnt(&lines);
        let ids: BTreeMap<PatternId, &str> = patterns.iter().map(|(id, text, _)| (id, text)).collect();
        prop_assert_eq!(ids.len(), patterns.len());
        for line in lines.iter().filter(|l| !l.trim().is_empty()) {
            let id = patterns.id_of(line);
            prop_assert_eq!(ids.get(&id).copied(), patterns.template_of(line));
        }
        let total: u64 = patterns.iter().map(|p| p.2).sum();
        prop_assert_eq!(total, lines.iter().filter(|l| !l.trim().is_empty()).count() as u64);
    }
}
