//! A sink in memory that can refuse, fail or hold on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headrope_collector::Sink;
use headrope_model::RefuseReason;
use headrope_storage::{AppendError, Export, Receipt, StorageError, Submission};
use tokio::sync::Semaphore;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Stores.
    Take,
    /// Refuses at admission.
    Refuse(RefuseReason, Duration),
    /// Refuses at the append.
    RefuseLate(RefuseReason, Duration),
    /// Fails at the append.
    Fail,
    /// Stores when a permit is added to the gate.
    Hold,
    /// Has no room until a permit is added to the gate.
    Crowded,
}

pub struct MemorySink {
    pub mode: Mutex<Mode>,
    pub gate: Semaphore,
    /// Appends that have begun.
    pub begun: AtomicUsize,
    pub stored: Mutex<Vec<Stored>>,
}

/// A request that was stored.
#[derive(Clone)]
pub struct Stored {
    pub export: Export,
    pub payload: bytes::Bytes,
}

impl Default for MemorySink {
    fn default() -> Self {
        Self {
            mode: Mutex::new(Mode::Take),
            gate: Semaphore::new(0),
            begun: AtomicUsize::new(0),
            stored: Mutex::default(),
        }
    }
}

impl MemorySink {
    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }

    pub fn records(&self) -> u64 {
        self.stored.lock().unwrap().iter().map(|s| records(&s.export)).sum()
    }

    pub fn last(&self) -> Stored {
        self.stored.lock().unwrap().last().unwrap().clone()
    }
}

/// Counted here on its own, not by the code under test.
pub fn records(export: &Export) -> u64 {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    let n = match export {
        Export::Traces(r) => r
            .resource_spans
            .iter()
            .flat_map(|r| &r.scope_spans)
            .map(|s| s.spans.len())
            .sum::<usize>(),
        Export::Logs(r) => {
            r.resource_logs.iter().flat_map(|r| &r.scope_logs).map(|s| s.log_records.len()).sum()
        }
        Export::Metrics(r) => r
            .resource_metrics
            .iter()
            .flat_map(|r| &r.scope_metrics)
            .flat_map(|s| &s.metrics)
            .map(|m| match m.data.as_ref().unwrap() {
                Data::Gauge(d) => d.data_points.len(),
                Data::Sum(d) => d.data_points.len(),
                Data::Histogram(d) => d.data_points.len(),
                Data::ExponentialHistogram(d) => d.data_points.len(),
                Data::Summary(d) => d.data_points.len(),
            })
            .sum(),
    };
    n as u64
}

impl Sink for MemorySink {
    type Permit = usize;

    async fn await_room(&self, _: usize) {
        if let Mode::Crowded = self.mode() {
            self.gate.acquire().await.unwrap().forget();
            self.set(Mode::Take);
        }
    }

    fn admit(&self, bytes: usize) -> Result<usize, AppendError> {
        match self.mode() {
            Mode::Refuse(reason, after) => Err(AppendError::Retry { reason, after }),
            Mode::Crowded => {
                let (reason, after) = (RefuseReason::OverBudget, Duration::from_secs(1));
                Err(AppendError::Retry { reason, after })
            }
            _ => Ok(bytes),
        }
    }

    async fn append(&self, _: usize, submission: Submission) -> Result<Receipt, AppendError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        match self.mode() {
            Mode::RefuseLate(reason, after) => return Err(AppendError::Retry { reason, after }),
            Mode::Fail => return Err(StorageError::TaskGone("test").into()),
            Mode::Hold => self.gate.acquire().await.unwrap().forget(),
            Mode::Take | Mode::Refuse(..) | Mode::Crowded => {}
        }
        // What is logged must decode to what is handed over.
        let payload = submission.payload().clone();
        let export = Export::decode(submission.signal(), &payload).unwrap();
        let rows = records(&export);
        match submission {
            Submission::Plain { records, .. } => assert_eq!(records, rows),
            Submission::Decoded { export: given, .. } => {
                let same = format!("{export:?}") == format!("{given:?}");
                assert!(same, "the payload is not the export");
            }
        }
        let mut stored = self.stored.lock().unwrap();
        stored.push(Stored { export, payload });
        Ok(Receipt { seq: stored.len() as u64, rows })
    }

    fn ready(&self) -> Result<(), RefuseReason> {
        match self.mode() {
            Mode::Refuse(reason, _) => Err(reason),
            _ => Ok(()),
        }
    }
}
