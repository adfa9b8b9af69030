//! Column chunks of dictionary-encoded text, written from codes.
//!
//! The general Parquet writer looks at the text of every row: it hashes it to find its place in the
//! dictionary and compares it for the statistics. Rows that carry codes already need neither; here a
//! row costs a table look-up and its bits.

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{Chunk, PageOptions, Values};
use super::hybrid;

/// The code of no value.
pub(super) const NULL: u32 = u32::MAX;
/// Bytes of a value kept as a bound; longer ones are cut, an upper bound upwards.
const BOUND_BYTES: usize = 64;
/// Distinct values that are always worth a dictionary.
const FEW: usize = 64;
/// Bytes of a dictionary at most, before compression.
const MAX_DICTIONARY: usize = 8 << 20;
/// One page of so many is looked at to tell whether a dictionary pays.
const SAMPLED_PAGES: usize = 4;

/// Text in byte order without repetition, and what codes into it mean.
#[derive(Debug)]
pub(super) struct Sorted<'a>(pub(super) Vec<&'a str>);

impl<'a> Sorted<'a> {
    pub(super) fn get(&self, code: u32) -> Option<&'a str> {
        usize::try_from(code).ok().and_then(|at| self.0.get(at)).copied()
    }
}

/// The values one column chunk uses, in order, and the place of each code among them.
struct Used<'a> {
    values: Vec<&'a str>,
    lengths: Vec<i64>,
    place: Vec<u32>,
    bytes: usize,
}

impl<'a> Used<'a> {
    fn of(codes: &[u32], sorted: &Sorted<'a>) -> Self {
        let mut place = vec![NULL; sorted.0.len()];
        let mut last = NULL;
        for code in codes {
            // Neighbours are often alike.
            if *code == last {
                continue;
            }
            last = *code;
            if let Some(place) = usize::try_from(*code).ok().and_then(|at| place.get_mut(at)) {
                *place = 0;
            }
        }
        let mut used = Self { values: Vec::new(), lengths: Vec::new(), place, bytes: 0 };
        for (place, value) in used.place.iter_mut().zip(&sorted.0) {
            if *place != NULL {
                *place = u32::try_from(used.values.len()).unwrap_or(NULL);
                used.values.push(value);
                used.lengths.push(i64::try_from(value.len()).unwrap_or(i64::MAX));
                used.bytes += 4 + value.len();
            }
        }
        used
    }

    /// Whether a dictionary of so many values is worth its bytes in so many rows; `None` if that takes
    /// a closer look.
    const fn pays(&self, present: usize) -> Option<bool> {
        let values = self.values.len();
        if values <= FEW {
            return Some(true);
        }
        // Whoever reads one page reads the dictionary. Values of which nearly all are different gain
        // nothing from it.
        if self.bytes > MAX_DICTIONARY || values > present / 10 * 9 {
            return Some(false);
        }
        if values <= present / 4 { Some(true) } else { None }
    }

    /// Whether a dictionary of `packed` bytes and its codes are smaller than the values in pages, as
    /// some of the pages tell.
    fn pays_in(
        &self,
        codes: &[u32],
        present: usize,
        packed: usize,
        chunk: &mut Chunk,
    ) -> Result<bool, ParquetError> {
        let (mut seen, mut plain, mut coded) = (0_usize, 0_usize, 0_usize);
        let (mut places, mut bytes) = (Vec::new(), Vec::new());
        for page in codes.chunks(chunk.page_rows()).step_by(SAMPLED_PAGES) {
            places.clear();
            places.extend(page.iter().filter(|code| **code != NULL).map(|code| self.place(*code)));
            seen += places.len();
            bytes.clear();
            hybrid::encode(&places, self.bit_width(), &mut bytes);
            coded += chunk.pack(&bytes)?.len().min(bytes.len());
            bytes.clear();
            let at = |place: &u32| usize::try_from(*place).ok().and_then(|at| self.values.get(at));
            let values = || places.iter().filter_map(at);
            bytes.extend(values().filter_map(|value| value.len().to_le_bytes().first().copied()));
            bytes.extend(values().flat_map(|value| value.bytes()));
            plain += chunk.pack(&bytes)?.len().min(bytes.len());
        }
        // Without a value in the sample there are few.
        Ok(seen == 0 || packed < plain.saturating_sub(coded).saturating_mul(present) / seen)
    }

    fn bit_width(&self) -> u32 {
        hybrid::bit_width(u32::try_from(self.values.len().saturating_sub(1)).unwrap_or(NULL))
    }

    const fn encoding(&self) -> Encoding {
        if self.values.is_empty() { Encoding::PLAIN } else { Encoding::RLE_DICTIONARY }
    }

    fn place(&self, code: u32) -> u32 {
        usize::try_from(code).ok().and_then(|at| self.place.get(at)).copied().unwrap_or(NULL)
    }
}

