use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::query::Node;
use super::token::{Tokens, is_word, tokens_of};
use super::*;
use crate::error::StorageError;

fn tokens(text: &str) -> Vec<String> {
    tokens_of(text).into_iter().map(String::from).collect()
}

/// The definition of a token, written without regard to speed.
fn tokens_by_definition(text: &str) -> Vec<String> {
    let stands_alone = |c: char| {
        let c = u32::from(c);
        (0x3005..=0x3007).contains(&c)
            || (0x3040..=0x30ff).contains(&c)
            || (0x31f0..=0x31ff).contains(&c)
            || (0x3400..=0x4dbf).contains(&c)
            || (0x4e00..=0x9fff).contains(&c)
            || (0xf900..=0xfaff).contains(&c)
            || (0xff66..=0xff9f).contains(&c)
            || (0x20000..=0x3ffff).contains(&c)
    };
    let mut spaced = String::new();
    for c in text.chars() {
        if !is_word(c) {
            spaced.push('\n');
        } else if stands_alone(c) {
            spaced.extend(['\n', c, '\n']);
        } else {
            spaced.push(c);
        }
    }
    spaced
        .split('\n')
        .filter(|word| !word.is_empty())
        .map(|word| {
            let mut cut = String::new();
            for c in word.chars().flat_map(char::to_lowercase) {
                if cut.len() + c.len_utf8() > MAX_TOKEN_BYTES {
                    break;
                }
                cut.push(c);
            }
            cut
        })
        .collect()
}

/// A match by the definition: the tokens joined by line feeds contain those of the run.
fn matches_by_definition(node: &Node, text: &str) -> bool {
    match node {
        Node::All => true,
        Node::Run { tokens, prefix } => {
            let text = format!("\n{}\n", tokens_by_definition(text).join("\n"));
            let wanted = format!("\n{}{}", tokens.join("\n"), if *prefix { "" } else { "\n" });
            text.contains(&wanted)
        }
        Node::And(nodes) => nodes.iter().all(|n| matches_by_definition(n, text)),
        Node::Or(nodes) => nodes.iter().any(|n| matches_by_definition(n, text)),
        Node::Not(inner) => !matches_by_definition(inner, text),
    }
}

/// Writes a query out so that parsing gives it back.
fn write_out(node: &Node) -> String {
    let all = |nodes: &[Node], between: &str| {
        let parts: Vec<_> = nodes.iter().map(write_out).collect();
        format!("({})", parts.join(between))
    };
    match node {
        Node::All => String::new(),
        Node::Run { tokens, prefix: true } => format!("{}*", tokens.join("-")),
        Node::Run { tokens, prefix: false } => format!("\"{}\"", tokens.join(" ")),
        Node::And(nodes) => all(nodes, " "),
        Node::Or(nodes) => all(nodes, " OR "),
        Node::Not(inner) => format!("-{}", write_out_operand(inner)),
    }
}

fn write_out_operand(node: &Node) -> String {
    match node {
        Node::Run { prefix: true, .. } | Node::Not(_) => format!("({})", write_out(node)),
        _ => write_out(node),
    }
}

/// Few words, so that queries match often, of every kind the tokenizer knows.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec![
            "a", "ab", "abc", "b", "timeout", "time", "10", "0", "user_id", "é", "éa", "İ", "ß", "支",
            "付", "ア",
        ])
        .prop_map(String::from),
        1 => "[a-c0-1_]{1,3}",
        1 => (250_usize..260).prop_map(|n| "x".repeat(n)),
    ]
}

fn text() -> impl Strategy<Value = String> {
    let separator =
        prop::sample::select(vec![" ", "-", ".", "\n", "", ": ", "\"", "…", "\u{307}", "*", "("]);
    prop::collection::vec((word(), any::<bool>(), separator), 0..8).prop_map(|parts| {
        let cased = parts.into_iter().map(|(word, upper, separator)| {
            (if upper { word.to_uppercase() } else { word }) + separator
        });
        cased.collect()
    })
}

fn run() -> impl Strategy<Value = Node> {
    (prop::collection::vec(word(), 1..4), any::<bool>()).prop_filter_map(
        "a run has a token",
        |(words, prefix)| {
            let tokens = tokens_of(&words.join(" "));
            (!tokens.is_empty()).then_some(Node::Run { tokens, prefix })
        },
    )
}

