//! Log records of one template side by side.
//!
//! Rows of logs are in the order of time. Within each stretch of them, records whose bodies begin
//! with the same letters are put together, those of one service side by side, in the order of time
//! again: bodies then compress better, in pages small enough to read one line, columns that follow the
//! template or the service become runs, and so do the rows of a template's words in the text index.

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::error::ArrowError;
use headrope_model::DataSet;

use super::unify::{Pick, Unified};

/// Rows of a stretch, which begins at a multiple of its length: the rows of a stretch are after those
/// of the one before it. Larger ones compress a little better and are slower to find the newest in, and
/// a merge holds one of each input. Any multiple of that of older files, 16 Ki, can read them.
pub(super) const STRETCH_ROWS: usize = 32 << 10;

/// Rows in the order of time as they are written; `None`: as they are.
pub(super) fn order(
    data_set: DataSet,
    batches: &[&RecordBatch],
    picks: &[Pick],
) -> Result<Option<Vec<Pick>>, ArrowError> {
    if data_set != DataSet::Logs {
        return Ok(None);
    }
    let missing = || ArrowError::SchemaError("logs have no body".to_owned());
    let body = |batch: &&RecordBatch| {
        let column = batch.column_by_name("body").ok_or_else(missing)?;
        column.as_string_opt::<i32>().cloned().ok_or_else(missing)
    };
    let bodies = batches.iter().map(body).collect::<Result<Vec<_>, _>>()?;
    let key = |(batch, row): Pick| match bodies.get(batch) {
        Some(bodies) if bodies.is_valid(row) => letters(bodies.value(row)),
        _ => 0,
    };
    let service = batches.first().and_then(|b| b.schema().index_of("service_name").ok());
    let services = service.map(|at| Unified::of(batches, at)).transpose()?;
    let service = |pick: Pick| services.as_ref().map_or(0, |services| services.code(pick));
    let mut ordered = Vec::with_capacity(picks.len());
    let mut keyed = Vec::with_capacity(STRETCH_ROWS);
    for stretch in picks.chunks(STRETCH_ROWS) {
        keyed.clear();
        keyed.extend(
            stretch.iter().zip(0_u32..).map(|(pick, at)| (key(*pick), service(*pick), at, *pick)),
        );
        keyed.sort_unstable();
        ordered.extend(keyed.iter().map(|(.., pick)| *pick));
    }
    Ok(Some(ordered))
}

/// The first eight bytes that are neither digits, spaces nor punctuation: what differs between records
/// of a template is most often a number, and many bodies begin with a time.
pub(super) fn letters(body: &str) -> u64 {
    let letters = body.bytes().filter(|b| b.is_ascii_alphabetic() || *b >= 0x80);
    letters.take(8).fold(0, |key, byte| (key << 8) | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    #[test]
    fn letters_are_what_templates_begin_with() {
        assert_eq!(letters("GET /api/17 ok"), letters("GET /api/2 ok"));
        assert_eq!(letters("2026-01-02 12:00 WARN pool 7"), letters("2025-12-31 [WARN] pool 12"));
        assert_ne!(letters("connect 1"), letters("close 1"));
        assert_eq!(letters("12 - 7"), 0);
    }

    #[test]
    fn a_stretch_keeps_its_rows_and_groups_them_by_letters() {
        let bodies: Vec<Option<String>> = (0..STRETCH_ROWS * 2 + 100)
            .map(|row| (row % 7 != 3).then(|| format!("{} of {row}", ["put", "get"][row / 3 % 2])))
            .collect();
        let column: ArrayRef = Arc::new(StringArray::from(bodies.clone()));
        let batch = RecordBatch::try_from_iter_with_nullable([("body", column, true)]).unwrap();
        let picks: Vec<Pick> = (0..bodies.len()).map(|row| (0, row)).collect();
        assert_eq!(order(DataSet::Spans, &[&batch], &picks).unwrap(), None);
        let found = order(DataSet::Logs, &[&batch], &picks).unwrap().unwrap();
        assert_eq!(found.len(), picks.len());
        for (stretch, rows) in found.chunks(STRETCH_ROWS).zip(picks.chunks(STRETCH_ROWS)) {
            let mut sorted = stretch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, rows);
            let key = |pick: &Pick| bodies[pick.1].as_deref().map_or(0, letters);
            let groups: Vec<_> = stretch.chunk_by(|a, b| key(a) == key(b)).collect();
            assert_eq!(groups.len(), 3);
            assert!(groups.iter().all(|group| group.is_sorted()));
        }
    }
}
