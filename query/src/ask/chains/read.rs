//! Spans of a stretch, by trace.

use datafusion::arrow::array::RecordBatch;
use headrope_analysis::SpanRecord;
use headrope_model::{TimeRange, TraceId};

use super::columns::{COLUMNS, Names, Spans};
use super::{Detail, Places, Traces};
use crate::engine::Session;
use crate::error::QueryError;

/// A span of a trace.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) record: SpanRecord,
    pub(super) detail: Detail,
}

/// Reads stretches one after the other.
#[derive(Debug)]
pub(super) struct Reader {
    names: Names,
    traces: Traces,
    held: u64,
    /// Traces whose hash is not above this are looked at.
    limit: u64,
    pub(super) places: Places,
    pub(super) rows: u64,
}

/// A number that trace ids are spread evenly by, whichever of their bytes are random.
fn hash(id: TraceId) -> u64 {
    // FNV-1a, and a last mixing step, as its high bits know little of the last bytes.
    let fnv = id.bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (fnv ^ (fnv >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Reader {
    /// Looks at a share of the traces.
    pub(super) fn new(share: f64) -> Self {
        // Casts of floats saturate: everything is below the limit of 1.
        let limit = (share.clamp(0.0, 1.0) * u64::MAX as f64) as u64;
        let (names, traces, places) = (Names::default(), Traces::default(), Places::default());
        Self { names, traces, held: 0, limit, places, rows: 0 }
    }

    /// The traces that were read.
    pub(super) fn take(&mut self) -> Traces {
        self.held = 0;
        std::mem::take(&mut self.traces)
    }

    fn share(&self) -> f64 {
        self.limit as f64 / u64::MAX as f64
    }

    /// Reads spans that begin in a range; returns the share of the traces that is held. Where that are more than twice
    /// `most` spans, by a rate that is not even, half of the traces are let go.
    pub(super) async fn read(
        &mut self,
        session: &Session,
        range: TimeRange,
        stretch: TimeRange,
        most: u64,
    ) -> Result<f64, QueryError> {
        let each = |batch: &RecordBatch| {
            self.add(batch, range, stretch)?;
            while self.held > most.saturating_mul(2).max(1) && self.limit > 1 {
                self.halve();
            }
            Ok(())
        };
        session.spans_within(range, COLUMNS, each).await?;
        Ok(self.share())
    }

    fn halve(&mut self) {
        self.limit /= 2;
        let limit = self.limit;
        self.traces.retain(|id, _| hash(*id) <= limit);
        self.held = self.traces.values().map(|rows| rows.len() as u64).sum();
    }

    fn add(
        &mut self,
        batch: &RecordBatch,
        range: TimeRange,
        stretch: TimeRange,
    ) -> Result<(), QueryError> {
        self.rows += batch.num_rows() as u64;
        let mut spans = Spans::of(batch)?;
        for row in 0..batch.num_rows() {
            if !range.contains(spans.start_ns(row)) {
                continue;
            }
            let Some(id) = spans.trace(row).filter(|id| hash(*id) <= self.limit) else {
                continue;
            };
            let Some((record, detail)) = spans.row(row, &mut self.names) else { continue };
            // Versions of what runs after the window are not of it.
            if stretch.contains(record.start_ns) {
                let place = spans.place(row, &record.service, &mut self.names);
                if !self.places.contains(&place) {
                    self.places.insert(place);
                }
            }
            self.traces.entry(id).or_default().push(Row { record, detail });
            self.held += 1;
        }
        Ok(())
    }
}
