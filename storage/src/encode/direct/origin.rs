//! Scope and resource columns: each distinct origin is encoded once, by the reference path.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use super::super::columns::{Origin, OriginColumns};
use super::Declined;
use crate::wire::{Group, NotPlain, Scope};

/// Scope and resource columns.
pub(super) struct Origins {
    columns: OriginColumns,
    number_of: HashMap<Vec<u8>, u32, foldhash::fast::FixedState>,
    /// Number of the origin of each row.
    rows: Vec<u32>,
    key: Vec<u8>,
}

impl Origins {
    pub(super) fn new() -> Self {
        Self {
            columns: OriginColumns::new(),
            number_of: HashMap::default(),
            rows: Vec::new(),
            key: Vec::new(),
        }
    }

    /// Appends rows up to `rows` that come from one scope of one resource.
    pub(super) fn extend(
        &mut self,
        group: &Group<'_>,
        scope: &Scope<'_>,
        rows: usize,
    ) -> Result<(), Declined> {
        if rows <= self.rows.len() {
            return Ok(());
        }
        self.key.clear();
        for part in [group.resource, Some(group.schema_url), scope.scope, Some(scope.schema_url)] {
            // Lengths keep neighbours apart; the last length of all says "none".
            let len = part.map_or(u64::MAX, |p| p.len() as u64);
            self.key.extend_from_slice(&len.to_le_bytes());
            self.key.extend_from_slice(part.unwrap_or_default());
        }
        let number = match self.number_of.get(&self.key) {
            Some(number) => *number,
            None => self.add(group, scope)?,
        };
        self.rows.resize(rows, number);
        Ok(())
    }

    fn add(&mut self, group: &Group<'_>, scope: &Scope<'_>) -> Result<u32, Declined> {
        let not_plain = |_| NotPlain;
        let resource = group.resource.map(Resource::decode).transpose().map_err(not_plain)?;
        let scope_url = std::str::from_utf8(scope.schema_url)?;
        let scope = scope.scope.map(InstrumentationScope::decode).transpose().map_err(not_plain)?;
        let origin = Origin::new(resource.as_ref(), std::str::from_utf8(group.schema_url)?);
        self.columns.push_n(&origin, scope.as_ref(), scope_url, 1)?;
        let number = u32::try_from(self.number_of.len()).map_err(|_| NotPlain)?;
        self.number_of.insert(self.key.clone(), number);
        Ok(number)
    }

    /// `none` is what a label column without any value looks like.
    pub(super) fn finish(self, none: &ArrayRef) -> Result<Vec<ArrayRef>, ArrowError> {
        let rows = UInt32Array::from(self.rows);
        let spread = |column: &ArrayRef| {
            let is_none =
                column.null_count() == column.len() && column.data_type() == none.data_type();
            if is_none { Ok(Arc::clone(none)) } else { take(column, &rows, None) }
        };
        self.columns.finish().iter().map(spread).collect()
    }
}
