//! Cost of the text index: build throughput, size, and lookups over generated log lines.
//!
//! ```text
//! cargo run --release -p headrope-storage --example text_index -- [LINES]
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use headrope_storage::text::{TextIndex, TextIndexBuilder, TextQuery};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const TEMPLATES: &[&str] = &[
    "request completed method=GET path=/api/v1/products/{n} status=200 duration_ms={n} bytes={n} remote=10.1.{b}.{b} request_id={h} user_agent=\"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\"",
    "order {h} accepted for customer {n}: {b} items, total {n}.{b} EUR, reserved stock in warehouse {b}, waiting for payment authorization from provider acquirer-{b} within {n} ms",
    "slow statement took {n} ms: SELECT id, status, total FROM orders WHERE customer_id = {n} AND created_at > now() - interval '{b} days' ORDER BY created_at DESC LIMIT {b} [connection {h}]",
    "cache miss for key product:{n}:price in region eu-central-{b}, loaded from database in {n} us and stored with ttl {b} s (pool size {b}, waiting {b}, generation {h})",
    "payment declined for order {h}: provider answered code {b} insufficient funds, attempt {b} of 3, next attempt in {n} ms, correlation {h}, merchant {n}, terminal {n}",
    "connection refused by 10.1.{b}.{b}:5432 while opening a connection for pool orders-{b}: retry {b} after {n} ms, last error: could not connect to server, circuit breaker state half-open",
];

fn line(rng: &mut ChaCha8Rng) -> String {
    let template = TEMPLATES[rng.random_range(0..TEMPLATES.len())];
    let mut out = String::with_capacity(256);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.as_bytes().first() {
            Some(b'n') => out.push_str(&rng.random_range(0..1_000_000_u32).to_string()),
            Some(b'b') => out.push_str(&rng.random_range(0..256_u32).to_string()),
            _ => out.push_str(&format!("{:016x}", rng.random::<u64>())),
        }
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    out + rest
}

fn best_of<T>(times: usize, mut work: impl FnMut() -> T) -> Duration {
    let one = |work: &mut dyn FnMut() -> T| {
        let started = Instant::now();
        let _ = std::hint::black_box(work());
        started.elapsed()
    };
    (0..times).map(|_| one(&mut work)).min().unwrap_or_default()
}

fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 200_000,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let lines: Vec<String> = (0..count).map(|_| line(&mut rng)).collect();
    let raw: usize = lines.iter().map(String::len).sum();
    println!(
        "{count} lines, {:.1} MB, {:.0} bytes a line",
        raw as f64 / 1e6,
        raw as f64 / count as f64
    );

    let dir = tempfile::tempdir()?;
    let path = dir.path().join("index");
    let started = Instant::now();
    let mut builder = TextIndexBuilder::create(&path)?;
    for line in &lines {
        builder.push(line)?;
    }
    let bytes = builder.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "build: {seconds:.2} s, {:.1} MB/s, {:.1} bytes a line, {:.1} % of raw",
        raw as f64 / 1e6 / seconds,
        bytes as f64 / count as f64,
        100.0 * bytes as f64 / raw as f64,
    );
    println!("open: {:?}", best_of(5, || TextIndex::open(&path)));
    let index = TextIndex::open(&path)?;
    println!("{index:?}");
    println!("| query | rows | candidates | scan of all lines |");
    println!("|---|---|---|---|");
    let rare =
        lines.get(count / 2).and_then(|l| l.split_whitespace().last()).unwrap_or("none").to_owned();
    for text in [
        "declined",
        &rare,
        "\"connection refused\"",
        "acq* -waiting",
        "1*",
        "payment OR cache",
        "absent",
    ] {
        let query = TextQuery::parse(text)?;
        let found =
            index.candidates(&query)?.map_or(u64::from(index.rows()), |found| found.rows.len());
        let lookup = best_of(5, || index.candidates(&query));
        let scan = best_of(1, || {
            let mut matcher = query.matcher();
            lines.iter().filter(|line| matcher.matches(line)).count()
        });
        println!("| `{text}` | {found} | {lookup:?} | {scan:?} |");
    }
    Ok(())
}
