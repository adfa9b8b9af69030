//! Sets of templates.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::drain::{ANY, Drain, Template, similarity};
use super::hash::hash;
use super::{
    LEADING_WORDS, LINES_OF_A_SHAPE, MOST_PATTERNS, MOST_SHAPES, MOST_WORDS, SIMILARITY, WILDCARD,
    mask,
};

/// What the words beyond [`MOST_WORDS`] count as.
const REST: &str = "<rest>";

/// The hash of a template's text: the same for the same template everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PatternId(pub u64);

impl PatternId {
    /// Lines that no template stands for.
    pub const OTHER: Self = Self(0);

    /// The id of a template.
    #[must_use]
    pub fn of_text(template: &str) -> Self {
        Self(hash(&[template]).max(1))
    }
}

impl fmt::Display for PatternId {
    /// Sixteen hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Takes in lines and finds their templates. Keeps at most [`MOST_SHAPES`] shapes with
/// [`LINES_OF_A_SHAPE`] distinct masked lines each.
///
/// Both are samples by smallest hash (Bar-Yossef et al., *Counting distinct elements in a data stream*,
/// 2002): what is in one at the end has been in it from its first occurrence on, so its count is exact and
/// order does not matter.
#[derive(Debug, Clone, Default)]
pub struct Learner {
    shapes: BTreeMap<u64, BTreeMap<(u64, String), u64>>,
}

impl Learner {
    /// Takes in a line.
    pub fn add(&mut self, line: &str) {
        self.add_masked(&mask(line), 1);
    }

    /// Takes in a [masked](mask()) line that was seen so many times.
    pub fn add_masked(&mut self, masked: &str, lines: u64) {
        let words = words(masked);
        if words.is_empty() {
            return;
        }
        let leading: Vec<&str> = words.iter().take(LEADING_WORDS).copied().collect();
        let shape = hash(&[&words.len().to_string(), &leading.join(" ")]);
        let full = self.shapes.len() >= MOST_SHAPES;
        if full && self.shapes.last_key_value().is_some_and(|(last, _)| *last < shape) {
            return;
        }
        let kept = self.shapes.entry(shape).or_default();
        let text = words.join(" ");
        let key = (hash(&[&text]), text);
        let full = kept.len() >= LINES_OF_A_SHAPE;
        if !full || kept.last_key_value().is_some_and(|(last, _)| key <= *last) {
            let count = kept.entry(key).or_default();
            *count = count.saturating_add(lines);
        }
        if kept.len() > LINES_OF_A_SHAPE {
            kept.pop_last();
        }
        if self.shapes.len() > MOST_SHAPES {
            self.shapes.pop_last();
        }
    }

    /// Distinct masked lines that are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.shapes.values().map(BTreeMap::len).sum()
    }

    /// The templates of what was taken in.
    #[must_use]
    pub fn finish(self) -> Patterns {
        let lines = self.shapes.into_values().flatten();
        learn(lines.map(|((_, text), lines)| (text, lines)).collect())
    }
}

/// Templates, each with the number of lines it was learnt from; how many lines it stands for is counted by
/// [`Patterns::id_of`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patterns {
    /// Text to lines, in the order of the text.
    templates: BTreeMap<String, u64>,
    /// By first word (the wildcard included) and number of words: texts from the most to the least
    /// specific.
    places: HashMap<String, BTreeMap<usize, Vec<String>>>,
}

