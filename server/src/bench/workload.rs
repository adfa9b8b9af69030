//! Requests of the seeded shop, encoded beforehand, so that sending costs next to nothing.

use anyhow::{Context, ensure};
use bytes::Bytes;
use headrope_model::TimeRange;
use headrope_testdata::{Shop, ShopConfig};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
}

impl Signal {
    /// Path of OTLP/HTTP.
    pub(crate) const fn http_path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
        }
    }

    /// Method of OTLP/gRPC.
    pub(crate) const fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }

    /// Table that holds its records.
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Logs => "logs",
        }
    }

    const fn fields(self) -> &'static [Field] {
        match self {
            Self::Traces => EXPORT_TRACES,
            Self::Logs => EXPORT_LOGS,
        }
    }
}

/// An encoded request, and where its ids and times are.
#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    records: u64,
    ids: Vec<u32>,
    times: Vec<u32>,
}

/// A number of different requests, which repeat with other ids at later times.
#[derive(Debug)]
pub(crate) struct Workload {
    templates: Vec<Template>,
    /// Nanoseconds from the first to the last of the templates.
    period: u64,
}

/// A request ready to be sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) body: Bytes,
    pub(crate) records: u64,
}

impl Workload {
    /// Generates at least `records` records in requests of up to `batch`, of traffic that ends at
    /// `until_ns`. `rate` is the user requests per second of the shop.
    pub(crate) fn generate(
        signal: Signal,
        seed: u64,
        records: u64,
        batch: usize,
        until_ns: i64,
    ) -> anyhow::Result<Self> {
        const WINDOW_S: u32 = 10;
        // A busy shop fills its requests; one with 400 requests a second has some 8,000 spans.
        let config = ShopConfig {
            seed,
            traces_per_second: 400.0,
            batch_window_s: WINDOW_S,
            batch_records: batch,
            ..ShopConfig::default()
        };
        let shop = Shop::with_config(config);
        let step = i64::from(WINDOW_S) * 1_000_000_000;
        let mut workload = Self { templates: Vec::new(), period: 0 };
        let mut found = 0;
        let mut to = until_ns;
        while found < records {
            let before = found;
            let range = TimeRange::new(to - step, to).context("a window ends before it begins")?;
            let slice = shop.slice(range);
            let encoded: Vec<(Vec<u8>, u64)> = match signal {
                Signal::Traces => {
                    slice.traces.iter().map(|r| (r.encode_to_vec(), spans(r))).collect()
                }
                Signal::Logs => slice.logs.iter().map(|r| (r.encode_to_vec(), logs(r))).collect(),
            };
            for (bytes, count) in encoded {
                found += count;
                workload.templates.push(Template::new(bytes, count, signal.fields()));
            }
            ensure!(found > before, "the shop generated nothing");
            to -= step;
        }
        // Generated from the newest window to the oldest; sent in order of time.
        workload.templates.reverse();
        workload.period = u64::try_from(until_ns - to)?;
        Ok(workload)
    }

    /// Number of different requests.
    pub(crate) const fn len(&self) -> usize {
        self.templates.len()
    }

    /// Records and bytes of the different requests.
    pub(crate) fn size(&self) -> (u64, u64) {
        let records = self.templates.iter().map(|t| t.records).sum();
        let bytes = self.templates.iter().map(|t| t.bytes.len() as u64).sum();
        (records, bytes)
    }

    /// The request with this number; beyond the generated ones they come again with other ids and
    /// later times.
    pub(crate) fn request(&self, number: u64) -> Option<Prepared> {
        let count = self.templates.len() as u64;
        let round = number.checked_div(count)?;
        let template = self.templates.get(usize::try_from(number % count).ok()?)?;
        let body = Bytes::from(template.patched(round, self.period.wrapping_mul(round)));
        Some(Prepared { body, records: template.records })
    }
}

fn spans(request: &ExportTraceServiceRequest) -> u64 {
    let scopes = request.resource_spans.iter().flat_map(|r| &r.scope_spans);
    scopes.map(|s| s.spans.len() as u64).sum()
}

fn logs(request: &ExportLogsServiceRequest) -> u64 {
    let scopes = request.resource_logs.iter().flat_map(|r| &r.scope_logs);
    scopes.map(|s| s.log_records.len() as u64).sum()
}

impl Template {
    fn new(bytes: Vec<u8>, records: u64, fields: &[Field]) -> Self {
        let mut template = Self { bytes: Vec::new(), records, ids: Vec::new(), times: Vec::new() };
        template.find(&bytes, 0, fields);
        template.bytes = bytes;
        template
    }

