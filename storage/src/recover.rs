//! Starting: check what the catalog lists, remove what it does not, replay the log.

use std::collections::HashSet;
use std::path::Path;

use headrope_model::{DataSet, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use crate::encode;
use crate::error::StorageError;
use crate::export::Export;
use crate::files::{self, io};
use crate::log::{self, Replay};
use crate::segment;
use crate::snapshot::SegmentMeta;
use crate::state::State;

/// Every listed segment must exist with the size it was published with.
pub(crate) fn check_segments(dir: &Path, metas: &[SegmentMeta]) -> Result<(), StorageError> {
    for meta in metas {
        let (path, index_path) = segment::paths(dir, meta.data_set, &meta.id);
        let index = meta.index_bytes.map(|bytes| (index_path, bytes));
        for (path, bytes) in std::iter::once((path, meta.bytes)).chain(index) {
            let found = std::fs::metadata(&path).map_err(io("open segment", &path))?.len();
            if found != bytes {
                let detail = format!("{found} bytes long, published with {bytes}");
                return Err(StorageError::Corrupt { path, offset: found.min(bytes), detail });
            }
        }
    }
    Ok(())
}

/// Removes files of segments that were never published or are no longer listed.
pub(crate) fn sweep(dir: &Path, metas: &[SegmentMeta]) -> Result<usize, StorageError> {
    let listed: HashSet<_> = metas
        .iter()
        .flat_map(|meta| {
            let (path, index) = segment::paths(dir, meta.data_set, &meta.id);
            [path, index]
        })
        .collect();
    let mut removed = 0;
    for extension in ["parquet", "idx", "tmp"] {
        for path in files::list(dir, extension)? {
            if !listed.contains(&path) {
                files::remove(&path)?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

/// Replays log entries above the watermark into the live buffer.
pub(crate) fn replay(dir: &Path, state: &mut State) -> Result<Replay, StorageError> {
    log::recover(dir, state.watermark(), |entry| {
        let corrupt = |detail: String| StorageError::Corrupt {
            path: log::file_name(dir, entry.seq),
            offset: 0,
            detail: format!("entry {}: {detail}", entry.seq),
        };
        let signal = Signal::from_code(entry.signal)
            .ok_or_else(|| corrupt(format!("unknown signal {}", entry.signal)))?;
        let export = decode(signal, &entry.payload).map_err(|e| corrupt(e.to_string()))?;
        state.publish(entry.seq, rows(&export)?);
        Ok(())
    })
}

fn decode(signal: Signal, payload: &[u8]) -> Result<Export, prost::DecodeError> {
    Ok(match signal {
        Signal::Traces => Export::Traces(ExportTraceServiceRequest::decode(payload)?),
        Signal::Metrics => Export::Metrics(ExportMetricsServiceRequest::decode(payload)?),
        Signal::Logs => Export::Logs(ExportLogsServiceRequest::decode(payload)?),
    })
}

/// The rows of a request by data set: its own first, then what is derived.
pub(crate) fn rows(
    export: &Export,
) -> Result<Vec<(DataSet, arrow::array::RecordBatch)>, StorageError> {
    let own = encode::encode(export)?;
    let mut rows = Vec::with_capacity(2);
    if export.signal() == Signal::Traces {
        let parts = encode::trace_parts(&own)?;
        rows.push((DataSet::Spans, own));
        rows.push((DataSet::TraceParts, parts));
    } else {
        rows.push((export.signal().data_set(), own));
    }
    Ok(rows)
}
