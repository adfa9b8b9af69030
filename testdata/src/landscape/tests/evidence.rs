//! What a label says can be seen in what is sent, whatever the dialect.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::metrics::v1::metric::Data;

use super::super::*;
use crate::shop::tests::view::{flat, metrics_of, numbers};

type Tags = BTreeMap<String, String>;

/// First and last value, sum and number of the points of a series.
#[derive(Debug, Default, Clone, Copy)]
struct Series {
    first: f64,
    last: f64,
    sum: f64,
    count: f64,
}

impl Series {
    fn add(&mut self, value: f64) {
        if self.count == 0.0 {
            self.first = value;
        }
        self.last = value;
        self.sum += value;
        self.count += 1.0;
    }
}

/// The series of a range by name, resource and attributes.
fn series(slices: Vec<Slice>) -> BTreeMap<(String, String), Series> {
    let all = metrics_of(slices.into_iter().flat_map(|slice| slice.metrics).collect());
    let mut found: BTreeMap<(String, String), Series> = BTreeMap::new();
    let key = |name: &str, resource: &Tags, tags: &Tags| {
        (name.to_owned(), format!("{resource:?} {tags:?}"))
    };
    let mut names: Vec<String> = all.iter().map(|m| m.metric.name.clone()).collect();
    names.sort();
    names.dedup();
    for name in &names {
        for (resource, tags, value) in numbers(&all, name) {
            found.entry(key(name, resource, &tags)).or_default().add(value);
        }
    }
    for measured in &all {
        let mut add = |tags, value| {
            found
                .entry(key(&measured.metric.name, &measured.resource, &tags))
                .or_default()
                .add(value);
        };
        match &measured.metric.data {
            Some(Data::Histogram(data)) => {
                data.data_points.iter().for_each(|p| add(flat(&p.attributes), p.sum.unwrap()));
            }
            Some(Data::Summary(data)) => {
                data.data_points.iter().for_each(|p| add(flat(&p.attributes), p.sum));
            }
            _ => {}
        }
    }
    found
}

/// Names of metrics that show a cause, and whether they count since the start.
const fn signs(cause: Cause) -> &'static [(&'static str, bool)] {
    match cause {
        Cause::Statement => &[
            ("postgresql.blocks_read", true),
            ("pg_stat_database_tup_returned", true),
            ("mysql.handlers", true),
            ("mysql_global_status_handlers_total", true),
        ],
        Cause::Lock => &[
            ("postgresql.database.locks", false),
            ("pg_locks_count", false),
            ("mysql.row_locks", true),
            ("mysql_global_status_innodb_row_lock_time", true),
        ],
        Cause::Cpu => &[("system.cpu.utilization", false), ("node_cpu_seconds_total", true)],
        Cause::Neighbour => &[("system.cpu.load_average.1m", false), ("node_load1", false)],
        Cause::Gc => &[
            ("jvm.gc.duration", false),
            ("process.runtime.jvm.gc.duration", false),
            ("jvm_gc_pause_seconds", true),
        ],
        Cause::Memory => &[
            ("container.memory.usage", false),
            ("container_memory_working_set_bytes", false),
            ("k8s.container.memory_limit_utilization", false),
        ],
        Cause::Disk => {
            &[("system.filesystem.utilization", false), ("node_filesystem_avail_bytes", false)]
        }
        Cause::Pool => &[
            ("db.client.connection.pending_requests", false),
            ("db.client.connections.pending_requests", false),
            ("hikaricp_connections_pending", false),
        ],
        _ => &[],
    }
}

/// What the resource of a sign names.
fn owner(entity: &Entity) -> String {
    match entity {
        Entity::Service { service, .. } | Entity::Instance { service, .. } => service.clone(),
        Entity::Host { host } | Entity::Peer { host, .. } => host.clone(),
        Entity::Statement { database, .. } => database.clone(),
        Entity::Edge { .. } | Entity::None => String::new(),
    }
}

#[test]
fn what_a_label_says_is_to_be_seen_in_every_dialect() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for seed in 0..48 {
        let kind = Incident::ALL.get((seed % 16) as usize).copied();
        if kind.is_none_or(|kind| signs(kind.cause()).is_empty()) {
            continue;
        }
        let one = landscape(
            seed,
            &Size { traces_per_second: 15.0, reference_s: 60, window_s: 120, ..Size::default() },
        );
        let (cause, owner) = (one.truth.cause, owner(&one.truth.entity));
        let (before, after): (Vec<Slice>, Vec<Slice>) =
            one.slices().partition(|slice| slice.range.to() <= one.window.0);
        let (before, after) = (series(before), series(after));
        let mut best: f64 = 0.0;
        for (name, counts) in signs(cause) {
            let of_owner = after.iter().filter(|((n, r), _)| n == name && r.contains(&owner));
            for (key, now) in of_owner {
                let was = before.get(key).copied().unwrap_or_default();
                let value = |s: Series, seconds: f64| {
                    if *counts { (s.last - s.first) / seconds } else { s.sum / s.count.max(1.0) }
                };
                let (was, now) = (value(was, 50.0), value(*now, 110.0));
                // What is left counts as much as what is used.
                best = best.max(now / was.max(1e-3)).max(was / now.max(1e-3));
            }
        }
        seen += usize::from(!signs(cause).is_empty());
        if !signs(cause).is_empty() && best < 1.25 {
            wrong.push(format!("{seed} {cause:?} {owner}: {best:.2} {:?}", one.truth.place));
        }
    }
    assert!(seen > 20, "{seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