    /// Notes where the fields are in a message that begins at `base`; ends at what is not protobuf.
    fn find(&mut self, message: &[u8], base: usize, fields: &[Field]) {
        let mut rest = message;
        while let Some((tag, after)) = varint(rest) {
            let known = fields.iter().find(|f| u64::from(f.number) == tag >> 3);
            let at = |part: &[u8]| base + (message.len() - part.len());
            rest = match tag & 7 {
                0 => varint(after).map_or(&[], |(_, rest)| rest),
                1 => {
                    if matches!(known, Some(Field { meaning: Meaning::Time, .. })) {
                        self.times.extend(u32::try_from(at(after)).ok());
                    }
                    after.get(8..).unwrap_or_default()
                }
                2 => {
                    let Some((length, content)) = varint(after) else { return };
                    let Some((content, next)) =
                        usize::try_from(length).ok().and_then(|n| content.split_at_checked(n))
                    else {
                        return;
                    };
                    match known.map(|f| &f.meaning) {
                        Some(Meaning::Id) if content.len() >= 8 => {
                            self.ids.extend(u32::try_from(at(next) - content.len()).ok());
                        }
                        Some(Meaning::Message(inner)) => {
                            self.find(content, at(next) - content.len(), inner);
                        }
                        _ => {}
                    }
                    next
                }
                5 => after.get(4..).unwrap_or_default(),
                _ => return,
            };
        }
    }

    /// The bytes with ids and times of a later round.
    fn patched(&self, round: u64, later: u64) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        if round == 0 {
            return bytes;
        }
        let mask = u32::try_from(round).unwrap_or(u32::MAX).to_be_bytes();
        for at in &self.ids {
            let at = *at as usize;
            for (byte, mask) in bytes.get_mut(at..at + 4).unwrap_or_default().iter_mut().zip(mask) {
                *byte ^= mask;
            }
        }
        for at in &self.times {
            let at = *at as usize;
            if let Some(field) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<8>) {
                *field = u64::from_le_bytes(*field).wrapping_add(later).to_le_bytes();
            }
        }
        bytes
    }
}

/// A field of a protobuf message that changes from round to round.
#[derive(Debug)]
struct Field {
    number: u32,
    meaning: Meaning,
}

#[derive(Debug)]
enum Meaning {
    Id,
    Time,
    Message(&'static [Field]),
}

const fn id(number: u32) -> Field {
    Field { number, meaning: Meaning::Id }
}

const fn time(number: u32) -> Field {
    Field { number, meaning: Meaning::Time }
}

const fn message(number: u32, fields: &'static [Field]) -> Field {
    Field { number, meaning: Meaning::Message(fields) }
}

/// Field numbers of opentelemetry/proto/trace/v1/trace.proto.
const EXPORT_TRACES: &[Field] = &[message(1, &[message(2, &[message(2, SPAN)])])];
const SPAN: &[Field] =
    &[id(1), id(2), id(4), time(7), time(8), message(11, &[time(1)]), message(13, &[id(1), id(2)])];
/// Field numbers of opentelemetry/proto/logs/v1/logs.proto.
const EXPORT_LOGS: &[Field] = &[message(1, &[message(2, &[message(2, LOG_RECORD)])])];
const LOG_RECORD: &[Field] = &[time(1), id(9), id(10), time(11)];

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::trace::v1::Span;

    const UNTIL: i64 = 1_760_000_000_000_000_000;

    fn decoded(workload: &Workload, number: u64) -> Vec<Span> {
        let body = workload.request(number).unwrap().body;
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        let scopes = request.resource_spans.into_iter().flat_map(|r| r.scope_spans);
        scopes.flat_map(|s| s.spans).collect()
    }

    #[test]
    fn a_later_round_differs_in_ids_and_times_only() {
        let workload = Workload::generate(Signal::Traces, 1, 5000, 1000, UNTIL).unwrap();
        let (records, bytes) = workload.size();
        assert!(records >= 5000 && bytes / records > 200, "{records} {bytes}");
        for number in 0..workload.len() as u64 {
            let first = decoded(&workload, number);
            let later = decoded(&workload, number + 3 * workload.len() as u64);
            assert_eq!(first.len(), later.len());
            for (mut a, mut b) in first.into_iter().zip(later) {
                for (x, y) in [(&mut a.trace_id, &mut b.trace_id), (&mut a.span_id, &mut b.span_id)]
                {
                    assert_ne!(x, y);
                    y[3] ^= 3;
                }
                if let Some(byte) = b.parent_span_id.get_mut(3) {
                    *byte ^= 3;
                }
                let shift = 3 * workload.period;
                b.start_time_unix_nano -= shift;
                b.end_time_unix_nano -= shift;
                for event in &mut b.events {
                    event.time_unix_nano -= shift;
                }
                for link in &mut b.links {
                    link.trace_id[3] ^= 3;
                    link.span_id[3] ^= 3;
                }
                assert_eq!(a, b);
            }
        }
    }

    #[test]
    fn logs_are_shifted_too() {
        let workload = Workload::generate(Signal::Logs, 1, 2000, 500, UNTIL).unwrap();
        let count = workload.len() as u64;
        let times = |number| -> Vec<u64> {
            let body = workload.request(number).unwrap().body;
            let request = ExportLogsServiceRequest::decode(body).unwrap();
            let scopes = request.resource_logs.iter().flat_map(|r| &r.scope_logs);
            scopes.flat_map(|s| &s.log_records).map(|r| r.time_unix_nano).collect()
        };
        let shifted: Vec<u64> = times(0).iter().map(|t| t + workload.period).collect();
        assert!(!shifted.is_empty());
        assert_eq!(times(count), shifted);
    }
}
