//! Walks JSON text into messages, field by field.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::mem::size_of;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// A document that is not OTLP/JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text is not JSON, or a value is not what its field needs.
    #[error("{}{detail}", prefix(path))]
    Invalid {
        /// Where: `resourceSpans[0].scopeSpans[0].spans[3].traceId`.
        path: String,
        /// What was wrong, with line and column.
        detail: String,
    },
    /// The decoded message would take more memory than allowed.
    #[error("{}the message decodes to more than {max_bytes} bytes", prefix(path))]
    TooLarge {
        /// Where the limit was reached.
        path: String,
        /// The limit.
        max_bytes: usize,
    },
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// A message as a set of named fields.
pub(super) trait Fields: Default {
    /// Reads the value of the field `key`, or skips it if there is no such field.
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        value: Value<'_, A>,
    ) -> Result<(), A::Error>;

    /// Writes the fields that are set.
    fn write(&self, object: &mut Object<'_>);
}

/// How a field's value is read and written.
pub(super) trait Kind {
    /// The field's Rust type.
    type Out;

    /// Reads a value; `None` for null, which means absent.
    fn read<'de, D: Deserializer<'de>>(
        context: &Context,
        from: D,
    ) -> Result<Option<Self::Out>, D::Error>;

    /// Writes a value.
    fn write(value: &Self::Out, out: &mut Vec<u8>);

    /// Whether the value is the default, which is not written.
    fn absent(value: &Self::Out) -> bool;
}

/// What one reading shares: the place of an error, and the memory left.
#[derive(Debug)]
pub(super) struct Context {
    /// From the innermost value outwards; only filled once there is an error.
    trail: RefCell<Vec<String>>,
    left: Cell<usize>,
    exhausted: Cell<bool>,
}

impl Context {
    /// Accounts for one element of a vector, which may have room for half an element more.
    pub(super) fn take<T, E: serde::de::Error>(&self) -> Result<(), E> {
        let bytes = size_of::<T>() * 3 / 2;
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.exhausted.set(true);
                Err(E::custom("too large"))
            }
        }
    }

    /// Passes an error on, noting the step towards it.
    pub(super) fn at<T, E>(
        &self,
        result: Result<T, E>,
        step: impl FnOnce() -> String,
    ) -> Result<T, E> {
        result.inspect_err(|_| self.trail.borrow_mut().push(step()))
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in self.trail.borrow().iter().rev() {
            if !path.is_empty() && !step.starts_with('[') {
                path.push('.');
            }
            path.push_str(step);
        }
        path
    }
}

/// The value of a field that has not been read yet.
pub(super) struct Value<'a, A> {
    context: &'a Context,
    map: &'a mut A,
}

impl<'de, A: MapAccess<'de>> Value<'_, A> {
    /// Reads a value of a kind; `None` for null.
    pub(super) fn read<K: Kind>(self) -> Result<Option<K::Out>, A::Error> {
        self.map.next_value_seed(Seed::<K>(self.context, PhantomData))
    }

    /// Reads one choice of several into `slot`.
    pub(super) fn choose<K: Kind, T>(
        self,
        slot: &mut Option<T>,
        make: impl FnOnce(K::Out) -> T,
    ) -> Result<(), A::Error> {
        if let Some(value) = self.read::<K>()?
            && slot.replace(make(value)).is_some()
        {
            return Err(A::Error::custom("only one of the alternative fields may be set"));
        }
        Ok(())
    }

    /// Reads past the value of an unknown field.
    pub(super) fn skip(self) -> Result<(), A::Error> {
        self.map.next_value::<IgnoredAny>().map(drop)
    }
}

struct Seed<'a, K>(&'a Context, PhantomData<K>);

impl<'de, K: Kind> DeserializeSeed<'de> for Seed<'_, K> {
    type Value = Option<K::Out>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        K::read(self.0, from)
    }
}

/// Reads the key of a field without copying it where the text allows.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = std::borrow::Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = std::borrow::Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(key.into())
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(key.to_owned().into())
    }
}

/// Reads an object into a message.
pub(super) struct MessageVisitor<'a, M>(pub(super) &'a Context, pub(super) PhantomData<M>);

impl<'de, M: Fields> Visitor<'de> for MessageVisitor<'_, M> {
    type Value = Option<M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut message = M::default();
        while let Some(key) = map.next_key_seed(Key)? {
            let value = Value { context: self.0, map: &mut map };
            self.0.at(message.read(&key, value), || clip(&key))?;
        }
        Ok(Some(message))
    }
}

/// A field name as part of a path. Unknown names come from the client and may be long.
fn clip(key: &str) -> String {
    key.chars().take(80).collect()
}

/// Reads an array, element by element.
pub(super) struct ArrayVisitor<'a, K, T>(pub(super) &'a Context, pub(super) PhantomData<(K, T)>);

impl<'de, K: Kind> Visitor<'de> for ArrayVisitor<'_, K, K::Out> {
    type Value = Option<Vec<K::Out>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut out = Vec::new();
        loop {
            let next = seq.next_element_seed(Seed::<K>(self.0, PhantomData));
            let next = next.and_then(|next| match next {
                None => Ok(None),
                Some(Some(value)) => self.0.take::<K::Out, A::Error>().map(|()| Some(value)),
                Some(None) => Err(A::Error::custom("null is not allowed in an array")),
            });
            match self.0.at(next, || format!("[{}]", out.len()))? {
                Some(value) => out.push(value),
                None => return Ok(Some(out)),
            }
        }
    }
}

/// Reads a whole document.
pub(super) fn document<M: Fields>(text: &[u8], max_bytes: usize) -> Result<M, JsonError> {
    let context = Context {
        trail: RefCell::default(),
        left: Cell::new(max_bytes),
        exhausted: Cell::new(false),
    };
    let mut from = serde_json::Deserializer::from_slice(text);
    let read = from
        .deserialize_any(MessageVisitor::<M>(&context, PhantomData))
        .and_then(|message| from.end().map(|()| message));
    let path = context.path();
    match read {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(JsonError::Invalid { path, detail: "expected an object".to_owned() }),
        Err(_) if context.exhausted.get() => Err(JsonError::TooLarge { path, max_bytes }),
        Err(error) => Err(JsonError::Invalid { path, detail: error.to_string() }),
    }
}

/// Writes a message as an object.
pub(super) fn write<M: Fields>(message: &M, out: &mut Vec<u8>) {
    out.push(b'{');
    message.write(&mut Object { out, first: true });
    out.push(b'}');
}

/// An object being written.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl Object<'_> {
    /// Writes a field unless it has its default value.
    pub(super) fn field<K: Kind>(&mut self, key: &str, value: &K::Out) {
        if !K::absent(value) {
            self.always::<K>(key, value);
        }
    }

    /// Writes a field whatever its value.
    pub(super) fn always<K: Kind>(&mut self, key: &str, value: &K::Out) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        K::write(value, self.out);
    }
}
