//! Random systems with labelled faults: what no rule has been made by. Services, depths, stores, names
//! and instrumentation differ from seed to seed; the kinds of fault and the labels are those of
//! [`crate::scenario`].
//!
//! Far simpler than the shop: no clock skew, no lost spans, and of each store the metrics that matter.

mod draw;
mod measure;
mod metrics;
mod plan;
mod resources;
mod run;
mod spans;
mod system;
#[cfg(test)]
mod tests;
mod topology;

use headrope_model::TimeRange;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use serde::Serialize;

use crate::config::Incident;
use crate::fault::{Action, Cause, Coincidence, Place};
use crate::scenario::{Entity, FaultLabel, Label, Size};
use crate::shop::Slice;
use measure::Measured;
use metrics::Totals;
use plan::Plan;
use run::Records;

const NANOS: i64 = 1_000_000_000;
/// Spans of a request that is sent.
const BATCH: usize = 512;

/// A random system with a labelled fault, or none.
#[derive(Debug, Clone, Serialize)]
pub struct Landscape {
    /// What it was drawn from.
    pub seed: u64,
    /// When all was well; first instant and first instant after it, Unix nanoseconds.
    pub reference: (i64, i64),
    /// When users complain, or not.
    pub window: (i64, i64),
    /// What a verdict should say.
    pub truth: Label,
    /// The harmless changes.
    pub distractors: Vec<Coincidence>,
    /// How many services, hosts and stores there are.
    pub counts: (usize, usize, usize),
    /// Seconds between two points of a series.
    metric_interval_s: i64,
    #[serde(skip)]
    plan: Plan,
}

/// The landscape of a seed: of any 16 seeds in a row each kind of fault has one, and three are healthy.
/// A kind that the system has no place for gives way to a bad release.
#[must_use]
pub fn landscape(seed: u64, size: &Size) -> Landscape {
    landscape_of(seed, Incident::ALL.get((seed % 16) as usize).copied(), size)
}

/// A landscape with a fault of this kind, or a healthy one.
#[must_use]
pub fn landscape_of(seed: u64, kind: Option<Incident>, size: &Size) -> Landscape {
    let drawn = draw::draw(seed, kind, size);
    let system = &drawn.plan.system;
    let counts = (system.services.len(), system.hosts.len(), system.stores.len());
    let (distractors, truth) = (drawn.distractors.clone(), label(&drawn));
    let nanos = |range: (i64, i64)| (range.0 * NANOS, range.1 * NANOS);
    Landscape {
        seed,
        reference: nanos(drawn.reference),
        window: nanos(drawn.window),
        truth,
        distractors,
        counts,
        metric_interval_s: i64::from(size.metric_interval_s.max(1)),
        plan: drawn.plan,
    }
}

fn label(drawn: &draw::Drawn) -> Label {
    let Measured { affected, unaffected, excess, mean, costs, .. } = &drawn.measured;
    let fault = drawn.plan.faults.first().map(|trouble| {
        let place = draw::place(&drawn.plan, trouble);
        let overall = costs.first().map(|c| (c.overall, c.entries.clone())).unwrap_or_default();
        FaultLabel {
            fault: trouble.kind,
            strength: trouble.strength,
            entity: draw::entity(&drawn.plan, trouble, drawn.measured.bottleneck()),
            cause: trouble.kind.cause(),
            action: draw::action(trouble),
            also: trouble.kind.also(&place),
            share: 1.0,
            entity_ns: drawn.measured.ledger_at(&drawn.plan, draw::spot(drawn, trouble)),
            overall: overall.0,
            entries: overall.1,
            place,
        }
    });
    let spot = drawn.plan.faults.first().map(|trouble| draw::spot(drawn, trouble));
    Label {
        fault: fault.as_ref().map(|f| f.fault),
        place: fault.as_ref().map_or(Place::Usual, |f| f.place.clone()),
        strength: fault.as_ref().map_or(0.0, |f| f.strength),
        entity: fault.as_ref().map_or(Entity::None, |f| f.entity.clone()),
        cause: fault.as_ref().map_or(Cause::None, |f| f.cause),
        action: fault.as_ref().map_or(Action::None, |f| f.action),
        also: fault.as_ref().map_or_else(Vec::new, |f| f.also.clone()),
        planted_share: drawn.measured.share(),
        entity_share: spot.and_then(|spot| drawn.measured.share_at(&drawn.plan, spot)),
        affected: affected.clone(),
        unaffected: unaffected.clone(),
        excess: excess.clone(),
        faults: fault.into_iter().collect(),
        mean: mean.clone(),
    }
}

impl Landscape {
    /// What is sent for the reference and the window, one slice for each interval of the metrics.
    pub fn slices(&self) -> impl Iterator<Item = Slice> + '_ {
        let (first, last) = (self.reference.0 / NANOS, self.window.1 / NANOS);
        let mut totals = Totals::new(&self.plan, first);
        let step = self.metric_interval_s;
        (0..(last - first) / step).map(move |number| {
            let (from, to) = (first + number * step, first + (number + 1) * step);
            let mut records = Records::default();
            (from..to).for_each(|second| run::second(&self.plan, second, &mut records));
            let resource_metrics = metrics::of(&self.plan, &records, (from, to), &mut totals);
            Slice {
                range: TimeRange::new(from * NANOS, to * NANOS).unwrap_or(TimeRange::ALL),
                traces: spans::traces(&self.plan, &records, BATCH),
                logs: spans::logs(&self.plan, &records, (from, to)),
                metrics: vec![ExportMetricsServiceRequest { resource_metrics }],
            }
        })
    }
}
