//! Patterns, errors, differences, changes and anomalies over the shop with incidents, against what the shop knows of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use headrope_model::TimeRange;
use headrope_storage::Engine;
use headrope_testdata::{Incident, Planned, Shop, ShopConfig, Truth};
use tempfile::TempDir;

use crate::answer::change::{ChangeQuery, NewChange, Recorded};
use crate::answer::difference::{DifferenceQuery, Focus};
use crate::answer::pattern::{ErrorQuery, PatternQuery};
use crate::ask::pattern::{ChangedPattern, changed};
use crate::engine::Session;
use crate::tests::{Placed, Seeded, empty, seeded, send};
use crate::{Queries, QueryConfig};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
/// 2025-01-06T00:10:00Z.
const FROM: i64 = 1_736_122_200 * SECOND;

/// A shop whose window may have an incident; the reference is in merged segments, the window live.
struct Stage {
    engine: Arc<Engine>,
    queries: Queries,
    reference: TimeRange,
    window: TimeRange,
    truth: Option<Truth>,
    _dir: TempDir,
}

async fn stage(incident: Option<Incident>, minutes: [i64; 2], flush: bool) -> Stage {
    Box::pin(set(incident, minutes, flush)).await
}

async fn set(incident: Option<Incident>, minutes: [i64; 2], flush: bool) -> Stage {
    let (engine, queries, dir) = empty(QueryConfig::default()).await;
    let reference = TimeRange::new(FROM, FROM + minutes[0] * MINUTE).unwrap();
    let window = TimeRange::new(reference.to(), reference.to() + minutes[1] * MINUTE).unwrap();
    let shop = Box::new(Shop::with_config(ShopConfig {
        seed: 23,
        traces_per_second: 12.0,
        start_ns: FROM - 3600 * SECOND,
        incidents: incident.map(|kind| Planned::new(kind, window)).into_iter().collect(),
        ..ShopConfig::default()
    }));
    let truth = shop.truths().into_iter().next();
    let before = TimeRange::new(FROM - MINUTE, window.from()).unwrap();
    for slice in shop.slices(before, 120) {
        send(&engine, slice).await;
        engine.flush().await.unwrap();
    }
    engine.compact().await.unwrap();
    for slice in shop.slices(window, 120) {
        send(&engine, slice).await;
    }
    if flush {
        engine.flush().await.unwrap();
    }
    Stage { engine, queries, reference, window, truth, _dir: dir }
}

impl Stage {
    async fn changed(&self) -> Vec<ChangedPattern> {
        let session =
            Session::open(&self.queries.machine(), self.engine.snapshot().await.unwrap()).unwrap();
        changed(&session, (self.reference, self.window), None, None).await.unwrap()
    }

    fn differences(&self, focus: Focus) -> DifferenceQuery {
        DifferenceQuery {
            range: self.window,
            reference: None,
            service: None,
            operation: None,
            focus,
            min_duration_ns: None,
        }
    }
}

fn patterns_of(range: TimeRange) -> PatternQuery {
    PatternQuery { range, reference: None, service: None, min_severity: None, limit: 1000 }
}

