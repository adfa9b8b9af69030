//! Bounds of pages of rows, from the page index.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Int64Array, StringViewArray, TimestampNanosecondArray, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::pruning::PruningStatistics;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{self as physical, BinaryExpr, Literal};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::prelude::Column;
use headrope_model::DataSet;
use headrope_model::schema;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::statistics::Statistics;

use super::footer::Footer;

/// The rows of one page of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// Row group.
    pub(crate) group: usize,
    /// Rows of the group.
    pub(crate) rows: Range<usize>,
    /// Number within the file of the group's first row.
    pub(crate) base: usize,
    /// Least value of the column, if it is an integer.
    pub(crate) min: i64,
    /// Greatest value of the column, if it is an integer.
    pub(crate) max: i64,
}

/// The pages of one column in all row groups of a file; without a page index the row groups. Bounds
/// are those of integers, and the widest for other columns and where a file does not say.
pub(crate) fn pages(footer: &Footer, column: &str) -> Vec<Page> {
    let metadata = footer.metadata();
    let mut out = Vec::new();
    let mut base = 0;
    for (group, about) in metadata.row_groups().iter().enumerate() {
        let rows = usize::try_from(about.num_rows()).unwrap_or_default();
        let leaf = footer.leaf(column);
        let whole = Page { group, rows: 0..rows, base, min: i64::MIN, max: i64::MAX };
        match leaf.and_then(|leaf| Some((leaf, offsets(footer, group, leaf)?))) {
            Some((leaf, offsets)) => {
                for (at, range) in ranges(offsets, rows).enumerate() {
                    let (min, max) = integers(footer, about, leaf, group, at);
                    out.push(Page { rows: range, min, max, ..whole.clone() });
                }
            }
            None => out.push(whole),
        }
        base += rows;
    }
    out
}

/// The rows of pages of a row group, ascending, as ranges that do not touch.
pub(crate) fn joined<'a>(pages: impl Iterator<Item = &'a Range<usize>>) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for rows in pages {
        match ranges.last_mut() {
            Some(last) if last.end == rows.start => last.end = rows.end,
            _ => ranges.push(rows.clone()),
        }
    }
    ranges
}

fn offsets(footer: &Footer, group: usize, leaf: usize) -> Option<&OffsetIndexMetaData> {
    let index = &footer.index(group, leaf)?.offsets;
    (!index.page_locations().is_empty()).then_some(index)
}

fn bounds(footer: &Footer, group: usize, leaf: usize) -> Option<&ColumnIndexMetaData> {
    Some(&footer.index(group, leaf)?.bounds)
}

/// Rows of each page of a column chunk of so many rows.
fn ranges(offsets: &OffsetIndexMetaData, rows: usize) -> impl Iterator<Item = Range<usize>> + '_ {
    let start = |at: usize| {
        let page = offsets.page_locations().get(at)?;
        usize::try_from(page.first_row_index).ok()
    };
    (0..offsets.page_locations().len())
        .map(move |at| start(at).unwrap_or(rows)..start(at + 1).unwrap_or(rows).min(rows))
}

fn integers(
    footer: &Footer,
    about: &RowGroupMetaData,
    leaf: usize,
    group: usize,
    page: usize,
) -> (i64, i64) {
    if let Some(ColumnIndexMetaData::INT64(index)) = bounds(footer, group, leaf)
        && let (Some(min), Some(max)) = (index.min_value(page), index.max_value(page))
    {
        return (*min, *max);
    }
    match about.columns().get(leaf).and_then(|c| c.statistics()) {
        Some(Statistics::Int64(s)) => {
            (s.min_opt().copied().unwrap_or(i64::MIN), s.max_opt().copied().unwrap_or(i64::MAX))
        }
        _ => (i64::MIN, i64::MAX),
    }
}

/// What is known of the values in the rows of some pages, in terms of the query schema.
pub(crate) struct Known<'a> {
    pub(crate) data_set: DataSet,
    /// Each page with the footer of its file.
    pub(crate) pages: Vec<(&'a Footer, &'a Page)>,
}

/// Whether a column is null (or empty, if it is a list) in these rows of a file, as far as its pages
/// tell.
pub(crate) fn is_null(footer: &Footer, rows: &[u32], column: &str) -> bool {
    let metadata = footer.metadata();
    let Some(first) = footer.leaf(column) else { return true };
    let leaves = metadata.file_metadata().schema_descr().columns();
    let of_column = leaves
        .iter()
        .skip(first)
        .take_while(|leaf| leaf.path().parts().first().is_some_and(|part| part == column));
    let leaves = first..first + of_column.count();
    let mut groups = metadata.row_groups().iter().enumerate();
    let mut group: (usize, Range<usize>) = (0, 0..0);
    rows.iter().all(|row| {
        let row = *row as usize;
        while row >= group.1.end {
            let Some((at, about)) = groups.next() else { return false };
            let rows = usize::try_from(about.num_rows()).unwrap_or_default();
            group = (at, group.1.end..group.1.end + rows);
        }
        let (group, row) = (group.0, row.saturating_sub(group.1.start));
        leaves.clone().all(|leaf| {
            let pages = offsets(footer, group, leaf).map(|index| {
                let starts = index.page_locations();
                starts.partition_point(|p| usize::try_from(p.first_row_index).unwrap_or(0) <= row)
            });
            let nulls = bounds(footer, group, leaf).zip(pages);
            nulls.is_some_and(|(bounds, page)| page > 0 && bounds.is_null_page(page - 1))
        })
    })
}

