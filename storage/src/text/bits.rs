//! Numbers as bits: plain, and Rice codes (quotient in unary, remainder in plain bits), which are
//! within a few hundredths of a bit of the best code for gaps of random rows (R. F. Rice, "Some
//! practical universal noiseless coding techniques", JPL 79-22, 1979).

/// Quotients from here on are written as the number itself, so that one number far above the others
/// costs no more than 64 bits.
const ESCAPE: u32 = 24;

/// Appends bits to bytes, the lowest first.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    out: Vec<u8>,
    pending: u64,
    filled: u32,
}

impl BitWriter {
    /// Appends the low `width` bits (at most 32).
    pub(super) fn plain(&mut self, value: u32, width: u32) {
        let value = u64::from(value) & ((1 << width) - 1);
        self.pending |= value << self.filled;
        self.filled += width;
        while self.filled >= 8 {
            let [low, ..] = self.pending.to_le_bytes();
            self.out.push(low);
            self.pending >>= 8;
            self.filled -= 8;
        }
    }

    /// Appends a number with a remainder of `k` bits (at most 31).
    pub(super) fn rice(&mut self, value: u32, k: u32) {
        let quotient = value >> k;
        if quotient < ESCAPE {
            self.plain(1 << quotient, quotient + 1);
            self.plain(value, k);
        } else {
            self.plain(1 << ESCAPE, ESCAPE + 1);
            self.plain(value, 32);
        }
    }

    /// Appends a number whose size is not known: its length in unary, then its bits.
    pub(super) fn gamma(&mut self, value: u32) {
        let width = (u64::from(value) + 1).ilog2();
        self.rice(width, 0);
        self.plain(value.wrapping_add(1), width);
    }

    /// Fills up the last byte and answers all of them.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            let [low, ..] = self.pending.to_le_bytes();
            self.out.push(low);
        }
        self.out
    }
}

/// Bits that [`BitWriter::rice`] takes for a number.
pub(super) const fn rice_bits(value: u32, k: u32) -> u64 {
    let quotient = value >> k;
    if quotient < ESCAPE { quotient as u64 + 1 + k as u64 } else { ESCAPE as u64 + 33 }
}

/// The best `k` for numbers with this sum, if they are spread geometrically: `ln 2` times the mean
/// (A. Kiely, "Selecting the Golomb parameter in Rice coding", JPL IPN 42-159, 2004).
pub(super) fn rice_parameter(sum: u64, count: usize) -> u32 {
    let scaled = sum.saturating_mul(69) / (100 * (count as u64).max(1));
    (scaled + 1).ilog2().min(31)
}

/// Reads what a [`BitWriter`] wrote; `None` at the end of the bytes.
#[derive(Debug, Clone)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next bits, at least 57 of them where there are so many, zeros behind the end.
    fn peek(&self) -> u64 {
        let from = self.at / 8;
        let word = match self.bytes.get(from..from + 8).and_then(|b| b.try_into().ok()) {
            Some(eight) => u64::from_le_bytes(eight),
            None => {
                let rest = self.bytes.get(from..).unwrap_or_default();
                rest.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte))
            }
        };
        word >> (self.at % 8)
    }

    fn skip(&mut self, bits: u32) -> Option<()> {
        self.at += bits as usize;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// The next `width` bits (at most 32).
    pub(super) fn plain(&mut self, width: u32) -> Option<u32> {
        let value = self.peek() & ((1 << width) - 1);
        self.skip(width)?;
        u32::try_from(value).ok()
    }

    /// A number written with a remainder of `k` bits.
    pub(super) fn rice(&mut self, k: u32) -> Option<u32> {
        let bits = self.peek();
        let quotient = bits.trailing_zeros();
        if quotient < ESCAPE {
            // A quotient and a remainder of up to 31 bits fit what was peeked.
            self.skip(quotient + 1 + k)?;
            let rest = (bits >> (quotient + 1)) & ((1 << k) - 1);
            return u32::try_from((u64::from(quotient) << k) | rest).ok();
        }
        (quotient == ESCAPE).then_some(())?;
        self.skip(ESCAPE + 1)?;
        self.plain(32)
    }

    /// A number written by [`BitWriter::gamma`].
    pub(super) fn gamma(&mut self) -> Option<u32> {
        let width = self.rice(0)?;
        (width <= 32).then_some(())?;
        let rest = self.plain(width)?;
        let value = (1_u64 << width) | u64::from(rest);
        u32::try_from(value - 1).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Item {
        Plain(u32, u32),
        Rice(u32, u32),
        Gamma(u32),
    }

    fn item() -> impl Strategy<Value = Item> {
        let number = || prop_oneof![0_u32..100, any::<u32>(), Just(u32::MAX)];
        prop_oneof![
            (number(), 0_u32..=32).prop_map(|(v, w)| {
                Item::Plain(if w == 32 { v } else { v & ((1 << w) - 1) }, w)
            }),
            (number(), 0_u32..=31).prop_map(|(v, k)| Item::Rice(v, k)),
            number().prop_map(Item::Gamma),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(items in prop::collection::vec(item(), 0..60)) {
            let mut out = BitWriter::default();
            let mut bits = 0;
            for item in &items {
                match *item {
                    Item::Plain(v, w) => { out.plain(v, w); bits += u64::from(w); }
                    Item::Rice(v, k) => { out.rice(v, k); bits += rice_bits(v, k); }
                    Item::Gamma(v) => {
                        out.gamma(v);
                        let width = (u64::from(v) + 1).ilog2();
                        bits += rice_bits(width, 0) + u64::from(width);
                    }
                }
            }
            let bytes = out.finish();
            prop_assert_eq!(bytes.len() as u64, bits.div_ceil(8));
            let mut reader = BitReader::new(&bytes);
            for item in &items {
                let (got, want) = match *item {
                    Item::Plain(v, w) => (reader.plain(w), v),
                    Item::Rice(v, k) => (reader.rice(k), v),
                    Item::Gamma(v) => (reader.gamma(), v),
                };
                prop_assert_eq!(got, Some(want), "{:?}", item);
            }
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..40), k in 0_u32..=31) {
            let mut reader = BitReader::new(&bytes);
            while reader.rice(k).is_some() && reader.gamma().is_some() && reader.plain(k).is_some() {}
        }
    }
}
