//! Rows of given ids: which pages may hold them, and which rows of those pages do.

use std::ops::Range;

use datafusion::arrow::array::{Array as _, AsArray as _, FixedSizeBinaryArray, RecordBatch};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowSelection};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use parquet::bloom_filter::Sbbf;
use parquet::errors::{ParquetError, Result};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

use super::chunk::Group;
use super::file::Positioned;
use super::footer::Footer;
use super::pages::{Page, integer, pages, text};

/// Above this number of pages a row group's bloom filter is worth reading.
const PAGES_UNFILTERED: usize = 4;
/// Rows decoded at a time.
const BATCH_ROWS: usize = 8 << 10;

/// The pages of a column of ids that may hold one of these, which are sorted. Where rows are sorted by
/// the column it is one page for each id.
pub(crate) fn pages_of_ids(footer: &Footer, column: &str, ids: &[Vec<u8>]) -> Vec<Page> {
    let Some(leaf) = footer.leaf(column) else { return Vec::new() };
    let mut found = pages(footer, column);
    let mut place: (usize, usize) = (usize::MAX, 0);
    found.retain(|page| {
        place = if place.0 == page.group { (page.group, place.1 + 1) } else { (page.group, 0) };
        let index = footer.index(page.group, leaf).map(|index| &index.bounds);
        let Some(ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(index)) = index else { return true };
        let (Some(min), Some(max)) = (index.min_value(place.1), index.max_value(place.1)) else {
            return !index.is_null_page(place.1);
        };
        let first = ids.partition_point(|id| id.as_slice() < min);
        ids.get(first).is_some_and(|id| id.as_slice() <= max)
    });
    found
}

/// A page of ids of 16 bytes, as numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdPage {
    /// Row group.
    pub(crate) group: usize,
    /// Rows of the group.
    pub(crate) rows: Range<usize>,
    /// None of its ids is less.
    pub(crate) least: u128,
    /// None of its ids is greater.
    pub(crate) most: u128,
}

/// All pages of a column of ids with what the page index says of them.
pub(crate) fn pages_with_bounds(footer: &Footer, column: &str) -> Vec<IdPage> {
    let Some(leaf) = footer.leaf(column) else { return Vec::new() };
    let mut place: (usize, usize) = (usize::MAX, 0);
    let number = |id: &[u8]| id.try_into().ok().map(u128::from_be_bytes);
    let bounds = |page: Page| {
        place = if place.0 == page.group { (page.group, place.1 + 1) } else { (page.group, 0) };
        let index = footer.index(page.group, leaf).map(|index| &index.bounds);
        let (least, most) = match index {
            Some(ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(index)) => (
                index.min_value(place.1).and_then(number),
                index.max_value(place.1).and_then(number),
            ),
            _ => (None, None),
        };
        let least = least.unwrap_or(0);
        let most = most.unwrap_or(u128::MAX).max(least);
        IdPage { group: page.group, rows: page.rows, least, most }
    };
    pages(footer, column).into_iter().map(bounds).collect()
}

/// When and in which services something ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Earliest start, Unix nanoseconds.
    pub(crate) from: i64,
    /// Latest end, Unix nanoseconds.
    pub(crate) to: i64,
    pub(crate) services: Vec<String>,
}

impl Extent {
    fn overlaps(&self, min: Option<i64>, max: Option<i64>) -> bool {
        min.is_none_or(|min| min <= self.to) && max.is_none_or(|max| max >= self.from)
    }

    fn has_service(&self, min: Option<&[u8]>, max: Option<&[u8]>) -> bool {
        let within = |name: &String| {
            min.is_none_or(|min| name.as_bytes() >= min)
                && max.is_none_or(|max| name.as_bytes() <= max)
        };
        self.services.iter().any(within)
    }
}

/// The pages of the start times of spans that start between two times, both included.
pub(crate) fn pages_within(footer: &Footer, from: i64, to: i64) -> Vec<Page> {
    let mut found = pages(footer, "start_time");
    found.retain(|page| page.min <= to && page.max >= from);
    found
}

/// The pages of the trace ids of spans that start in an extent.
pub(crate) fn pages_of_extent(footer: &Footer, extent: &Extent) -> Vec<Page> {
    let mut found = pages(footer, "trace_id");
    let mut group: Option<(usize, bool)> = None;
    found.retain(|page| {
        let may = match group {
            Some((number, may)) if number == page.group => may,
            _ => {
                let may = group_may_hold(footer, page.group, extent);
                group = Some((page.group, may));
                may
            }
        };
        let time = |most| integer(footer, page, "start_time", most);
        let service = |most| text(footer, page, "service_name", most);
        may && extent.overlaps(time(false), time(true))
            && extent.has_service(service(false), service(true))
    });
    found
}