/// Folds something over the pages of a column that have rows in common with a page; `None` if there is
/// no page index.
pub(super) fn fold<'a, T>(
    footer: &'a Footer,
    page: &Page,
    column: &str,
    mut value: impl FnMut(&'a ColumnIndexMetaData, usize) -> Option<T>,
    better: impl Fn(&T, &T) -> bool,
) -> Option<T> {
    let leaf = footer.leaf(column)?;
    let offsets = offsets(footer, page.group, leaf)?;
    let bounds = bounds(footer, page.group, leaf)?;
    let starts = offsets.page_locations();
    let starts_before = |row: usize| {
        starts.partition_point(|p| usize::try_from(p.first_row_index).unwrap_or(0) < row)
    };
    let first = starts_before(page.rows.start + 1).saturating_sub(1);
    let mut best: Option<T> = None;
    for at in first..starts_before(page.rows.end) {
        if bounds.is_null_page(at) {
            continue;
        }
        // One page that does not say makes all unknown.
        let found = value(bounds, at)?;
        if best.as_ref().is_none_or(|best| better(&found, best)) {
            best = Some(found);
        }
    }
    best
}

/// The least or greatest integer of a column in the rows of a page.
pub(super) fn integer(footer: &Footer, page: &Page, column: &str, most: bool) -> Option<i64> {
    let value = |index: &ColumnIndexMetaData, at: usize| match index {
        ColumnIndexMetaData::INT64(index) if most => index.max_value(at).copied(),
        ColumnIndexMetaData::INT64(index) => index.min_value(at).copied(),
        _ => None,
    };
    fold(footer, page, column, value, |a, b| if most { a > b } else { a < b })
}

/// A bound of the text of a column in the rows of a page.
pub(super) fn text<'a>(
    footer: &'a Footer,
    page: &Page,
    column: &str,
    most: bool,
) -> Option<&'a [u8]> {
    let value = |index: &'a ColumnIndexMetaData, at: usize| match index {
        ColumnIndexMetaData::BYTE_ARRAY(index) if most => index.max_value(at),
        ColumnIndexMetaData::BYTE_ARRAY(index) => index.min_value(at),
        _ => None,
    };
    fold(footer, page, column, value, |a, b| if most { a > b } else { a < b })
}

impl Known<'_> {
    fn column(&self, column: &Column, most: bool) -> Option<ArrayRef> {
        let query = schema::query(self.data_set);
        let data_type = query.field_with_name(&column.name).ok()?.data_type();
        let integers = || self.pages.iter().map(|(f, page)| integer(f, page, &column.name, most));
        match data_type {
            DataType::Int64 => Some(Arc::new(integers().collect::<Int64Array>())),
            DataType::Timestamp(..) => {
                let times: TimestampNanosecondArray = integers().collect();
                Some(Arc::new(times.with_timezone("UTC")))
            }
            DataType::Utf8View if !self.is_id(&column.name) => {
                let text = |(footer, page): &(&'_ Footer, &Page)| {
                    let bytes = text(footer, page, &column.name, most)?;
                    std::str::from_utf8(bytes).ok().map(str::to_owned)
                };
                Some(Arc::new(self.pages.iter().map(text).collect::<StringViewArray>()))
            }
            _ => None,
        }
    }

    /// SQL sees ids as hex text, files hold bytes: their bounds are not those of the text's type.
    fn is_id(&self, column: &str) -> bool {
        let stored = schema::stored(self.data_set);
        stored
            .field_with_name(column)
            .is_ok_and(|f| matches!(f.data_type(), DataType::FixedSizeBinary(_)))
    }
}

impl PruningStatistics for Known<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column, false)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column, true)
    }

    fn num_containers(&self) -> usize {
        self.pages.len()
    }

    fn null_counts(&self, _column: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let rows: UInt64Array = self.pages.iter().map(|(_, p)| Some(p.rows.len() as u64)).collect();
        Some(Arc::new(rows))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// For each page whether it may hold a row for which the filter (over columns of the query schema)
/// is true; `None` if bounds say nothing about the filter.
pub(crate) fn may_hold(
    filter: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    known: &Known<'_>,
) -> Option<Vec<bool>> {
    let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema));
    builder.build(Arc::clone(filter))?.prune(known).ok()
}

/// Whether a condition is true for every row of the pages: a comparison of a column that is never null
/// with a value, whose opposite holds for none.
pub(crate) fn always_holds(
    condition: &Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    known: &Known<'_>,
) -> bool {
    let Some(comparison) = condition.downcast_ref::<BinaryExpr>() else { return false };
    let (left, right) = (comparison.left(), comparison.right());
    let column = left.downcast_ref::<physical::Column>();
    let (Some(column), Some(value)) = (column, right.downcast_ref::<Literal>()) else {
        return false;
    };
    let nullable = schema.field_with_name(column.name()).map_or(true, Field::is_nullable);
    let opposite = comparison.op().negate();
    let (false, false, Some(opposite)) = (nullable, value.value().is_null(), opposite) else {
        return false;
    };
    let opposite = BinaryExpr::new(Arc::clone(left), opposite, Arc::clone(right));
    may_hold(&(Arc::new(opposite) as _), schema, known).is_some_and(|any| !any.contains(&true))
}
