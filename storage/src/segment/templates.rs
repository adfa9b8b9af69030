//! Bodies of log records taken apart into templates and values ([`crate::bodies`]).
//!
//! Lines of one kind lie together ([`super::cluster`]). Of each run of them the words that are on at least
//! half of the lines make the template; whatever lies between is a value. (As CLP does: Rodrigues, Luo,
//! Yuan, OSDI 2021; what is a variable is told from the lines, not from how a word looks.) Values alone
//! compress to less and faster than whole lines: of these, zstd needs a sequence of its own for every
//! piece of text between two values.

use std::ops::Range;

use arrow::array::{Array as _, StringArray, StringBuilder};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::cluster::letters;
use super::labels::NULL;
use crate::bodies::{self, MARK};
use crate::text::is_word_byte;

/// Lines of a run that are looked at to tell its words.
const SAMPLED: usize = 128;
/// Runs of fewer lines have no template.
const LEAST_RUN: usize = 4;
/// A template of fewer lines costs more than it saves.
const LEAST_LINES: u32 = 4;

/// Bodies taken apart.
pub(super) struct Apart {
    /// Templates in byte order, each once.
    pub(super) templates: Vec<String>,
    /// The place of each row's template; [`NULL`] without one.
    pub(super) codes: Vec<u32>,
    /// Values of the first places, then all others.
    pub(super) values: [StringArray; PLACES],
}

/// Columns of values.
const PLACES: usize = bodies::FIRST.len() + 1;

/// Takes bodies apart; lines of one kind are to be neighbours.
pub(super) fn apart(bodies: &StringArray) -> Apart {
    let mut found = Found::default();
    let line = |row: usize| bodies.is_valid(row).then(|| bodies.value(row));
    let mut row = 0;
    while row < bodies.len() {
        let Some(first) = line(row) else {
            found.push(None);
            row += 1;
            continue;
        };
        let key = letters(first);
        let more = (row + 1..bodies.len())
            .take_while(|row| line(*row).is_some_and(|line| letters(line) == key));
        let run: Vec<&str> = std::iter::once(first).chain(more.filter_map(line)).collect();
        row += run.len();
        let common = Common::of(&run);
        run.into_iter().for_each(|line| found.push_line(line, &common));
    }
    found.finish(bodies)
}

/// The words of a text, as ranges of it.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.as_bytes().get(at..)?;
        let start = at + rest.iter().position(|byte| is_word_byte(*byte))?;
        let rest = text.as_bytes().get(start..)?;
        at = start + rest.iter().take_while(|byte| is_word_byte(**byte)).count();
        Some(start..at)
    })
}

fn cut(text: &str, range: Range<usize>) -> &str {
    text.get(range).unwrap_or_default()
}

/// Hashes of the words on at least half of the lines of a run. A word that shares its hash with one of
/// these is taken for it, which costs bytes at most.
struct Common(HashTable<u64>);

impl Common {
    fn of(run: &[&str]) -> Self {
        let mut common = HashTable::new();
        if run.len() < LEAST_RUN {
            return Self(common);
        }
        // Of each word: hash, lines, and the last line it was on.
        let mut words_of: HashTable<(u64, usize, usize)> = HashTable::new();
        let sample = run.iter().step_by(run.len().div_ceil(SAMPLED));
        let lines = sample.len();
        for (number, line) in sample.enumerate() {
            for word in words(line) {
                let hash = xxh3_64(cut(line, word).as_bytes());
                match words_of.find_mut(hash, |(of, ..)| *of == hash) {
                    Some((_, _, last)) if *last == number => {}
                    Some((_, lines, last)) => (*lines, *last) = (*lines + 1, number),
                    None => {
                        words_of.insert_unique(hash, (hash, 1, number), |(of, ..)| *of);
                    }
                }
            }
        }
        for (hash, ..) in words_of.into_iter().filter(|(_, on, _)| on * 2 >= lines) {
            common.insert_unique(hash, hash, |of| *of);
        }
        Self(common)
    }

