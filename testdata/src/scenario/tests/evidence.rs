//! What a label says can be seen in what is sent: of all candidates for a cause, the labelled one has
//! by far the strongest sign of it. Nothing here is known but names of metrics and attributes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

use super::super::*;
use crate::oracle::body_text;
use crate::shop::tests::view::{Measured, Seen, flat, metrics_of, numbers, spans_of};

/// Candidates with the strength of a sign.
type Signs = BTreeMap<String, f64>;

/// Scenarios of each kind; ten and more have been looked at.
const EACH: u64 = 2;

/// What is sent in a range.
struct Sent {
    spans: Vec<Seen>,
    metrics: Vec<Measured>,
    lines: Vec<String>,
}

impl Sent {
    fn new(one: &Scenario, range: TimeRange) -> Self {
        let slice = one.shop().slice(range);
        Self {
            spans: spans_of(slice.traces),
            metrics: metrics_of(slice.metrics),
            lines: lines(slice.logs),
        }
    }

    /// Means over spans by a name, of those that have one.
    fn means(&self, of: impl Fn(&Seen) -> Option<(String, f64)>) -> Signs {
        let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for (name, value) in self.spans.iter().filter_map(of) {
            let sum = sums.entry(name).or_default();
            *sum = (sum.0 + value, sum.1 + 1.0);
        }
        sums.into_iter().map(|(name, (sum, count))| (name, sum / count)).collect()
    }

    /// The greatest value of a metric by a resource attribute.
    fn greatest(&self, metric: &str, by: &str, tag: Option<(&str, &str)>) -> Signs {
        let mut found = Signs::new();
        for (resource, attributes, value) in numbers(&self.metrics, metric) {
            let kept =
                tag.is_none_or(|(key, wanted)| attributes.get(key).is_some_and(|v| v == wanted));
            if let Some(name) = resource.get(by).filter(|_| kept) {
                let most = found.entry(name.clone()).or_insert(f64::MIN);
                *most = most.max(value);
            }
        }
        found
    }

    /// The growth of a counter, summed over its series.
    fn growth(&self, metric: &str, tag: (&str, &str)) -> f64 {
        let mut series: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for (resource, attributes, value) in numbers(&self.metrics, metric) {
            if attributes.get(tag.0).is_some_and(|value| value == tag.1) {
                series.entry(format!("{resource:?}")).or_insert((value, value)).1 = value;
            }
        }
        series.values().map(|(first, last)| last - first).sum()
    }

    /// The mean of a histogram, or the sum of an exponential one, by name.
    fn distribution(
        &self,
        metric: &str,
        name: impl Fn(&Measured, &[String; 2]) -> String,
    ) -> Signs {
        let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for measured in self.metrics.iter().filter(|m| m.metric.name == metric) {
            let mut add = |name, sum: Option<f64>, count: f64| {
                let all = sums.entry(name).or_default();
                *all = (all.0 + sum.unwrap_or_default(), all.1 + count);
            };
            match &measured.metric.data {
                Some(Data::Histogram(data)) => data.data_points.iter().for_each(|p| {
                    let tags = flat(&p.attributes);
                    let tag = |key: &str| tags.get(key).cloned().unwrap_or_default();
                    let edge = [tag("k8s.src.owner.name"), tag("k8s.dst.owner.name")];
                    add(name(measured, &edge), p.sum, p.count as f64);
                }),
                Some(Data::ExponentialHistogram(data)) => data.data_points.iter().for_each(|p| {
                    add(name(measured, &Default::default()), p.sum, 0.0);
                }),
                _ => {}
            }
        }
        let value = |(sum, count): (f64, f64)| if count > 0.0 { sum / count } else { sum };
        sums.into_iter().map(|(name, of)| (name, value(of))).collect()
    }

    /// Time of each span without that of its children, milliseconds, by service.
    fn own_ms(&self) -> Signs {
        let mut below: HashMap<&[u8], f64> = HashMap::new();
        for span in &self.spans {
            *below.entry(&span.span.parent_span_id).or_default() += span.ns() as f64;
        }
        self.means(|s| {
            let children = below.get(&s.span.span_id[..]).copied().unwrap_or_default();
            let served = matches!(s.span.kind, 2 | 5);
            let own = (s.ns() as f64 - children).max(0.0) / 1e6;
            served.then(|| (s.service().to_owned(), own))
        })
    }

