//! Values that can be told by their form.

use super::MOST_BYTES;

/// Replaces quoted text, UUIDs, IP addresses, hexadecimal numbers, ids of mixed letters and digits, and
/// numbers by `<str>`, `<uuid>`, `<ip>`, `<hex>`, `<id>` and `<num>`. No ASCII digit is left, and masking a
/// masked text changes nothing. Bytes beyond [`MOST_BYTES`] are cut off.
///
/// - quoted: between two `"`, or two `'` that do not touch a word on the outside, in one
///   line; a quote after `\` is none;
/// - hexadecimal: `0x` and digits, or eight or more hexadecimal digits of both kinds;
/// - id: a word of five or more letters and digits with two or more groups of digits, as in the names of
///   pods;
/// - number: any other group of digits, with its sign and its decimal places; the unit stays.
#[must_use]
pub fn mask(text: &str) -> String {
    let text = cut(text);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let mut quotes = Quotes::default();
    while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let touched = before.is_some_and(touches);
        let found = match quotes.length(rest, at, before) {
            Some(length) => Some((Value::Str, length)),
            None if rest.starts_with(is_word) => word_value(rest),
            None => None,
        };
        at += match found {
            Some((Value::Word, length)) => {
                mask_digits(rest.get(..length).unwrap_or_default(), &mut out);
                length
            }
            Some((value, length)) => {
                out.push_str(value.name());
                length
            }
            None if !touched && is_sign(rest) => 1,
            None => {
                let length = plain(rest);
                out.push_str(rest.get(..length).unwrap_or_default());
                length
            }
        };
    }
    out
}

/// What a stretch of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Str,
    Uuid,
    Ip,
    Hex,
    Id,
    Num,
    /// A word whose digits are masked one group at a time.
    Word,
}

impl Value {
    const fn name(self) -> &'static str {
        match self {
            Self::Str => "<str>",
            Self::Uuid => "<uuid>",
            Self::Ip => "<ip>",
            Self::Hex => "<hex>",
            Self::Id => "<id>",
            Self::Num | Self::Word => "<num>",
        }
    }
}

/// A word with each group of digits masked.
fn mask_digits(word: &str, out: &mut String) {
    let mut in_digits = false;
    for c in word.chars() {
        match (c.is_ascii_digit(), in_digits) {
            (true, false) => out.push_str(Value::Num.name()),
            (true, true) => {}
            (false, _) => out.push(c),
        }
        in_digits = c.is_ascii_digit();
    }
}

/// Whether a text begins with the sign of a number.
fn is_sign(rest: &str) -> bool {
    let number =
        rest.strip_prefix(['+', '-']).filter(|r| r.starts_with(|c: char| c.is_ascii_digit()));
    // `-10.0.0.1` and `-3f2a…` are something else with a dash before it.
    let value = number.and_then(word_value);
    value.is_some_and(|(v, _)| matches!(v, Value::Num | Value::Word))
}

/// The longest prefix of at most [`MOST_BYTES`] bytes.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MOST_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Letters and digits, and whatever is not ASCII.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii()
}

fn word_length(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

/// Length of what is copied as it is: a word, or one other character.
fn plain(rest: &str) -> usize {
    word_length(rest).max(rest.chars().next().map_or(1, char::len_utf8))
}

/// Where quoted text ends. A search that found no end is not repeated from within what it looked through,
/// so that all searches together take linear time.
#[derive(Debug, Default)]
struct Quotes {
    /// Up to where no `"` and no `'` ends anything.
    barren_to: [usize; 2],
}

impl Quotes {
    /// Length of the quoted text that begins at `at`, where `rest` begins.
    fn length(&mut self, rest: &str, at: usize, before: Option<char>) -> Option<usize> {
        let (quote, which) = match rest.chars().next()? {
            '"' => ('"', 0),
            '\'' if !before.is_some_and(touches) => ('\'', 1),
            _ => return None,
        };
        let barren_to = self.barren_to.get_mut(which)?;
        if before == Some('\\') || at < *barren_to {
            return None;
        }
        let found = quoted(rest, quote);
        if found.is_none() {
            *barren_to = at + rest.find('\n').unwrap_or(rest.len());
        }
        found
    }
}

/// Whether a character next to a sign or a single quote makes it a part of a word. The ends of a mask
/// count as what they stand for.
fn touches(c: char) -> bool {
    is_word(c) || c == '<' || c == '>'
}

fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        let end = at + c.len_utf8();
        let next = rest.get(end..).and_then(|r| r.chars().next());
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' => return None,
            _ if c == quote && (quote == '"' || !next.is_some_and(touches)) => return Some(end),
            _ => {}
        }
    }
    None
}

