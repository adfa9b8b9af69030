//! Read this first: how a request becomes durable. One function per arrow.
//!
//! ```text
//! socket ─receive─▶ body ─inflate─▶ payload ─admit─▶ permit ─decode─▶ export
//!        ─judge─▶ accepted records ─append─▶ durable ─▶ answer
//! ```
//!
//! A protobuf request in which nothing is to be refused or changed, as nearly all are, is recognised
//! on the wire and goes from payload to append without being decoded.
//!
//! Until the body has arrived the client may leave at any time. From then on the work is done by a
//! task of its own, so that a client that hangs up cannot leave a request half stored or uncounted.
//! Memory is reserved before it is used: by the bytes that arrive, by the inflated payload, and by
//! an estimate of the decoded message; the storage engine admits what goes into its buffers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use headrope_model::{RefuseReason, Signal};
use headrope_storage::{Export, Submission};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::body::{self, Framing};
use crate::budget::{Budget, Reservation};
use crate::config::CollectorConfig;
use crate::counters::{Counters, Ticket, Transport};
use crate::inflate::{Encoding, InflateError, inflate};
use crate::refusal::Refusal;
use crate::sink::Sink;
use crate::tally::Accepted;
use crate::validate::{self, Limits, Verdict};
use crate::{json, wire};

/// Payloads above this size are worked on away from the threads that serve the sockets.
const HEAVY: usize = 1 << 20;
/// How long a request with its body complete waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// How long it waits for room after that; clients give a request ten seconds as a rule.
const ROOM: Duration = Duration::from_secs(5);
/// How long the rest of a refused body is taken in.
const LINGER: Duration = Duration::from_secs(5);
/// Most memory a JSON body may decode to, as a multiple of its length. The densest real bodies
/// (arrays of small numbers) need four.
const JSON_EXPANSION: usize = 8;

/// How a payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Protobuf,
    Json,
}

/// What the head of a request says about its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Envelope {
    pub(crate) signal: Signal,
    pub(crate) transport: Transport,
    pub(crate) framing: Framing,
    pub(crate) format: Format,
    pub(crate) encoding: Encoding,
}

/// What all requests share.
pub(crate) struct Pipeline<S> {
    pub(crate) sink: Arc<S>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) budget: Arc<Budget>,
    /// Every task that works for a request or a connection.
    pub(crate) tasks: TaskTracker,
    pub(crate) max_message_bytes: usize,
    body_timeout: Duration,
    limits: Limits,
    turns: Semaphore,
    heavy_turns: Semaphore,
}

/// A request whose body is complete.
struct Job {
    envelope: Envelope,
    body: Bytes,
    room: Reservation,
    ticket: Ticket,
}

/// A request that is ready to be stored.
struct Prepared<P> {
    permit: P,
    submission: Submission,
    verdict: Verdict,
}

