//! Requests that are acknowledged, but not rows yet.
//!
//! Rows are made many requests at a time: dictionaries are shared and nobody waits for it, since a
//! request is acknowledged when it is in the log. They are made when enough has come together, when
//! a snapshot is asked for, and before a flush; so every snapshot still sees every acknowledged row.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headrope_model::Signal;

use crate::encode::{self, direct};
use crate::entry::{CHUNK_BYTES, Content, Entry, Rows};
use crate::error::StorageError;
use crate::export::Export;
use crate::shared::Shared;
use crate::{files, log};

/// How long the encoder waits before it tries again what failed.
const RETRY: Duration = Duration::from_secs(1);

/// Makes rows of all that is in the backlog now. A snapshot or a flush that begins afterwards sees
/// everything that was acknowledged before this was called.
pub(crate) fn catch_up(shared: &Shared) -> Result<(), StorageError> {
    // Whoever comes second must not go on before the first one's rows are visible.
    let _one_at_a_time = shared.encoding.lock();
    let entries = shared.state.lock().take_backlog();
    let Some(last) = entries.last().map(|e| e.seq) else { return Ok(()) };
    match rows(shared, &entries) {
        Ok(rows) => {
            let live_bytes = {
                let mut state = shared.state.lock();
                state.publish(last, rows);
                state.live_bytes()
            };
            shared.budget.set_live(live_bytes);
            Ok(())
        }
        Err(error) => {
            shared.state.lock().return_backlog(entries);
            Err(error)
        }
    }
}

/// The rows of entries, by data set.
fn rows(shared: &Shared, entries: &[Entry]) -> Result<Rows, StorageError> {
    let mut all = Rows::new();
    for signal in Signal::ALL {
        let mut chunk: Vec<(u64, &Bytes)> = Vec::new();
        let mut bytes = 0;
        for entry in entries {
            let Content::Payload(of, payload) = &entry.content else { continue };
            if *of != signal {
                continue;
            }
            chunk.push((entry.seq, payload));
            bytes += payload.len();
            if bytes >= CHUNK_BYTES {
                encode_chunk(shared, signal, &chunk, &mut all)?;
                chunk.clear();
                bytes = 0;
            }
        }
        encode_chunk(shared, signal, &chunk, &mut all)?;
    }
    for entry in entries {
        if let Content::Rows(rows) = &entry.content {
            all.extend(rows.iter().cloned());
        }
    }
    Ok(all)
}

/// Encodes a chunk directly; where one of its requests is declined, all by the reference.
fn encode_chunk(
    shared: &Shared,
    signal: Signal,
    chunk: &[(u64, &Bytes)],
    all: &mut Rows,
) -> Result<(), StorageError> {
    if chunk.is_empty() {
        return Ok(());
    }
    match direct::encode(signal, chunk.iter().map(|(_, payload)| payload.as_ref())) {
        Ok(own) => all.extend(encode::with_derived(signal, own)?),
        Err(reason) => {
            tracing::debug!(%reason, "a chunk of requests is encoded one by one");
            shared.counts.declined_chunks.add(1);
            for (seq, payload) in chunk {
                let export = Export::decode(signal, payload).map_err(|error| {
                    let path = log::file_name(&shared.log_dir, *seq);
                    let detail = format!("entry {seq}: {error}");
                    StorageError::Corrupt { path, offset: 0, detail }
                })?;
                all.extend(encode::rows(&export)?);
            }
        }
    }
    Ok(())
}

/// The thread that makes rows when enough has come together.
pub(crate) fn spawn(shared: Arc<Shared>) -> Result<std::thread::JoinHandle<()>, StorageError> {
    let dir = shared.log_dir.clone();
    std::thread::Builder::new()
        .name("encode".to_owned())
        .spawn(move || run(&shared))
        .map_err(files::io("start the encoding thread for", &dir))
}

fn run(shared: &Shared) {
    loop {
        {
            let mut state = shared.state.lock();
            while !state.backlog_due() {
                if state.is_closed() {
                    return;
                }
                shared.encode_due.wait(&mut state);
            }
        }
        if let Err(error) = catch_up(shared) {
            shared.counts.background_failures.add(1);
            tracing::error!(%error, "encoding failed and will be tried again");
            let mut state = shared.state.lock();
            if state.is_closed() {
                return;
            }
            shared.encode_due.wait_for(&mut state, RETRY);
        }
    }
}
