//! Requests of which every record is acceptable as it is, recognised on the wire: nothing is decoded
//! and nothing allocated. Whatever is not recognised takes the way over prost, which judges each
//! record; so what is decided here must be no more than what is decided there.

use headrope_model::{Signal, SpanId, TraceId};
use headrope_storage::wire::{self, AnyValue, Group, KeyValue, NotPlain, Scope, SpanParts};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::{Limits, MAX_TIME, Rules, optional_id};

/// Levels of lists and maps in a value. prost gives up at 100 nested messages, three to a level.
const MAX_DEPTH: usize = 16;
/// Bytes of a resource or a scope; they are decoded, so they are to stay small.
const MAX_ORIGIN: usize = 64 << 10;

/// The number of records of a plain request, all of which would be accepted unchanged; `None` if
/// that cannot be said.
pub(crate) fn records(signal: Signal, payload: &[u8], limits: &Limits) -> Option<u64> {
    let rules = Rules { limits: *limits, sizes: payload.len() > limits.max_record_bytes };
    let mut check = Check { rules, records: 0 };
    let outcome = match signal {
        Signal::Traces => wire::groups(payload, |g| check.group(&g, Check::span)),
        Signal::Logs => wire::groups(payload, |g| check.group(&g, Check::log)),
        Signal::Metrics => Err(NotPlain),
    };
    outcome.ok().map(|()| check.records)
}

struct Check {
    rules: Rules,
    records: u64,
}

/// Declines unless `ok`.
const fn require(ok: bool) -> Result<(), NotPlain> {
    if ok { Ok(()) } else { Err(NotPlain) }
}

/// Nearly all text is ASCII, which is quicker to tell than UTF-8.
fn text(bytes: &[u8]) -> Result<(), NotPlain> {
    require(bytes.is_ascii() || std::str::from_utf8(bytes).is_ok())
}

fn decoded<M: Message + Default>(message: Option<&[u8]>) -> Result<Option<M>, NotPlain> {
    let Some(message) = message else { return Ok(None) };
    require(message.len() <= MAX_ORIGIN)?;
    M::decode(message).map(Some).map_err(|_| NotPlain)
}

impl Check {
    fn group<'a>(
        &mut self,
        group: &Group<'a>,
        record: fn(&mut Self, &'a [u8]) -> Result<(), NotPlain>,
    ) -> Result<(), NotPlain> {
        text(group.schema_url)?;
        let resource: Option<Resource> = decoded(group.resource)?;
        require(self.rules.resource(resource.as_ref()).is_none())?;
        group.scopes(|scope| self.scope(&scope, record))
    }

    fn scope<'a>(
        &mut self,
        scope: &Scope<'a>,
        record: fn(&mut Self, &'a [u8]) -> Result<(), NotPlain>,
    ) -> Result<(), NotPlain> {
        text(scope.schema_url)?;
        let decoded: Option<InstrumentationScope> = decoded(scope.scope)?;
        require(self.rules.scope(decoded.as_ref()).is_none())?;
        scope.records(|message| {
            // What is decoded can be shorter than its wire form, never longer.
            require(!self.rules.sizes || message.len() <= self.rules.limits.max_record_bytes)?;
            self.records += 1;
            record(self, message)
        })
    }

    fn span(&mut self, message: &[u8]) -> Result<(), NotPlain> {
        let span = wire::span(message, self)?;
        require(TraceId::from_bytes(span.trace_id).is_some())?;
        require(SpanId::from_bytes(span.span_id).is_some())?;
        require(optional_id(span.parent_span_id, SpanId::LEN))?;
        require((1..=MAX_TIME).contains(&span.start_time))?;
        require((span.start_time..=MAX_TIME).contains(&span.end_time))?;
        [span.trace_state, span.name, span.status_message].into_iter().try_for_each(text)
    }

    fn log(&mut self, message: &[u8]) -> Result<(), NotPlain> {
        let record = wire::log_record(message, |pair| self.pair(&pair))?;
        require(optional_id(record.trace_id, TraceId::LEN))?;
        require(optional_id(record.span_id, SpanId::LEN))?;
        require(record.time <= MAX_TIME && record.observed_time <= MAX_TIME)?;
        // A record without any time is stamped, and so changed.
        require(record.time != 0 || record.observed_time != 0)?;
        self.value(record.body, self.levels())?;
        [record.severity_text, record.event_name].into_iter().try_for_each(text)
    }

    fn levels(&self) -> usize {
        self.rules.limits.max_depth.min(MAX_DEPTH)
    }

    fn pair(&self, pair: &KeyValue<'_>) -> Result<(), NotPlain> {
        text(pair.key)?;
        self.value(pair.value, self.levels())
    }

    fn value(&self, value: AnyValue<'_>, levels: usize) -> Result<(), NotPlain> {
        match value {
            AnyValue::Str(bytes) => text(bytes),
            AnyValue::Array(mut values) => {
                let levels = levels.checked_sub(1).ok_or(NotPlain)?;
                values.try_for_each(|value| self.value(value?, levels))
            }
            AnyValue::Map(mut entries) => {
                let levels = levels.checked_sub(1).ok_or(NotPlain)?;
                entries.try_for_each(|pair| {
                    let pair = pair?;
                    text(pair.key)?;
                    self.value(pair.value, levels)
                })
            }
            _ => Ok(()),
        }
    }
}

impl<'a> SpanParts<'a> for Check {
    type Error = NotPlain;

    fn attribute(&mut self, attribute: KeyValue<'a>) -> Result<(), NotPlain> {
        self.pair(&attribute)
    }

    fn event(&mut self, message: &'a [u8]) -> Result<(), NotPlain> {
        let event = wire::event(message, |pair| self.pair(&pair))?;
        require(event.time <= MAX_TIME)?;
        text(event.name)
    }

    fn link(&mut self, message: &'a [u8]) -> Result<(), NotPlain> {
        let link = wire::link(message, |pair| self.pair(&pair))?;
        require(optional_id(link.trace_id, TraceId::LEN))?;
        require(optional_id(link.span_id, SpanId::LEN))?;
        text(link.trace_state)
    }
}