    fn has(&self, word: &str) -> bool {
        let hash = xxh3_64(word.as_bytes());
        self.0.find(hash, |of| *of == hash).is_some()
    }
}

/// Lines taken apart so far.
#[derive(Default)]
struct Found {
    /// Templates in the order they were met, and on how many lines each is.
    templates: Vec<(String, u32)>,
    /// Their places, by hash.
    places: HashTable<u32>,
    codes: Vec<u32>,
    /// The values of all lines, and where those of each end.
    values: String,
    ends: Vec<usize>,
    /// The template of the present line, and the place of the one before.
    template: String,
    last: u32,
}

impl Found {
    fn push(&mut self, template: Option<u32>) {
        self.codes.push(template.unwrap_or(NULL));
        self.ends.push(self.values.len());
    }

    fn push_line(&mut self, line: &str, common: &Common) {
        if common.0.is_empty() || line.contains(MARK) {
            return self.push(None);
        }
        self.template.clear();
        let (mut from, mut first, mut value) = (0, true, None::<Range<usize>>);
        let mut close = |value: Range<usize>, from: usize| {
            self.template.push_str(cut(line, from..value.start));
            self.template.push(MARK);
            if !std::mem::take(&mut first) {
                self.values.push(MARK);
            }
            self.values.push_str(cut(line, value.clone()));
            value.end
        };
        for word in words(line) {
            if common.has(cut(line, word.clone())) {
                from = value.take().map_or(from, |value| close(value, from));
            } else {
                let start = value.as_ref().map_or(word.start, |value| value.start);
                value = Some(start..word.end);
            }
        }
        from = value.map_or(from, |value| close(value, from));
        self.template.push_str(cut(line, from..line.len()));
        let place = self.place();
        self.push(Some(place));
    }

    /// Counts a line of the present template.
    fn place(&mut self) -> u32 {
        let is = |place: u32| at(&self.templates, place).is_some_and(|(t, _)| *t == self.template);
        if !is(self.last) {
            let hash = xxh3_64(self.template.as_bytes());
            self.last = match self.places.find(hash, |place| is(*place)) {
                Some(place) => *place,
                None => {
                    let place = u32::try_from(self.templates.len()).unwrap_or(NULL);
                    self.templates.push((self.template.clone(), 0));
                    self.places.insert_unique(hash, place, |place| {
                        let template = at(&self.templates, *place);
                        template.map_or(0, |(template, _)| xxh3_64(template.as_bytes()))
                    });
                    place
                }
            };
        }
        let template = usize::try_from(self.last).ok().and_then(|at| self.templates.get_mut(at));
        if let Some((_, lines)) = template {
            *lines += 1;
        }
        self.last
    }

    fn finish(self, bodies: &StringArray) -> Apart {
        let mut codes = vec![NULL; self.templates.len()];
        let placed = self.templates.into_iter().zip(0..);
        let mut kept: Vec<(String, usize)> = placed
            .filter(|((_, lines), _)| *lines >= LEAST_LINES)
            .map(|((template, _), place)| (template, place))
            .collect();
        kept.sort_unstable();
        for ((_, place), code) in kept.iter().zip(0..) {
            if let Some(of) = codes.get_mut(*place) {
                *of = code;
            }
        }
        let code = |place: &u32| at(&codes, *place).copied().unwrap_or(NULL);
        let codes: Vec<u32> = self.codes.iter().map(code).collect();
        let bytes = self.values.len() / PLACES;
        let mut places: [StringBuilder; PLACES] =
            std::array::from_fn(|_| StringBuilder::with_capacity(codes.len(), bytes));
        let mut from = 0;
        for (row, (code, end)) in codes.iter().zip(self.ends).enumerate() {
            let values = cut(&self.values, from..end);
            if *code == NULL {
                push_whole(bodies.is_valid(row).then(|| bodies.value(row)), &mut places);
            } else {
                push_values((!values.is_empty()).then_some(values), &mut places);
            }
            from = end;
        }
        let templates = kept.into_iter().map(|(template, _)| template).collect();
        Apart { templates, codes, values: places.map(|mut place| place.finish()) }
    }
}

