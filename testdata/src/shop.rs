//! The generator's face: a shop, its time slices, and an exact amount of data.

mod exact;
#[cfg(test)]
pub(crate) mod tests;

use headrope_model::TimeRange;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::config::{ShopConfig, Truth};
use crate::emit;
use crate::simulate::{self, Mark, Window};
use crate::stats::Stats;
use crate::world::World;

const NANOS: i64 = 1_000_000_000;

/// What the shop sent for a range of time: the requests of everything that began in it. A request
/// that takes long may hold spans that end after the range, so a live sender waits some seconds
/// before it sends a slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// The range of time.
    pub range: TimeRange,
    /// Trace requests.
    pub traces: Vec<ExportTraceServiceRequest>,
    /// Log requests.
    pub logs: Vec<ExportLogsServiceRequest>,
    /// Metric requests.
    pub metrics: Vec<ExportMetricsServiceRequest>,
}

impl Slice {
    fn empty(range: TimeRange) -> Self {
        Self { range, traces: Vec::new(), logs: Vec::new(), metrics: Vec::new() }
    }
}

/// A seeded shop. Immutable, so that threads can share it and generate different ranges at once.
#[derive(Debug, Clone)]
pub struct Shop {
    world: World,
}

impl Shop {
    /// A shop with the default configuration and this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_config(ShopConfig { seed, ..ShopConfig::default() })
    }

    /// A shop with this configuration. Zero intervals and batch sizes count as one, and the rate is
    /// held between zero and a million requests per second.
    #[must_use]
    pub fn with_config(config: ShopConfig) -> Self {
        Self { world: World::new(config) }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &ShopConfig {
        &self.world.config
    }

    /// What really happened, one record per incident, by start.
    #[must_use]
    pub fn truths(&self) -> Vec<Truth> {
        self.world.plan.truths()
    }

    /// Everything that began in the range. Both ends are rounded down to whole batch windows, so
    /// that adjoining ranges neither overlap nor leave a gap; any cut gives the same requests. A
    /// metric point appears in the range that holds the second before its time.
    #[must_use]
    pub fn slice(&self, range: TimeRange) -> Slice {
        let mut maker = Maker::new(&self.world);
        let (from, to) = self.windows(range);
        maker.slice(from, to)
    }

    /// The range cut into slices of `step_s` seconds (rounded up to whole batch windows), in order
    /// of time. Cheaper than single slices when the step is shorter than the metric interval. Slices
    /// are made as they are asked for, so a live stream is a range without an end.
    pub fn slices(&self, range: TimeRange, step_s: u32) -> impl Iterator<Item = Slice> + '_ {
        let window = i64::from(self.world.config.batch_window_s);
        let step = (i64::from(step_s.max(1)) + window - 1) / window * window;
        let (mut from, end) = self.windows(range);
        let mut maker = Maker::new(&self.world);
        std::iter::from_fn(move || {
            (from < end).then(|| {
                let to = (from + step).min(end);
                let slice = maker.slice(from, to);
                from = to;
                slice
            })
        })
    }

    /// Slices of one batch window each, from `from_ns` on, that together hold exactly `spans` spans
    /// and `logs` log records with all metrics of that time. The signal that is complete first is
    /// left out of the later slices; the last request of each is cut, which may leave orphans.
    /// Ends early, with fewer records, only if the shop has no traffic.
    pub fn exactly(&self, from_ns: i64, spans: u64, logs: u64) -> impl Iterator<Item = Slice> + '_ {
        let window = i64::from(self.world.config.batch_window_s);
        let mut from = from_ns.div_euclid(NANOS).div_euclid(window) * window;
        let mut maker = Maker::new(&self.world);
        let (mut spans, mut logs) = (spans, logs);
        let idle = self.world.config.traces_per_second <= 0.0;
        std::iter::from_fn(move || {
            if idle || (spans == 0 && logs == 0) {
                return None;
            }
            let mut slice = maker.slice(from, from + window);
            from += window;
            exact::cut_spans(&mut slice.traces, &mut spans);
            exact::cut_logs(&mut slice.logs, &mut logs);
            Some(slice)
        })
    }

    /// The range in seconds, rounded down to batch windows.
    fn windows(&self, range: TimeRange) -> (i64, i64) {
        let window = i64::from(self.world.config.batch_window_s);
        let down = |ns: i64| ns.div_euclid(NANOS).div_euclid(window) * window;
        (down(range.from()), down(range.to()))
    }
}

/// Makes slices, keeping buffers and the counts of the metric interval under way.
struct Maker<'a> {
    world: &'a World,
    window: Window,
    stats: Stats,
    /// The seconds that `stats` holds: from the start of the interval to `counted`.
    counted: Option<i64>,
}

impl<'a> Maker<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, window: Window::default(), stats: Stats::default(), counted: None }
    }

    fn slice(&mut self, from: i64, to: i64) -> Slice {
        let range = TimeRange::new(from.saturating_mul(NANOS), to.saturating_mul(NANOS));
        let mut slice = Slice::empty(range.unwrap_or(TimeRange::ALL));
        let step = i64::from(self.world.config.batch_window_s);
        let mut at = from;
        while at < to {
            self.batch(at, at + step, &mut slice);
            at += step;
        }
        slice
    }

    fn batch(&mut self, from: i64, to: i64, slice: &mut Slice) {
        self.catch_up(from);
        self.window.clear();
        let interval = i64::from(self.world.config.metric_interval_s);
        for second in from..to {
            let mark = self.window.mark();
            simulate::second(self.world, second, &mut self.window);
            self.stats.add(&self.window, mark);
            let next = second + 1;
            self.counted = Some(next);
            if next.rem_euclid(interval) == 0 {
                let metrics = emit::metric_requests(self.world, &self.stats, next - interval, next);
                slice.metrics.extend(metrics);
                self.stats = Stats::default();
            }
        }
        slice.traces.extend(emit::trace_requests(self.world, &self.window));
        slice.logs.extend(emit::log_requests(self.world, &self.window));
    }

    /// Counts the part of the metric interval that lies before `from`, unless it is counted.
    fn catch_up(&mut self, from: i64) {
        if self.counted == Some(from) {
            return;
        }
        let interval = i64::from(self.world.config.metric_interval_s);
        self.stats = Stats::default();
        for second in from.div_euclid(interval) * interval..from {
            self.window.clear();
            simulate::second(self.world, second, &mut self.window);
            self.stats.add(&self.window, Mark::default());
        }
    }
}
