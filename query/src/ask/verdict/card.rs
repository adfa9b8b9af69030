//! The answer: names, figures and sentences.

use std::collections::BTreeMap;
use std::sync::Arc;

use headrope_analysis::ledger::{Line, Part, Wait};
use headrope_analysis::verdict::{
    Action, Cause, Culprit, Inputs, Judgement, Node, Owner, RULES_VERSION, Reading, Told, failing,
};
use headrope_model::TimeRange;

use super::degrade::{degradable, survived};
use crate::answer::verdict::{
    CulpritRow, Evidence, Harm, LedgerRow, LedgerRows, Refuted, Trust, Verdict, VerdictQuery,
};
use crate::ask::chains::Figures;

/// Lines of the ledger in the answer.
const LINES: usize = 20;

pub(super) fn card(
    query: &VerdictQuery,
    reference: TimeRange,
    inputs: &Inputs,
    judgement: Judgement,
    figures: [Figures; 2],
) -> Verdict {
    let callers = callers(&judgement);
    let culprits: Vec<CulpritRow> =
        judgement.culprits.iter().map(|c| row(c, inputs, &callers)).collect();
    let first = judgement.culprits.first();
    Verdict {
        summary: summary(&judgement, culprits.first()),
        action: judgement.action.name(),
        confident: judgement.is_confident,
        abstains: judgement.abstains,
        ledger: ledger(&judgement),
        evidence: first.map(|c| evidence(c, &judgement, inputs)).unwrap_or_default(),
        refuted: first.map(|c| refuted(c, inputs)).unwrap_or_default(),
        degradable: degradable(inputs),
        trust: trust(inputs, figures),
        culprits,
        window: query.range.into(),
        reference: reference.into(),
        reference_chosen: if query.reference.is_some() { "asked" } else { "before" },
        rules_version: RULES_VERSION,
    }
}

fn nanoseconds(ns: f64) -> i64 {
    ns.round() as i64
}

/// Of each peer, the service that loses most by it.
fn callers(judgement: &Judgement) -> BTreeMap<Arc<str>, Arc<str>> {
    let mut most: BTreeMap<Arc<str>, (f64, Arc<str>)> = BTreeMap::new();
    for line in &judgement.ledger.lines {
        if let Wait::Remote(peer) = &line.part.wait {
            let of_peer = most.entry(peer.name.clone()).or_insert((f64::MIN, Arc::default()));
            if line.excess_ns > of_peer.0 {
                *of_peer = (line.excess_ns, line.part.operation.service.clone());
            }
        }
    }
    most.into_iter().map(|(peer, (_, service))| (peer, service)).collect()
}

fn row(culprit: &Culprit, inputs: &Inputs, callers: &BTreeMap<Arc<str>, Arc<str>>) -> CulpritRow {
    let suspect = &culprit.suspect;
    let (service, peer) = match &suspect.node {
        Node::Service(service) => (service.to_string(), None),
        Node::Peer(peer) => {
            (callers.get(peer).map(ToString::to_string).unwrap_or_default(), Some(peer.to_string()))
        }
    };
    let statement = suspect.part.as_ref().and_then(|part| match &part.wait {
        Wait::Remote(peer) => peer.statement.as_ref().map(ToString::to_string),
        _ => None,
    });
    let host =
        culprit.readings.iter().filter_map(|at| inputs.readings.get(*at)).find_map(|reading| {
            match &reading.owner {
                Owner::Host(host) => Some(host.to_string()),
                _ => None,
            }
        });
    CulpritRow {
        service,
        instance: culprit.instance.as_ref().map(ToString::to_string),
        host,
        operation: suspect.part.as_ref().map(|part| part.operation.name.to_string()),
        peer,
        statement,
        cause: culprit.cause.name(),
        action: culprit.action.name(),
        share: culprit.share,
        confidence: culprit.confidence,
        added_ns: nanoseconds(suspect.added_ns),
        harm: Harm {
            total: suspect.harm,
            work: suspect.work,
            way: suspect.way,
            calls: suspect.calls,
            failure: suspect.failure,
            shape: suspect.shape,
        },
    }
}

fn ledger(judgement: &Judgement) -> LedgerRows {
    let found = &judgement.ledger;
    let mut lines: Vec<&Line> = found.lines.iter().collect();
    lines.sort_by(|a, b| {
        b.excess_ns.abs().total_cmp(&a.excess_ns.abs()).then_with(|| a.part.cmp(&b.part))
    });
    let shown: Vec<LedgerRow> =
        lines.iter().take(LINES).map(|line| ledger_row(line, found.excess_ns)).collect();
    let others: f64 = lines.iter().skip(LINES).map(|line| line.excess_ns).sum();
    let (compared, all) = found.compared;
    LedgerRows {
        excess_ns: nanoseconds(found.excess_ns),
        reference_ns: nanoseconds(found.reference_ns),
        lines: shown,
        others_ns: nanoseconds(others),
        compared: if all > 0 { compared as f64 / all as f64 } else { 0.0 },
    }
}

