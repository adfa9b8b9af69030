//! Builders shared by the data sets: labels, attribute maps, scope and resource columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryBuilder, Int64Builder, ListBuilder, MapBuilder, MapFieldNames,
    StringDictionaryBuilder, StructBuilder, TimestampNanosecondBuilder, UInt32Builder,
};
use arrow::datatypes::{DataType, Field, Fields, Int32Type};
use arrow::error::ArrowError;
use headrope_model::schema;
use headrope_model::semconv::{self, Kind, Promoted};
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::json;

/// A dictionary-encoded text column.
pub(super) struct Label(StringDictionaryBuilder<Int32Type>);

impl Label {
    pub(super) fn new() -> Self {
        Self(StringDictionaryBuilder::new())
    }

    /// Appends a value that is always present.
    pub(super) fn push(&mut self, value: &str) {
        self.0.append_value(value);
    }

    /// Appends a value; empty text is null.
    pub(super) fn push_text(&mut self, value: &str) {
        self.push_opt(if value.is_empty() { None } else { Some(value) });
    }

    pub(super) fn push_opt(&mut self, value: Option<&str>) {
        self.0.append_option(value);
    }

    /// Appends the same value `n` times.
    pub(super) fn push_n(&mut self, value: Option<&str>, n: usize) -> Result<(), ArrowError> {
        match value {
            Some(value) => self.0.append_n(value, n).map(|_| ()),
            None => {
                self.0.append_nulls(n);
                Ok(())
            }
        }
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// An unsigned count; 0 is null.
pub(super) fn push_count(builder: &mut UInt32Builder, value: u32) {
    builder.append_option((value != 0).then_some(value));
}

pub(super) fn time_builder() -> TimestampNanosecondBuilder {
    TimestampNanosecondBuilder::new().with_timezone("UTC")
}

/// OTLP time to a stored time; the collector refuses what does not fit.
pub(super) fn nanos(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A time where 0 means "not sent".
pub(super) fn opt_nanos(value: u64) -> Option<i64> {
    (value != 0).then(|| nanos(value))
}

/// Appends an id of the right length, else null.
pub(super) fn push_id(builder: &mut FixedSizeBinaryBuilder, id: &[u8]) {
    if id.iter().all(|b| *b == 0) || builder.append_value(id).is_err() {
        builder.append_null();
    }
}

type Codes = StringDictionaryBuilder<Int32Type>;

/// An attribute map column.
pub(super) struct Attributes {
    map: MapBuilder<Codes, Codes>,
    scratch: String,
}

impl Attributes {
    pub(super) fn new() -> Self {
        let names = MapFieldNames {
            entry: "key_value".to_owned(),
            key: "key".to_owned(),
            value: "value".to_owned(),
        };
        Self {
            map: MapBuilder::new(Some(names), Codes::new(), Codes::new()),
            scratch: String::new(),
        }
    }

    pub(super) fn push(&mut self, attributes: &[KeyValue]) -> Result<(), ArrowError> {
        for pair in attributes {
            self.scratch.clear();
            json::push_value(pair.value.as_ref(), &mut self.scratch);
            self.map.keys().append(&pair.key)?;
            self.map.values().append(&self.scratch)?;
        }
        self.map.append(true)
    }

    pub(super) fn finish(mut self) -> ArrayRef {
        Arc::new(self.map.finish())
    }
}

/// A list-of-struct column.
pub(super) fn struct_list(fields: Fields) -> ListBuilder<StructBuilder> {
    let item = Field::new("element", DataType::Struct(fields.clone()), false);
    ListBuilder::new(StructBuilder::from_fields(fields, 0)).with_field(item)
}

/// A promoted column.
enum Slot {
    Text(Label),
    Int(Int64Builder),
}

impl Slot {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text(Label::new()),
            Kind::Int => Self::Int(Int64Builder::new()),
        }
    }

    fn push(&mut self, from: Option<&KeyValue>) {
        let value = from.and_then(|pair| pair.value.as_ref());
        match self {
            Self::Text(label) => label.push_opt(json::as_str(value)),
            Self::Int(ints) => ints.append_option(json::as_int(value)),
        }
    }

    fn push_n(&mut self, from: Option<&KeyValue>, n: usize) -> Result<(), ArrowError> {
        let value = from.and_then(|pair| pair.value.as_ref());
        match self {
            Self::Text(label) => label.push_n(json::as_str(value), n)?,
            Self::Int(ints) => match json::as_int(value) {
                Some(v) => ints.append_value_n(v, n),
                None => ints.append_nulls(n),
            },
        }
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Text(label) => label.finish(),
            Self::Int(mut ints) => Arc::new(ints.finish()),
        }
    }
}