    fn says(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.contains(text))
    }

    fn versions(&self) -> BTreeSet<(String, String)> {
        let pair = |s: &Seen| (s.service().to_owned(), s.resource["service.version"].clone());
        self.spans.iter().map(pair).collect()
    }
}

fn lines(requests: Vec<ExportLogsServiceRequest>) -> Vec<String> {
    let resources = requests.into_iter().flat_map(|r| r.resource_logs);
    let records = resources.flat_map(|r| r.scope_logs).flat_map(|s| s.log_records);
    records.map(|r| r.body.as_ref().map(body_text).unwrap_or_default()).collect()
}

/// How much stronger the sign is than before.
fn grown(window: Signs, reference: &Signs) -> Signs {
    let before = |name: &String| reference.get(name).copied().unwrap_or_default();
    window.into_iter().map(|(name, now)| (name.clone(), now - before(&name))).collect()
}

/// How many times as strong.
fn times(window: Signs, reference: &Signs) -> Signs {
    let factor = |(name, now)| Some((name, now / reference.get(name).filter(|was| **was > 0.0)?));
    window
        .iter()
        .filter_map(|(name, now)| factor((name, *now)))
        .map(|(n, f)| (n.clone(), f))
        .collect()
}

fn statement_ms(s: &Seen) -> Option<(String, f64)> {
    Some((s.attributes.get("db.query.summary")?.clone(), s.ns() as f64 / 1e6))
}

/// Share of the calls of each address that failed though nothing failed below them.
fn failing_peers(sent: &Sent) -> Signs {
    let failed = sent.spans.iter().filter(|s| s.failed());
    let above: BTreeSet<&[u8]> = failed.map(|s| &s.span.parent_span_id[..]).collect();
    sent.means(|s| {
        let asks = matches!(s.span.kind, 3 | 4);
        let peer = s.attributes.get("server.address").filter(|_| asks)?;
        let fails = s.failed() && !above.contains(&s.span.span_id[..]);
        Some((peer.clone(), f64::from(u8::from(fails))))
    })
}

/// Requests of users in a second, by name.
fn asked(sent: &Sent, range: TimeRange) -> Signs {
    let mut counts = Signs::new();
    for span in sent.spans.iter().filter(|s| s.span.parent_span_id.is_empty()) {
        *counts.entry(span.span.name.clone()).or_default() +=
            1e9 / (range.to() - range.from()) as f64;
    }
    counts
}

/// The strongest candidate, and how many times as strong as the next it is.
fn strongest(signs: &Signs) -> (String, f64) {
    let mut ranked: Vec<(&String, &f64)> = signs.iter().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(a.1));
    let next = ranked.get(1).map_or(0.0, |next| *next.1).max(1e-9);
    ranked.first().map_or_else(Default::default, |first| (first.0.clone(), first.1 / next))
}

/// Statements of each service for one request of a user.
fn per_request(sent: &Sent) -> Signs {
    let mut counts = Signs::new();
    let asks = sent.spans.iter().filter(|s| s.attributes.contains_key("db.query.summary"));
    asks.for_each(|s| *counts.entry(s.service().to_owned()).or_default() += 1.0);
    let roots = sent.spans.iter().filter(|s| s.span.parent_span_id.is_empty()).count();
    counts.into_iter().map(|(name, count)| (name, count / roots as f64)).collect()
}

