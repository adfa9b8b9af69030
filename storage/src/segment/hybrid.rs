//! The run-length / bit-packing hybrid of Parquet (parquet-format, Encodings.md, "RLE"): levels and
//! dictionary indexes.

/// Values of a bit-packed run at most: 63 groups of eight, whose header is one byte.
const MAX_PACKED: usize = 504;
/// Repetitions from which on a run is shorter than packed values.
const MIN_RUN: usize = 8;

/// Bits needed for numbers up to `max`.
pub(super) const fn bit_width(max: u32) -> u32 {
    u32::BITS - max.leading_zeros()
}

/// Appends `values`, each of `width` bits.
pub(super) fn encode(values: &[u32], width: u32, out: &mut Vec<u8>) {
    // Where the values begin that are not written yet and are to be packed.
    let mut pending = 0;
    let mut at = 0;
    while let Some(value) = values.get(at) {
        let run = values.iter().skip(at).take_while(|v| *v == value).count();
        // Packed values come in eights: the run first completes what is pending.
        let fill = (8 - (at - pending) % 8) % 8;
        if run >= fill + MIN_RUN {
            pack(values.get(pending..at + fill).unwrap_or_default(), width, out);
            push_run(*value, run - fill, width, out);
            at += run;
            pending = at;
        } else {
            at += run;
        }
    }
    pack(values.get(pending..).unwrap_or_default(), width, out);
}

fn push_run(value: u32, count: usize, width: u32, out: &mut Vec<u8>) {
    push_varint((count as u64) << 1, out);
    let bytes = usize::try_from(width.div_ceil(8)).unwrap_or(4);
    out.extend(value.to_le_bytes().iter().take(bytes));
}

/// Appends bit-packed runs; the last group of eight is filled up with zeros.
fn pack(values: &[u32], width: u32, out: &mut Vec<u8>) {
    for part in values.chunks(MAX_PACKED) {
        let groups = part.len().div_ceil(8);
        push_varint(((groups as u64) << 1) | 1, out);
        let padding = groups * 8 - part.len();
        push_bits(part.iter().copied().chain(std::iter::repeat_n(0, padding)), width, out);
    }
}

/// Appends values of `width` bits each, the lowest bits first; together they are whole bytes.
pub(super) fn push_bits(values: impl Iterator<Item = u32>, width: u32, out: &mut Vec<u8>) {
    let (mut bits, mut filled) = (0_u64, 0);
    for value in values {
        bits |= u64::from(value) << filled;
        filled += width;
        if filled >= u32::BITS {
            let [a, b, c, d, ..] = bits.to_le_bytes();
            out.extend([a, b, c, d]);
            bits >>= u32::BITS;
            filled -= u32::BITS;
        }
    }
    let left = usize::try_from(filled / 8).unwrap_or_default();
    out.extend(bits.to_le_bytes().iter().take(left));
}

pub(super) fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        let [low, ..] = value.to_le_bytes();
        out.push(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    out.push(low);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads the format as the specification describes it.
    fn decode(mut bytes: &[u8], width: u32, count: usize) -> Vec<u32> {
        let mut out = Vec::new();
        while out.len() < count {
            let (mut header, mut shift) = (0_u64, 0);
            loop {
                let byte = bytes[0];
                bytes = &bytes[1..];
                header |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            let n = (header >> 1) as usize;
            if header & 1 == 0 {
                let len = width.div_ceil(8) as usize;
                let mut value = [0; 4];
                value[..len].copy_from_slice(&bytes[..len]);
                bytes = &bytes[len..];
                out.extend(std::iter::repeat_n(u32::from_le_bytes(value), n));
            } else {
                let (run, rest) = bytes.split_at(n * width as usize);
                for at in 0..n * 8 {
                    let bit = |k: usize| u32::from(run[k / 8] >> (k % 8) & 1);
                    let from = at * width as usize;
                    out.push((0..width as usize).map(|k| bit(from + k) << k).sum());
                }
                bytes = rest;
            }
        }
        assert!(bytes.is_empty());
        out.truncate(count);
        out
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            runs in prop::collection::vec((any::<u32>(), 1_usize..40), 0..60),
            width in 0_u32..=32,
        ) {
            let mask = if width == 32 { u32::MAX } else { (1 << width) - 1 };
            let values: Vec<u32> =
                runs.into_iter().flat_map(|(v, n)| std::iter::repeat_n(v & mask, n)).collect();
            let mut out = Vec::new();
            encode(&values, width, &mut out);
            prop_assert_eq!(decode(&out, width, values.len()), values);
        }
    }

    #[test]
    fn widths_and_runs() {
        assert_eq!([0, 1, 2, 255, 256].map(bit_width), [0, 1, 2, 8, 9]);
        let mut out = Vec::new();
        encode(&[5; 1000], 3, &mut out);
        assert_eq!(out, [0xd0, 0x0f, 5]);
    }
}
