//! Columns of their own for some attributes.

use std::collections::HashMap;
use std::sync::LazyLock;

use arrow::array::ArrayRef;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use headrope_model::semconv::{self, Kind};
use std::sync::Arc;

use super::Declined;
use super::cells::Numbers;
use super::label::Label;
use crate::wire::AnyValue;

/// Number of promoted span attributes.
const SLOTS: usize = semconv::SPAN.len();

/// Where an attribute is promoted to. The canonical key has rank 0, older names follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    slot: usize,
    rank: usize,
}

/// The keys of promoted span attributes.
pub(super) fn span_places() -> &'static HashMap<&'static str, Place> {
    static PLACES: LazyLock<HashMap<&'static str, Place>> = LazyLock::new(|| {
        let mut places = HashMap::new();
        for (slot, promoted) in semconv::SPAN.iter().enumerate() {
            places.insert(promoted.key, Place { slot, rank: 0 });
            for (rank, alias) in promoted.aliases.iter().enumerate() {
                places.insert(*alias, Place { slot, rank: rank + 1 });
            }
        }
        places
    });
    &PLACES
}

/// No attribute is promoted.
pub(super) fn no_places() -> &'static HashMap<&'static str, Place> {
    static NONE: LazyLock<HashMap<&'static str, Place>> = LazyLock::new(HashMap::new);
    &NONE
}

/// The promoted attributes of one span: the canonical key before older names, the first of repeated
/// keys.
#[derive(Debug)]
pub(super) struct Chosen<'a>([Option<(usize, AnyValue<'a>)>; SLOTS]);

impl<'a> Chosen<'a> {
    pub(super) const fn new() -> Self {
        Self([None; SLOTS])
    }

    pub(super) fn offer(&mut self, place: Place, value: AnyValue<'a>) {
        if let Some(best) = self.0.get_mut(place.slot)
            && best.is_none_or(|(rank, _)| place.rank < rank)
        {
            *best = Some((place.rank, value));
        }
    }
}

#[derive(Debug)]
enum Slot {
    Text(Label),
    Int(Numbers<Int64Type>),
}

/// The columns of promoted span attributes.
#[derive(Debug)]
pub(super) struct Promoted(Vec<Slot>);

impl Promoted {
    pub(super) fn new() -> Self {
        let slot = |kind| match kind {
            Kind::Text => Slot::Text(Label::new()),
            Kind::Int => Slot::Int(Numbers::new()),
        };
        Self(semconv::SPAN.iter().map(|p| slot(p.kind)).collect())
    }

    /// The values of a row; a value of another type than the column's stays in the map only.
    pub(super) fn set(&mut self, row: usize, chosen: &Chosen<'_>) -> Result<(), Declined> {
        for (slot, chosen) in self.0.iter_mut().zip(&chosen.0) {
            match (slot, chosen) {
                (Slot::Text(label), Some((_, AnyValue::Str(text)))) => label.set(row, text)?,
                (Slot::Int(ints), Some((_, AnyValue::Int(value)))) => ints.set(row, *value),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn finish(self, rows: usize, none: &ArrayRef) -> Result<Vec<ArrayRef>, ArrowError> {
        let finish = |slot| match slot {
            Slot::Text(label) => label.finish(rows, none),
            Slot::Int(ints) => Ok(Arc::new(ints.finish(rows)?) as ArrayRef),
        };
        self.0.into_iter().map(finish).collect()
    }
}