impl<S: Sink> Pipeline<S> {
    pub(crate) fn new(config: &CollectorConfig, sink: Arc<S>) -> Arc<Self> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Arc::new(Self {
            sink,
            counters: Arc::default(),
            budget: Budget::new(config.in_flight_bytes()),
            tasks: TaskTracker::new(),
            max_message_bytes: config.max_message_bytes,
            body_timeout: config.body_timeout,
            limits: Limits { max_record_bytes: config.max_record_bytes, ..Limits::default() },
            turns: Semaphore::new(config.max_concurrent_requests),
            heavy_turns: Semaphore::new(threads),
        })
    }

    /// Takes one request from its head to its answer.
    pub(crate) async fn export(
        self: &Arc<Self>,
        envelope: Envelope,
        body: &mut Body,
    ) -> Result<Accepted, Refusal> {
        let ticket = self.counters.begin(envelope.signal, envelope.transport);
        let mut room = self.budget.open();
        match self.receive(envelope, body, &mut room).await {
            Ok((envelope, body)) => {
                ticket.wire_bytes(body.len());
                let job = Job { envelope, body, room, ticket };
                let this = Arc::clone(self);
                let task = self.tasks.spawn(async move { this.run(job).await });
                task.await.unwrap_or_else(|_| Err(Refusal::failed()))
            }
            Err(refusal) => {
                let outcome = Err(refusal);
                ticket.finish(&outcome);
                outcome
            }
        }
    }

    /// Counts a request whose head alone was enough to refuse it.
    pub(crate) fn refuse(&self, signal: Signal, transport: Transport, refusal: Refusal) -> Refusal {
        let outcome = Err(refusal);
        self.counters.begin(signal, transport).finish(&outcome);
        outcome.err().unwrap_or_else(Refusal::failed)
    }

    /// Lets the rest of a refused body come in unread, for a bounded time and size, so that the
    /// client reads its answer instead of a reset connection.
    pub(crate) fn discard(&self, refusal: &Refusal, body: Body) {
        let gone = matches!(refusal.reason, RefuseReason::Aborted | RefuseReason::RequestTimeout);
        if !gone && !body.is_end_stream() {
            let rest = body::discard(body, self.max_message_bytes.saturating_mul(4));
            drop(self.tasks.spawn(tokio::time::timeout(LINGER, rest)));
        }
    }

    /// socket → body.
    async fn receive(
        &self,
        mut envelope: Envelope,
        body: &mut Body,
        room: &mut Reservation,
    ) -> Result<(Envelope, Bytes), Refusal> {
        let limit = self.max_message_bytes;
        let received = body::receive(body, envelope.framing, limit, room);
        let received = tokio::time::timeout(self.body_timeout, received)
            .await
            .map_err(|_| Refusal::plain(RefuseReason::RequestTimeout))??;
        match (received.compressed, envelope.framing, envelope.encoding) {
            (true, Framing::Grpc, Encoding::Identity) => Err(Refusal::new(
                RefuseReason::BadCompression,
                "the compressed flag is set, but grpc-encoding names no encoding",
            )),
            (compressed, ..) => {
                if !compressed {
                    envelope.encoding = Encoding::Identity;
                }
                Ok((envelope, received.bytes))
            }
        }
    }

    /// body → answer, to the end whether or not the client waits for it.
    async fn run(self: &Arc<Self>, job: Job) -> Result<Accepted, Refusal> {
        let (ticket, outcome) = self.store(job).await;
        if let Some(ticket) = ticket {
            ticket.finish(&outcome);
        }
        outcome
    }

    async fn store(self: &Arc<Self>, job: Job) -> (Option<Ticket>, Result<Accepted, Refusal>) {
        let Ok(Ok(_turn)) = tokio::time::timeout(TURN, self.turns.acquire()).await else {
            let busy = Refusal::retry(RefuseReason::OverBudget, Duration::from_secs(1));
            return (Some(job.ticket), Err(busy));
        };
        // A request that comes again costs as much as one that is stored.
        let size = job.envelope.encoding.size_hint(&job.body).max(job.body.len());
        // What a client says of its size is not believed beyond what is allowed.
        let room = size.min(self.max_message_bytes);
        // Whoever is next need not wait until this one is decoded: if they do not both find room then,
        // one is refused. So is this one without room in time.
        tokio::time::timeout(ROOM, self.sink.await_room(room)).await.unwrap_or_default();
        let Some((job, prepared)) = self.prepare_anywhere(job, size).await else {
            return (None, Err(Refusal::failed()));
        };
        // The reservation stays until the records are durable.
        let Job { ticket, room: _room, .. } = job;
        let outcome = match prepared {
            Ok(prepared) => self.append(prepared).await,
            Err(refusal) => Err(refusal),
        };
        (Some(ticket), outcome)
    }

    /// Large payloads are prepared by a blocking thread, as many at a time as there are processors.
    async fn prepare_anywhere(
        self: &Arc<Self>,
        mut job: Job,
        size: usize,
    ) -> Option<(Job, Result<Prepared<S::Permit>, Refusal>)> {
        if size <= HEAVY {
            let prepared = self.prepare(&mut job);
            return Some((job, prepared));
        }
        let _turn = self.heavy_turns.acquire().await.ok()?;
        let this = Arc::clone(self);
        let work = move || {
            let prepared = this.prepare(&mut job);
            (job, prepared)
        };
        self.tasks.spawn_blocking(work).await.ok()
    }

    /// body → inflated → admitted → decoded → judged.
    fn prepare(&self, job: &mut Job) -> Result<Prepared<S::Permit>, Refusal> {
        let payload = self.inflate(job)?;
        if let Some(prepared) = self.take_plain(job, &payload) {
            return prepared;
        }
        let (permit, mut export) = match job.envelope.format {
            Format::Protobuf => self.decode_protobuf(job, &payload)?,
            Format::Json => self.decode_json(job, &payload)?,
        };
        // No record of a small protobuf payload can be larger than the payload.
        let may_be_large =
            job.envelope.format == Format::Json || payload.len() > self.limits.max_record_bytes;
        let verdict = judge(&mut export, &self.limits, may_be_large, now_ns());
        job.ticket.records(verdict.accepted + verdict.refused.total());
        if verdict.accepted == 0 && verdict.refused.total() > 0 {
            return Err(Refusal::every_record(verdict.refused));
        }
        let unchanged = !verdict.changed && job.envelope.format == Format::Protobuf;
        let payload = if unchanged { payload } else { encode(&export) };
        Ok(Prepared { permit, submission: Submission::Decoded { export, payload }, verdict })
    }

    /// A request that needs no decoding, as nothing in it is to be refused or changed.
    fn take_plain(
        &self,
        job: &mut Job,
        payload: &Bytes,
    ) -> Option<Result<Prepared<S::Permit>, Refusal>> {
        if job.envelope.format != Format::Protobuf {
            return None;
        }
        let signal = job.envelope.signal;
        let records = validate::plain_records(signal, payload, &self.limits).filter(|n| *n > 0)?;
        job.ticket.records(records);
        let prepared = self.sink.admit(payload.len()).map(|permit| Prepared {
            permit,
            submission: Submission::Plain { signal, records, payload: payload.clone() },
            verdict: Verdict { accepted: records, ..Verdict::default() },
        });
        Some(prepared.map_err(Refusal::from))
    }

    /// body → payload.
    fn inflate(&self, job: &mut Job) -> Result<Bytes, Refusal> {
        let body = std::mem::take(&mut job.body);
        let wire = body.len();
        let encoding = job.envelope.encoding;
        let limit = self.max_message_bytes;
        let payload =
            inflate(encoding, body, limit, &mut job.room).map_err(|error| match error {
                InflateError::Damaged(cause) => Refusal::new(RefuseReason::BadCompression, cause),
                InflateError::TooLarge => Refusal::too_large(limit),
                InflateError::Exhausted(exhausted) => exhausted.into(),
            })?;
        if encoding != Encoding::Identity {
            job.room.shrink(wire);
        }
        job.ticket.payload_bytes(payload.len());
        Ok(payload)
    }

    /// payload → permit, export; refused before it is decoded if there is no room for it.
    fn decode_protobuf(
        &self,
        job: &mut Job,
        payload: &Bytes,
    ) -> Result<(S::Permit, Export), Refusal> {
        let malformed =
            |cause: &dyn std::fmt::Display| Refusal::new(RefuseReason::Malformed, cause);
        let size = wire::measure(job.envelope.signal, payload).map_err(|e| malformed(&e))?;
        let room = job.room.grow(size.bytes.saturating_sub(payload.len())).map_err(Refusal::from);
        let permit = match room.and_then(|()| Ok(self.sink.admit(payload.len())?)) {
            Ok(permit) => permit,
            Err(refusal) => {
                job.ticket.records(size.records);
                return Err(refusal);
            }
        };
        let body = payload.clone();
        let export = match job.envelope.signal {
            Signal::Traces => ExportTraceServiceRequest::decode(body).map(Export::Traces),
            Signal::Metrics => ExportMetricsServiceRequest::decode(body).map(Export::Metrics),
            Signal::Logs => ExportLogsServiceRequest::decode(body).map(Export::Logs),
        };
        Ok((permit, export.map_err(|e| malformed(&e))?))
    }

    /// payload → permit, export.
    fn decode_json(&self, job: &mut Job, payload: &Bytes) -> Result<(S::Permit, Export), Refusal> {
        let allowed = payload.len().saturating_mul(JSON_EXPANSION).min(self.budget.total() / 2);
        job.room.grow(allowed)?;
        let permit = self.sink.admit(payload.len())?;
        let export = match job.envelope.signal {
            Signal::Traces => json::decode(payload, allowed).map(Export::Traces),
            Signal::Metrics => json::decode(payload, allowed).map(Export::Metrics),
            Signal::Logs => json::decode(payload, allowed).map(Export::Logs),
        };
        let export = export.map_err(|error| match error {
            json::JsonError::TooLarge { .. } => Refusal::new(RefuseReason::MessageTooLarge, error),
            json::JsonError::Invalid { .. } => Refusal::new(RefuseReason::Malformed, error),
        })?;
        Ok((permit, export))
    }

    /// accepted records → durable.
    async fn append(&self, prepared: Prepared<S::Permit>) -> Result<Accepted, Refusal> {
        let Prepared { permit, submission, verdict } = prepared;
        if verdict.accepted > 0 {
            self.sink.append(permit, submission).await?;
        }
        Ok(Accepted { stored: verdict.accepted, refused: verdict.refused })
    }
}

/// export → accepted records: the others are removed and counted.
pub(crate) fn judge(
    export: &mut Export,
    limits: &Limits,
    may_be_large: bool,
    now_ns: u64,
) -> Verdict {
    match export {
        Export::Traces(request) => validate::judge_traces(request, limits, may_be_large),
        Export::Metrics(request) => validate::judge_metrics(request, limits, may_be_large),
        Export::Logs(request) => validate::judge_logs(request, limits, may_be_large, now_ns),
    }
}

fn encode(export: &Export) -> Bytes {
    let bytes = match export {
        Export::Traces(request) => request.encode_to_vec(),
        Export::Metrics(request) => request.encode_to_vec(),
        Export::Logs(request) => request.encode_to_vec(),
    };
    Bytes::from(bytes)
}

fn now_ns() -> u64 {
    u64::try_from(headrope_model::time::now_ns()).unwrap_or(0)
}