fn ledger_row(line: &Line, excess: f64) -> LedgerRow {
    let Part { operation, wait } = &line.part;
    let (kind, to, statement) = match wait {
        Wait::Work => ("work", None, None),
        Wait::Way(service) => ("way", Some(service.to_string()), None),
        Wait::Remote(peer) => (
            "remote",
            Some(peer.name.to_string()),
            peer.statement.as_ref().map(ToString::to_string),
        ),
    };
    LedgerRow {
        service: operation.service.to_string(),
        operation: operation.name.to_string(),
        wait: kind,
        to,
        statement,
        added_ns: nanoseconds(line.excess_ns),
        by_count_ns: nanoseconds(line.by_count_ns),
        share: if excess == 0.0 { 0.0 } else { line.excess_ns / excess },
        gain_ns: nanoseconds(line.gain_ns),
        z: line.z,
        each_ns: [nanoseconds(line.reference.1), nanoseconds(line.window.1)],
        spans: [line.reference.0, line.window.0],
    }
}

fn entity(owner: &Owner) -> String {
    match owner {
        Owner::Service(service, Some(instance)) => format!("{service} {instance}"),
        Owner::Service(name, None) | Owner::Host(name) | Owner::Store(name) => name.to_string(),
    }
}

fn of_reading(reading: &Reading) -> Evidence {
    let entity = entity(&reading.owner);
    Evidence {
        text: match reading.reference {
            Some(before) => {
                format!(
                    "{} of {entity} went from {before:.3} to {:.3}",
                    reading.metric, reading.window
                )
            }
            None => format!("{} of {entity} is {:.3}", reading.metric, reading.window),
        },
        entity,
        metric: reading.metric.clone(),
        reference: reading.reference,
        window: reading.window,
    }
}

fn evidence(culprit: &Culprit, judgement: &Judgement, inputs: &Inputs) -> Vec<Evidence> {
    let readings = culprit.readings.iter().filter_map(|at| inputs.readings.get(*at));
    let mut found: Vec<Evidence> = readings.map(of_reading).collect();
    let suspect = &culprit.suspect;
    let (Node::Service(name) | Node::Peer(name)) = &suspect.node;
    for release in inputs.releases.iter().filter(|release| release.service == *name) {
        let (what, metric) = match release.told {
            Told::Version => ("version", "service.version"),
            Told::ReplicaSet => ("replica set", "k8s.pod.name"),
        };
        found.push(Evidence {
            text: format!(
                "{name} runs {what} {}, which the reference does not have (it has {})",
                release.version,
                release.before.join(", ")
            ),
            entity: name.to_string(),
            metric: metric.to_owned(),
            reference: None,
            window: 1.0,
        });
    }
    if let Some(part) = &suspect.part
        && let Some(line) = judgement.ledger.lines.iter().find(|line| line.part == *part)
    {
        let milliseconds = |ns: f64| ns / 1e6;
        let (before, now) = (milliseconds(line.reference.1), milliseconds(line.window.1));
        found.push(Evidence {
            text: format!(
                "{} of {} takes {now:.1} ms on the critical path instead of {before:.1} ms",
                part.operation.name, part.operation.service
            ),
            entity: part.operation.service.to_string(),
            metric: "time on the critical path, ms".to_owned(),
            reference: Some(before),
            window: now,
        });
    }
    if suspect.way > 0.0 {
        found.push(Evidence {
            text: format!(
                "{:.0} % of the ways from and to {name} take longer; of its own operations {:.0} % do",
                suspect.coherence * 100.0,
                suspect.slower * 100.0
            ),
            entity: name.to_string(),
            metric: "share of ways that take longer".to_owned(),
            reference: None,
            window: suspect.coherence,
        });
    }
    found.extend(failures(culprit, inputs));
    found.extend(survived(culprit, inputs));
    let own = |service: &Arc<str>| service == name;
    for change in judgement.shapes.iter().filter(|change| own(&change.parent.service)).take(3) {
        found.push(Evidence {
            text: format!(
                "{} goes on to {} {} in {:.0} % of its spans instead of {:.0} %",
                change.parent.name,
                change.child.service,
                change.child.name,
                change.window * 100.0,
                change.reference * 100.0
            ),
            entity: name.to_string(),
            metric: "share of spans with this child".to_owned(),
            reference: Some(change.reference),
            window: change.window,
        });
    }
    found
}

