//! Roll-ups: spans summed up by steps of time, written by the flush that writes the spans.
//!
//! A row stands for all spans of one flush that begin in one step of time and agree in the
//! dimensions of its data set ([`headrope_model::schema::dimensions`]) and in whether they have a
//! parent. Rows of equal keys occur many times, one per flush and more, and are summed up by whoever
//! reads them and by merges; late spans only add rows. Every span counts in a minute, an hour and a
//! day, if the roll-up counts it ([`headrope_model::schema::counted`]). A segment of spans says which
//! roll-ups were made of it (`SegmentMeta::rollups`), so at any snapshot these rows are the sum of those segments, exactly.
//!
//! Reading order: `keys` (which row a span belongs to), `build` (rows of a flush). Merges sum rows up
//! in `segment::combine`.

mod build;
#[cfg(test)]
mod figure_tests;
mod keys;
#[cfg(test)]
mod tests;

pub(crate) use build::build;

/// Start of the step that holds a time; `None` if it cannot be written.
const fn floor(time: i64, step: i64) -> Option<i64> {
    time.checked_sub(time.rem_euclid(step))
}
