//! Requests of a workload, encoded beforehand, so that sending costs next to nothing.
//!
//! A number of different requests is generated; beyond them they come again in rounds, with other
//! ids at later times. What was sent is known from the different requests and the number of rounds.

use anyhow::{Context, ensure};
use bytes::Bytes;
use headrope_model::TimeRange;
use headrope_testdata::workload::{Schedule, adversarial, jaeger, logs, wide};
use headrope_testdata::{Shop, ShopConfig};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::template::{EXPORT_LOGS, EXPORT_TRACES, Field, Template};

/// What is sent.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
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

/// A workload's name; `docs/benchmarks.md` describes each.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Name {
    /// W1: the seeded shop.
    Shop,
    /// W2: 10 services, 10 spans a trace, 11 of 97 attributes with 1000 values each, over ten days.
    Jaeger,
    /// W3: spans of 1.2 to 1.7 kB as production sends them.
    Wide,
    /// W4: log lines of 150 to 300 bytes.
    Logs,
    /// W6: unique keys, values of a million bytes, traces of 100,000 spans, clocks 24 hours apart.
    Adversarial,
}

/// Which workload, and how much of it.
#[derive(Debug, Clone, clap::Args, serde::Serialize)]
pub(crate) struct WorkloadArgs {
    /// What to send.
    #[arg(long, value_enum, default_value_t = Name::Shop)]
    pub(crate) workload: Name,
    /// Which of the shop's signals [default: traces]; the other workloads have one.
    #[arg(long, value_enum)]
    pub(crate) signal: Option<Signal>,
    /// Records to send.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) records: u64,
    /// Most records in a request.
    #[arg(long, default_value_t = 1000)]
    pub(crate) batch: u64,
    /// Different records to generate; beyond, they come again with other ids and times.
    #[arg(long, default_value_t = 500_000)]
    pub(crate) distinct: u64,
    /// Seed of the workload.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Traces that the shop begins in a second of its own time.
    #[arg(long, default_value_t = TRACES_PER_SECOND, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) traces_per_second: u32,
}

/// A busy shop fills its requests; one with 400 requests a second has some 5,500 spans.
const TRACES_PER_SECOND: u32 = 400;

const fn traces_per_second() -> u32 {
    TRACES_PER_SECOND
}

/// Everything a workload depends on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Recipe {
    pub(crate) name: Name,
    pub(crate) signal: Signal,
    pub(crate) seed: u64,
    /// Records to send, rounded up to whole requests.
    pub(crate) records: u64,
    pub(crate) distinct: u64,
    pub(crate) batch: u64,
    /// Of the shop.
    #[serde(default = "traces_per_second")]
    pub(crate) traces_per_second: u32,
    /// The time it ends at, Unix nanoseconds.
    pub(crate) until_ns: i64,
}

impl WorkloadArgs {
    /// The recipe of a workload that ends at a time.
    ///
    /// # Errors
    /// When the workload does not have the signal asked for.
    pub(crate) fn recipe(&self, until_ns: i64) -> anyhow::Result<Recipe> {
        let own = match self.workload {
            Name::Logs => Signal::Logs,
            _ => Signal::Traces,
        };
        let signal = self.signal.unwrap_or(own);
        ensure!(
            self.workload == Name::Shop || signal == own,
            "--signal chooses among the shop's signals; this workload has one of its own"
        );
        Ok(Recipe {
            name: self.workload,
            signal,
            seed: self.seed,
            records: self.records.max(1),
            distinct: self.distinct.clamp(1, self.records.max(1)),
            batch: self.batch.max(1),
            traces_per_second: self.traces_per_second,
            until_ns,
        })
    }
}

/// A number of different requests, which repeat with other ids at later times.
#[derive(Debug)]
pub(crate) struct Workload {
    signal: Signal,
    templates: Vec<Template>,
    /// Requests to send.
    requests: u64,
    /// Nanoseconds from a round to the next.
    period: u64,
    /// Nanoseconds from the templates' times to those of the first round (wrapping).
    offset: u64,
}

/// A request ready to be sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) body: Bytes,
    pub(crate) records: u64,
}

impl Workload {
    /// Generates the different requests of a recipe.
    ///
    /// # Errors
    /// When the workload has no records, or ends before it begins.
    pub(crate) fn generate(recipe: &Recipe) -> anyhow::Result<Self> {
        match recipe.name {
            Name::Shop => Self::shop(recipe),
            _ => Self::stated(recipe),
        }
    }

