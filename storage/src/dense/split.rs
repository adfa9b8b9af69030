//! The attributes of the rows of a row group as columns.

use arrow::array::{
    Array as _, AsArray as _, Int32Array, Int64Array, RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::error::ArrowError;
use headrope_model::attr::{self, AttributeLevel, ValueType};
use headrope_model::semconv::{Kind, Promoted};

use super::cells::{Cells, NONE};
use super::census::{Census, Entries, OTHER};
use super::names::{Names, TypeCounts};
use super::tally::Tally;

/// The attributes of some rows, in columns.
#[derive(Debug)]
pub(crate) struct Split<'a> {
    /// The rest, by row.
    pub(crate) rest: StringArray,
    /// Dense columns in the order of their keys.
    pub(crate) dense: Vec<Cells<'a>>,
    /// What was put where.
    pub(crate) tally: Tally,
    /// Every attribute of the rows.
    pub(crate) names: Names,
}

/// What becomes of a key.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    dense: Option<usize>,
    /// Place among the promoted columns of which this is the canonical key.
    promoted: Option<usize>,
}

/// What is known of a distinct value of a batch. Most values are of one key.
#[derive(Debug, Clone, Copy)]
struct Memo {
    /// The dense column it was put into last, and its place there.
    dense: u32,
    place: u32,
    /// The promoted column it was compared with last, and the label it is equal to.
    promoted: u32,
    label: i32,
}

const NO_MEMO: Memo = Memo { dense: NONE, place: NONE, promoted: NONE, label: -1 };

/// A promoted column of one batch.
enum Promotion<'a> {
    Text(&'a Int32Array, &'a StringArray),
    Int(&'a Int64Array),
    /// The batch lacks the column.
    Missing,
}

impl<'a> Promotion<'a> {
    fn of(batch: &'a RecordBatch, promoted: &Promoted) -> Self {
        let array = batch.column_by_name(promoted.column);
        let found = array.and_then(|array| match promoted.kind {
            Kind::Int => array.as_primitive_opt::<Int64Type>().map(Self::Int),
            Kind::Text => {
                let labels = array.as_dictionary_opt::<Int32Type>()?;
                Some(Self::Text(labels.keys(), labels.values().as_string_opt()?))
            }
        });
        found.unwrap_or(Self::Missing)
    }
}

/// A promoted column of the batches.
struct Column<'a> {
    batches: Vec<Promotion<'a>>,
    /// Numbers of the older names.
    aliases: Vec<usize>,
}

impl<'a> Column<'a> {
    fn of(promoted: &Promoted, batches: &[&'a RecordBatch], census: &Census<'_>) -> Self {
        Self {
            batches: batches.iter().map(|b| Promotion::of(b, promoted)).collect(),
            aliases: promoted.aliases.iter().filter_map(|alias| census.number(alias)).collect(),
        }
    }

    /// Whether the column's value of a row is this one. `memo` remembers the label a value equals.
    fn equals(
        &self,
        (batch, row): (usize, usize),
        value: &str,
        number: u32,
        memo: Option<&mut Memo>,
        scratch: &mut String,
    ) -> bool {
        match self.batches.get(batch) {
            Some(Promotion::Int(ints)) => {
                // Canonical integers have one form.
                row < ints.len() && ints.is_valid(row) && value.parse() == Ok(ints.value(row))
            }
            Some(Promotion::Text(labels, texts)) => {
                if row >= labels.len() || labels.is_null(row) {
                    return false;
                }
                let label = labels.value(row);
                if let Some(memo) = &memo
                    && (memo.promoted, memo.label) == (number, label)
                {
                    return true;
                }
                let at = usize::try_from(label).ok().filter(|at| *at < texts.len());
                let equal = at.is_some_and(|at| {
                    scratch.clear();
                    attr::push_str(texts.value(at), scratch);
                    scratch == value
                });
                if let Some(memo) = memo.filter(|_| equal) {
                    (memo.promoted, memo.label) = (number, label);
                }
                equal
            }
            Some(Promotion::Missing) | None => false,
        }
    }
}

/// Rows being taken apart.
struct Splitter<'a, 'c> {
    census: &'c Census<'a>,
    places: Vec<Place>,
    promoted: Vec<Column<'a>>,
    /// By batch and code of a value.
    memos: Vec<Vec<Memo>>,
    /// Row (counted from 1) in which each key was seen last.
    seen: Vec<u32>,
    dense: Vec<Cells<'a>>,
    rest: StringBuilder,
    /// Values put into the rest, by key and type.
    rests: Vec<TypeCounts>,
    /// Whether keys without a number were put into the rest.
    others: bool,
    /// Values that promoted columns stand for.
    stood_for: Vec<u64>,
    object: String,
    scratch: String,
}

/// Takes the attributes of picked rows apart. `dense` are the keys with a column of their own, sorted.
///
/// # Errors
/// When the text of the rest is too long for one column.
pub(crate) fn split<'a>(
    census: &Census<'a>,
    batches: &[&'a RecordBatch],
    picks: &[(usize, usize)],
    dense: &[String],
    promoted: &'static [Promoted],
) -> Result<Split<'a>, ArrowError> {
    let mut places = vec![Place::default(); census.keys.len()];
    for (at, key) in dense.iter().enumerate() {
        if let Some(place) = census.number(key).and_then(|n| places.get_mut(n)) {
            place.dense = Some(at);
        }
    }
    // Without a number for every key, an older name could go unseen.
    let all_known = census.keys.len() < usize::from(OTHER);
    for (at, p) in promoted.iter().enumerate().filter(|_| all_known) {
        if let Some(place) = census.number(p.key).and_then(|n| places.get_mut(n)) {
            place.promoted = Some(at);
        }
    }
    let mut splitter = Splitter {
        census,
        promoted: promoted.iter().map(|p| Column::of(p, batches, census)).collect(),
        memos: census.batches.iter().map(|b| vec![NO_MEMO; b.distinct()]).collect(),
        seen: vec![0; census.keys.len()],
        rests: vec![TypeCounts::default(); census.keys.len()],
        stood_for: vec![0; promoted.len()],
        places,
        dense: dense.iter().map(|_| Cells::new(picks.len())).collect(),
        rest: StringBuilder::with_capacity(picks.len(), 0),
        others: false,
        object: String::new(),
        scratch: String::new(),
    };
    for (at, pick) in picks.iter().enumerate() {
        splitter.push(at, *pick)?;
    }
    Ok(splitter.finish(dense, promoted))
}