/// Who the signs of the labelled cause point at, and whether the cause shows besides.
fn seen(one: &Scenario, was: &Sent, now: &Sent) -> (String, f64, bool) {
    let by_host = |metric, tag| now.greatest(metric, "host.name", tag);
    let (signs, besides) = match one.truth.cause {
        Cause::Statement => {
            let reads = [
                ("postgresql.blocks_read", ("source", "heap_read")),
                ("mysql.handlers", ("kind", "read_rnd_next")),
            ];
            let scans = reads.iter().any(|(m, t)| now.growth(m, *t) > 5.0 * was.growth(m, *t));
            (grown(now.means(statement_ms), &was.means(statement_ms)), scans)
        }
        Cause::Lock => {
            let locks = |sent: &Sent| {
                let of = numbers(&sent.metrics, "postgresql.database.locks");
                of.filter(|p| p.1["mode"] == "ShareLock").map(|p| p.2).sum::<f64>()
            };
            let waits = locks(now) > 3.0 * locks(was) + 3.0;
            (grown(now.means(statement_ms), &was.means(statement_ms)), waits)
        }
        Cause::Cpu => {
            let busy = by_host("process.cpu.utilization", None);
            let idle = by_host("system.cpu.utilization", Some(("cpu.mode", "user")));
            let host = strongest(&idle).0;
            (idle, busy.get(&host).is_some_and(|cores| *cores > 0.5))
        }
        Cause::Neighbour => {
            let cores = by_host("container.cpu.usage", None);
            let host = strongest(&cores).0;
            let idle = by_host("system.cpu.utilization", Some(("cpu.mode", "user")));
            (cores, idle[&host] > 0.65)
        }
        Cause::Gc => {
            let of = |sent: &Sent| {
                sent.distribution("jvm.gc.duration", |m, _| m.resource["service.name"].clone())
            };
            (grown(of(now), &of(was)), true)
        }
        Cause::Memory => {
            let used = now.greatest("container.memory.usage", "service.name", None);
            let limits = now.greatest("k8s.container.memory_limit", "service.name", None);
            let killed = now.says("Memory cgroup out of memory");
            (times(used, &limits), killed)
        }
        Cause::External | Cause::Disk => {
            let full = by_host("system.filesystem.utilization", None).values().any(|v| *v > 0.99);
            let shows = one.truth.cause == Cause::External || full && now.says("No space left");
            (grown(failing_peers(now), &failing_peers(was)), shows)
        }
        Cause::NPlusOne => (times(per_request(now), &per_request(was)), released(one, was, now)),
        Cause::Version => (times(now.own_ms(), &was.own_ms()), released(one, was, now)),
        Cause::Network => {
            let of = |sent: &Sent| sent.distribution("obi.stat.tcp.rtt", |_, edge| edge.join(" "));
            (grown(of(now), &of(was)), true)
        }
        Cause::Pool => {
            let metric = "db.client.connection.pending_requests";
            let of = |sent: &Sent| sent.greatest(metric, "service.name", None);
            (grown(of(now), &of(was)), true)
        }
        Cause::Traffic | Cause::None => (Signs::new(), true),
    };
    let (who, lead) = strongest(&signs);
    (who, lead, besides)
}

/// Whether the labelled service has a version that it did not have before.
fn released(one: &Scenario, was: &Sent, now: &Sent) -> bool {
    let Entity::Service { service, version } = &one.truth.entity else { return false };
    let pair = (service.clone(), version.clone());
    now.versions().contains(&pair) && !was.versions().contains(&pair)
}

/// The entity in the words of the signs.
fn wanted(entity: &Entity) -> String {
    match entity {
        Entity::None => String::new(),
        Entity::Service { service, .. } | Entity::Instance { service, .. } => service.clone(),
        Entity::Host { host } => host.clone(),
        Entity::Statement { statement, .. } => statement.clone(),
        Entity::Edge { caller, callee } => format!("{caller} {callee}"),
        Entity::Peer { address, .. } => address.clone(),
    }
}

#[test]
fn what_a_label_says_is_to_be_seen() {
    let size = Size { traces_per_second: 20.0, reference_s: 60, window_s: 150, ..Size::default() };
    let mut wrong = Vec::new();
    for (number, kind) in Incident::ALL.into_iter().enumerate() {
        for seed in (0..EACH).map(|n| number as u64 + 16 * n) {
            let one = scenario_of(seed, Some(kind), &size);
            let (was, now) = (Sent::new(&one, one.reference), Sent::new(&one, one.window));
            let (who, lead, besides) = seen(&one, &was, &now);
            let more = times(asked(&now, one.window), &asked(&was, one.reference));
            let surge = one.truth.cause == Cause::Traffic && more.values().any(|more| *more > 1.8);
            if !surge && (who != wanted(&one.truth.entity) || lead < 1.3 || !besides) {
                wrong.push(format!(
                    "seed {seed} {kind}: {who} by {lead:.2} ({besides}), {:?} {:?}",
                    one.truth.entity, one.distractors
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