/// Columns promoted from attributes of one level.
pub(super) struct PromotedColumns {
    slots: Vec<Slot>,
    /// Key to (slot, rank): the canonical key has rank 0, aliases follow.
    keys: std::collections::HashMap<&'static str, (usize, usize), foldhash::fast::FixedState>,
    best: Vec<Option<(usize, usize)>>,
}

impl PromotedColumns {
    pub(super) fn new(promoted: &'static [Promoted]) -> Self {
        let mut keys = std::collections::HashMap::default();
        for (slot, p) in promoted.iter().enumerate() {
            keys.insert(p.key, (slot, 0));
            for (rank, alias) in p.aliases.iter().enumerate() {
                keys.insert(*alias, (slot, rank + 1));
            }
        }
        let slots = promoted.iter().map(|p| Slot::new(p.kind)).collect();
        Self { slots, keys, best: vec![None; promoted.len()] }
    }

    /// For each slot the index of the attribute that fills it: canonical key first, then aliases in
    /// order; the first of repeated keys.
    fn choose(&mut self, attributes: &[KeyValue]) {
        self.best.fill(None);
        for (at, pair) in attributes.iter().enumerate() {
            let Some(&(slot, rank)) = self.keys.get(pair.key.as_str()) else { continue };
            if let Some(best) = self.best.get_mut(slot)
                && best.is_none_or(|(_, other)| rank < other)
            {
                *best = Some((at, rank));
            }
        }
    }

    pub(super) fn push(&mut self, attributes: &[KeyValue]) {
        self.choose(attributes);
        for (slot, best) in self.slots.iter_mut().zip(&self.best) {
            slot.push(best.and_then(|(at, _)| attributes.get(at)));
        }
    }

    fn push_n(&mut self, attributes: &[KeyValue], n: usize) -> Result<(), ArrowError> {
        self.choose(attributes);
        for (slot, best) in self.slots.iter_mut().zip(&self.best) {
            slot.push_n(best.and_then(|(at, _)| attributes.get(at)), n)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> impl Iterator<Item = ArrayRef> {
        self.slots.into_iter().map(Slot::finish)
    }
}

/// What all records of one scope group share.
pub(super) struct Origin<'a> {
    resource: &'a [KeyValue],
    resource_dropped: u32,
    resource_json: String,
    resource_schema_url: &'a str,
}

impl<'a> Origin<'a> {
    pub(super) fn new(resource: Option<&'a Resource>, schema_url: &'a str) -> Self {
        let attributes = resource.map_or(&[][..], |r| r.attributes.as_slice());
        Self {
            resource: attributes,
            resource_dropped: resource.map_or(0, |r| r.dropped_attributes_count),
            resource_json: json::object(attributes),
            resource_schema_url: schema_url,
        }
    }

    /// Service name; missing or empty is `unknown_service` (OTLP resource conventions).
    fn service(&self) -> &'a str {
        let pair = self.resource.iter().find(|pair| pair.key == semconv::SERVICE_NAME);
        json::as_str(pair.and_then(|p| p.value.as_ref()))
            .filter(|name| !name.is_empty())
            .unwrap_or(semconv::UNKNOWN_SERVICE)
    }

