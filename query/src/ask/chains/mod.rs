//! Call chains of the requests of a window: of all of them if they are few, otherwise of a sample.
//!
//! A sample is a share of the traces, by their ids, of those that begin in some short stretches of the window. What is
//! read and what is held are bounded whatever the rate and the length of the window are. What a span begins after its
//! stretch is read until requests are expected to have ended.
//!
//! Reading order: `plan` (which stretches), `read` (spans by trace), `columns` (of spans as they are stored), `kind` (of
//! spans that do not say it).

mod columns;
mod kind;
mod plan;
mod read;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use headrope_analysis::ledger::Peer;
use headrope_analysis::{CallChain, Node, SpanKind, assemble};
use headrope_model::{DataSet, TimeRange, TraceId};

use self::plan::Plan;
use self::read::{Reader, Row};
use super::measure::{MEASURES, Measure, Measures};
use super::{IN_RANGE, bounded, in_range};
use crate::column::Columns;
use crate::engine::Session;
use crate::error::QueryError;

/// Where a service runs, as far as its spans say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) service: Arc<str>,
    pub(super) version: Option<Arc<str>>,
    pub(super) instance: Option<Arc<str>>,
    pub(super) container: Option<Arc<str>>,
    pub(super) pod: Option<Arc<str>>,
    pub(super) host: Option<Arc<str>>,
    pub(super) node: Option<Arc<str>>,
}

impl Place {
    /// The replica set of the pod, as Kubernetes names pods of deployments: the deployment, a hash of the template of 6 to 10
    /// characters, and 5 of the pod's own.
    pub(super) fn replica_set(&self) -> Option<&str> {
        let mut parts = self.pod.as_deref()?.rsplitn(3, '-');
        let (own, set, _) = (parts.next()?, parts.next()?, parts.next()?);
        let is_word = |part: &str| {
            part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        // Words of a name have no digits, as a rule; numbers are those of jobs.
        let digits = set.bytes().filter(u8::is_ascii_digit).count();
        let is_set = (6..=10).contains(&set.len()) && digits > 0 && digits < set.len();
        (own.len() == 5 && is_word(own) && is_word(set) && is_set).then_some(set)
    }
}

/// Where services run.
pub(super) type Places = HashSet<Place, RandomState>;

/// Spans by trace.
type Traces = HashMap<TraceId, Vec<Row>, RandomState>;

/// What a call chain does not say of a span.
#[derive(Debug, Clone, Default)]
pub(super) struct Detail {
    /// `service.instance.id`, otherwise the pod.
    pub(super) instance: Option<Arc<str>>,
    /// What a call is to, if it goes by what its attributes say.
    pub(super) peer: Option<Peer>,
    /// What kind of peer that is.
    pub(super) peer_kind: Option<Arc<str>>,
}

/// The call chain of a trace and the details of its spans, by [`Node::source`].
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) id: TraceId,
    pub(super) chain: CallChain,
    details: Vec<Detail>,
}

impl Chain {
    fn of(id: TraceId, rows: Vec<Row>) -> Self {
        let (mut records, mut details) = (Vec::new(), Vec::new());
        for (at, row) in rows.into_iter().enumerate() {
            records.push(headrope_analysis::SpanRecord { source: at, ..row.record });
            details.push(row.detail);
        }
        kind::infer(&mut records, &mut details);
        Self { id, chain: assemble(records), details }
    }

    pub(super) fn detail(&self, node: &Node) -> Option<&Detail> {
        self.details.get(node.source?)
    }

    /// What a span calls, by its own attributes.
    pub(super) fn remote(&self, node: &Node) -> Option<Peer> {
        match node.kind {
            SpanKind::Client | SpanKind::Producer => self.detail(node)?.peer.clone(),
            _ => None,
        }
    }

    /// The root, if it begins in a range and somebody waits for it: nobody waits for what a message sets off by itself.
    pub(super) fn request_in(&self, range: TimeRange) -> Option<usize> {
        let root = self.chain.main_root()?;
        let node = self.chain.nodes.get(root)?;
        (range.contains(node.start_ns) && node.kind != SpanKind::Consumer).then_some(root)
    }
}

/// What a sample was taken from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    /// Spans of the window.
    pub(super) spans: u64,
    /// Spans that were read.
    pub(super) read: u64,
    /// Share of the window's requests that the sample has, 0 to 1.
    pub(super) sampled: f64,
    /// Share of its call chains whose first span was not received, 0 to 1; as far as it was counted.
    pub(super) rootless: f64,
}

/// What was met beside call chains.
#[derive(Debug, Default)]
pub(super) struct Met {
    pub(super) places: Places,
    pub(super) figures: Figures,
}

/// Hands the call chains of a sample of the requests that begin in a window to `each`, stretch by stretch in the order of
/// time, within one in the order of their ids: `each(stretch, stretches, chain)`, with how many stretches there are. A chain
/// may have requests that begin outside.
pub(super) async fn chains(
    session: &Session,
    range: TimeRange,
    mut each: impl FnMut(TimeRange, usize, &Chain) + Send,
) -> Result<Met, QueryError> {
    let range = bounded(range, session.snapshot(), DataSet::Spans);
    let (spans, p99_ns) = size(session, range).await?;
    let plan = Plan::of(range, spans, p99_ns);
    let mut reader = Reader::new(plan.share);
    let mut covered = 0.0;
    for stretch in &plan.stretches {
        let to = stretch.to().saturating_add(plan.tail_ns);
        let read = TimeRange::new(stretch.from(), to).unwrap_or(*stretch);
        let most = plan::MOST_SPANS / plan.stretches.len().max(1) as u64;
        let share = Box::pin(reader.read(session, read, *stretch, most)).await?;
        covered += stretch.duration_ns() as f64 * share;
        let mut traces: Vec<(TraceId, Vec<Row>)> = reader.take().into_iter().collect();
        // Sums of floats depend on their order.
        traces.sort_unstable_by_key(|(id, _)| *id);
        for (id, rows) in traces {
            each(*stretch, plan.stretches.len(), &Chain::of(id, rows));
        }
    }
    let sampled = covered / (range.duration_ns() as f64).max(1.0);
    let figures = Figures { spans, read: reader.rows, sampled, rootless: 0.0 };
    Ok(Met { places: reader.places, figures })
}

/// Spans of a window, and the 99th percentile of its requests in nanoseconds; where next to no request has a root, one that
/// few spans exceed.
async fn size(session: &Session, range: TimeRange) -> Result<(u64, i64), QueryError> {
    let sql = format!(
        "SELECT parent_span_id IS NULL AS is_root, {MEASURES} FROM spans WHERE {IN_RANGE} GROUP BY 1"
    );
    /// Least share of all spans that are roots.
    const ROOTS: f64 = 0.001;
    let (mut roots, mut others) = (Measure::default(), Measure::default());
    for batch in session.rows(&sql, in_range(range)).await? {
        let columns = Columns(&batch);
        let (is_root, measures) = (columns.bools("is_root")?, Measures::of(&columns)?);
        for row in 0..batch.num_rows() {
            let kind = if is_root.value(row) { &mut roots } else { &mut others };
            kind.merge(&measures.get(row)?);
        }
    }
    let spans = roots.calls + others.calls;
    let p99_ns = match roots.calls as f64 >= ROOTS * spans as f64 {
        true => roots.quantile_ns(0.99),
        false => others.quantile_ns(0.999),
    };
    Ok((spans, p99_ns))
}
