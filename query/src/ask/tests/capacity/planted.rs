//! A small system with a planted law of latency and planted costs of requests: `front` asks `back`, which asks a
//! database.

use headrope_storage::{Engine, Export};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::tests::{append, resource, text, traces};

/// 2025-01-06T00:00:00Z.
pub(super) const FROM: i64 = 1_736_121_600_000_000_000;
pub(super) const MINUTE: i64 = 60_000_000_000;

/// SplitMix64.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    pub(super) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Which metric tells the CPU of `back`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// A count of CPU-seconds by mode that only grows, and the limit of the container.
    Time,
    /// CPUs in use of the pod, without the name of the service, and the share of the limit.
    Pod,
    /// A share, and the number of CPUs of the runtime.
    Share,
    /// The host's share by mode, and its number of CPUs.
    Host,
    /// Nothing.
    Nothing,
}

/// What is planted in `back`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planted {
    pub(super) seed: u64,
    pub(super) minutes: i64,
    pub(super) instances: usize,
    /// The Universal Scalability Law of an instance.
    pub(super) lambda: f64,
    pub(super) sigma: f64,
    pub(super) kappa: f64,
    /// Greatest rate of an instance, as a part of the ceiling.
    pub(super) reach: f64,
    /// CPU-seconds of a request of `a` and of `b`.
    pub(super) cost: [f64; 2],
    /// CPUs in use without requests, and CPUs an instance may use.
    pub(super) idle: f64,
    pub(super) cpus: f64,
    pub(super) told: Told,
    /// Whether there are database and host metrics too.
    pub(super) whole: bool,
}

impl Planted {
    fn latency_of(&self, n: f64) -> f64 {
        (1.0 + self.sigma * (n - 1.0) + self.kappa * n * (n - 1.0)) / self.lambda
    }

    /// Rate of greatest power and greatest rate of an instance, by looking at every concurrency.
    pub(super) fn knee_and_ceiling(&self) -> (f64, f64) {
        let rate = |n: &f64| n / self.latency_of(*n);
        let all = || (1..100_000).map(|step| f64::from(step) * 0.005);
        let power = |n: &f64| rate(n) / self.latency_of(*n);
        let knee = all().max_by(|a, b| power(a).total_cmp(&power(b))).unwrap();
        (rate(&knee), all().map(|n| rate(&n)).fold(0.0, f64::max))
    }

    fn latency_at(&self, rate: f64) -> f64 {
        let (mut low, mut high) = (0.0, ((1.0 - self.sigma) / self.kappa).sqrt());
        for _ in 0..60 {
            let n = (low + high) / 2.0;
            if n / self.latency_of(n) < rate { low = n } else { high = n }
        }
        self.latency_of(low)
    }

    pub(super) fn range(&self) -> headrope_model::TimeRange {
        headrope_model::TimeRange::new(FROM, FROM + self.minutes * MINUTE).unwrap()
    }
}

fn instance(at: usize) -> Vec<(&'static str, String)> {
    vec![
        ("service.name", "back".to_owned()),
        ("service.version", "1.0".to_owned()),
        ("service.instance.id", format!("back-{at}")),
        ("k8s.pod.name", format!("back-pod-{at}")),
        ("host.name", format!("node-{at}")),
        ("host.type", "m5.large".to_owned()),
    ]
}