    fn shop(recipe: &Recipe) -> anyhow::Result<Self> {
        const WINDOW_S: u32 = 10;
        let config = ShopConfig {
            seed: recipe.seed,
            traces_per_second: recipe.traces_per_second.into(),
            batch_window_s: WINDOW_S,
            batch_records: usize::try_from(recipe.batch)?,
            ..ShopConfig::default()
        };
        let shop = Shop::with_config(config);
        let step = i64::from(WINDOW_S) * 1_000_000_000;
        let mut templates = Vec::new();
        let mut found = 0;
        let mut to = recipe.until_ns;
        while found < recipe.distinct {
            let before = found;
            let range = TimeRange::new(to - step, to).context("a window ends before it begins")?;
            let slice = shop.slice(range);
            // Windows come from the newest to the oldest, and the templates are turned round below.
            let window: Vec<Template> = match recipe.signal {
                Signal::Traces => slice.traces.iter().rev().map(of_spans).collect(),
                Signal::Logs => slice.logs.iter().rev().map(of_logs).collect(),
            };
            for template in window {
                if found < recipe.distinct {
                    found += template.records();
                    templates.push(template);
                }
            }
            ensure!(found > before, "the shop generated nothing");
            to -= step;
        }
        templates.reverse();
        let requests = u128::from(recipe.records) * templates.len() as u128;
        let requests = u64::try_from(requests.div_ceil(u128::from(found)))?;
        // The last template may be more than is needed; what is never sent is no template.
        templates.drain(..templates.len().saturating_sub(usize::try_from(requests)?));
        let count = templates.len() as u64;
        let period = u64::try_from(recipe.until_ns - to)?;
        // The last round is the one that was generated, so that the workload ends where it is to.
        let offset = period.wrapping_mul(requests.div_ceil(count) - 1).wrapping_neg();
        Ok(Self { signal: recipe.signal, templates, requests, period, offset })
    }

    /// A workload that is a function of a schedule and a request's number.
    fn stated(recipe: &Recipe) -> anyhow::Result<Self> {
        /// Records per second of a workload's own time.
        const RATE: u64 = 5000;
        const TEN_DAYS_NS: u64 = 10 * 86_400_000_000_000;
        // The adversary's requests hold a whole batch and a single span in turn.
        let (records, in_requests) = match recipe.name {
            Name::Adversarial => (recipe.batch + 1, 2),
            _ => (recipe.batch, 1),
        };
        let requests = (recipe.records * in_requests).div_ceil(records);
        let count = (recipe.distinct * in_requests).div_ceil(records).min(requests);
        let step = match recipe.name {
            Name::Jaeger => TEN_DAYS_NS / requests,
            _ => records * 1_000_000_000 / (RATE * in_requests),
        };
        let all = i64::try_from(step * requests)?;
        let schedule = Schedule {
            seed: recipe.seed,
            from_ns: recipe.until_ns - all,
            step_ns: i64::try_from(step)?,
            records: recipe.batch,
        };
        let template = |number| match recipe.name {
            Name::Jaeger | Name::Shop => of_spans(&jaeger::request(&schedule, number)),
            Name::Wide => of_spans(&wide::request(&schedule, number)),
            Name::Logs => of_logs(&logs::request(&schedule, number)),
            Name::Adversarial => of_spans(&adversarial::request(&schedule, number)),
        };
        let templates = (0..count).map(template).collect();
        Ok(Self { signal: recipe.signal, templates, requests, period: step * count, offset: 0 })
    }

    /// What is sent.
    pub(crate) const fn signal(&self) -> Signal {
        self.signal
    }

    /// The different requests.
    pub(crate) fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// Requests to send.
    pub(crate) const fn requests(&self) -> u64 {
        self.requests
    }

    /// How often a template is sent: in the rounds from 0 to below this.
    pub(crate) fn rounds(&self, template: usize) -> u64 {
        let count = self.templates.len().max(1) as u64;
        self.requests / count + u64::from((template as u64) < self.requests % count)
    }

    /// Records of all requests to send.
    pub(crate) fn records(&self) -> u64 {
        let records = |(at, t): (usize, &Template)| t.records() * self.rounds(at);
        self.templates.iter().enumerate().map(records).sum()
    }

    /// Bytes of all requests to send.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = |(at, t): (usize, &Template)| t.bytes().len() as u64 * self.rounds(at);
        self.templates.iter().enumerate().map(bytes).sum()
    }

    /// Nanoseconds from a time in a template to the same in a round (wrapping).
    pub(crate) const fn later(&self, round: u64) -> u64 {
        self.offset.wrapping_add(self.period.wrapping_mul(round))
    }

    /// Records and bytes of the different requests.
    pub(crate) fn size(&self) -> (u64, u64) {
        let records = self.templates.iter().map(Template::records).sum();
        let bytes = self.templates.iter().map(|t| t.bytes().len() as u64).sum();
        (records, bytes)
    }

    /// The request with this number; beyond the different ones they come again with other ids and
    /// later times.
    pub(crate) fn request(&self, number: u64) -> Option<Prepared> {
        let count = self.templates.len() as u64;
        let round = number.checked_div(count)?;
        let template = self.templates.get(usize::try_from(number % count).ok()?)?;
        let body = Bytes::from(template.patched(round, self.later(round)));
        Some(Prepared { body, records: template.records() })
    }
}

fn of_spans(request: &ExportTraceServiceRequest) -> Template {
    let scopes = request.resource_spans.iter().flat_map(|r| &r.scope_spans);
    let spans = scopes.map(|s| s.spans.len() as u64).sum();
    Template::new(request.encode_to_vec(), spans, Signal::Traces.fields())
}

fn of_logs(request: &ExportLogsServiceRequest) -> Template {
    let scopes = request.resource_logs.iter().flat_map(|r| &r.scope_logs);
    let records = scopes.map(|s| s.log_records.len() as u64).sum();
    Template::new(request.encode_to_vec(), records, Signal::Logs.fields())
}

#[cfg(test)]
mod tests;