fn query() -> impl Strategy<Value = TextQuery> {
    let node = run().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Node::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Node::Or),
            inner.prop_map(|n| Node::Not(Box::new(n))),
        ]
    });
    node.prop_map(|root| TextQuery { root })
}

fn index_file(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("segment.text")
}

fn index_of(texts: &[String], path: &Path) -> TextIndex {
    TextIndex::build(texts.iter().map(String::as_str), path).unwrap();
    TextIndex::open(path).unwrap()
}

fn check_candidates(index: &TextIndex, texts: &[String], query: &TextQuery) {
    let matching: RowSet =
        (0..).zip(texts).filter(|(_, text)| query.matches(text)).map(|(row, _)| row).collect();
    let found = index.candidates(query).unwrap();
    let Some(found) = found else { return };
    for row in matching.iter() {
        assert!(found.rows.contains(row), "row {row} is missing for {query:?}");
    }
    for row in found.rows.iter().filter(|row| found.is_certain(*row)) {
        assert!(matching.contains(row), "row {row} is said to match {query:?}");
    }
    assert_eq!(found.is_exact(), found.rows.iter().all(|row| found.is_certain(row)));
    assert!(found.rows.iter().all(|row| row < index.rows()));
}

proptest! {
    #[test]
    fn tokens_are_as_defined(text in prop_oneof![text(), any::<String>()]) {
        prop_assert_eq!(tokens(&text), tokens_by_definition(&text));
        let mut walk = Tokens::new(&text);
        let mut token = String::new();
        while walk.append_next(&mut token) {
            prop_assert!(!token.is_empty() && token.len() <= MAX_TOKEN_BYTES);
            token.clear();
        }
    }

    #[test]
    fn a_token_is_its_own_token(text in any::<String>()) {
        // `İ` lower-cases to two characters of which the second belongs to no word.
        for token in tokens(&text).into_iter().filter(|t| t.chars().all(is_word)) {
            prop_assert_eq!(tokens(&token), vec![token]);
        }
    }

    #[test]
    fn a_query_written_out_parses_to_itself(query in query()) {
        let plain = |node: &Node| all_tokens_plain(node);
        prop_assume!(plain(&query.root));
        let text = write_out(&query.root);
        prop_assume!(text.len() <= 4096);
        prop_assert_eq!(TextQuery::parse(&text), Ok(query), "{}", text);
    }

    #[test]
    fn matching_is_as_defined(query in query(), texts in prop::collection::vec(text(), 1..6)) {
        let mut matcher = query.matcher();
        for text in &texts {
            let expected = matches_by_definition(&query.root, text);
            prop_assert_eq!(matcher.matches(text), expected, "{:?} in {:?}", query, text);
        }
    }

    #[test]
    fn parsing_never_panics(text in any::<String>(), structured in "[ab \"()*!-]{0,30}( AND| OR| NOT){0,2}") {
        for text in [text, structured] {
            if let Ok(query) = TextQuery::parse(&text) {
                let _ = query.matches(&text);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn candidates_hold_every_match(
        texts in prop::collection::vec(text(), 0..40),
        queries in prop::collection::vec(query(), 1..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let index = index_of(&texts, &index_file(&dir));
        prop_assert_eq!(index.rows() as usize, texts.len());
        for query in &queries {
            check_candidates(&index, &texts, query);
        }
    }
}

fn all_tokens_plain(node: &Node) -> bool {
    match node {
        Node::All => true,
        Node::Run { tokens, .. } => tokens.iter().all(|t| tokens_of(t) == [t.clone()]),
        Node::And(nodes) | Node::Or(nodes) => nodes.iter().all(all_tokens_plain),
        Node::Not(inner) => all_tokens_plain(inner),
    }
}

#[test]
fn tokens_by_example() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        (" -- ", &[]),
        (
            "Connection to 10.0.0.7:5432 REFUSED",
            &["connection", "to", "10", "0", "0", "7", "5432", "refused"],
        ),
        ("user_id=42", &["user_id", "42"]),
        ("Größe", &["größe"]),
        ("支付timeout失败", &["支", "付", "timeout", "失", "败"]),
    ];
    for (text, expected) in cases {
        assert_eq!(&tokens(text), expected, "{text}");
    }
}

#[test]
fn a_long_token_is_cut_alike_in_text_and_query() {
    let long = "é".repeat(200);
    assert_eq!(tokens(&long), ["é".repeat(127)]);
    assert!(TextQuery::parse(&long).unwrap().matches(&long));
    // After a character that does not fit, a shorter one that would is cut off too.
    assert_eq!(tokens(&format!("{}éa", "x".repeat(254))), ["x".repeat(254)]);
}

#[test]
fn queries_by_example() {
    let text = "2026-01-02 WARN payment: Connection refused by 10.0.0.7 (user-id 支付失败)";
    let cases = [
        ("", true),
        ("!!", true),
        ("-()", true),
        ("connection", true),
        ("connect", false),
        ("connect*", true),
        ("connection refused", true),
        ("refused connection", true),
        ("\"connection refused\"", true),
        ("\"refused connection\"", false),
        ("10.0.0.7", true),
        ("10.0.7", false),
        ("user-id", true),
        ("user-i*", true),
        ("支付", true),
        ("付支", false),
        ("error OR warn", true),
        ("error warn", false),
        ("error AND warn", false),
        ("error OR warn missing", false),
        ("(error OR warn) payment", true),
        ("-error", true),
        ("NOT warn", false),
        ("-\"connection refused\"", false),
        ("payment -(debug OR trace)", true),
        ("\"NOT\"", false),
        ("or", false),
        ("warn - payment", true),
    ];
    for (query, expected) in cases {
        assert_eq!(TextQuery::parse(query).unwrap().matches(text), expected, "{query}");
    }
}

#[test]
fn what_is_no_query_is_refused_with_its_place() {
    use TextQueryError as E;
    let missing = |operator, at| E::MissingOperand { operator, at };
    let cases = [
        ("a \"b", E::UnclosedQuote { at: 2 }),
        ("a (b", E::UnclosedGroup { at: 2 }),
        ("a) b", E::UnexpectedClose { at: 1 }),
        ("a OR", missing("OR", 2)),
        ("OR a", missing("OR", 0)),
        ("a OR OR b", missing("OR", 5)),
        ("a AND", missing("AND", 2)),
        ("AND a", missing("AND", 0)),
        ("a NOT", missing("NOT", 2)),
        ("(a OR )", missing("OR", 3)),
    ];
    for (text, expected) in cases {
        assert_eq!(TextQuery::parse(text), Err(expected), "{text}");
    }
    assert!(matches!(TextQuery::parse(&"a".repeat(5000)), Err(E::TooLong { .. })));
    let deep = format!("{}a{}", "(".repeat(100), ")".repeat(100));
    assert!(matches!(TextQuery::parse(&deep), Err(E::TooDeep { .. })));
}

#[test]
fn rows_beyond_the_memory_budget_go_to_further_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let path = index_file(&dir);
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let texts: Vec<String> = (0..20_000)
        .map(|row| {
            let parity = ["even", "odd"][row % 2];
            format!("row {row} word{} {parity} {}", rng.random_range(0..900), row % 71)
        })
        .collect();
    let mut builder = TextIndexBuilder::with_memory_budget(&path, 0).unwrap();
    texts.iter().for_each(|text| builder.push(text).unwrap());
    let bytes = builder.finish().unwrap();
    assert_eq!(bytes, std::fs::metadata(&path).unwrap().len());
    let index = TextIndex::open(&path).unwrap();
    assert!(format!("{index:?}").contains("rows: 20000, pieces: 5"), "{index:?}");
    let candidates = |text: &str| {
        let query = TextQuery::parse(text).unwrap();
        check_candidates(&index, &texts, &query);
        index.candidates(&query).unwrap()
    };
    for query in [
        "word7",
        "word1*",
        "-even",
        "word7 odd -row",
        "2999 OR word3",
        "\"row 1500\"",
        "none",
        "12",
        "1*",
        "12*",
        "150*",
        "12 odd",
        "-12",
        "-15001",
        "even -15001",
        "e*",
        "odd OR 1*",
    ] {
        candidates(query);
    }
    // Words on every other row are exact, rows of one number lie in one block, short numbers are
    // anywhere, and what is nowhere is known to be.
    assert!(candidates("even").unwrap().is_exact());
    let one = candidates("15001").unwrap();
    assert!(!one.is_exact() && one.rows.len() <= 2048, "{} rows", one.rows.len());
    assert!(candidates("12").is_none());
    assert_eq!(candidates("nowhere").unwrap(), candidates("even absent 15001").unwrap());
    assert!(candidates("nowhere").unwrap().is_exact());
}

#[test]
fn an_index_without_rows_is_legal() {
    let dir = tempfile::tempdir().unwrap();
    let index = index_of(&[], &index_file(&dir));
    assert_eq!(index.rows(), 0);
    let found = index.candidates(&TextQuery::parse("a").unwrap()).unwrap();
    assert!(found.is_none_or(|found| found.rows.is_empty()));
}

#[test]
fn every_damage_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = index_file(&dir);
    let damaged = dir.path().join("damaged");
    let texts: Vec<String> = (0..200).map(|i| format!("message {i} of many")).collect();
    let index = index_of(&texts, &path);
    let good = std::fs::read(&path).unwrap();
    // These read every part.
    let words = (0..200).map(|i| i.to_string()).chain(["message", "of", "many"].map(String::from));
    let queries: Vec<_> = words.map(|word| TextQuery::parse(&word).unwrap()).collect();
    let answers = |index: &TextIndex| -> Result<Vec<_>, StorageError> {
        queries.iter().map(|query| index.candidates(query)).collect()
    };
    let right = answers(&index).unwrap();
    let refuse = |bytes: &[u8], what: &str| {
        std::fs::write(&damaged, bytes).unwrap();
        match TextIndex::open(&damaged).and_then(|index| answers(&index)) {
            Err(StorageError::Corrupt { path, offset, .. }) => {
                assert_eq!(path, damaged);
                assert!(offset <= bytes.len() as u64);
            }
            other => panic!("{what}: {other:?}"),
        }
    };
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        refuse(&bytes, &format!("bit flipped at {at}"));
    }
    for length in (0..good.len()).step_by(7).chain([good.len() - 1]) {
        refuse(&good[..length], &format!("cut to {length} bytes"));
    }
    let longer = [good.as_slice(), b"more"].concat();
    refuse(&longer, "bytes appended");
    assert_eq!(answers(&index).unwrap(), right);
}

