//! What changed in a window against its reference.
//!
//! `instance` (versions and instances), `work` (operations, statements, the mean request), `record` (what people tell); patterns of logs
//! and errors are asked for where they are told.

mod instance;
pub(crate) mod record;
mod work;

use std::collections::BTreeSet;

use headrope_analysis::change::Occurring;
use headrope_analysis::pattern::mask;
use headrope_analysis::statistics::binomial_at_least;
use headrope_model::TimeRange;

use super::pattern::factor;
use super::{error, pattern, reference_of};
use crate::answer::Time;
use crate::answer::change::{ChangeQuery, ChangeRow, Changes};
use crate::engine::Session;
use crate::error::QueryError;

/// Most changes of an answer.
const MOST_CHANGES: usize = 500;
/// Probability below which a silence, or something new, is not taken for chance.
const BY_CHANCE: f64 = 1e-3;

/// Both ranges.
#[derive(Debug, Clone, Copy)]
struct Ranges {
    reference: TimeRange,
    window: TimeRange,
}

impl Ranges {
    /// Whether something seen so often in the window would have been seen in the reference.
    fn is_new(self, seen: u64) -> bool {
        let factor = factor(self.reference, self.window);
        binomial_at_least(seen as f64, seen as f64, factor / (1.0 + factor)) < BY_CHANCE
    }
}

/// A change without anything but what it is.
fn seen(kind: &'static str, service: &str, text: String, count: u64) -> ChangeRow {
    ChangeRow {
        kind,
        recorded: false,
        time: None,
        service: Some(service.to_owned()),
        version: None,
        instance: None,
        text,
        link: None,
        trace_id: None,
        count,
    }
}

pub(crate) async fn changes(session: &Session, query: &ChangeQuery) -> Result<Changes, QueryError> {
    let (reference, reference_chosen) = reference_of(query.reference, query.range);
    let ranges = Ranges { reference, window: query.range };
    let service = query.service.as_deref();
    let mut found = Box::pin(record::recorded(session, query.range, service)).await?;
    found.extend(Box::pin(instance::instances(session, ranges, service)).await?);
    found.extend(Box::pin(work::operations(session, ranges, service)).await?);
    found.extend(Box::pin(work::statements(session, ranges, service)).await?);
    // What was recorded is a log record, too.
    let told = found.iter().filter(|row| row.recorded).map(|row| mask(&row.text)).collect();
    found.extend(Box::pin(patterns(session, ranges, service, &told)).await?);
    found.extend(Box::pin(errors(session, ranges, service)).await?);
    found.sort_by(|a, b| {
        let time = |row: &ChangeRow| row.time.map_or(i64::MAX, |time| time.0);
        let order = time(a).cmp(&time(b)).then(b.recorded.cmp(&a.recorded));
        order.then_with(|| (a.kind, &a.service, &a.text).cmp(&(b.kind, &b.service, &b.text)))
    });
    let total = found.len() as u64;
    found.truncate(MOST_CHANGES);
    Ok(Changes {
        changes: found,
        total,
        latency: Box::pin(work::latency(session, ranges, service)).await?,
        window: query.range.into(),
        reference: reference.into(),
        reference_chosen,
    })
}

async fn patterns(
    session: &Session,
    ranges: Ranges,
    service: Option<&str>,
    told: &BTreeSet<String>,
) -> Result<Vec<ChangeRow>, QueryError> {
    let found = pattern::changed(session, (ranges.reference, ranges.window), None, None).await?;
    let new = found.into_iter().filter(|p| p.reference == 0 && !told.contains(&p.template));
    let of_service = new.filter(|p| service.is_none_or(|service| p.service == service));
    let row = |p: pattern::ChangedPattern| {
        let text = format!("{} {}", p.severity, p.template).trim().to_owned();
        let row = seen("new_log_pattern", &p.service, text, p.window);
        ChangeRow { trace_id: p.example_trace, ..row }
    };
    Ok(of_service.map(row).collect())
}

async fn errors(
    session: &Session,
    ranges: Ranges,
    service: Option<&str>,
) -> Result<Vec<ChangeRow>, QueryError> {
    let (found, _) = error::gather(session, ranges.reference, ranges.window, service).await?;
    let new = found.into_iter().filter(|(_, became)| became.order == Occurring::New);
    let row = |(found, became): (error::Found, error::Became)| {
        let most = found.services.iter().max_by_key(|(_, count)| **count);
        let service = most.map(|(service, _)| service.clone()).unwrap_or_default();
        let text = format!("{}: {} ({})", found.group.kind, found.group.message, became.name);
        let row = seen("new_error", &service, text, found.window);
        let time = (became.name == "new").then_some(Time(found.first));
        ChangeRow { time, trace_id: found.trace.map(|(_, id)| id), ..row }
    };
    Ok(new.map(row).collect())
}
