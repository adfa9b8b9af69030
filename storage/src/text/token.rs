//! What a word is: the same function cuts indexed text, live text and queries.
//!
//! A token is a maximal run of Unicode alphanumerics and `_`, lower-cased character by character.
//! Scripts written without spaces would give one token per sentence, so each Han, Hiragana or
//! Katakana character is a token of its own (a word of them then is a run of tokens).

/// Longest token in bytes of UTF-8; what follows is cut off, alike in text and query.
pub const MAX_TOKEN_BYTES: usize = 255;

const SEPARATOR: u8 = 0;
const WORD: u8 = 1;
const MULTIBYTE: u8 = 2;

const CLASS: [u8; 256] = {
    let mut table = [SEPARATOR; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            table[b] = WORD;
        } else if byte >= 0x80 {
            table[b] = MULTIBYTE;
        }
        b += 1;
    }
    table
};

const fn class(byte: u8) -> u8 {
    CLASS[byte as usize]
}

/// Whether a byte of UTF-8 is of a word, or may be.
pub(crate) const fn is_word_byte(byte: u8) -> bool {
    class(byte) != SEPARATOR
}

/// Whether a character belongs to a token.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Scripts without spaces between words; a character of these is a token.
const fn stands_alone(c: char) -> bool {
    matches!(c,
        '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{30ff}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9f}'
        | '\u{20000}'..='\u{3ffff}')
}

/// A walk over the tokens of a text.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Appends the next token to `out`; `false` at the end of the text.
    pub(super) fn append_next(&mut self, out: &mut String) -> bool {
        let start = out.len();
        let mut full = false;
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            match class(byte) {
                SEPARATOR => {
                    self.at += 1;
                    if out.len() > start {
                        return true;
                    }
                }
                WORD => self.append_ascii(out, start, &mut full),
                _ => {
                    if self.append_char(out, start, &mut full) {
                        return true;
                    }
                }
            }
        }
        out.len() > start
    }

    fn append_ascii(&mut self, out: &mut String, start: usize, full: &mut bool) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let run = rest.bytes().take_while(|&b| class(b) == WORD).count();
        self.at += run;
        if *full {
            return;
        }
        let room = MAX_TOKEN_BYTES.saturating_sub(out.len() - start);
        *full = run > room;
        let from = out.len();
        out.push_str(rest.get(..run.min(room)).unwrap_or_default());
        if let Some(added) = out.get_mut(from..) {
            added.make_ascii_lowercase();
        }
    }

    /// Takes one multi-byte character; `true` when it ends the token.
    fn append_char(&mut self, out: &mut String, start: usize, full: &mut bool) -> bool {
        let Some(c) = self.text.get(self.at..).and_then(|rest| rest.chars().next()) else {
            self.at = self.text.len();
            return out.len() > start;
        };
        let in_token = out.len() > start;
        if !c.is_alphanumeric() {
            self.at += c.len_utf8();
            return in_token;
        }
        if stands_alone(c) {
            if in_token {
                return true;
            }
            self.at += c.len_utf8();
            out.push(c);
            return true;
        }
        self.at += c.len_utf8();
        for lower in c.to_lowercase() {
            *full |= out.len() - start + lower.len_utf8() > MAX_TOKEN_BYTES;
            if !*full {
                out.push(lower);
            }
        }
        false
    }
}

/// The tokens of one text in one buffer, to be used again for the next.
#[derive(Debug, Default)]
pub(super) struct TokenBuf {
    text: String,
    ends: Vec<usize>,
}

impl TokenBuf {
    pub(super) fn fill(&mut self, text: &str) {
        self.text.clear();
        self.ends.clear();
        let mut tokens = Tokens::new(text);
        while tokens.append_next(&mut self.text) {
            self.ends.push(self.text.len());
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = match index {
            0 => 0,
            _ => *self.ends.get(index - 1)?,
        };
        self.text.get(start..end)
    }
}

/// The tokens of a piece of a query.
pub(super) fn tokens_of(text: &str) -> Vec<Box<str>> {
    let mut buf = TokenBuf::default();
    buf.fill(text);
    (0..buf.len()).filter_map(|i| buf.get(i)).map(Box::from).collect()
}
