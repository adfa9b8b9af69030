//! Which row a span belongs to, from dictionary codes: no text is looked at per span.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use headrope_model::{DataSet, schema};

use crate::segment::Unified;

/// A number for each value of a column: codes plus one in the order of the texts, 0 for null.
type Code = u32;

/// Codes of the other labels, most of which neighbours share.
pub(super) type Origin = Vec<Code>;

/// The labels of spans that differ from one to the next.
const OWN: [&str; 3] = ["name", "kind", "status_code"];

/// Labels of a roll-up as codes.
pub(super) struct Labels<'a> {
    /// By column, in the order of the dimensions.
    columns: Vec<(&'static str, Unified<'a>)>,
    /// The one without which a span does not count.
    required: Option<&'static str>,
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
                columns.push((label.name, Unified::of(batches, schema.index_of(label.name)?)?));
            }
        }
        let required = schema::required_label(rollup);
        Ok(Self { columns, required, origins: HashMap::default() })
    }

    /// The labels of each span of a batch that counts, with its row.
    pub(super) fn rows(&mut self, batch: usize, rows: usize) -> Vec<(usize, Labelled)> {
        let code = |column: &Unified<'_>, row| column.code((batch, row)).wrapping_add(1);
        let is_required = |(name, _): &&(&str, _)| self.required == Some(*name);
        let counts = |row: &usize| match self.columns.iter().find(is_required) {
            Some((_, column)) => code(column, *row) > 0,
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

    /// For each column its distinct texts, and the code in it of labels.
    pub(super) fn columns(&self) -> impl Iterator<Item = LabelColumn<'_, 'a>> {
        let mut origins = 0;
        self.columns.iter().map(move |(name, column)| {
            let own = OWN.iter().position(|own| own == name);
            let place = own.map_or_else(|| Place::Origin(origins), Place::Own);
            origins += usize::from(own.is_none());
            LabelColumn { texts: column.texts(), place }
        })
    }
}

/// Where a label's code is.
#[derive(Debug, Clone, Copy)]
enum Place {
    Origin(usize),
    Own(usize),
}

/// A label column.
pub(super) struct LabelColumn<'l, 'a> {
    /// Distinct texts, in byte order.
    pub(super) texts: &'l [&'a str],
    place: Place,
}

impl LabelColumn<'_, '_> {
    /// The place in `texts` of a span's value; `None` for null.
    pub(super) fn text(&self, origins: &[&[Code]], labelled: &Labelled) -> Option<usize> {
        let code = match self.place {
            Place::Own(at) => labelled.1.get(at),
            Place::Origin(at) => {
                let number = usize::try_from(labelled.0).ok()?;
                origins.get(number).and_then(|codes| codes.get(at))
            }
        };
        usize::try_from(*code?).ok()?.checked_sub(1)
    }
}
