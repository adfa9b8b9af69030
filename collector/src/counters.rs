//! What the collector counts about itself.
//!
//! For requests and for records alike: received = accepted + refused(reason) + in flight.

use std::sync::Arc;
use std::time::Instant;

use headrope_model::metric::{Counter, Family, Gauge, Histogram};
use headrope_model::{RefuseReason, Signal};

use crate::refusal::Refusal;
use crate::tally::{Accepted, Tally};

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Grpc,
    Http,
}

impl Transport {
    const ALL: [Self; 2] = [Self::Grpc, Self::Http];

    const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

/// The two ways of counting: whole requests, and the records in them.
#[derive(Debug, Default)]
struct Flow {
    received: Counter,
    accepted: Counter,
    refused: [Counter; RefuseReason::ALL.len()],
    in_flight: Gauge,
}

impl Flow {
    fn begin(&self, n: u64) {
        self.in_flight.add(signed(n));
        self.received.add(n);
    }

    fn end(&self, accepted: u64, refused: &Tally) {
        self.accepted.add(accepted);
        for (reason, n) in refused.iter() {
            if let Some(counter) = self.refused.get(reason as usize) {
                counter.add(n);
            }
        }
        self.in_flight.add(-signed(accepted + refused.total()));
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[derive(Debug, Default)]
struct Cell {
    requests: Flow,
    records: Flow,
    wire_bytes: Counter,
    payload_bytes: Counter,
}

/// All counters of a collector.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    cells: [[Cell; 2]; 3],
    seconds: Histogram,
}

impl Counters {
    fn cell(&self, signal: Signal, transport: Transport) -> &Cell {
        &self.cells[signal as usize][transport as usize]
    }

    /// Counts a request in, until its ticket is finished or dropped.
    pub(crate) fn begin(self: &Arc<Self>, signal: Signal, transport: Transport) -> Ticket {
        self.cell(signal, transport).requests.begin(1);
        Ticket {
            counters: Arc::clone(self),
            signal,
            transport,
            started: Instant::now(),
            records: 0,
            finished: false,
        }
    }

    fn each(&self) -> impl Iterator<Item = (Vec<(&'static str, String)>, &Cell)> {
        Signal::ALL.into_iter().flat_map(move |signal| {
            Transport::ALL.into_iter().map(move |transport| {
                let labels = vec![
                    ("signal", signal.name().to_owned()),
                    ("transport", transport.name().to_owned()),
                ];
                (labels, self.cell(signal, transport))
            })
        })
    }

    fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn(&Cell) -> &Counter,
    ) -> Family {
        self.each().fold(Family::counter(name, help), |family, (labels, cell)| {
            family.with(labels, read(cell).get())
        })
    }

    fn refusals(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn(&Cell) -> &Flow,
    ) -> Family {
        let mut family = Family::counter(name, help);
        for (labels, cell) in self.each() {
            for (reason, counter) in RefuseReason::ALL.iter().zip(&read(cell).refused) {
                let mut labels = labels.clone();
                labels.push(("reason", reason.label().to_owned()));
                family = family.with(labels, counter.get());
            }
        }
        family
    }

    fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn(&Cell) -> &Gauge,
    ) -> Family {
        self.each().fold(Family::gauge(name, help), |family, (labels, cell)| {
            family.with(labels, u64::try_from(read(cell).get()).unwrap_or(0))
        })
    }

    /// The metric families.
    pub(crate) fn families(&self) -> Vec<Family> {
        vec![
            self.counter(
                "headrope_ingest_requests_received",
                "Export requests that came in.",
                |c| &c.requests.received,
            ),
            self.counter(
                "headrope_ingest_requests_accepted",
                "Export requests answered with success, partial success included.",
                |c| &c.requests.accepted,
            ),
            self.refusals(
                "headrope_ingest_requests_refused",
                "Export requests answered with an error, by reason.",
                |c| &c.requests,
            ),
            self.gauge(
                "headrope_ingest_requests_in_flight",
                "Export requests not answered yet.",
                |c| &c.requests.in_flight,
            ),
            self.counter(
                "headrope_ingest_records_received",
                "Spans, data points and log records found in export requests.",
                |c| &c.records.received,
            ),
            self.counter(
                "headrope_ingest_records_stored",
                "Spans, data points and log records that are durable.",
                |c| &c.records.accepted,
            ),
            self.refusals(
                "headrope_ingest_records_refused",
                "Spans, data points and log records that were not stored, by reason.",
                |c| &c.records,
            ),
            self.gauge(
                "headrope_ingest_records_in_flight",
                "Spans, data points and log records neither stored nor refused yet.",
                |c| &c.records.in_flight,
            ),
            self.counter("headrope_ingest_wire_bytes", "Body bytes as they came.", |c| {
                &c.wire_bytes
            }),
            self.counter("headrope_ingest_payload_bytes", "Body bytes after decompression.", |c| {
                &c.payload_bytes
            }),
            Family::histogram(
                "headrope_ingest_request_seconds",
                "Time from the head of an export request to its answer.",
                &self.seconds,
            ),
        ]
    }
}

/// One request being counted. Dropped before it is finished, it counts as aborted.
#[derive(Debug)]
pub(crate) struct Ticket {
    counters: Arc<Counters>,
    signal: Signal,
    transport: Transport,
    started: Instant,
    records: u64,
    finished: bool,
}

impl Ticket {
    fn cell(&self) -> &Cell {
        self.counters.cell(self.signal, self.transport)
    }

    /// The body has arrived.
    pub(crate) fn wire_bytes(&self, bytes: usize) {
        self.cell().wire_bytes.add(bytes as u64);
    }

    /// The body is decompressed.
    pub(crate) fn payload_bytes(&self, bytes: usize) {
        self.cell().payload_bytes.add(bytes as u64);
    }

    /// The number of records is known.
    pub(crate) fn records(&mut self, n: u64) {
        self.records = n;
        self.cell().records.begin(n);
    }

    /// The request is answered.
    pub(crate) fn finish(mut self, outcome: &Result<Accepted, Refusal>) {
        match outcome {
            Ok(accepted) => {
                self.cell().records.end(self.records - accepted.refused.total(), &accepted.refused);
                self.cell().requests.end(1, &Tally::default());
            }
            Err(refusal) => self.refuse(refusal.reason, refusal.records.as_deref()),
        }
        self.finished = true;
    }

    fn refuse(&self, reason: RefuseReason, records: Option<&Tally>) {
        let one = |n| {
            let mut tally = Tally::default();
            tally.add(reason, n);
            tally
        };
        self.cell().records.end(0, &records.cloned().unwrap_or_else(|| one(self.records)));
        self.cell().requests.end(0, &one(1));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.finished {
            self.refuse(RefuseReason::Aborted, None);
        }
        self.counters.seconds.observe(self.started.elapsed());
    }
}
