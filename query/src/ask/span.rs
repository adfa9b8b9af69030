//! Spans as they are stored, with everything they carry.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use serde_json::{Map, Value};

use crate::answer::Time;
use crate::answer::trace::{SpanEvent, SpanLink};
use crate::column::{Columns, Texts};
use crate::error::QueryError;

/// A canonical value as JSON; text that is none stays text.
pub(super) fn value(canonical: &str) -> Value {
    serde_json::from_str(canonical).unwrap_or_else(|_| Value::String(canonical.to_owned()))
}

/// An object in JSON text; empty if there is none.
pub(super) fn object(text: Option<&str>) -> Value {
    let empty = || Value::Object(Map::new());
    match text {
        Some(text) => match value(text) {
            Value::Object(members) => Value::Object(members),
            _ => empty(),
        },
        None => empty(),
    }
}

/// Attribute maps of a batch.
pub(super) struct Maps {
    offsets: Vec<i32>,
    keys: Texts,
    values: Texts,
}

impl Maps {
    pub(super) fn of(array: &ArrayRef) -> Result<Self, QueryError> {
        let wrong = |e: &dyn std::fmt::Display| QueryError::Engine(format!("attributes: {e}"));
        let map = array.as_map_opt().ok_or_else(|| wrong(array.data_type()))?;
        Ok(Self {
            offsets: map.value_offsets().to_vec(),
            keys: Texts::of(map.keys()).map_err(|e| wrong(&e))?,
            values: Texts::of(map.values()).map_err(|e| wrong(&e))?,
        })
    }

    /// Calls `each` with key and canonical value of the attributes of a row.
    pub(super) fn each(&self, row: usize, mut each: impl FnMut(&str, &str)) {
        if let (Some(from), Some(to)) = (self.offsets.get(row), self.offsets.get(row + 1)) {
            for at in usize::try_from(*from).unwrap_or(0)..usize::try_from(*to).unwrap_or(0) {
                each(self.keys.text(at), self.values.get(at).unwrap_or("null"));
            }
        }
    }

    /// The attributes of a row as an object; of repeated keys the first counts.
    pub(super) fn object(&self, row: usize) -> Value {
        let mut object = Map::new();
        if let (Some(from), Some(to)) = (self.offsets.get(row), self.offsets.get(row + 1)) {
            let range = usize::try_from(*from).unwrap_or(0)..usize::try_from(*to).unwrap_or(0);
            for at in range {
                let value = || value(self.values.get(at).unwrap_or("null"));
                object.entry(self.keys.text(at)).or_insert_with(value);
            }
        }
        Value::Object(object)
    }
}

/// A list of structs of a batch.
pub(super) struct Structs {
    list: ListArray,
    items: StructArray,
}

impl Structs {
    pub(super) fn of(columns: &Columns<'_>, name: &str) -> Result<Self, QueryError> {
        let array = columns.array(name)?;
        let list = array.as_list_opt::<i32>();
        let items = list.and_then(|l| l.values().as_struct_opt());
        match (list, items) {
            (Some(list), Some(items)) => Ok(Self { list: list.clone(), items: items.clone() }),
            _ => Err(QueryError::Engine(format!("{name} is {}", array.data_type()))),
        }
    }

    pub(super) fn range(&self, row: usize) -> std::ops::Range<usize> {
        let offsets = self.list.value_offsets();
        match (offsets.get(row), offsets.get(row + 1)) {
            (Some(from), Some(to)) if self.list.is_valid(row) => {
                usize::try_from(*from).unwrap_or(0)..usize::try_from(*to).unwrap_or(0)
            }
            _ => 0..0,
        }
    }

    pub(super) fn texts(&self, name: &str) -> Result<Texts, QueryError> {
        Texts::of(self.column(name)?).map_err(|e| QueryError::Engine(format!("{name}: {e}")))
    }

    fn column(&self, name: &str) -> Result<&ArrayRef, QueryError> {
        let missing = || QueryError::Engine(format!("nested column {name} is missing"));
        self.items.column_by_name(name).ok_or_else(missing)
    }

    pub(super) fn ints(&self, name: &str) -> Result<Vec<i64>, QueryError> {
        let ints = cast(self.column(name)?, &DataType::Int64)
            .map_err(|e| QueryError::Engine(format!("{name}: {e}")))?;
        Ok(ints.as_primitive::<Int64Type>().values().to_vec())
    }
}

fn small(values: &[i64], at: usize) -> u32 {
    values.get(at).and_then(|v| u32::try_from(*v).ok()).unwrap_or_default()
}

/// Events of each row of a batch.
pub(super) fn events(batch: &RecordBatch) -> Result<Vec<Vec<SpanEvent>>, QueryError> {
    let structs = Structs::of(&Columns(batch), "events")?;
    let (times, names) = (structs.ints("time")?, structs.texts("name")?);
    let attributes = structs.texts("attributes")?;
    let dropped = structs.ints("dropped_attributes_count")?;
    let event = |at: usize| SpanEvent {
        time: Time(times.get(at).copied().unwrap_or_default()),
        name: names.owned(at),
        attributes: object(attributes.get(at)),
        dropped_attributes_count: small(&dropped, at),
    };
    Ok((0..batch.num_rows()).map(|row| structs.range(row).map(event).collect()).collect())
}

/// Links of each row of a batch.
pub(super) fn links(batch: &RecordBatch) -> Result<Vec<Vec<SpanLink>>, QueryError> {
    let structs = Structs::of(&Columns(batch), "links")?;
    let (traces, spans) = (structs.texts("trace_id")?, structs.texts("span_id")?);
    let (states, attributes) = (structs.texts("trace_state")?, structs.texts("attributes")?);
    let dropped = structs.ints("dropped_attributes_count")?;
    let flags = structs.ints("flags")?;
    let link = |at: usize| SpanLink {
        trace_id: traces.owned(at),
        span_id: spans.owned(at),
        trace_state: states.owned(at),
        attributes: object(attributes.get(at)),
        dropped_attributes_count: small(&dropped, at),
        flags: small(&flags, at),
    };
    Ok((0..batch.num_rows()).map(|row| structs.range(row).map(link).collect()).collect())
}
