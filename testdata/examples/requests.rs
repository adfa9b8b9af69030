//! Writes trace requests of the shop to a file, to be replayed to any receiver of OTLP:
//! `cargo run --release -p headrope-testdata --example requests -- FILE [SPANS [FIRST_NS]]`.
//!
//! Each request is its length in bytes (u32, little-endian) and its protobuf. They are what `headrope
//! bench ingest` sends, but for the time they begin at, by default 2025-06-01T00:00:00Z.
#![allow(clippy::print_stdout, reason = "standard output is what this program is for")]

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write as _};

use headrope_testdata::{Shop, ShopConfig};
use prost::Message as _;

const FIRST_NS: i64 = 1_748_736_000_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("name the file to write")?;
    let spans: u64 = arguments.next().map_or(Ok(2_000_000), |text| text.parse())?;
    let first_ns: i64 = arguments.next().map_or(Ok(FIRST_NS), |text| text.parse())?;
    // The configuration of `server/src/bench/workload.rs`.
    let config = ShopConfig {
        seed: 1,
        traces_per_second: 400.0,
        batch_window_s: 10,
        batch_records: 1000,
        ..ShopConfig::default()
    };
    let shop = Shop::with_config(config);
    let mut file = BufWriter::new(File::create(&path)?);
    let (mut requests, mut bytes) = (0u64, 0u64);
    for slice in shop.exactly(first_ns, spans, 0) {
        for request in slice.traces {
            let body = request.encode_to_vec();
            file.write_all(&u32::try_from(body.len())?.to_le_bytes())?;
            file.write_all(&body)?;
            requests += 1;
            bytes += body.len() as u64;
        }
    }
    file.flush()?;
    println!("{spans} spans, {requests} requests, {bytes} bytes");
    Ok(())
}