    /// Canonical JSON of the resource's attributes.
    pub(super) fn resource_json(&self) -> &str {
        &self.resource_json
    }
}

/// The scope and resource columns every data set ends with.
pub(super) struct OriginColumns {
    service_name: Label,
    scope_name: Label,
    scope_version: Label,
    scope_attributes: Label,
    scope_dropped: UInt32Builder,
    scope_schema_url: Label,
    resource: Label,
    resource_dropped: UInt32Builder,
    resource_schema_url: Label,
    promoted: PromotedColumns,
}

fn text(value: &str) -> Option<&str> {
    (!value.is_empty()).then_some(value)
}

impl OriginColumns {
    pub(super) fn new() -> Self {
        Self {
            service_name: Label::new(),
            scope_name: Label::new(),
            scope_version: Label::new(),
            scope_attributes: Label::new(),
            scope_dropped: UInt32Builder::new(),
            scope_schema_url: Label::new(),
            resource: Label::new(),
            resource_dropped: UInt32Builder::new(),
            resource_schema_url: Label::new(),
            promoted: PromotedColumns::new(semconv::RESOURCE),
        }
    }

    /// Appends the same origin `n` times.
    pub(super) fn push_n(
        &mut self,
        origin: &Origin<'_>,
        scope: Option<&InstrumentationScope>,
        scope_schema_url: &str,
        n: usize,
    ) -> Result<(), ArrowError> {
        let scope_attributes =
            scope.filter(|s| !s.attributes.is_empty()).map(|s| json::object(&s.attributes));
        self.service_name.push_n(Some(origin.service()), n)?;
        self.scope_name.push_n(scope.and_then(|s| text(&s.name)), n)?;
        self.scope_version.push_n(scope.and_then(|s| text(&s.version)), n)?;
        self.scope_attributes.push_n(scope_attributes.as_deref(), n)?;
        let dropped = scope.map_or(0, |s| s.dropped_attributes_count);
        for _ in 0..n {
            push_count(&mut self.scope_dropped, dropped);
            push_count(&mut self.resource_dropped, origin.resource_dropped);
        }
        self.scope_schema_url.push_n(text(scope_schema_url), n)?;
        self.resource.push_n(Some(&origin.resource_json), n)?;
        self.resource_schema_url.push_n(text(origin.resource_schema_url), n)?;
        self.promoted.push_n(origin.resource, n)
    }

    pub(super) fn finish(mut self) -> Vec<ArrayRef> {
        let mut all: Vec<ArrayRef> = vec![
            self.service_name.finish(),
            self.scope_name.finish(),
            self.scope_version.finish(),
            self.scope_attributes.finish(),
            Arc::new(self.scope_dropped.finish()),
            self.scope_schema_url.finish(),
            self.resource.finish(),
            Arc::new(self.resource_dropped.finish()),
            self.resource_schema_url.finish(),
        ];
        all.extend(self.promoted.finish());
        all
    }
}

/// Appends a value to a struct's field; the field's builder type is fixed by the schema.
macro_rules! field {
    ($row:expr, $at:literal, $builder:ty) => {
        $row.field_builder::<$builder>($at).ok_or_else(|| {
            arrow::error::ArrowError::SchemaError(format!("nested field {} has another type", $at))
        })?
    };
}
pub(super) use field;

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    headrope_model::id::push_hex(bytes, &mut out);
    out
}

/// A builder for lists of a primitive, named as the schema names them.
pub(super) fn primitive_list<B: arrow::array::ArrayBuilder>(
    builder: B,
    item: DataType,
) -> ListBuilder<B> {
    ListBuilder::new(builder).with_field(Field::new("element", item, false))
}

/// Builds the batch and checks it against the schema.
pub(super) fn batch(
    data_set: headrope_model::DataSet,
    columns: Vec<ArrayRef>,
) -> Result<arrow::array::RecordBatch, ArrowError> {
    arrow::array::RecordBatch::try_new(schema::stored(data_set), columns)
}
