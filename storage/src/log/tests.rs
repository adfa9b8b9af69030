use proptest::prelude::*;

use super::*;
use crate::config::Durability;
use crate::error::StorageError;

fn pack(payload: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(payload, 1).unwrap()
}

/// Writes groups of payloads, each group a frame; `rotate` starts a new file after some groups.
fn write(dir: &Path, groups: &[Vec<Vec<u8>>], rotate: &[bool]) -> u64 {
    let mut writer = LogWriter::new(dir, Durability::PageCache);
    let mut seq = 1;
    for (group, rotate) in groups.iter().zip(rotate.iter().chain(std::iter::repeat(&false))) {
        let mut frame = FrameBuilder::new(seq);
        for payload in group {
            frame.push(1, u32::try_from(payload.len()).unwrap(), 7, &pack(payload));
        }
        writer.append(seq, &frame.finish()).unwrap();
        seq += u64::try_from(group.len()).unwrap();
        writer.mark(seq);
        if *rotate {
            writer.rotate();
        }
    }
    seq - 1
}

type Found = Vec<(u64, Vec<u8>)>;

fn read(dir: &Path, watermark: u64) -> Result<(Found, Replay), StorageError> {
    let mut all = Vec::new();
    let replay = recover(dir, watermark, |r| {
        all.push((r.seq, r.payload));
        Ok(())
    })?;
    Ok((all, replay))
}

fn groups() -> impl Strategy<Value = (Vec<Vec<Vec<u8>>>, Vec<bool>)> {
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    let group = prop::collection::vec(payload, 1..4);
    (prop::collection::vec(group, 1..8), prop::collection::vec(any::<bool>(), 8))
}

proptest! {
    #[test]
    fn what_was_written_comes_back((groups, rotate) in groups(), skip in 0u64..10) {
        let dir = tempfile::tempdir().unwrap();
        let last = write(dir.path(), &groups, &rotate);
        let watermark = skip.min(last);
        let (found, replay) = read(dir.path(), watermark).unwrap();
        let want: Vec<_> = (1..).zip(groups.concat()).filter(|(s, _)| *s > watermark).collect();
        prop_assert_eq!(found, want);
        prop_assert_eq!(replay.last_seq, last);
    }

    /// Scenario: the last file is cut anywhere (a torn write). Guarantee: the longest run of whole
    /// frames is recovered, never anything else, and the log can be opened again.
    #[test]
    fn a_cut_tail_loses_only_the_last_frames((groups, rotate) in groups(), cut in any::<prop::sample::Index>()) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &groups, &rotate);
        let path = crate::files::list(dir.path(), EXTENSION).unwrap().pop().unwrap();
        let len = std::fs::metadata(&path).unwrap().len();
        let keep = u64::try_from(cut.index(usize::try_from(len).unwrap() + 1)).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(keep).unwrap();
        let (found, _) = read(dir.path(), 0).unwrap();
        let want: Vec<_> = (1..).zip(groups.concat()).take(found.len()).collect();
        prop_assert_eq!(&found, &want);
        let frames: Vec<usize> = groups.iter().scan(0, |n, g| { *n += g.len(); Some(*n) }).collect();
        prop_assert!(found.is_empty() || frames.contains(&found.len()));
        prop_assert_eq!(read(dir.path(), 0).unwrap().0, want);
    }

    /// Scenario: any one bit flips in any file. Guarantee: the log refuses with file and offset, or
    /// everything comes back: the mark tells damage to the last frame from an unfinished write.
    #[test]
    fn a_flipped_bit_never_yields_other_data((groups, rotate) in groups(), at in any::<prop::sample::Index>(), file in any::<prop::sample::Index>(), bit in 0u8..8) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &groups, &rotate);
        let files = crate::files::list(dir.path(), EXTENSION).unwrap();
        let path = &files[file.index(files.len())];
        let mut bytes = std::fs::read(path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        std::fs::write(path, &bytes).unwrap();
        let want: Vec<_> = (1..).zip(groups.concat()).collect();
        match read(dir.path(), 0) {
            Ok((found, _)) => prop_assert_eq!(found, want),
            Err(StorageError::Corrupt { .. } | StorageError::TooNew { .. }) => {}
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = fuzz_frames(&bytes);
    }
}

#[test]
fn damage_before_valid_frames_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[vec![vec![1; 30]], vec![vec![2; 30]]], &[]);
    let path = file_name(dir.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = read(dir.path(), 0).unwrap_err().to_string();
    assert!(error.contains("is damaged at byte 32"), "{error}");
}

/// Scenario: a write fails, the file cannot be cut back, and its requests are refused. Guarantee: what
/// takes their numbers in the next file is read, the refused ones are not.
#[test]
fn a_file_ends_where_its_successor_begins() {
    let dir = tempfile::tempdir().unwrap();
    let frame = |seq, payload: &[u8]| {
        let mut frame = FrameBuilder::new(seq);
        frame.push(1, 1, 0, &pack(payload));
        frame.finish()
    };
    let mut writer = LogWriter::new(dir.path(), Durability::Fsync);
    for (seq, payload) in [(1, b"a"), (2, b"x"), (3, b"y")] {
        writer.append(seq, &frame(seq, payload)).unwrap();
    }
    writer.rotate();
    writer.append(2, &frame(2, b"b")).unwrap();
    let (found, replay) = read(dir.path(), 0).unwrap();
    assert_eq!(found, [(1, b"a".to_vec()), (2, b"b".to_vec())]);
    assert_eq!(replay.last_seq, 2);
}

#[test]
fn a_gap_between_segments_and_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::new(dir.path(), Durability::PageCache);
    let mut frame = FrameBuilder::new(9);
    frame.push(1, 0, 0, &pack(&[]));
    writer.append(9, &frame.finish()).unwrap();
    assert!(matches!(read(dir.path(), 3), Err(StorageError::Corrupt { .. })));
}