#[test]
fn an_older_version_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let texts: Vec<String> =
        (0..9000).map(|row| format!("row {row} word{} of {}", row % 700, row % 3)).collect();
    let build = |name: &str, old: bool| {
        let path = dir.path().join(name);
        let builder = TextIndexBuilder::create(&path).unwrap();
        let mut builder = if old { builder.in_version_2() } else { builder };
        texts.iter().for_each(|text| builder.push(text).unwrap());
        builder.finish().unwrap();
        TextIndex::open(&path).unwrap()
    };
    let (old, new) = (build("old", true), build("new", false));
    let count = |index: &TextIndex, text: &str| {
        let query = TextQuery::parse(text).unwrap();
        check_candidates(index, &texts, &query);
        index.candidates(&query).unwrap().unwrap().rows.len()
    };
    for query in ["8999", "word699", "word6*", "row -word3", "absent"] {
        assert!(count(&old, query) <= count(&new, query), "{query}");
    }
    assert_eq!((count(&old, "3000"), count(&new, "3000")), (1024, 2048));
}

#[test]
fn a_newer_file_and_a_missing_one_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let missing = TextIndex::open(&index_file(&dir));
    assert!(matches!(missing, Err(StorageError::Io { action: "open", .. })), "{missing:?}");
    let directory = [4, 0, 0];
    let mut bytes = b"HRTEXT2\n".to_vec();
    bytes.extend(directory);
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(crc32fast::hash(&directory).to_le_bytes());
    bytes.extend(b"HRTEXT2\n");
    std::fs::write(index_file(&dir), bytes).unwrap();
    assert!(TextIndex::is_current(&index_file(&dir)).unwrap());
    let newer = TextIndex::open(&index_file(&dir));
    assert!(matches!(newer, Err(StorageError::TooNew { found: 4, supported: 3, .. })), "{newer:?}");
    std::fs::write(index_file(&dir), b"HRTEXT1\n...").unwrap();
    assert!(!TextIndex::is_current(&index_file(&dir)).unwrap());
}

#[test]
fn an_unfinished_index_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut builder = TextIndexBuilder::create(&index_file(&dir)).unwrap();
    builder.push("text").unwrap();
    drop(builder);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_ranges_of_a_row_set_are_its_rows() {
    let set = RowSet::from_iter([0, 1, 2, 7, 9, 10, 70_000]);
    let ranges: Vec<_> = set.ranges().collect();
    assert_eq!(ranges, [0..3, 7..8, 9..11, 70_000..70_001]);
    assert_eq!(set.complement(12).ranges().collect::<Vec<_>>(), [3..7, 8..9, 11..12]);
}
