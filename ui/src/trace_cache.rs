//! The traces that readers have open, so that scrolling one does not read it again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use headrope_model::TraceId;
use headrope_query::QueryError;
use headrope_query::answer::trace::Trace;

use crate::Ui;

/// Nanoseconds a trace is kept: late spans show up after this long.
const KEEP_NS: i64 = 20_000_000_000;
/// Traces kept.
const TRACES: usize = 16;

struct Kept {
    id: TraceId,
    since: i64,
    trace: Arc<Trace>,
}

/// A few traces by id, newest first; bounded by number, spans and age.
pub(crate) struct TraceCache {
    kept: Mutex<VecDeque<Kept>>,
    spans: usize,
}

impl TraceCache {
    /// Keeps at most that many spans in all (always at least one trace).
    pub(crate) fn new(spans: usize) -> Self {
        Self { kept: Mutex::new(VecDeque::new()), spans }
    }

    fn find(&self, id: TraceId, now: i64) -> Option<Arc<Trace>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|k| k.id == id && now.saturating_sub(k.since) < KEEP_NS);
        found.map(|k| Arc::clone(&k.trace))
    }

    fn keep(&self, id: TraceId, now: i64, trace: Arc<Trace>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|k| k.id != id && now.saturating_sub(k.since) < KEEP_NS);
        kept.push_front(Kept { id, since: now, trace });
        let mut room = self.spans;
        let mut fits = 0;
        for k in kept.iter().take(TRACES) {
            let size = k.trace.spans.len();
            if fits > 0 && size > room {
                break;
            }
            room = room.saturating_sub(size);
            fits += 1;
        }
        kept.truncate(fits);
    }
}

impl Ui {
    /// A trace; `fresh` reads it anew.
    pub(crate) async fn trace(
        &self,
        id: TraceId,
        now: i64,
        fresh: bool,
    ) -> Result<Arc<Trace>, QueryError> {
        if !fresh && let Some(trace) = self.traces.find(id, now) {
            return Ok(trace);
        }
        let trace = Arc::new(self.answers.trace(id, self.config.max_trace_spans).await?);
        self.traces.keep(id, now, Arc::clone(&trace));
        Ok(trace)
    }
}
