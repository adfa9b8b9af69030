//! Templates whose marks stand for any text, as segments keep them.
//!
//! Which words are values was decided anew for each part of the lines, so one kind of line may have several
//! templates, from "order 7 shipped" to "order ? shipped", and lines that are not in a segment yet have
//! none. The most general template that covers another, or a line, tells what both are.

use std::collections::HashMap;

use super::{LEAST_WORDS, SIMILARITY, WILDCARD, mask};

/// Templates that lines and other templates are looked up in.
#[derive(Debug, Clone, Default)]
pub struct Covers {
    mark: char,
    /// From the most to the least general.
    templates: Vec<String>,
    /// Positions by the first bytes of those that do not begin with a mark, ascending.
    by_start: HashMap<Vec<u8>, Vec<usize>>,
    /// Positions of those that do, or whose first piece is short, ascending.
    others: Vec<usize>,
}

/// Bytes of a first piece by which templates are found.
const START: usize = 4;

impl Covers {
    /// Takes in the templates that say enough of their lines ([`is_telling`]); `mark` stands for a value.
    #[must_use]
    pub fn new<'a>(templates: impl IntoIterator<Item = &'a str>, mark: char) -> Self {
        let telling = templates.into_iter().filter(|t| is_telling(t, mark));
        let mut templates: Vec<String> = telling.map(str::to_owned).collect();
        let fixed = |t: &String| t.chars().filter(|c| *c != mark).count();
        templates.sort_by(|a, b| fixed(a).cmp(&fixed(b)).then(a.cmp(b)));
        templates.dedup();
        let mut covers = Self { mark, templates, ..Self::default() };
        for (at, template) in covers.templates.iter().enumerate() {
            let piece = template.split(mark).next().unwrap_or_default();
            match piece.as_bytes().get(..START) {
                Some(start) => covers.by_start.entry(start.to_vec()).or_default().push(at),
                None => covers.others.push(at),
            }
        }
        covers
    }

    /// The most general template that is the text when each of its marks is replaced by some text, not
    /// empty. A template covers itself.
    #[must_use]
    pub fn of(&self, text: &str) -> Option<&str> {
        let started = text.as_bytes().get(..START).and_then(|start| self.by_start.get(start));
        let first = |all: &[usize]| {
            let covering =
                |at: &&usize| self.templates.get(**at).is_some_and(|t| covers(t, text, self.mark));
            all.iter().find(covering).copied()
        };
        let found = [started.and_then(|all| first(all)), first(&self.others)];
        let at = found.into_iter().flatten().min()?;
        self.templates.get(at).map(String::as_str)
    }
}

/// Whether a template says what its lines are: at least half of its words, and three, have letters of their
/// own. Of any other, most is values, and lines of different kinds share it.
#[must_use]
pub fn is_telling(template: &str, mark: char) -> bool {
    let (mut words, mut fixed) = (0usize, 0usize);
    for word in template.split_whitespace() {
        words += 1;
        let letters = word.chars().filter(|c| c.is_alphabetic()).count();
        fixed += usize::from(letters >= 2);
    }
    let whole = !template.contains(mark) && words > 0;
    whole || (fixed >= LEAST_WORDS && fixed as f64 >= SIMILARITY * words as f64)
}

/// A template in the form of masked lines: marks become [`WILDCARD`], one for those that only signs of
/// punctuation within a word lie between, and what looks like a value is masked.
#[must_use]
pub fn as_masked(template: &str, mark: char) -> String {
    let mut text = String::with_capacity(template.len() + 8);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once(mark) {
        text.push_str(before);
        text.push_str(WILDCARD);
        rest = after;
        while let Some((between, after)) = rest.split_once(mark) {
            let joins = |c: char| !c.is_alphanumeric() && !c.is_whitespace();
            if !between.chars().all(joins) {
                break;
            }
            rest = after;
        }
    }
    text.push_str(rest);
    mask(&text)
}

/// Whether a text is a template whose marks are replaced by text that is not empty.
fn covers(template: &str, text: &str, mark: char) -> bool {
    let Some((first, rest)) = template.split_once(mark) else { return template == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut pieces = rest.split(mark).peekable();
    while let Some(piece) = pieces.next() {
        // What is replaced has one character at least.
        let mut chars = text.chars();
        if chars.next().is_none() {
            return false;
        }
        if pieces.peek().is_none() {
            return chars.as_str().ends_with(piece);
        }
        // The leftmost place leaves most to those that follow.
        match chars.as_str().split_once(piece) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By trying every way to split.
    fn by_trial(template: &[char], text: &[char]) -> bool {
        match (template.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('?', rest)), Some(_)) => (1..=text.len()).any(|n| by_trial(rest, &text[n..])),
            (Some((a, rest)), Some((b, text))) => a == b && by_trial(rest, text),
            _ => false,
        }
    }

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    proptest! {
        #[test]
        fn covering_is_what_trying_all_ways_finds(template in "[ab?é]{0,8}", text in "[ab?é]{0,12}") {
            prop_assert_eq!(covers(&template, &text, '?'), by_trial(&chars(&template), &chars(&text)));
        }

        #[test]
        fn the_most_general_is_found(templates in prop::collection::vec("(wait|lock|\\?) (for|\\?) (disk|\\?) (a|b|\\?)", 0..9), text in "(wait|lock) for disk (a|b)") {
            let all = Covers::new(templates.iter().map(String::as_str), '?');
            let fixed = |t: &str| t.chars().filter(|c| *c != '?').count();
            let covering = templates.iter().filter(|t| is_telling(t, '?') && by_trial(&chars(t), &chars(&text)));
            let want = covering.map(|t| fixed(t)).min();
            prop_assert_eq!(all.of(&text).map(fixed), want);
            // What covers a template covers its lines.
            if let Some(found) = all.of(&text) {
                prop_assert_eq!(all.of(found), Some(found));
            }
        }

        #[test]
        fn a_masked_template_stays_as_it_is(template in "(\\PC|\\?){0,30}") {
            let masked = as_masked(&template, '?');
            prop_assert_eq!(mask(&masked), masked);
        }
    }

    #[test]
    fn templates_that_say_little_cover_nothing() {
        for (template, want) in [
            ("payment ?", false),
            ("? - - ? ? ?", false),
            ("stock of ? is ?", true),
            ("order=? user=? items=?", true),
            ("started", true),
            ("", false),
        ] {
            assert_eq!(is_telling(template, '?'), want, "{template}");
        }
        assert_eq!(
            as_masked("from ?.?.?.?:? to shop-7 (?,?) at ?", '?'),
            "from <*> to shop-<num> (<*>) at <*>"
        );
    }
}
