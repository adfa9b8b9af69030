//! Spans.

use super::common::{KeyValue, key_value};
use super::{Fields, NotPlain, once, text};

/// A span without what repeats in it; times in Unix nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs, reason = "the fields of opentelemetry.proto.trace.v1.Span")]
pub struct Span<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub parent_span_id: &'a [u8],
    pub trace_state: &'a [u8],
    pub flags: u32,
    pub name: &'a [u8],
    pub kind: u32,
    pub start_time: u64,
    pub end_time: u64,
    pub dropped_attributes: u32,
    pub dropped_events: u32,
    pub dropped_links: u32,
    pub status_message: &'a [u8],
    pub status_code: u32,
}

/// Takes what repeats in a span, in the order of the wire.
pub trait SpanParts<'a> {
    /// What it may fail with.
    type Error: From<NotPlain>;
    /// An attribute.
    ///
    /// # Errors
    /// Ends the reading.
    fn attribute(&mut self, attribute: KeyValue<'a>) -> Result<(), Self::Error>;
    /// The message of an event, see [`event`].
    ///
    /// # Errors
    /// Ends the reading.
    fn event(&mut self, message: &'a [u8]) -> Result<(), Self::Error>;
    /// The message of a link, see [`link`].
    ///
    /// # Errors
    /// Ends the reading.
    fn link(&mut self, message: &'a [u8]) -> Result<(), Self::Error>;
}

/// Reads a span.
///
/// # Errors
/// [`NotPlain`], and what `parts` returns.
#[inline]
pub fn span<'a, P: SpanParts<'a>>(message: &'a [u8], parts: &mut P) -> Result<Span<'a>, P::Error> {
    let mut span = Span::default();
    let mut status = None;
    let mut fields = Fields::of(message);
    while let Some((number, wire)) = fields.next()? {
        match number {
            1 => span.trace_id = wire.bytes()?,
            2 => span.span_id = wire.bytes()?,
            3 => text(&mut span.trace_state, wire)?,
            4 => span.parent_span_id = wire.bytes()?,
            5 => text(&mut span.name, wire)?,
            6 => span.kind = wire.low32()?,
            7 => span.start_time = wire.fixed64()?,
            8 => span.end_time = wire.fixed64()?,
            9 => parts.attribute(key_value(wire.bytes()?)?)?,
            10 => span.dropped_attributes = wire.low32()?,
            11 => parts.event(wire.bytes()?)?,
            12 => span.dropped_events = wire.low32()?,
            13 => parts.link(wire.bytes()?)?,
            14 => span.dropped_links = wire.low32()?,
            15 => once(&mut status, wire.bytes()?)?,
            16 => span.flags = wire.fixed32()?,
            _ => {}
        }
    }
    let mut fields = Fields::of(status.unwrap_or_default());
    while let Some((number, wire)) = fields.next()? {
        match number {
            2 => text(&mut span.status_message, wire)?,
            3 => span.status_code = wire.low32()?,
            _ => {}
        }
    }
    Ok(span)
}

/// An event without its attributes.
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs, reason = "the fields of opentelemetry.proto.trace.v1.Span.Event")]
pub struct Event<'a> {
    pub time: u64,
    pub name: &'a [u8],
    pub dropped_attributes: u32,
}

/// Reads an event; attributes go to `attribute`.
///
/// # Errors
/// [`NotPlain`], and what `attribute` returns.
pub fn event<'a, E: From<NotPlain>>(
    message: &'a [u8],
    mut attribute: impl FnMut(KeyValue<'a>) -> Result<(), E>,
) -> Result<Event<'a>, E> {
    let mut event = Event::default();
    let mut fields = Fields::of(message);
    while let Some((number, wire)) = fields.next()? {
        match number {
            1 => event.time = wire.fixed64()?,
            2 => text(&mut event.name, wire)?,
            3 => attribute(key_value(wire.bytes()?)?)?,
            4 => event.dropped_attributes = wire.low32()?,
            _ => {}
        }
    }
    Ok(event)
}

/// A link without its attributes.
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs, reason = "the fields of opentelemetry.proto.trace.v1.Span.Link")]
pub struct Link<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub trace_state: &'a [u8],
    pub dropped_attributes: u32,
    pub flags: u32,
}

/// Reads a link; attributes go to `attribute`.
///
/// # Errors
/// [`NotPlain`], and what `attribute` returns.
pub fn link<'a, E: From<NotPlain>>(
    message: &'a [u8],
    mut attribute: impl FnMut(KeyValue<'a>) -> Result<(), E>,
) -> Result<Link<'a>, E> {
    let mut link = Link::default();
    let mut fields = Fields::of(message);
    while let Some((number, wire)) = fields.next()? {
        match number {
            1 => link.trace_id = wire.bytes()?,
            2 => link.span_id = wire.bytes()?,
            3 => text(&mut link.trace_state, wire)?,
            4 => attribute(key_value(wire.bytes()?)?)?,
            5 => link.dropped_attributes = wire.low32()?,
            6 => link.flags = wire.fixed32()?,
            _ => {}
        }
    }
    Ok(link)
}
