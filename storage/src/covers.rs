//! Which entries of the ingest log a segment holds the rows of.
//!
//! Within a data set every entry's rows are in one segment. A flush covers the entries from the
//! watermark to its cut; a merge covers what its inputs covered. So of two segments whose covers
//! overlap, one holds all rows of the other: a merge beside an input that was not removed yet, or a
//! flush beside an earlier attempt at it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Ranges of sequence numbers, ascending, with a gap between neighbours. Written `1-5,9-12`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Covers(Vec<(u64, u64)>);

impl Covers {
    /// The entries from `first` to `last`.
    #[must_use]
    pub fn range(first: u64, last: u64) -> Self {
        Self(if first <= last { vec![(first, last)] } else { Vec::new() })
    }

    /// All entries of several covers.
    #[must_use]
    pub fn union(all: impl IntoIterator<Item = Self>) -> Self {
        let mut ranges: Vec<_> = all.into_iter().flat_map(|covers| covers.0).collect();
        ranges.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match joined.last_mut() {
                Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }

    /// The ranges.
    #[must_use]
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// First entry.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.0.first().map(|(first, _)| *first)
    }

    /// Last entry.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.0.last().map(|(_, last)| *last)
    }

    /// Whether every entry of `other` is covered.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        let within = |(first, last): &(u64, u64)| {
            self.0.iter().any(|(from, to)| from <= first && last <= to)
        };
        other.0.iter().all(within)
    }

    /// Whether an entry is covered by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let meets = |(first, last): &(u64, u64)| {
            self.0.iter().any(|(from, to)| from <= last && first <= to)
        };
        other.0.iter().any(meets)
    }
}

impl fmt::Display for Covers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{first}-{last}")?;
        }
        Ok(())
    }
}

impl FromStr for Covers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a list of ranges of sequence numbers");
        let mut ranges = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').ok_or_else(wrong)?;
            let range = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
            if range.0 > range.1 || ranges.last().is_some_and(|(_, end)| range.0 <= *end) {
                return Err(wrong());
            }
            ranges.push(range);
        }
        Ok(Self(ranges))
    }
}

impl TryFrom<String> for Covers {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Covers> for String {
    fn from(covers: Covers) -> Self {
        covers.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(covers: &Covers) -> BTreeSet<u64> {
        covers.ranges().iter().flat_map(|(first, last)| *first..=*last).collect()
    }

    fn some() -> impl Strategy<Value = Covers> {
        let range = (0_u64..40, 0_u64..6).prop_map(|(first, n)| Covers::range(first, first + n));
        prop::collection::vec(range, 0..5).prop_map(Covers::union)
    }

    proptest! {
        #[test]
        fn covers_are_sets_of_numbers(a in some(), b in some()) {
            let (set_a, set_b) = (set(&a), set(&b));
            prop_assert_eq!(set(&Covers::union([a.clone(), b.clone()])), &set_a | &set_b);
            prop_assert_eq!(a.contains(&b), set_a.is_superset(&set_b));
            prop_assert_eq!(a.overlaps(&b), !set_a.is_disjoint(&set_b));
            prop_assert_eq!(a.to_string().parse(), Ok(a));
        }
    }
}