/// Lines by service, and by service and severity, are those that were sent.
async fn counts_are_exact(data: &Seeded) {
    let all = data.queries.log_patterns(&patterns_of(data.range)).await.unwrap();
    assert_eq!(all.lines, data.oracle.log_count());
    assert!(all.patterns.iter().all(|p| !p.estimated && p.example.is_some()));
    let mut by_service: BTreeMap<String, u64> = BTreeMap::new();
    for pattern in &all.patterns {
        *by_service.entry(pattern.service.clone()).or_default() += pattern.count;
    }
    assert_eq!(by_service, data.oracle.logs_by_service());
    let share: f64 = all.patterns.iter().map(|p| p.share).sum();
    assert!((share - 1.0).abs() < 1e-9, "{share}");
    let service = by_service.into_keys().next().unwrap();
    let warnings = PatternQuery {
        service: Some(service.clone()),
        min_severity: Some(13),
        ..patterns_of(data.range)
    };
    let found = data.queries.log_patterns(&warnings).await.unwrap();
    let want: u64 = data.oracle.logs_by_severity(&service).range(13..).map(|(_, n)| n).sum();
    assert_eq!(found.lines, want);
    assert!(found.patterns.iter().all(|p| p.service == service));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patterns_count_every_line_once() {
    let mut templates = Vec::new();
    for placed in [Placed::Live, Placed::Flushed, Placed::Mixed, Placed::Merged] {
        let data = seeded(placed).await;
        counts_are_exact(&data).await;
        let all = data.queries.log_patterns(&patterns_of(data.range)).await.unwrap();
        templates.push(all.patterns.len());
        for pattern in &all.patterns {
            let body = &pattern.example.as_ref().unwrap().body;
            let first = pattern.template.split(' ').next().unwrap();
            assert!(first.contains('<') || body.starts_with(first), "{} {body}", pattern.template);
        }
    }
    let (least, most) = (templates.iter().min().unwrap(), templates.iter().max().unwrap());
    assert!(*most <= 2 * least && *most < 300, "patterns by place: {templates:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_shop_has_hardly_a_changed_pattern() {
    for flush in [false, true] {
        let stage = stage(None, [4, 4], flush).await;
        let found = stage.changed().await;
        assert!(found.len() <= 1, "flushed {flush}: {found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_payments_are_new_patterns_and_errors() {
    for flush in [false, true] {
        let stage = stage(Some(Incident::DependencyErrors), [4, 4], flush).await;
        let found = stage.changed().await;
        let of_payment = found.iter().find(|p| p.service == "payment" && p.severity == "ERROR");
        let pattern = of_payment.unwrap_or_else(|| panic!("flushed {flush}: {found:#?}"));
        assert!(pattern.window > 10 * pattern.reference.max(1), "{pattern:?}");
        let id = pattern.example_trace.as_ref().unwrap().parse().unwrap();
        let trace = stage.queries.trace(id, 1000).await.unwrap();
        assert!(trace.spans.iter().any(|s| s.service == "payment" && s.status_code == "ERROR"));

        let query = ErrorQuery { range: stage.window, reference: None, service: None, limit: 1000 };
        let errors = stage.queries.errors(&query).await.unwrap();
        assert_eq!((errors.left_out, errors.reference_chosen), (0, "before"));
        let group = errors.groups.iter().find(|g| g.services.iter().any(|s| s == "payment"));
        let group = group.unwrap_or_else(|| panic!("{:#?}", errors.groups));
        assert!(matches!(group.change, "new" | "more"), "{group:?}");
        assert!(stage.window.contains(group.last_seen.0) && group.trace_id.is_some());
        assert!(!group.kind.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_traces_differ_by_what_fails() {
    let stage = stage(Some(Incident::DependencyErrors), [2, 4], true).await;
    let found = stage.queries.differences(&stage.differences(Focus::Failed)).await.unwrap();
    assert!(found.focus.traces >= 20 && found.normal.traces >= 500, "{:?}", found.focus);
    let of_payment = |text: &str| text.contains("payment");
    let line = found.lines.iter().find(|l| l.chosen).unwrap();
    let named = of_payment(&line.text) || line.also.iter().any(|text| of_payment(text));
    assert!(named && line.more, "{:#?}", found.lines.iter().map(|l| &l.text).collect::<Vec<_>>());
    assert!(
        found.held >= 0.5 && found.normal_marked < 0.2,
        "{} {}",
        found.held,
        found.normal_marked
    );
    let id = line.trace_id.as_ref().unwrap().parse().unwrap();
    let trace = stage.queries.trace(id, 1000).await.unwrap();
    assert!(trace.spans.iter().any(|s| s.parent_span_id.is_none() && s.status_code == "ERROR"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_traces_of_a_busy_host_differ_by_its_state() {
    let stage = stage(Some(Incident::Cpu), [4, 4], true).await;
    let host = stage.truth.as_ref().unwrap().host.clone();
    let query =
        DifferenceQuery { reference: Some(stage.reference), ..stage.differences(Focus::Slow) };
    let found = stage.queries.differences(&query).await.unwrap();
    let texts = || found.lines.iter().flat_map(|l| std::iter::once(&l.text).chain(&l.also));
    let state = texts().any(|text| text.contains("system.cpu.utilization above"));
    assert!(state, "{:#?}", found.lines.iter().map(|l| (&l.text, &l.also)).collect::<Vec<_>>());
    assert!(!host.is_empty());
    assert!(found.focus.of > 2 * 4 * 60 * 12 / 20, "slow traces: {:?}", found.focus);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_queries_of_a_request_are_a_difference() {
    let stage = stage(Some(Incident::NPlusOne), [4, 4], false).await;
    let query = DifferenceQuery {
        reference: Some(stage.reference),
        service: Some("catalog".to_owned()),
        ..stage.differences(Focus::Slow)
    };
    let found = stage.queries.differences(&query).await.unwrap();
    let calls = found.lines.iter().any(|l| {
        l.more
            && std::iter::once(&l.text)
                .chain(&l.also)
                .any(|text| text.contains("catalog: more than"))
    });
    let lines: Vec<_> = found.lines.iter().map(|l| (&l.text, &l.also)).collect();
    assert!(calls, "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn normal_traces_do_not_differ_among_themselves() {
    let stage = stage(None, [2, 2], false).await;
    // Whether a trace's first digit is even says nothing about it.
    let query = DifferenceQuery { min_duration_ns: Some(1), ..stage.differences(Focus::Slow) };
    let found = stage.queries.differences(&query).await.unwrap();
    // All are slow: there is nothing to compare them with.
    assert_eq!((found.normal.traces, found.lines.len()), (0, 0));
    assert!(found.focus.traces > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn releases_are_changes_and_slower_work_is_performance() {
    let stage = stage(Some(Incident::BadDeploy), [4, 4], true).await;
    let truth = stage.truth.clone().unwrap();
    let query = ChangeQuery { range: stage.window, reference: None, service: None };
    let found = stage.queries.changes(&query).await.unwrap();
    let version = found.changes.iter().find(|c| c.kind == "version");
    let version = version.unwrap_or_else(|| panic!("{:#?}", found.changes));
    assert_eq!(version.service.as_deref(), Some(truth.service.as_str()));
    assert_eq!(version.version.as_deref(), Some(truth.version.as_str()));
    assert!(stage.window.contains(version.time.unwrap().0));
    let others: Vec<_> =
        found.changes.iter().filter(|c| c.service.as_deref() != Some(&truth.service)).collect();
    assert!(others.len() <= 5, "{others:#?}");
    let shift = found.latency.iter().find(|l| l.service == truth.service).unwrap();
    let added = shift.window_mean_ns - shift.reference_mean_ns;
    assert!((shift.mix_ns + shift.performance_ns - added).abs() <= 2, "{shift:?}");
    assert!(shift.performance_ns > added / 2 && added > 0, "{shift:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_shop_has_hardly_a_change() {
    let stage = stage(None, [4, 4], true).await;
    let query = ChangeQuery { range: stage.window, reference: None, service: None };
    let found = stage.queries.changes(&query).await.unwrap();
    assert!(found.changes.len() <= 2, "{:#?}", found.changes);
    assert!(!found.latency.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_changes_are_there_wherever_their_rows_are() {
    let (engine, queries, _dir) = empty(QueryConfig::default()).await;
    let at = |seconds: i64| FROM + seconds * SECOND;
    for (kind, seconds) in Recorded::ALL.into_iter().zip(0..) {
        let change = NewChange {
            kind,
            service: (seconds % 2 == 0).then(|| "cart".to_owned()),
            version: Some(format!("1.{seconds}")),
            time: Some(at(seconds).to_string()),
            text: Some("by hand".to_owned()),
            link: Some("https://example.com/1".to_owned()),
        };
        let row = queries.record_change(change).await.unwrap();
        assert_eq!((row.kind, row.time.unwrap().0), (kind.name(), at(seconds)));
    }
    let range = TimeRange::new(FROM, FROM + MINUTE).unwrap();
    for flushed in [false, true] {
        if flushed {
            engine.flush().await.unwrap();
        }
        for service in [None, Some("cart".to_owned()), Some("web".to_owned())] {
            let query = ChangeQuery { range, reference: None, service: service.clone() };
            let found = queries.changes(&query).await.unwrap().changes;
            let names: Vec<&str> = found.iter().map(|c| c.kind).collect();
            let mine = |n: &usize| n % 2 == 1 || service.as_deref() != Some("web");
            let want: Vec<&str> = (0..8).filter(mine).map(|n| Recorded::ALL[n].name()).collect();
            assert_eq!(names, want, "{service:?} {flushed}");
            assert!(found.iter().all(|c| c.recorded && c.text == "by hand"));
            assert!(found.iter().all(|c| c.link.as_deref() == Some("https://example.com/1")));
            assert!(found.iter().all(|c| c.service.as_deref().is_none_or(|s| s == "cart")));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_payments_are_an_anomaly_and_a_quiet_shop_has_none() {
    for incident in [None, Some(Incident::DependencyErrors)] {
        let stage = stage(incident, [14, 6], true).await;
        let found = stage.queries.anomalies(stage.window, None).await.unwrap();
        assert_eq!(found.baseline.kind, "before");
        let errors: Vec<_> = found.anomalies.iter().filter(|a| a.measure == "errors").collect();
        if incident.is_none() {
            assert!(found.anomalies.is_empty(), "{:#?}", found.anomalies);
            continue;
        }
        let payment = errors.iter().find(|a| a.service == "payment");
        let payment = payment.unwrap_or_else(|| panic!("{:#?}", found.anomalies));
        assert!(payment.open && payment.direction == "above" && payment.observed > 0.2);
        assert!(payment.from.0 <= stage.window.from() + 2 * MINUTE, "{payment:?}");
        assert!(payment.probability > 0.95);
        let one = stage.queries.anomalies(stage.window, Some("payment")).await.unwrap();
        assert!(!one.anomalies.is_empty() && one.anomalies.iter().all(|a| a.service == "payment"));
    }
}
