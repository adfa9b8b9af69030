//! Delta-packed integers of Parquet (parquet-format, Encodings.md, "DELTA_BINARY_PACKED"), to be compressed.

use super::hybrid::{bit_width, push_bits, push_varint};

/// Values of a block.
const BLOCK: usize = 128;
/// Miniblocks of a block, each with bits of its own.
const MINIBLOCKS: usize = 4;
const MINIBLOCK: usize = BLOCK / MINIBLOCKS;

/// Appends `values`.
pub(super) fn encode(values: &[i32], out: &mut Vec<u8>) {
    push_varint(BLOCK as u64, out);
    push_varint(MINIBLOCKS as u64, out);
    push_varint(values.len() as u64, out);
    push_varint(zigzag(values.first().copied().unwrap_or_default()), out);
    let deltas: Vec<i32> = values
        .iter()
        .zip(values.iter().skip(1))
        .map(|(before, value)| value.wrapping_sub(*before))
        .collect();
    // One least difference and one width, of whole bytes, for all blocks: more bits than need be, but a byte
    // then means the same throughout, so that a compressor has less to write.
    let least = deltas.iter().copied().min().unwrap_or_default();
    // What is above the least fits without a sign.
    let above = |delta: &i32| delta.wrapping_sub(least).cast_unsigned();
    let width = bit_width(deltas.iter().map(above).max().unwrap_or_default()).next_multiple_of(8);
    for block in deltas.chunks(BLOCK) {
        push_varint(zigzag(least), out);
        let used = block.len().div_ceil(MINIBLOCK);
        let width_of = |place| if place < used { width.to_le_bytes()[0] } else { 0 };
        out.extend((0..MINIBLOCKS).map(width_of));
        let padding = std::iter::repeat_n(0, used * MINIBLOCK - block.len());
        push_bits(block.iter().map(above).chain(padding), width, out);
    }
}

fn zigzag(value: i32) -> u64 {
    let value = i64::from(value);
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use parquet::basic::{Encoding, Repetition, Type as Physical};
    use parquet::column::page::{Page, PageReader};
    use parquet::column::reader::ColumnReaderImpl;
    use parquet::data_type::Int32Type;
    use parquet::schema::types::{ColumnDescriptor, ColumnPath, Type};
    use proptest::prelude::*;

    use super::*;

    /// One page without levels.
    struct One(Option<Page>);

    impl Iterator for One {
        type Item = parquet::errors::Result<Page>;
        fn next(&mut self) -> Option<Self::Item> {
            self.0.take().map(Ok)
        }
    }

    impl PageReader for One {
        fn get_next_page(&mut self) -> parquet::errors::Result<Option<Page>> {
            Ok(self.0.take())
        }
        fn peek_next_page(
            &mut self,
        ) -> parquet::errors::Result<Option<parquet::column::page::PageMetadata>> {
            Ok(None)
        }
        fn skip_next_page(&mut self) -> parquet::errors::Result<()> {
            Ok(())
        }
    }

    /// What the library makes of it.
    fn decode(bytes: Vec<u8>, count: usize) -> Vec<i32> {
        let kind = Type::primitive_type_builder("n", Physical::INT32)
            .with_repetition(Repetition::REQUIRED)
            .build()
            .unwrap();
        let path = ColumnPath::from("n");
        let column = Arc::new(ColumnDescriptor::new(Arc::new(kind), 0, 0, path));
        let page = Page::DataPage {
            buf: Bytes::from(bytes),
            num_values: u32::try_from(count).unwrap(),
            encoding: Encoding::DELTA_BINARY_PACKED,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let mut reader = ColumnReaderImpl::<Int32Type>::new(column, Box::new(One(Some(page))));
        let mut out = Vec::new();
        reader.read_records(count, None, None, &mut out).unwrap();
        out
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            values in prop_oneof![
                prop::collection::vec(any::<i32>(), 0..400),
                prop::collection::vec(0..40, 0..400),
            ],
        ) {
            let mut out = Vec::new();
            encode(&values, &mut out);
            prop_assert_eq!(decode(out, values.len()), values);
        }
    }
}
