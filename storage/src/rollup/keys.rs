//! Which row a span belongs to, from dictionary codes: no text is looked at per span.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray as _, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use headrope_model::DataSet;
use headrope_model::schema::{self, Column, Counted};

use crate::segment::Unified;

/// A number for each value of a column: from 1 in the order of the values, 0 for null.
type Code = u32;

/// Codes of the other labels, most of which neighbours share.
pub(super) type Origin = Vec<Code>;

/// The labels of spans that differ from one to the next.
const OWN: [&str; 3] = ["name", "kind", "status_code"];

/// The values of a label, and the codes of rows.
enum Values<'a> {
    Texts(Unified<'a>),
    Ints(Ints),
}

/// Distinct integers in ascending order, and by batch the codes of its rows.
struct Ints {
    values: Vec<i64>,
    batches: Vec<Vec<Code>>,
}

impl Ints {
    fn of(batches: &[&RecordBatch], column: usize) -> Result<Self, ArrowError> {
        let wrong = || ArrowError::SchemaError(format!("column {column} has no integers"));
        let arrays = batches.iter().map(|batch| {
            let array = batch.columns().get(column).ok_or_else(wrong)?;
            array.as_primitive_opt::<Int64Type>().ok_or_else(wrong)
        });
        let arrays: Vec<&Int64Array> = arrays.collect::<Result<_, _>>()?;
        let mut codes: BTreeMap<i64, Code> = BTreeMap::new();
        for array in &arrays {
            let mut last = None;
            for value in array.iter().flatten() {
                // Neighbours are often alike.
                if last.replace(value) != Some(value) {
                    codes.insert(value, 0);
                }
            }
        }
        for (code, number) in codes.values_mut().zip(1..) {
            *code = number;
        }
        let code = |value| codes.get(&value).copied().unwrap_or_default();
        let rows = arrays.iter().map(|array| {
            let mut last = (0, code(0));
            let of = |value: Option<i64>| {
                let Some(value) = value else { return 0 };
                if last.0 != value {
                    last = (value, code(value));
                }
                last.1
            };
            array.iter().map(of).collect()
        });
        let batches = rows.collect();
        Ok(Self { values: codes.into_keys().collect(), batches })
    }
}

impl<'a> Values<'a> {
    fn of(batches: &[&'a RecordBatch], at: usize, column: Column) -> Result<Self, ArrowError> {
        match column {
            Column::Int => Ints::of(batches, at).map(Self::Ints),
            _ => Unified::of(batches, at).map(Self::Texts),
        }
    }

    #[inline]
    fn code(&self, batch: usize, row: usize) -> Code {
        match self {
            // What has no value has the greatest code there.
            Self::Texts(texts) => texts.code((batch, row)).wrapping_add(1),
            Self::Ints(ints) => {
                ints.batches.get(batch).and_then(|rows| rows.get(row)).copied().unwrap_or_default()
            }
        }
    }

    /// The values of codes.
    fn array(&self, codes: impl Iterator<Item = Code>) -> Result<ArrayRef, ArrowError> {
        let place = |code: Code| code.checked_sub(1);
        Ok(match self {
            Self::Texts(texts) => {
                let keys = codes.map(|code| place(code).and_then(|at| i32::try_from(at).ok()));
                let texts = StringArray::from_iter_values(texts.texts().iter());
                Arc::new(DictionaryArray::try_new(keys.collect::<Int32Array>(), Arc::new(texts))?)
            }
            Self::Ints(ints) => {
                let value = |at: u32| ints.values.get(usize::try_from(at).ok()?).copied();
                Arc::new(codes.map(|code| place(code).and_then(value)).collect::<Int64Array>())
            }
        })
    }
}

/// Labels of a roll-up as codes.
pub(super) struct Labels<'a> {
    /// By column, in the order of the dimensions.
    columns: Vec<(&'static str, Values<'a>)>,
    /// The column that says whether a span counts, and the codes in it of those that do; `None`: all do.
    required: Option<(usize, Vec<bool>)>,
    origins: HashMap<Origin, u32, foldhash::fast::FixedState>,
}

/// The labels of a span: the number of its origin, and codes of [`OWN`].
pub(super) type Labelled = (u32, [Code; OWN.len()]);

