use super::*;
use opentelemetry_proto::tonic::trace::v1::Span;

const UNTIL: i64 = 1_760_000_000_000_000_000;

fn recipe(name: Name, records: u64, distinct: u64) -> Recipe {
    let workload = WorkloadArgs {
        workload: name,
        signal: None,
        records,
        batch: 1000,
        distinct,
        seed: 1,
        traces_per_second: 400,
    };
    workload.recipe(UNTIL).unwrap()
}

fn decoded(workload: &Workload, number: u64) -> Vec<Span> {
    let body = workload.request(number).unwrap().body;
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|r| r.scope_spans);
    scopes.flat_map(|s| s.spans).collect()
}

#[test]
fn a_later_round_differs_in_ids_and_times_only() {
    let names = [(Name::Shop, 5000), (Name::Jaeger, 3000), (Name::Wide, 2000)];
    for (name, distinct) in names {
        let workload = Workload::generate(&recipe(name, 5 * distinct, distinct)).unwrap();
        let (records, bytes) = workload.size();
        assert!(records >= distinct && bytes / records > 200, "{records} {bytes}");
        let count = workload.templates().len() as u64;
        for number in 0..count {
            let first = decoded(&workload, number);
            let later = decoded(&workload, number + 3 * count);
            assert_eq!(first.len(), later.len());
            for (a, mut b) in first.into_iter().zip(later) {
                assert_ne!(a.trace_id, b.trace_id);
                assert_ne!(a.span_id, b.span_id);
                undo(&mut b, 3, 3 * workload.period);
                assert_eq!(a, b);
            }
        }
    }
}

/// Takes a round out of a span.
fn undo(span: &mut Span, round: u8, later: u64) {
    let ids = [&mut span.trace_id, &mut span.span_id, &mut span.parent_span_id];
    for id in ids.into_iter().filter(|id| !id.is_empty()) {
        id[3] ^= round;
    }
    span.start_time_unix_nano -= later;
    span.end_time_unix_nano -= later;
    span.events.iter_mut().for_each(|event| event.time_unix_nano -= later);
    for link in &mut span.links {
        link.trace_id[3] ^= round;
        link.span_id[3] ^= round;
    }
}

#[test]
fn a_workload_ends_when_it_is_to_and_has_the_records_asked_for() {
    let until = UNTIL as u64;
    for (name, records) in [(Name::Shop, 40_000), (Name::Jaeger, 20_000), (Name::Wide, 3000)] {
        let workload = Workload::generate(&recipe(name, records, records / 3)).unwrap();
        assert!(workload.requests() > workload.templates().len() as u64);
        let found = workload.records();
        assert!((records * 9 / 10..records * 11 / 10).contains(&found), "{name:?}: {found}");
        let starts = |number| -> Vec<u64> {
            decoded(&workload, number).iter().map(|s| s.start_time_unix_nano).collect()
        };
        let last = starts(workload.requests() - 1).into_iter().max().unwrap();
        // The shop's last round may stay unfinished; the others' requests end with the last.
        let slack = if name == Name::Shop { workload.period } else { 60_000_000_000 };
        let short = until.saturating_sub(last);
        assert!(short < slack || name == Name::Jaeger, "{name:?} {short}");
        assert!(last < until + 60_000_000_000, "{name:?}");
        if name == Name::Jaeger {
            let first = starts(0).into_iter().min().unwrap();
            let days = (last - first) / 86_400_000_000_000;
            assert_eq!(days, 9, "ten days without the last request's");
        }
    }
}

#[test]
fn logs_are_shifted_too() {
    for name in [Name::Shop, Name::Logs] {
        let recipe = Recipe { signal: Signal::Logs, batch: 500, ..recipe(name, 4000, 2000) };
        let workload = Workload::generate(&recipe).unwrap();
        let count = workload.templates().len() as u64;
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

#[test]
fn the_adversary_sends_single_spans_too() {
    let workload = Workload::generate(&recipe(Name::Adversarial, 10_010, 4004)).unwrap();
    assert_eq!((workload.requests(), workload.templates().len()), (20, 8));
    let sizes: Vec<u64> = (0..4).map(|n| workload.request(n).unwrap().records).collect();
    assert_eq!(sizes, [1000, 1, 1000, 1]);
    assert_eq!(workload.records(), 10_010);
}

#[test]
fn only_the_shop_has_a_choice_of_signals() {
    let args = |workload, signal| WorkloadArgs {
        workload,
        signal,
        records: 1,
        batch: 1,
        distinct: 9,
        seed: 1,
        traces_per_second: 400,
    };
    let signal = |workload, signal| args(workload, signal).recipe(0).map(|r| r.signal).ok();
    assert_eq!(signal(Name::Shop, None), Some(Signal::Traces));
    assert_eq!(signal(Name::Shop, Some(Signal::Logs)), Some(Signal::Logs));
    assert_eq!(signal(Name::Logs, None), Some(Signal::Logs));
    assert_eq!(signal(Name::Wide, Some(Signal::Logs)), None);
}