impl Patterns {
    /// The templates of several sets together. The order of the sets does not matter; merging all at once
    /// is not always the same as merging some first, because a template that has become general
    /// attracts other lines than those it came from.
    #[must_use]
    pub fn merge<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all: BTreeMap<String, u64> = BTreeMap::new();
        for (text, lines) in sets.into_iter().flat_map(|s| &s.templates) {
            let sum = all.entry(text.clone()).or_default();
            *sum = sum.saturating_add(*lines);
        }
        learn(all.into_iter().collect())
    }

    /// Rebuilds a set from stored texts and their line counts, for instance to tell the templates of lines
    /// or to merge it.
    #[must_use]
    pub fn from_templates<'a>(templates: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        let mut texts: BTreeMap<String, u64> = BTreeMap::new();
        for (text, lines) in templates {
            let sum = texts.entry(text.to_owned()).or_default();
            *sum = sum.saturating_add(lines);
        }
        indexed(texts)
    }

    /// The template of a line: of those that agree with every word of it, the one with fewest wildcards;
    /// else the most similar one by the measure it was learnt with. The text of a template has a template
    /// too, which after a merge is what it became.
    #[must_use]
    pub fn id_of(&self, line: &str) -> PatternId {
        self.template_of(line).map_or(PatternId::OTHER, PatternId::of_text)
    }

    /// The text of [`Patterns::id_of`]; `None` for [`PatternId::OTHER`].
    #[must_use]
    pub fn template_of(&self, line: &str) -> Option<&str> {
        self.template_of_masked(&mask(line))
    }

    /// The same of a [masked](mask()) line.
    #[must_use]
    pub fn template_of_masked(&self, masked: &str) -> Option<&str> {
        let words = words(masked);
        let of = |first: &str| self.places.get(first).and_then(|p| p.get(&words.len()));
        let (named, any) = (words.first().and_then(|first| of(first)), of(WILDCARD));
        let covers = |t: &&String| {
            t.split(' ').zip(&words).all(|(mine, word)| mine == WILDCARD || mine == *word)
        };
        let lists = || named.into_iter().chain(any);
        let better = lists().filter_map(|l| l.iter().find(covers)).min_by_key(|t| wildcards(t));
        let similar = || {
            let score = |t: &String| {
                let template: Vec<&str> = t.split(' ').collect();
                similarity(&template, &words, WILDCARD)
            };
            lists()
                .flatten()
                .map(|t| (score(t), t))
                .reduce(|best, next| if next.0 > best.0 { next } else { best })
                .filter(|((equal, _), _)| *equal as f64 >= SIMILARITY * words.len() as f64)
                .map(|(_, t)| t)
        };
        better.or_else(similar).map(String::as_str)
    }

    /// Id, text and lines of each template, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = (PatternId, &str, u64)> {
        self.templates.iter().map(|(text, lines)| (PatternId::of_text(text), text.as_str(), *lines))
    }

    /// Number of templates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.templates.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }
}

fn words(masked: &str) -> Vec<&str> {
    let mut words: Vec<&str> = masked.split_whitespace().take(MOST_WORDS + 1).collect();
    if words.len() > MOST_WORDS {
        words.truncate(MOST_WORDS - 1);
        words.push(REST);
    }
    words
}

fn wildcards(template: &str) -> usize {
    template.split(' ').filter(|w| *w == WILDCARD).count()
}

/// Learns masked texts in their order and keeps the templates that stand for most lines.
fn learn(mut texts: Vec<(String, u64)>) -> Patterns {
    texts.sort();
    let mut names: Vec<&str> = vec![WILDCARD];
    let mut numbers: HashMap<&str, u32> = HashMap::from([(WILDCARD, ANY)]);
    let mut drain = Drain::default();
    for (text, lines) in &texts {
        let number = |word| {
            *numbers.entry(word).or_insert_with(|| {
                names.push(word);
                u32::try_from(names.len() - 1).unwrap_or(u32::MAX)
            })
        };
        drain.learn(text.split(' ').filter(|w| !w.is_empty()).map(number).collect(), *lines);
    }
    let mut templates: BTreeMap<String, u64> = BTreeMap::new();
    for Template { words, lines } in drain.templates {
        let words: Vec<&str> =
            words.iter().map(|w| names.get(*w as usize).copied().unwrap_or(WILDCARD)).collect();
        let sum = templates.entry(words.join(" ")).or_default();
        *sum = sum.saturating_add(lines);
    }
    indexed(templates)
}

fn indexed(templates: BTreeMap<String, u64>) -> Patterns {
    let mut kept: Vec<(String, u64)> = templates.into_iter().collect();
    if kept.len() > MOST_PATTERNS {
        kept.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        kept.truncate(MOST_PATTERNS);
    }
    let templates: BTreeMap<String, u64> = kept.into_iter().collect();
    let mut places: HashMap<String, BTreeMap<usize, Vec<String>>> = HashMap::new();
    for text in templates.keys() {
        let first = text.split(' ').next().unwrap_or_default().to_owned();
        let length = text.split(' ').count();
        places.entry(first).or_default().entry(length).or_default().push(text.clone());
    }
    for list in places.values_mut().flat_map(BTreeMap::values_mut) {
        list.sort_by_key(|t| wildcards(t));
    }
    Patterns { templates, places }
}