/// Writes one column chunk: `codes` into `sorted` by row, [`NULL`] for none. Returns its bytes and
/// what the file says of it; `None` if a dictionary would not pay.
///
/// # Errors
/// When there are nulls in a required column, or compression fails.
pub(super) fn write(
    column: &ColumnDescPtr,
    codes: &[u32],
    sorted: &Sorted<'_>,
    options: PageOptions,
) -> Result<Option<(Bytes, ColumnCloseResult)>, ParquetError> {
    let used = Used::of(codes, sorted);
    let present = codes.iter().filter(|code| **code != NULL).count();
    let pays = used.pays(present);
    if pays == Some(false) {
        return Ok(None);
    }
    let mut chunk = Chunk::new(column, options)?;
    let dictionary = used.dictionary()?;
    let packed = chunk.pack(&dictionary)?;
    if pays.is_none() && !used.pays_in(codes, present, packed.len(), &mut chunk)? {
        return Ok(None);
    }
    chunk.push_dictionary(packed, dictionary.len(), used.values.len())?;
    drop(dictionary);
    let (mut levels, mut places) = (Vec::new(), Vec::new());
    for page in codes.chunks(options.rows) {
        levels.clear();
        places.clear();
        let nulls = page.iter().filter(|code| **code == NULL).count();
        if nulls == 0 {
            places.extend(page.iter().map(|code| used.place(*code)));
        } else if nulls < page.len() {
            places.extend(page.iter().filter(|code| **code != NULL).map(|code| used.place(*code)));
        }
        if nulls == 0 || nulls == page.len() {
            levels.resize(page.len(), u32::from(nulls == 0));
        } else {
            levels.extend(page.iter().map(|code| u32::from(*code != NULL)));
        }
        used.push_page(&mut chunk, &levels, &places)?;
    }
    let range = used.values.first().copied().zip(used.values.last().copied());
    let statistics = statistics(range, chunk.nulls());
    chunk.finish(Some(statistics), None).map(Some)
}

/// Writes a column chunk of rows without a value.
///
/// # Errors
/// When the column is required.
pub(super) fn nulls(
    column: &ColumnDescPtr,
    rows: usize,
    options: PageOptions,
) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
    let codes = vec![NULL; rows];
    let missing = || ParquetError::General(format!("column {} cannot be null", column.path()));
    write(column, &codes, &Sorted(Vec::new()), options)?.ok_or_else(missing)
}

impl Used<'_> {
    /// The dictionary as it is before compression.
    fn dictionary(&self) -> Result<Vec<u8>, ParquetError> {
        let mut plain = Vec::with_capacity(self.bytes);
        for value in &self.values {
            let len = u32::try_from(value.len()).map_err(|e| ParquetError::External(e.into()))?;
            plain.extend(len.to_le_bytes());
            plain.extend(value.as_bytes());
        }
        Ok(plain)
    }

    /// Writes a data page of the rows whose presence `levels` tells; `places` are those of the values
    /// that are there.
    fn push_page(
        &self,
        chunk: &mut Chunk,
        levels: &[u32],
        places: &[u32],
    ) -> Result<(), ParquetError> {
        let mut bytes = Vec::new();
        if !self.values.is_empty() {
            bytes.push(u8::try_from(self.bit_width()).unwrap_or(32));
            hybrid::encode(places, self.bit_width(), &mut bytes);
        }
        let length_of =
            |place: &u32| usize::try_from(*place).ok().and_then(|at| self.lengths.get(at));
        let value = |place: &u32| usize::try_from(*place).ok().and_then(|at| self.values.get(at));
        let range = places.iter().min().and_then(value).zip(places.iter().max().and_then(value));
        let range = range.map(|(min, max)| (lower_bound(min), upper_bound(max)));
        let range = range.as_ref().map(|(min, max)| (min.as_bytes(), max.as_bytes()));
        let values = Values {
            lead: &[],
            bytes: &bytes,
            encoding: self.encoding(),
            count: places.len(),
            range,
            text: Some(places.iter().filter_map(length_of).sum()),
        };
        chunk.push_page(levels, values)
    }
}

fn statistics(range: Option<(&str, &str)>, nulls: u64) -> Statistics {
    let bound = |text: String| ByteArray::from(text.into_bytes());
    let exact = |text: &str| text.len() <= BOUND_BYTES;
    let statistics = ValueStatistics::new(
        range.map(|(min, _)| bound(lower_bound(min).to_owned())),
        range.map(|(_, max)| bound(upper_bound(max))),
        None,
        Some(nulls),
        false,
    )
    .with_min_is_exact(range.is_some_and(|(min, _)| exact(min)))
    .with_max_is_exact(range.is_some_and(|(_, max)| exact(max)));
    Statistics::ByteArray(statistics)
}

/// At most as great as `text`, and short.
fn lower_bound(text: &str) -> &str {
    text.get(..text.floor_char_boundary(BOUND_BYTES)).unwrap_or(text)
}

/// At least as great as `text`, and short; `text` itself if there is no such.
fn upper_bound(text: &str) -> String {
    let mut bound = lower_bound(text).to_owned();
    if bound.len() == text.len() {
        return bound;
    }
    while let Some(last) = bound.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            bound.push(next);
            return bound;
        }
    }
    text.to_owned()
}