/// A body without a template.
fn push_whole(body: Option<&str>, places: &mut [StringBuilder; PLACES]) {
    let [first @ .., rest] = places;
    first.iter_mut().for_each(StringBuilder::append_null);
    rest.append_option(body);
}

/// The values of a body with marks between, none of which is empty.
fn push_values(values: Option<&str>, places: &mut [StringBuilder; PLACES]) {
    let [first @ .., rest] = places;
    let mut left = values;
    for place in first {
        let (value, others) = left.map(bodies::cut).unzip();
        place.append_option(value);
        left = others.flatten();
    }
    rest.append_option(left);
}

fn at<T>(all: &[T], place: u32) -> Option<&T> {
    usize::try_from(place).ok().and_then(|at| all.get(at))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::ArrayRef;
    use proptest::prelude::*;

    use super::*;
    use crate::bodies::join;

    /// Bodies put together again.
    fn joined(apart: Apart) -> ArrayRef {
        let texts = apart.codes.iter().map(|code| at(&apart.templates, *code).cloned());
        let templates: StringArray = texts.collect();
        let values = apart.values.map(|values| Arc::new(values) as ArrayRef);
        let columns: Vec<ArrayRef> =
            std::iter::once(Arc::new(templates) as ArrayRef).chain(values).collect();
        join(&columns).unwrap()
    }

    fn line() -> impl Strategy<Value = Option<String>> {
        prop_oneof![
            1 => Just(None),
            4 => any::<String>().prop_map(Some),
            // Words that come again, numbers, marks, and letters of more than a byte.
            20 => prop::collection::vec(
                prop_oneof!["(GET|put|état|of|in)", "[0-9]{1,4}", "[a-c]{3}", "(\\x1f|«|, |\\.)"],
                0..9,
            ).prop_map(|words| Some(words.join(" "))),
        ]
    }

    proptest! {
        #[test]
        fn bodies_are_what_they_were(lines in prop::collection::vec(line(), 0..120)) {
            let mut lines = lines;
            lines.sort_by_key(|line| line.as_deref().map(letters));
            let bodies = StringArray::from(lines);
            let apart = apart(&bodies);
            prop_assert!(apart.templates.is_sorted_by(|a, b| a < b));
            prop_assert!(apart.codes.iter().all(|c| *c == NULL || (*c as usize) < apart.templates.len()));
            prop_assert_eq!(&joined(apart), &(Arc::new(bodies) as ArrayRef));
        }
    }

    #[test]
    fn words_of_most_lines_are_the_template() {
        let lines = (0..100).map(|n| match n % 10 {
            9 => Some(format!("GET /articles/{n} failed: no such item")),
            8 => None,
            _ => Some(format!("GET /articles/{n} took {} ms", n * 7)),
        });
        let mut lines: Vec<Option<String>> = lines.collect();
        lines.sort_by_key(Option::is_none);
        let bodies = StringArray::from(lines);
        let apart = apart(&bodies);
        assert_eq!(
            apart.templates,
            ["GET /articles/\u{1f}", "GET /articles/\u{1f} took \u{1f} ms"]
        );
        let values = |row: usize| {
            apart.values.each_ref().map(|place| place.is_valid(row).then(|| place.value(row)))
        };
        assert_eq!(values(3), [Some("3"), Some("21"), None, None, None, None]);
        assert_eq!(values(8), [Some("9 failed: no such item"), None, None, None, None, None]);
        assert_eq!(apart.codes.iter().filter(|code| **code == NULL).count(), 10);
    }

    #[test]
    fn few_lines_and_lines_with_a_mark_have_none() {
        let lines = ["stopped", "a\u{1f}b 1", "a\u{1f}b 2", "a\u{1f}b 3", "a\u{1f}b 4"];
        let apart = apart(&StringArray::from(lines.to_vec()));
        assert_eq!(apart.templates, Vec::<String>::new());
        assert_eq!(apart.codes, [NULL; 5]);
    }
}
