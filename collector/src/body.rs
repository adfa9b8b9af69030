//! socket → bytes: a request body, whole, in one piece, within its limits.

use axum::body::Body;
use bytes::{Buf as _, Bytes, BytesMut};
use headrope_model::RefuseReason;
use http_body_util::BodyExt as _;

use crate::budget::Reservation;
use crate::refusal::Refusal;

/// Bytes in front of a gRPC message: the compressed flag and the length.
pub(crate) const GRPC_PREFIX: usize = 5;
/// First buffer for a body that comes in several pieces.
const FIRST_BUFFER: usize = 64 << 10;

/// How a message lies in its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The body is the message.
    Whole,
    /// One length-prefixed gRPC message.
    Grpc,
}

/// A message as it came.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    /// Whether the declared encoding applies.
    pub(crate) compressed: bool,
}

/// Reads one message of at most `limit` bytes, reserving memory as it arrives.
///
/// # Errors
/// When it is too large, memory is short, or the client goes away.
pub(crate) async fn receive(
    body: &mut Body,
    framing: Framing,
    limit: usize,
    room: &mut Reservation,
) -> Result<Received, Refusal> {
    let bytes = match framing {
        Framing::Whole => read(body, limit, limit, framing, room).await?,
        Framing::Grpc => read(body, limit + GRPC_PREFIX, limit, framing, room).await?,
    };
    match framing {
        Framing::Whole => Ok(Received { bytes, compressed: true }),
        Framing::Grpc => unframe(bytes),
    }
}

async fn read(
    body: &mut Body,
    max: usize,
    limit: usize,
    framing: Framing,
    room: &mut Reservation,
) -> Result<Bytes, Refusal> {
    let mut whole = BytesMut::new();
    let mut single: Option<Bytes> = None;
    loop {
        let Some(frame) = body.frame().await else {
            return Ok(single.unwrap_or_else(|| whole.freeze()));
        };
        let frame = frame.map_err(|cause| Refusal::new(RefuseReason::Aborted, cause))?;
        let Ok(data) = frame.into_data() else { continue };
        let before = single.as_ref().map_or(whole.len(), Bytes::len);
        let len = before + data.len();
        if len > max {
            return Err(Refusal::too_large(limit));
        }
        // A body in one piece is used as it is; only further pieces are copied together.
        match single.take() {
            None if before == 0 => {
                room.grow(data.len())?;
                single = Some(data);
            }
            first => {
                append(&mut whole, first, &data, room)?;
            }
        }
        if framing == Framing::Grpc && before < GRPC_PREFIX {
            let head = single.as_deref().unwrap_or(&whole);
            if declared_len(head).is_some_and(|declared| declared > limit) {
                return Err(Refusal::too_large(limit));
            }
        }
    }
}

fn append(
    whole: &mut BytesMut,
    first: Option<Bytes>,
    data: &[u8],
    room: &mut Reservation,
) -> Result<(), Refusal> {
    let held = first.as_ref().map_or(0, Bytes::len);
    let need = whole.len() + held + data.len();
    if need > whole.capacity() {
        let capacity = need.next_power_of_two().max(FIRST_BUFFER);
        room.grow(capacity - whole.capacity())?;
        whole.reserve(capacity - whole.len());
    }
    if let Some(first) = first {
        whole.extend_from_slice(&first);
        room.shrink(held);
    }
    whole.extend_from_slice(data);
    Ok(())
}

/// The length in a gRPC prefix, once it is there.
fn declared_len(head: &[u8]) -> Option<usize> {
    let [_, len @ ..] = head.first_chunk::<GRPC_PREFIX>()?;
    usize::try_from(u32::from_be_bytes(*len)).ok()
}

fn unframe(mut bytes: Bytes) -> Result<Received, Refusal> {
    let malformed = |detail: &str| Refusal::new(RefuseReason::Malformed, detail);
    let Some(declared) = declared_len(&bytes) else {
        return Err(malformed("there is no gRPC message"));
    };
    let compressed = match bytes.first() {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(malformed("the gRPC compressed flag must be 0 or 1")),
    };
    bytes.advance(GRPC_PREFIX);
    if bytes.len() != declared {
        return Err(malformed("the gRPC message is not as long as its prefix says"));
    }
    Ok(Received { bytes, compressed })
}

/// Takes in and forgets the rest of a refused body, so that a client that writes before it reads
/// gets its answer instead of a broken connection. At most `max` bytes.
pub(crate) async fn discard(mut body: Body, max: usize) {
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > max {
            return;
        }
    }
}
