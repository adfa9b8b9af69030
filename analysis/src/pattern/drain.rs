//! The fixed-depth tree.

use std::collections::HashMap;

use super::{LEADING_WORDS, MOST_BRANCHES, SIMILARITY};

/// The number of the wildcard. Words are numbers here, so that comparing them is cheap.
pub(super) const ANY: u32 = 0;

/// A template that is being learnt.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pub(super) words: Vec<u32>,
    /// Lines it stands for.
    pub(super) lines: u64,
}

#[derive(Debug, Default)]
struct Branch {
    next: HashMap<u32, usize>,
    /// Templates, at a leaf.
    templates: Vec<usize>,
}

/// Learns one line after the other, as the paper has it.
#[derive(Debug, Default)]
pub(super) struct Drain {
    branches: Vec<Branch>,
    /// The branch of each length.
    lengths: HashMap<usize, usize>,
    pub(super) templates: Vec<Template>,
}

impl Drain {
    pub(super) fn learn(&mut self, words: Vec<u32>, lines: u64) {
        if words.is_empty() {
            return;
        }
        let leaf = self.leaf(&words);
        let templates = self.branches.get(leaf).map_or(&[][..], |b| b.templates.as_slice());
        let best = templates
            .iter()
            .filter_map(|t| Some((*t, similarity(&self.templates.get(*t)?.words, &words, ANY))))
            // Of equal ones the one with more wildcards, then the first.
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .filter(|(_, (equal, _))| *equal as f64 >= SIMILARITY * words.len() as f64);
        match best.and_then(|(t, _)| self.templates.get_mut(t)) {
            Some(template) => {
                template.lines = template.lines.saturating_add(lines);
                for (mine, word) in template.words.iter_mut().zip(words) {
                    if *mine != word {
                        *mine = ANY;
                    }
                }
            }
            None => {
                self.templates.push(Template { words, lines });
                let number = self.templates.len() - 1;
                if let Some(branch) = self.branches.get_mut(leaf) {
                    branch.templates.push(number);
                }
            }
        }
    }

    /// The branch a line's length and first words lead to, grown where there is none.
    fn leaf(&mut self, words: &[u32]) -> usize {
        let mut at = match self.lengths.get(&words.len()) {
            Some(branch) => *branch,
            None => {
                let branch = self.grow();
                self.lengths.insert(words.len(), branch);
                branch
            }
        };
        for word in words.iter().take(LEADING_WORDS) {
            let Some(branch) = self.branches.get(at) else { break };
            let full = branch.next.len() >= MOST_BRANCHES && !branch.next.contains_key(word);
            let word = if full { ANY } else { *word };
            at = match branch.next.get(&word) {
                Some(next) => *next,
                None => {
                    let next = self.grow();
                    if let Some(branch) = self.branches.get_mut(at) {
                        branch.next.insert(word, next);
                    }
                    next
                }
            };
        }
        at
    }

    fn grow(&mut self) -> usize {
        self.branches.push(Branch::default());
        self.branches.len() - 1
    }
}

/// Equal words, and wildcards, of a template and a line of the same length.
pub(super) fn similarity<T: PartialEq + Copy>(
    template: &[T],
    words: &[T],
    any: T,
) -> (usize, usize) {
    let pairs = || template.iter().zip(words);
    let equal = pairs().filter(|(t, w)| **t != any && t == w).count();
    (equal, template.iter().filter(|t| **t == any).count())
}
