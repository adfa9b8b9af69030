//! Fuzz targets of the ingest log.

#[allow(dead_code, reason = "the module is shared with the storage engine")]
#[path = "../../src/log/frame.rs"]
mod frame;

/// Arbitrary bytes as frames, as they are and with their checksums made right, so that what lies
/// behind the checksum is reached: nothing panics, and an entry read is part of the input.
pub fn log_frames(input: &[u8]) {
    let _entries = frame::fuzz_frames(input);
    let mut fixed = input.to_vec();
    if let (Some(crc), true) = (input.get(8..).map(crc32fast::hash), fixed.len() >= 24) {
        fixed[..4].copy_from_slice(b"HRFR");
        fixed[4..8].copy_from_slice(&crc.to_le_bytes());
        let body = u32::try_from(fixed.len() - 24).unwrap_or(u32::MAX);
        fixed[8..12].copy_from_slice(&body.to_le_bytes());
        let crc = crc32fast::hash(&fixed[8..]);
        fixed[4..8].copy_from_slice(&crc.to_le_bytes());
        let (whole, len) = frame::read_frame(&fixed).expect("the checksum was made right");
        assert_eq!(len, fixed.len());
        if let Ok(entries) = whole.entries() {
            let bytes: usize = entries.iter().map(|e| e.bytes.len() + frame::ENTRY_HEADER).sum();
            assert_eq!(bytes, fixed.len() - 24, "entries cover the body exactly");
        }
    }
    let _header = frame::read_file_header(input);
}
