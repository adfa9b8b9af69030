//! A dense column of a row group.

use std::collections::HashMap;

use arrow::array::StringArray;
use headrope_model::attr::ValueType;

use super::names::TypeCounts;

/// Distinct values that are never too many.
const FEW: usize = 64;
/// No value.
pub(super) const NONE: u32 = u32::MAX;

/// A dense column.
#[derive(Debug)]
pub(crate) struct Cells<'a> {
    /// Place in the values by row, [`u32::MAX`] where there is none.
    pub(crate) codes: Vec<u32>,
    pub(crate) values: Vec<&'a str>,
    /// Places by value; given up when values do not repeat.
    known: Option<HashMap<&'a str, u32, foldhash::fast::FixedState>>,
    pub(super) filled: usize,
    /// The type of all values; `None`: there are several, or no values.
    value_type: Option<ValueType>,
}

impl<'a> Cells<'a> {
    pub(super) fn new(rows: usize) -> Self {
        Self {
            codes: vec![NONE; rows],
            values: Vec::new(),
            known: Some(HashMap::default()),
            filled: 0,
            value_type: None,
        }
    }

    pub(super) fn set(&mut self, row: usize, place: u32) {
        if let Some(code) = self.codes.get_mut(row) {
            *code = place;
        }
        self.filled += 1;
    }

    pub(super) fn place(&mut self, value: &'a str, left: usize) -> u32 {
        let next = u32::try_from(self.values.len()).unwrap_or(NONE);
        if let Some(known) = &mut self.known {
            let place = *known.entry(value).or_insert(next);
            if place != next {
                return place;
            }
        }
        let value_type = ValueType::of(value);
        match self.values.is_empty() {
            true => self.value_type = Some(value_type),
            false => drop(self.value_type.take_if(|known| *known != value_type)),
        }
        self.values.push(value);
        // Rows are in an order in which spans of a trace lie apart: only when the rows that are left
        // cannot make every value one of two, none of them is looked up any more.
        if self.values.len() > FEW && self.values.len() * 2 > self.filled + left {
            self.known = None;
        }
        next
    }

    /// Values by type.
    pub(super) fn types(&self) -> TypeCounts {
        let mut counts = TypeCounts::default();
        if let Some(value_type) = self.value_type {
            counts[value_type.slot()] = self.filled as u64;
            return counts;
        }
        let slots: Vec<usize> = self.values.iter().map(|v| ValueType::of(v).slot()).collect();
        for code in &self.codes {
            let slot = usize::try_from(*code).ok().and_then(|code| slots.get(code));
            if let Some(count) = slot.and_then(|slot| counts.get_mut(*slot)) {
                *count += 1;
            }
        }
        counts
    }

    /// Whether every value is listed once.
    pub(crate) const fn repeats(&self) -> bool {
        self.known.is_some()
    }

    /// Puts the values into byte order.
    pub(crate) fn sort(&mut self) {
        let mut order: Vec<u32> = (0..).take(self.values.len()).collect();
        let value =
            |at: &u32| usize::try_from(*at).ok().and_then(|at| self.values.get(at)).copied();
        order.sort_unstable_by_key(value);
        let sorted = order.iter().filter_map(value).collect();
        let mut ranks = vec![NONE; order.len()];
        for (at, rank) in order.iter().zip(0..) {
            if let Some(slot) = usize::try_from(*at).ok().and_then(|at| ranks.get_mut(at)) {
                *slot = rank;
            }
        }
        self.values = sorted;
        for code in &mut self.codes {
            *code =
                usize::try_from(*code).ok().and_then(|at| ranks.get(at)).copied().unwrap_or(NONE);
        }
    }

    /// The column as an array.
    pub(crate) fn array(&self) -> StringArray {
        let value = |code: &u32| usize::try_from(*code).ok().and_then(|at| self.values.get(at));
        self.codes.iter().map(|code| value(code).copied()).collect()
    }
}
