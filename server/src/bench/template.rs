//! An encoded request whose ids and times can be changed without decoding it.

/// An encoded request, and where its ids and times are.
#[derive(Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    records: u64,
    ids: Vec<u32>,
    times: Vec<u32>,
}

impl Template {
    /// Finds the ids and times of an encoded request of `records` records.
    pub(crate) fn new(bytes: Vec<u8>, records: u64, fields: &[Field]) -> Self {
        let mut template = Self { bytes: Vec::new(), records, ids: Vec::new(), times: Vec::new() };
        template.find(&bytes, 0, fields);
        template.bytes = bytes;
        template
    }

    /// The request as it was given.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Records in the request.
    pub(crate) const fn records(&self) -> u64 {
        self.records
    }

    /// Notes where the fields are in a message that begins at `base`; ends at what is not protobuf.
    fn find(&mut self, message: &[u8], base: usize, fields: &[Field]) {
        let mut rest = message;
        while let Some((tag, after)) = varint(rest) {
            let known = fields.iter().find(|f| u64::from(f.number) == tag >> 3);
            let at = |part: &[u8]| base + (message.len() - part.len());
            rest = match tag & 7 {
                0 => varint(after).map_or(&[], |(_, rest)| rest),
                1 => {
                    if matches!(known, Some(Field { meaning: Meaning::Time, .. })) {
                        self.times.extend(u32::try_from(at(after)).ok());
                    }
                    after.get(8..).unwrap_or_default()
                }
                2 => {
                    let Some((length, content)) = varint(after) else { return };
                    let Some((content, next)) =
                        usize::try_from(length).ok().and_then(|n| content.split_at_checked(n))
                    else {
                        return;
                    };
                    match known.map(|f| &f.meaning) {
                        Some(Meaning::Id) if content.len() >= 8 => {
                            self.ids.extend(u32::try_from(at(next) - content.len()).ok());
                        }
                        Some(Meaning::Message(inner)) => {
                            self.find(content, at(next) - content.len(), inner);
                        }
                        _ => {}
                    }
                    next
                }
                5 => after.get(4..).unwrap_or_default(),
                _ => return,
            };
        }
    }

    /// The bytes with the ids of a round, and every time `later` nanoseconds later (wrapping).
    pub(crate) fn patched(&self, round: u64, later: u64) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        if round > 0 {
            for at in &self.ids {
                in_round(bytes.get_mut(*at as usize..).unwrap_or_default(), round);
            }
        }
        if later > 0 {
            for at in &self.times {
                let field = bytes.get_mut(*at as usize..).and_then(<[u8]>::first_chunk_mut::<8>);
                if let Some(field) = field {
                    *field = u64::from_le_bytes(*field).wrapping_add(later).to_le_bytes();
                }
            }
        }
        bytes
    }
}

/// Makes an id that of a round: its first four bytes carry the number.
pub(crate) fn in_round(id: &mut [u8], round: u64) {
    let mask = u32::try_from(round).unwrap_or(u32::MAX).to_be_bytes();
    id.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}

/// A field of a protobuf message that changes from round to round.
#[derive(Debug)]
pub(crate) struct Field {
    number: u32,
    meaning: Meaning,
}

#[derive(Debug)]
enum Meaning {
    Id,
    Time,
    Message(&'static [Field]),
}

const fn id(number: u32) -> Field {
    Field { number, meaning: Meaning::Id }
}

const fn time(number: u32) -> Field {
    Field { number, meaning: Meaning::Time }
}

const fn message(number: u32, fields: &'static [Field]) -> Field {
    Field { number, meaning: Meaning::Message(fields) }
}

/// Field numbers of opentelemetry/proto/trace/v1/trace.proto.
pub(crate) const EXPORT_TRACES: &[Field] = &[message(1, &[message(2, &[message(2, SPAN)])])];
const SPAN: &[Field] =
    &[id(1), id(2), id(4), time(7), time(8), message(11, &[time(1)]), message(13, &[id(1), id(2)])];
/// Field numbers of opentelemetry/proto/logs/v1/logs.proto.
pub(crate) const EXPORT_LOGS: &[Field] = &[message(1, &[message(2, &[message(2, LOG_RECORD)])])];
const LOG_RECORD: &[Field] = &[time(1), id(9), id(10), time(11)];

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(at + 1..)?));
        }
    }
    None
}