/// What a text that begins with a word begins with; `None` for a word without digits.
fn word_value(rest: &str) -> Option<(Value, usize)> {
    let length = word_length(rest);
    let word = rest.get(..length)?;
    if let Some(end) = uuid(rest) {
        return Some((Value::Uuid, end));
    }
    if let Some(end) = ip_v6(rest) {
        return Some((Value::Ip, end));
    }
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 {
        return None;
    }
    if digits == length {
        let decimals = number(rest);
        return Some((
            if parts(rest, decimals) == 4 { Value::Ip } else { Value::Num },
            port(rest, decimals),
        ));
    }
    let hex = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_hexdigit());
    if word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")).is_some_and(hex) {
        return Some((Value::Hex, length));
    }
    if length >= 8 && hex(word) {
        return Some((Value::Hex, length));
    }
    let groups = word.split(|c: char| !c.is_ascii_digit()).filter(|g| !g.is_empty()).count();
    Some((if length >= 5 && groups >= 2 { Value::Id } else { Value::Word }, length))
}

/// Length of digits with groups of further digits after single dots.
fn number(rest: &str) -> usize {
    let digits = |at: usize| {
        let tail = rest.get(at..).unwrap_or_default();
        tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len())
    };
    let mut end = digits(0);
    while end > 0 && rest.get(end..).is_some_and(|r| r.starts_with('.')) && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    end
}

/// Groups of digits between the dots of a number.
fn parts(rest: &str, end: usize) -> usize {
    rest.get(..end).map_or(0, |n| n.split('.').count())
}

/// The end of an IPv4 address with its port or prefix; of another number its own end.
fn port(rest: &str, end: usize) -> usize {
    let tail = rest.get(end..).unwrap_or_default();
    match tail.strip_prefix([':', '/']) {
        Some(after) if parts(rest, end) == 4 => {
            let digits = word_length(after);
            let all = after.get(..digits).is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit()));
            if digits > 0 && all { end + 1 + digits } else { end }
        }
        _ => end,
    }
}

fn uuid(rest: &str) -> Option<usize> {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let mut at = 0;
    for (i, group) in GROUPS.into_iter().enumerate() {
        if i > 0 {
            at += rest.get(at..)?.starts_with('-').then_some(1)?;
        }
        let digits = rest.get(at..at + group)?;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
        at += group;
    }
    let ends = !rest.get(at..)?.starts_with(is_word);
    ends.then_some(at)
}

/// Hexadecimal groups between colons, all eight or with `::`, with a digit among them.
fn ip_v6(rest: &str) -> Option<usize> {
    let end = rest.find(|c: char| !c.is_ascii_hexdigit() && c != ':').unwrap_or(rest.len());
    let address = rest.get(..end)?.trim_end_matches(':');
    let groups = address.split(':');
    let short = groups.clone().all(|g| g.len() <= 4);
    let full = address.split(':').count() == 8 || address.contains("::");
    let digit = address.bytes().any(|b| b.is_ascii_digit());
    let ends = !rest.get(address.len()..)?.starts_with(is_word);
    (short && full && digit && ends).then_some(address.len())
}
