//! A hash that is the same in every release and on every machine.

/// FNV-1a of 64 bits (Fowler, Noll and Vo) over the parts, each followed by a byte that text cannot
/// contain, with the finaliser of SplitMix64 to spread what FNV leaves uneven.
pub(super) fn hash(parts: &[&str]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325u64;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