fn group_may_hold(footer: &Footer, group: usize, extent: &Extent) -> bool {
    let about = footer.metadata().row_groups().get(group);
    let statistics = |column| about?.columns().get(footer.leaf(column)?)?.statistics();
    let times = match statistics("start_time") {
        Some(Statistics::Int64(s)) => (s.min_opt().copied(), s.max_opt().copied()),
        _ => (None, None),
    };
    let services = statistics("service_name");
    let (min, max) = services.map_or((None, None), |s| (s.min_bytes_opt(), s.max_bytes_opt()));
    extent.overlaps(times.0, times.1) && extent.has_service(min, max)
}

/// Whether a row group cannot hold any of these ids, as far as its bloom filter says.
fn filtered_out(
    footer: &Footer,
    file: &Positioned,
    group: usize,
    column: &str,
    ids: &[Vec<u8>],
) -> Result<bool> {
    let about = footer.metadata().row_groups().get(group);
    let chunk = about.and_then(|about| about.columns().get(footer.leaf(column)?));
    let Some(chunk) = chunk else { return Ok(false) };
    let filter = Sbbf::read_from_column_chunk(chunk, file)?;
    Ok(filter.is_some_and(|filter| !ids.iter().any(|id| filter.check(id.as_slice()))))
}

/// Numbers of the rows of some pages, in their order, whose id is one of these, which are sorted.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn rows_of_ids(
    footer: &Footer,
    file: &Positioned,
    column: &str,
    ids: &[Vec<u8>],
    pages: &[Page],
) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for of_group in pages.chunk_by(|a, b| a.group == b.group) {
        let Some(first) = of_group.first() else { continue };
        let many = of_group.len() > PAGES_UNFILTERED;
        if many && filtered_out(footer, file, first.group, column, ids)? {
            continue;
        }
        let mut rows = of_group.iter().flat_map(|p| p.base + p.rows.start..p.base + p.rows.end);
        let ranges = of_group.iter().map(|p| p.rows.clone());
        let read = |batch: &RecordBatch| {
            let array = batch.columns().first().and_then(|c| c.as_fixed_size_binary_opt());
            let wrong = || ParquetError::General(format!("{column} holds no ids"));
            let array = array.ok_or_else(wrong)?;
            let mut passed = 0;
            for at in places(array, ids) {
                let row = rows.nth(at - passed).and_then(|row| u32::try_from(row).ok());
                found.extend(row);
                passed = at + 1;
            }
            if let Some(left) = array.len().checked_sub(passed + 1) {
                rows.nth(left);
            }
            Ok(())
        };
        each_batch(footer, file, first.group, ranges, &[column], read)?;
    }
    Ok(found)
}

/// Where an array has one of some ids, which are sorted; ascending.
fn places(array: &FixedSizeBinaryArray, ids: &[Vec<u8>]) -> Vec<usize> {
    let one: Option<[u8; 16]> = match ids {
        [id] if array.value_length() == 16 => id.as_slice().try_into().ok(),
        _ => None,
    };
    let mut places: Vec<usize> = match one {
        // One id of the usual width is compared as a whole.
        Some(id) => {
            let (values, _) = array.value_data().as_chunks::<16>();
            let same = values.iter().enumerate().filter(|(_, value)| **value == id);
            same.map(|(at, _)| at).collect()
        }
        None => {
            let is_one = |id: &[u8]| ids.binary_search_by(|one| one.as_slice().cmp(id)).is_ok();
            (0..array.len()).filter(|at| is_one(array.value(*at))).collect()
        }
    };
    places.retain(|at| array.is_valid(*at));
    places
}

/// Reads columns of some rows of a row group; labels come as dictionaries.
///
/// # Errors
/// When the file cannot be read, and those of `read`.
pub(crate) fn each_batch(
    footer: &Footer,
    file: &Positioned,
    group: usize,
    rows: impl Iterator<Item = Range<usize>>,
    columns: &[&str],
    mut read: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<()> {
    let codes = footer.codes()?;
    let parquet = codes.metadata().file_metadata().schema_descr();
    let about = codes.metadata().row_groups().get(group);
    let about = about.ok_or_else(|| ParquetError::General(format!("no row group {group}")))?;
    let selection = RowSelection::from_consecutive_ranges(rows, usize::try_from(about.num_rows())?);
    // By place: a name with dots would be taken for a path.
    let fields = parquet.root_schema().get_fields().iter().enumerate();
    let roots = fields.filter(|(_, f)| columns.contains(&f.name())).map(|(at, _)| at);
    let mask = ProjectionMask::roots(parquet, roots);
    let levels = parquet_to_arrow_field_levels(parquet, mask, Some(codes.schema().fields()))?;
    let group = Group { footer, file, about, number: group };
    let reader = ParquetRecordBatchReader::try_new_with_row_groups(
        &levels,
        &group,
        BATCH_ROWS,
        Some(selection),
    )?;
    for batch in reader {
        read(&batch?)?;
    }
    Ok(())
}
