//! A question with the answer it must have.

use anyhow::{Context, ensure};
use headrope_testdata::workload::draw;
use serde_json::{Value, json};

use super::super::ask::{Answer, Question, int};

/// Whether an answer is right; the error says what is not.
type Check = Box<dyn Fn(&Answer) -> anyhow::Result<()>>;

/// A question with the answer it must have.
pub(super) struct Case {
    pub(super) question: Question,
    check: Check,
}

impl Case {
    pub(super) fn new(
        question: Question,
        check: impl Fn(&Answer) -> anyhow::Result<()> + 'static,
    ) -> Self {
        Self { question, check: Box::new(check) }
    }

    /// Whether an answer is right.
    ///
    /// # Errors
    /// With what is wrong.
    pub(super) fn check(&self, answer: &Answer) -> anyhow::Result<()> {
        (self.check)(answer).with_context(|| format!("{:?}", self.question))
    }
}

/// Questions of one kind, each with other parameters.
pub(super) struct Kind<'a> {
    pub(super) name: String,
    make: Box<dyn Fn(u64) -> Case + 'a>,
}

impl<'a> Kind<'a> {
    /// A kind whose parameters come from a random word.
    pub(super) fn new(name: impl Into<String>, make: impl Fn(u64) -> Case + 'a) -> Self {
        Self { name: name.into(), make: Box::new(make) }
    }

    /// The question with this number.
    pub(super) fn case(&self, seed: u64, number: u64) -> Case {
        (self.make)(draw(seed, number))
    }
}

/// Whether the parameters drawn from a word are to be such that nothing matches: one in ten.
pub(super) const fn absent(word: u64) -> bool {
    word.is_multiple_of(10)
}

/// One of some things.
pub(super) fn pick<T>(things: &[T], word: u64) -> Option<&T> {
    let at = word.checked_rem(things.len() as u64)?;
    things.get(usize::try_from(at).ok()?)
}

/// An id that is in no workload, of so many bytes.
pub(super) fn absent_id(word: u64, bytes: usize) -> String {
    let text = format!("{:016x}{:016x}", draw(word, 1), draw(word, 2));
    text.get(..2 * bytes).unwrap_or_default().to_owned()
}

/// A timestamp as a parameter of SQL.
pub(super) fn timestamp(ns: i64) -> Value {
    json!({ "type": "timestamp", "value": ns.to_string() })
}

/// A column of a SQL answer as whole numbers.
pub(super) fn column(answer: &Answer, at: usize) -> anyhow::Result<Vec<i64>> {
    let numbers = answer.rows()?.iter().map(|row| row.get(at).and_then(int));
    numbers.collect::<Option<_>>().context("a value that is no whole number")
}

/// Fails unless two lists are equal; says where they differ.
pub(super) fn same<T: PartialEq + std::fmt::Debug>(
    found: &[T],
    expected: &[T],
) -> anyhow::Result<()> {
    let differ = found.iter().zip(expected).position(|(a, b)| a != b);
    if let Some(at) = differ {
        let (a, b) = (found.get(at), expected.get(at));
        anyhow::bail!("place {at}: found {a:?}, expected {b:?}");
    }
    let (found, expected) = (found.len(), expected.len());
    ensure!(found == expected, "{found} found, {expected} expected");
    Ok(())
}
