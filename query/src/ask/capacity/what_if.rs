//! What gives way first when traffic grows.

use super::capacity;
use super::sample::{self, Entry, Sample};
use crate::answer::capacity::{CapacityQuery, ServiceCapacity, WhatIf, WhatIfQuery, WhatIfRow};
use crate::ask::bounded;
use crate::engine::Session;
use crate::error::QueryError;
use headrope_model::{DataSet, TimeRange};

/// Longest time at the end of the window whose traces amplification is counted in.
const TRACED_NS: i64 = super::DAY_NS;

pub(crate) async fn what_if(session: &Session, query: &WhatIfQuery) -> Result<WhatIf, QueryError> {
    if !(query.factor.is_finite() && query.factor > 0.0) {
        let text = format!("factor {} must be a positive number, for example 2", query.factor);
        return Err(QueryError::Invalid(text));
    }
    let range = bounded(query.range, session.snapshot(), DataSet::Spans);
    let now = CapacityQuery { range, service: None };
    let now = Box::pin(capacity(session, &now)).await?;
    let seen = super::load::stored(session, range);
    let from = seen.from().max(seen.to().saturating_sub(TRACED_NS));
    let traced = TimeRange::new(from, seen.to()).unwrap_or(seen);
    let sample = Box::pin(sample::sample(session, traced)).await?;
    let is_chosen = |entry: &Entry| {
        let of_service = query.service.as_ref().is_none_or(|service| *service == entry.0);
        of_service && query.operation.as_ref().is_none_or(|operation| *operation == entry.1)
    };
    let everything = query.service.is_none() && query.operation.is_none();
    if !everything && !sample.requests.keys().any(&is_chosen) {
        let entry = [&query.operation, &query.service].map(|text| text.clone().unwrap_or_default());
        return Err(QueryError::NotFound(format!("an entry {:?}", entry.join(" "))));
    }
    let row = |service: ServiceCapacity| {
        // All requests come from some entry, also those whose trace is not whole.
        let grows = if everything { 1.0 } else { sample.share(&service.service, is_chosen) };
        what_if_row(service, query.factor, grows)
    };
    let mut services: Vec<WhatIfRow> = now.services.into_iter().map(row).collect();
    let order = |row: &WhatIfRow| match (row.breaks_at, row.capacity) {
        (Some(factor), _) => factor,
        (None, Some(_)) => f64::MAX,
        (None, None) => f64::INFINITY,
    };
    services.sort_by(|a, b| order(a).total_cmp(&order(b)));
    let Sample { sampled, .. } = sample;
    let amplification = sample.amplification();
    Ok(WhatIf { factor: query.factor, window: range.into(), services, amplification, sampled })
}

fn what_if_row(service: ServiceCapacity, factor: f64, grows: f64) -> WhatIfRow {
    let now = service.peak_rate;
    let then = now * (1.0 + (factor - 1.0) * grows);
    let capacity = service.capacity.map(|capacity| capacity.value).filter(|value| *value > 0.0);
    let load_then = capacity.map(|capacity| then / capacity);
    let breaks_at = capacity
        .filter(|_| grows > 0.0 && now > 0.0)
        .map(|capacity| (1.0 + (capacity / now - 1.0) / grows).max(0.0));
    let instances_then = load_then.map(|load| (load * service.instances as f64).ceil() as u64);
    let because = service.unknown.into_iter().find(|unknown| unknown.what == "capacity");
    WhatIfRow {
        service: service.service,
        peak_rate: now,
        peak_rate_then: then,
        grows,
        capacity,
        load_then,
        breaks: load_then.map(|load| load > 1.0),
        breaks_at: breaks_at.filter(|factor| factor.is_finite()),
        instances: service.instances,
        instances_then,
        unknown: because.map(|unknown| unknown.because),
    }
}
