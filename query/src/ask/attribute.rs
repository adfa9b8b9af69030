//! Which attributes records have, from what segments say of themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use headrope_model::attr::{AttributeLevel, ValueType};
use headrope_storage::dense::names::TypeCounts;

use crate::answer::Time;
use crate::answer::attribute::{Attribute, AttributeQuery, Attributes};
use crate::engine::{KeyCount, Session, column_of, internal, keys};
use crate::error::QueryError;

pub(crate) async fn attributes(
    session: &Session,
    query: &AttributeQuery,
) -> Result<Attributes, QueryError> {
    let (machine, snapshot) = (Arc::clone(session.machine()), session.shared_snapshot());
    let (data_set, range) = (query.signal.into(), query.range);
    let find = move || keys(&machine.footers, &snapshot, data_set, range);
    let found = tokio::task::spawn_blocking(find).await;
    let found = found.map_err(|e| QueryError::Engine(e.to_string()))?.map_err(internal)?;
    let prefix = query.prefix.as_deref().unwrap_or_default();
    let named = found.counts.into_iter().filter(|((_, key), _)| key.starts_with(prefix));
    let row = |((level, key), count): ((AttributeLevel, String), KeyCount)| Attribute {
        level: level.name(),
        column: column_of(data_set, level, &key),
        values: count.types.iter().sum(),
        types: by_type(count.types),
        first_time: Time(count.times.0),
        last_time: Time(count.times.1),
        key,
    };
    let mut attributes: Vec<Attribute> = named.map(row).collect();
    // Stable: equally frequent ones stay in the order of their names.
    attributes.sort_by_key(|attribute| std::cmp::Reverse(attribute.values));
    let left_off = attributes.len().saturating_sub(query.limit) as u64;
    attributes.truncate(query.limit);
    Ok(Attributes { signal: query.signal, attributes, left_off, complete: !found.is_incomplete })
}

fn by_type(counts: TypeCounts) -> BTreeMap<&'static str, u64> {
    let counts = ValueType::ALL.into_iter().zip(counts).filter(|(_, values)| *values > 0);
    counts.map(|(value_type, values)| (value_type.name(), values)).collect()
}