impl<'a> Labels<'a> {
    pub(super) fn of(rollup: DataSet, batches: &[&'a RecordBatch]) -> Result<Self, ArrowError> {
        let mut columns = Vec::new();
        if let Some(first) = batches.first() {
            let schema = first.schema_ref();
            for label in schema::dimensions(rollup) {
                let at = schema.index_of(label.name)?;
                columns.push((label.name, Values::of(batches, at, label.column)?));
            }
        }
        let required = required(rollup, &columns);
        Ok(Self { columns, required, origins: HashMap::default() })
    }

    /// The labels of each span of a batch that counts, with its row.
    pub(super) fn rows(&mut self, batch: usize, rows: usize) -> Vec<(usize, Labelled)> {
        let code = |column: &Values<'_>, row| column.code(batch, row);
        let required = self.required.as_ref().and_then(|(at, codes)| {
            let (_, column) = self.columns.get(*at)?;
            Some((column, codes))
        });
        let counts = |row: &usize| match required {
            Some((column, codes)) => {
                let code = usize::try_from(code(column, *row)).unwrap_or_default();
                codes.get(code).copied().unwrap_or_default()
            }
            None => true,
        };
        let mut labelled: Vec<(usize, Labelled)> =
            (0..rows).filter(counts).map(|row| (row, (0, [0; OWN.len()]))).collect();
        let mut origins: Vec<Vec<Code>> = Vec::new();
        for (name, column) in &self.columns {
            match OWN.iter().position(|own| own == name) {
                None => origins.push(labelled.iter().map(|(row, _)| code(column, *row)).collect()),
                Some(at) => {
                    for (row, (_, own)) in &mut labelled {
                        own[at] = code(column, *row);
                    }
                }
            }
        }
        let mut last = (Origin::new(), 0);
        let mut current = Origin::new();
        for (at, (_, (origin, _))) in labelled.iter_mut().enumerate() {
            current.clear();
            current.extend(origins.iter().filter_map(|codes| codes.get(at)));
            if current != last.0 || at == 0 {
                let next = u32::try_from(self.origins.len()).unwrap_or(u32::MAX);
                last.1 = match self.origins.get(&current) {
                    Some(number) => *number,
                    None => *self.origins.entry(current.clone()).or_insert(next),
                };
                last.0.clone_from(&current);
            }
            *origin = last.1;
        }
        labelled
    }

    /// Origins by number.
    pub(super) fn origins(&self) -> Vec<&[Code]> {
        let mut all: Vec<&[Code]> = vec![&[]; self.origins.len()];
        for (codes, number) in &self.origins {
            if let Some(place) = usize::try_from(*number).ok().and_then(|at| all.get_mut(at)) {
                *place = codes;
            }
        }
        all
    }

    /// The label columns of rows with these labels.
    pub(super) fn arrays(&self, rows: &[Labelled]) -> Result<Vec<ArrayRef>, ArrowError> {
        let origins = self.origins();
        let mut next = 0;
        let arrays = self.columns.iter().map(|(name, values)| {
            let own = OWN.iter().position(|own| own == name);
            let at = own.unwrap_or(next);
            next += usize::from(own.is_none());
            let code = |(origin, codes): &Labelled| {
                let codes = match own {
                    Some(_) => codes.as_slice(),
                    None => usize::try_from(*origin).ok().and_then(|o| origins.get(o).copied())?,
                };
                codes.get(at).copied()
            };
            values.array(rows.iter().map(|row| code(row).unwrap_or_default()))
        });
        arrays.collect()
    }
}

/// Where it is told which spans count, and by code whether they do.
fn required(rollup: DataSet, columns: &[(&'static str, Values<'_>)]) -> Option<(usize, Vec<bool>)> {
    let (name, list) = match schema::counted(rollup) {
        Counted::All => return None,
        Counted::With(name) => (name, None),
        Counted::OneOf(name, list) => (name, Some(list)),
    };
    let at = columns.iter().position(|(column, _)| *column == name)?;
    let Some((_, Values::Texts(texts))) = columns.get(at) else { return None };
    let counts = |text: &&str| list.is_none_or(|list| list.contains(text));
    Some((at, std::iter::once(false).chain(texts.texts().iter().map(counts)).collect()))
}