fn named(pairs: &[(&'static str, String)], only: &[&str]) -> Option<Resource> {
    let kept = pairs.iter().filter(|(key, _)| only.is_empty() || only.contains(key));
    resource(&kept.map(|(key, value)| (*key, value.as_str())).collect::<Vec<_>>())
}

#[derive(Default)]
struct Spans {
    number: u64,
    front: Vec<Span>,
    back: Vec<Span>,
}

impl Spans {
    fn span(
        &mut self,
        trace: u64,
        parent: u64,
        name: &str,
        kind: i32,
        start: i64,
        ns: i64,
    ) -> Span {
        self.number += 1;
        let parent = if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() };
        Span {
            trace_id: u128::from(trace).to_be_bytes().to_vec(),
            span_id: self.number.to_be_bytes().to_vec(),
            parent_span_id: parent,
            name: name.to_owned(),
            kind,
            start_time_unix_nano: start as u64,
            end_time_unix_nano: (start + ns) as u64,
            ..Span::default()
        }
    }

    /// A request that enters at `front` and asks `back` some times.
    fn request(&mut self, name: &str, asks: usize, starts: &[i64], ns: i64, whole: bool) {
        let trace = self.number + 1;
        let first = starts[0];
        let root = self.span(trace, 0, &format!("GET /{name}"), 2, first, 20_000_000);
        self.front.push(root);
        for start in &starts[..asks] {
            let served = self.span(trace, trace, name, 2, *start, ns);
            let id = self.number;
            self.back.push(served);
            if whole {
                let mut query = self.span(trace, id, "SELECT goods", 3, *start, ns / 4);
                query.attributes = vec![
                    text("db.system.name", "postgresql"),
                    text("db.query.summary", "SELECT goods"),
                    text("db.namespace", "shop"),
                ];
                self.back.push(query);
            }
        }
    }
}

/// Sends everything: `a` is asked twice by a request that enters, `b` once.
pub(super) async fn send(engine: &Engine, planted: Planted) {
    let mut noise = Noise(planted.seed);
    let (_, ceiling) = planted.knee_and_ceiling();
    let mut spans = Spans { number: planted.seed << 32, ..Spans::default() };
    let mut used = vec![0.0; planted.instances];
    for minute in 0..planted.minutes {
        let start = FROM + minute * MINUTE;
        let mut metrics = Vec::new();
        for (at, used) in used.iter_mut().enumerate() {
            let wanted = ceiling * (0.05 + (planted.reach - 0.05) * noise.unit().powf(1.5));
            let all = (wanted * 60.0).round().max(3.0) as usize;
            let pairs = (all as f64 * (0.1 + 0.3 * noise.unit())) as usize;
            let singles = all - 2 * pairs;
            let latency =
                planted.latency_at(all as f64 / 60.0) * (1.0 + 0.1 * (noise.unit() - 0.5));
            let ns = (latency * 1e9) as i64;
            let mut when = || start + (noise.unit() * 59.9e9) as i64;
            for request in 0..pairs + singles {
                let starts = [when(), when()];
                let (name, asks) = if request < pairs { ("a", 2) } else { ("b", 1) };
                spans.request(name, asks, &starts, ns, planted.whole);
            }
            let cpu_s = planted.idle * 60.0
                + planted.cost[0] * 2.0 * pairs as f64
                + planted.cost[1] * singles as f64;
            *used += cpu_s;
            metrics.extend(cpu(planted, at, start + 59_000_000_000, cpu_s / 60.0, *used));
            let back = std::mem::take(&mut spans.back);
            traces(engine, named(&instance(at), &[]), back).await;
        }
        let front = std::mem::take(&mut spans.front);
        let of_front = [("service.name", "front"), ("service.instance.id", "front-0")];
        traces(engine, resource(&of_front), front).await;
        let request = ExportMetricsServiceRequest { resource_metrics: metrics };
        let payload = request.encode_to_vec();
        append(engine, Export::Metrics(request), payload).await;
    }
}

fn points(time: i64, values: &[(&str, f64)]) -> Vec<NumberDataPoint> {
    let point = |(mode, value): &(&str, f64)| NumberDataPoint {
        attributes: if mode.is_empty() { Vec::new() } else { vec![text("cpu.mode", mode)] },
        time_unix_nano: time as u64,
        start_time_unix_nano: FROM as u64,
        value: Some(Number::AsDouble(*value)),
        ..NumberDataPoint::default()
    };
    values.iter().map(point).collect()
}

fn gauge(name: &str, time: i64, values: &[(&str, f64)]) -> Metric {
    let data = Data::Gauge(Gauge { data_points: points(time, values) });
    Metric { name: name.to_owned(), data: Some(data), ..Metric::default() }
}

fn counter(name: &str, time: i64, values: &[(&str, f64)]) -> Metric {
    let sum =
        Sum { data_points: points(time, values), aggregation_temporality: 2, is_monotonic: true };
    Metric { name: name.to_owned(), data: Some(Data::Sum(sum)), ..Metric::default() }
}

fn cpu(planted: Planted, at: usize, time: i64, cpus: f64, used: f64) -> Vec<ResourceMetrics> {
    let all = instance(at);
    let of = |only: &[&str], metrics: Vec<Metric>| ResourceMetrics {
        resource: named(&all, only),
        scope_metrics: vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }],
        ..ResourceMetrics::default()
    };
    let share = cpus / planted.cpus;
    let mut found = match planted.told {
        Told::Time => vec![of(
            &[],
            vec![
                counter("process.cpu.time", time, &[("user", used * 0.8), ("system", used * 0.2)]),
                gauge("k8s.container.cpu_limit", time, &[("", planted.cpus)]),
            ],
        )],
        Told::Pod => vec![of(
            &["k8s.pod.name"],
            vec![
                gauge("k8s.pod.cpu.usage", time, &[("", cpus)]),
                gauge("k8s.pod.cpu_limit_utilization", time, &[("", share)]),
            ],
        )],
        Told::Share => vec![of(
            &["service.name", "service.instance.id"],
            vec![
                gauge("jvm.cpu.recent_utilization", time, &[("", share)]),
                gauge("jvm.cpu.count", time, &[("", planted.cpus)]),
            ],
        )],
        Told::Host | Told::Nothing => Vec::new(),
    };
    if planted.whole || planted.told == Told::Host {
        let modes = [("user", share * 0.9), ("system", share * 0.1), ("idle", 1.0 - share)];
        found.push(of(
            &["host.name"],
            vec![
                gauge("system.cpu.utilization", time, &modes),
                gauge("system.cpu.logical.count", time, &[("", planted.cpus)]),
            ],
        ));
    }
    found
}