/// That more requests fail where a culprit does, or get over a failure of it.
fn failures(culprit: &Culprit, inputs: &Inputs) -> Vec<Evidence> {
    let node = &culprit.suspect.node;
    let (Node::Service(name) | Node::Peer(name)) = node;
    let shares = failing(&inputs.reference, node).into_iter().zip(failing(&inputs.window, node));
    let kinds = ["fail because of it", "get over a failure of it"];
    let more = kinds.into_iter().zip(shares).filter(|(_, (before, now))| now > before);
    let more = more.filter(|_| culprit.suspect.failure > 0.0);
    more.map(|(what, (before, now))| Evidence {
        text: format!(
            "{:.1} % of the requests {what} instead of {:.1} %: {name}",
            now * 100.0,
            before * 100.0
        ),
        entity: name.to_string(),
        metric: format!("share of requests that {what}"),
        reference: Some(before),
        window: now,
    })
    .collect()
}

/// What a culprit might have suffered from and did not, as far as readings of it are known.
fn refuted(culprit: &Culprit, inputs: &Inputs) -> Vec<Refuted> {
    use headrope_analysis::verdict::Measure;
    let (Node::Service(name) | Node::Peer(name)) = &culprit.suspect.node;
    let own = |reading: &&Reading| match &reading.owner {
        Owner::Service(service, _) => service == name,
        Owner::Store(store) => store == name,
        Owner::Host(host) => inputs.hosts.get(name).is_some_and(|hosts| hosts.contains(host)),
    };
    let known = [
        (Cause::Cpu, &[Measure::Cpu, Measure::CpuBusy][..]),
        (Cause::GarbageCollection, &[Measure::Gc]),
        (Cause::Memory, &[Measure::MemoryUsed]),
        (Cause::Pool, &[Measure::PoolPending, Measure::PoolWait]),
        (Cause::Lock, &[Measure::Lock]),
        (Cause::Disk, &[Measure::DiskUsed]),
        (Cause::CpuThrottling, &[Measure::Throttled]),
    ];
    let mut found = Vec::new();
    for (cause, measures) in known.into_iter().filter(|(cause, _)| *cause != culprit.cause) {
        let readings: Vec<&Reading> = inputs
            .readings
            .iter()
            .filter(own)
            .filter(|reading| measures.contains(&reading.measure))
            .collect();
        let highest = readings.iter().max_by(|a, b| a.growth().total_cmp(&b.growth()));
        if let Some(reading) =
            highest.filter(|_| readings.iter().all(|reading| !reading.is_raised()))
        {
            found.push(Refuted { cause: cause.name(), because: of_reading(reading).text });
        }
    }
    found
}

fn trust(inputs: &Inputs, figures: [Figures; 2]) -> Trust {
    let [was, is] = figures;
    let services: std::collections::BTreeSet<&Arc<str>> =
        inputs.window.visits.keys().map(|operation| &operation.service).collect();
    let with_readings = services.iter().filter(|service| {
        inputs.readings.iter().any(|reading| match &reading.owner {
            Owner::Service(name, _) => name == **service,
            Owner::Host(host) => {
                inputs.hosts.get(**service).is_some_and(|hosts| hosts.contains(host))
            }
            Owner::Store(_) => false,
        })
    });
    let covered = with_readings.count() as f64 / (services.len() as f64).max(1.0);
    let (before, now) = (&inputs.reference, &inputs.window);
    let rootless = was.rootless.max(is.rootless);
    let requests = [before.requests(), now.requests()];
    let mut advice = Vec::new();
    if covered < 0.5 {
        advice.push(
            "few services have metrics of their process, container or host: send them with the same \
             service.instance.id, k8s.pod.name or host.name as the spans"
                .to_owned(),
        );
    }
    if rootless > 0.1 {
        advice.push(
            "many call chains lack their root: sample whole traces, and send spans of every service"
                .to_owned(),
        );
    }
    Trust {
        requests,
        spans: [was.spans, is.spans],
        read: [was.read, is.read],
        sampled: [was.sampled, is.sampled],
        rootless,
        covered,
        advice,
    }
}

fn summary(judgement: &Judgement, first: Option<&CulpritRow>) -> String {
    let milliseconds = judgement.ledger.excess_ns / 1e6;
    let change = match judgement.ledger.reference_ns {
        before if before > 0.0 => format!(
            "the mean request takes {:.1} ms {}, {:.1} ms before",
            milliseconds.abs(),
            if milliseconds >= 0.0 { "longer" } else { "less" },
            before / 1e6
        ),
        _ => "no requests to compare".to_owned(),
    };
    match first.filter(|_| judgement.is_confident) {
        None => format!("nobody is blamed: {change}"),
        Some(culprit) => {
            let who = culprit.peer.as_ref().unwrap_or(&culprit.service);
            let what = culprit.statement.as_ref().map(|s| format!(" ({s})")).unwrap_or_default();
            let todo = match judgement.action {
                Action::Unknown | Action::None => String::new(),
                action => format!("; {}", action.name().replace('_', " ")),
            };
            let cause = culprit.cause.replace('_', " ");
            format!("{who}{what}: {cause}; {change}{todo}")
        }
    }
}
