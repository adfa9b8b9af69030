//! Resources, scopes, attributes.

use super::{Fields, NotPlain, once, text};

/// An attribute.
#[derive(Debug, Clone, Copy)]
pub struct KeyValue<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: AnyValue<'a>,
}

/// An attribute's value.
#[derive(Debug, Clone, Copy)]
pub enum AnyValue<'a> {
    /// No value.
    Empty,
    /// Text.
    Str(&'a [u8]),
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number.
    Double(f64),
    /// A list.
    Array(Values<'a>),
    /// Key-value pairs.
    Map(Entries<'a>),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// The values of a list; a message whose field 1 repeats.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a>(Fields<'a>);

impl<'a> Iterator for Values<'a> {
    type Item = Result<AnyValue<'a>, NotPlain>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next() {
                Ok(None) => return None,
                Ok(Some((1, wire))) => return Some(wire.bytes().and_then(any_value)),
                Ok(Some(_)) => {}
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

/// The pairs of a map; a message whose field 1 repeats.
#[derive(Debug, Clone, Copy)]
pub struct Entries<'a>(Fields<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = Result<KeyValue<'a>, NotPlain>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next() {
                Ok(None) => return None,
                Ok(Some((1, wire))) => return Some(wire.bytes().and_then(key_value)),
                Ok(Some(_)) => {}
                Err(e) => return Some(Err(e)),
            }
        }
    }
}

/// Reads a `KeyValue`.
#[inline]
pub(super) fn key_value(message: &[u8]) -> Result<KeyValue<'_>, NotPlain> {
    let (mut key, mut value): (&[u8], _) = (&[], None);
    let mut fields = Fields::of(message);
    while let Some((number, wire)) = fields.next()? {
        match number {
            1 => text(&mut key, wire)?,
            2 => once(&mut value, any_value(wire.bytes()?)?)?,
            // A key given as a position in a string table.
            3 => return Err(NotPlain),
            _ => {}
        }
    }
    Ok(KeyValue { key, value: value.unwrap_or(AnyValue::Empty) })
}

/// Reads an `AnyValue`.
#[inline]
pub(super) fn any_value(message: &[u8]) -> Result<AnyValue<'_>, NotPlain> {
    let mut value = None;
    let mut fields = Fields::of(message);
    while let Some((number, wire)) = fields.next()? {
        let read = match number {
            1 => AnyValue::Str(wire.bytes()?),
            2 => AnyValue::Bool(wire.varint()? != 0),
            3 => AnyValue::Int(i64::from_le_bytes(wire.varint()?.to_le_bytes())),
            4 => AnyValue::Double(f64::from_bits(wire.fixed64()?)),
            5 => AnyValue::Array(Values(Fields::of(wire.bytes()?))),
            6 => AnyValue::Map(Entries(Fields::of(wire.bytes()?))),
            7 => AnyValue::Bytes(wire.bytes()?),
            // Text given as a position in a string table.
            8 => return Err(NotPlain),
            _ => continue,
        };
        once(&mut value, read)?;
    }
    Ok(value.unwrap_or(AnyValue::Empty))
}

/// What the records of one resource share: a `ResourceSpans` or a `ResourceLogs`.
#[derive(Debug, Clone, Copy)]
pub struct Group<'a> {
    /// The `Resource` message.
    pub resource: Option<&'a [u8]>,
    /// Its schema.
    pub schema_url: &'a [u8],
    message: &'a [u8],
}

/// What the records of one scope share: a `ScopeSpans` or a `ScopeLogs`.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The `InstrumentationScope` message.
    pub scope: Option<&'a [u8]>,
    /// Its schema.
    pub schema_url: &'a [u8],
    message: &'a [u8],
}

/// Fields 1 and 3 of a group; field 2 is what the two are said of, and may come before them.
fn head(message: &[u8]) -> Result<(Option<&[u8]>, &[u8]), NotPlain> {
    let (mut of, mut schema_url): (_, &[u8]) = (None, &[]);
    let mut fields = Fields::of(message);
    while let Some((number, wire)) = fields.next()? {
        match number {
            1 => once(&mut of, wire.bytes()?)?,
            2 => drop(wire.bytes()?),
            3 => text(&mut schema_url, wire)?,
            _ => {}
        }
    }
    Ok((of, schema_url))
}

/// Calls `each` with every message in the field `wanted`.
fn each_of<'a, E: From<NotPlain>>(
    message: &'a [u8],
    wanted: u64,
    mut each: impl FnMut(&'a [u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut fields = Fields::of(message);
    while let Some((number, wire)) = fields.next()? {
        if number == wanted {
            each(wire.bytes()?)?;
        }
    }
    Ok(())
}

/// Calls `each` with every resource group of an export request of traces or logs.
///
/// # Errors
/// [`NotPlain`], and what `each` returns.
pub fn groups<'a, E: From<NotPlain>>(
    request: &'a [u8],
    mut each: impl FnMut(Group<'a>) -> Result<(), E>,
) -> Result<(), E> {
    each_of(request, 1, |message| {
        let (resource, schema_url) = head(message)?;
        each(Group { resource, schema_url, message })
    })
}

impl<'a> Group<'a> {
    /// Calls `each` with every scope group.
    ///
    /// # Errors
    /// [`NotPlain`], and what `each` returns.
    pub fn scopes<E: From<NotPlain>>(
        &self,
        mut each: impl FnMut(Scope<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        each_of(self.message, 2, |message| {
            let (scope, schema_url) = head(message)?;
            each(Scope { scope, schema_url, message })
        })
    }
}

impl<'a> Scope<'a> {
    /// Calls `each` with every record's message.
    ///
    /// # Errors
    /// [`NotPlain`], and what `each` returns.
    pub fn records<E: From<NotPlain>>(
        &self,
        each: impl FnMut(&'a [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        each_of(self.message, 2, each)
    }
}