impl<'a> Splitter<'a, '_> {
    fn push(&mut self, at: usize, (batch, row): (usize, usize)) -> Result<(), ArrowError> {
        let Some(entries) = self.census.batches.get(batch) else { return self.end_row() };
        let range = entries.row(row);
        let stamp = u32::try_from(at + 1).unwrap_or(NONE);
        let mut repeats = false;
        for entry in range.clone() {
            if let Some(seen) = self.seen.get_mut(usize::from(entries.number(entry))) {
                repeats |= std::mem::replace(seen, stamp) == stamp;
            }
        }
        for entry in range.clone() {
            let number = entries.number(entry);
            let again = || range.clone().filter(|e| entries.number(*e) == number).count() > 1;
            if number == OTHER || (repeats && again()) {
                self.push_rest(entries, entry, number);
                continue;
            }
            let place = self.places.get(usize::from(number)).copied().unwrap_or_default();
            if let Some(promoted) = place.promoted
                && self.stands_for(promoted, (batch, row), entries.value(entry), stamp)
            {
                continue;
            }
            match place.dense {
                Some(dense) => self.push_dense(dense, at, batch, entries.value(entry)),
                None => self.push_rest(entries, entry, number),
            }
        }
        self.end_row()
    }

    fn push_dense(
        &mut self,
        dense: usize,
        at: usize,
        batch: usize,
        (code, value): (usize, &'a str),
    ) {
        let Some(cells) = self.dense.get_mut(dense) else { return };
        let number = u32::try_from(dense).unwrap_or(NONE);
        let left = cells.codes.len().saturating_sub(at);
        let memo = self.memos.get_mut(batch).and_then(|memos| memos.get_mut(code));
        let place = match memo {
            Some(memo) if memo.dense == number => memo.place,
            Some(memo) => {
                (memo.dense, memo.place) = (number, cells.place(value, left));
                memo.place
            }
            None => cells.place(value, left),
        };
        cells.set(at, place);
    }

    /// Whether a promoted column stands for its canonical key with this value in a row.
    fn stands_for(
        &mut self,
        promoted: usize,
        pick: (usize, usize),
        (code, value): (usize, &str),
        stamp: u32,
    ) -> bool {
        let Some(column) = self.promoted.get(promoted) else { return false };
        let renamed = column.aliases.iter().any(|alias| self.seen.get(*alias) == Some(&stamp));
        let number = u32::try_from(promoted).unwrap_or(NONE);
        let memo = self.memos.get_mut(pick.0).and_then(|memos| memos.get_mut(code));
        let stands = !renamed && column.equals(pick, value, number, memo, &mut self.scratch);
        if let Some(count) = self.stood_for.get_mut(promoted) {
            *count += u64::from(stands);
        }
        stands
    }

    fn push_rest(&mut self, entries: &Entries<'_>, entry: usize, number: u16) {
        self.object.push(if self.object.is_empty() { '{' } else { ',' });
        attr::push_key(entries.key(entry), &mut self.object);
        self.object.push(':');
        let value = entries.value(entry).1;
        self.object.push_str(value);
        match self.rests.get_mut(usize::from(number)) {
            Some(counts) => counts[ValueType::of(value).slot()] += 1,
            None => self.others = true,
        }
    }

    fn end_row(&mut self) -> Result<(), ArrowError> {
        if self.object.is_empty() {
            self.rest.append_null();
            return Ok(());
        }
        self.object.push('}');
        let bytes = self.rest.values_slice().len().saturating_add(self.object.len());
        if i32::try_from(bytes).is_err() {
            return Err(ArrowError::OffsetOverflowError(bytes));
        }
        self.rest.append_value(&self.object);
        self.object.clear();
        Ok(())
    }

    fn finish(mut self, dense: &[String], promoted: &'static [Promoted]) -> Split<'a> {
        let (mut tally, mut names) = (Tally::new(), Names::default());
        for (key, cells) in dense.iter().zip(&self.dense) {
            if cells.filled > 0 {
                tally.count(key, cells.filled as u64);
            }
            names.count_all(AttributeLevel::Record, key, &cells.types());
        }
        for (key, counts) in self.census.keys.iter().zip(&self.rests) {
            let values = counts.iter().sum();
            if values > 0 {
                tally.count(key, values);
                tally.note_rest(Some(key));
            }
            names.count_all(AttributeLevel::Record, key, counts);
        }
        for (promoted, values) in promoted.iter().zip(self.stood_for) {
            let value_type = match promoted.kind {
                Kind::Text => ValueType::String,
                Kind::Int => ValueType::Int,
            };
            names.count(AttributeLevel::Record, promoted.key, value_type, values);
        }
        if self.others {
            tally.note_rest(None);
            names.note_uncounted();
        }
        Split { rest: self.rest.finish(), dense: self.dense, tally, names }
    }
}
