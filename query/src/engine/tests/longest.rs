use std::collections::BTreeMap;

use headrope_model::TimeRange;

use crate::engine::Session;
use crate::engine::longest::{Long, Wish, longest};
use crate::tests::{Placed, Seeded, seeded};

/// Traces whose parts start in a range and of which one touches another: longest first, as the oracle measures them.
fn measured(data: &Seeded, touches: TimeRange) -> Vec<Long> {
    let mut all: BTreeMap<u128, (i64, i64)> = BTreeMap::new();
    for id in data.oracle.trace_ids() {
        let spans = data.oracle.trace(&id);
        let start = spans.iter().map(|s| s.start_ns).min().unwrap().cast_signed();
        let end = spans.iter().map(|s| s.start_ns + s.duration_ns).max().unwrap().cast_signed();
        if touches.overlaps_closed(start, end) {
            all.insert(u128::from_be_bytes(*id.bytes()), (start, end));
        }
    }
    let mut all: Vec<Long> =
        all.into_iter().map(|(id, (start, end))| Long { length_ns: end - start, id }).collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_traces_are_found_however_few_are_held() {
    for placed in [Placed::Live, Placed::Flushed, Placed::Mixed, Placed::Merged] {
        let data = seeded(placed).await;
        let snapshot = data.engine.snapshot().await.unwrap();
        let machine = data.queries.machine();
        let session = Session::open(&machine, std::sync::Arc::clone(&snapshot)).unwrap();
        let pool = std::sync::Arc::clone(session.memory_pool());
        let want = measured(&data, data.range);
        for held in [1, 50, usize::MAX] {
            let mut below = None;
            let mut got = Vec::new();
            // Page by page, as a list is read.
            loop {
                let wish = Wish { within: TimeRange::ALL, touches: data.range, below, most: 37 };
                let page = longest(&machine.footers, &snapshot, &pool, wish, held).await.unwrap();
                below = page.last().copied();
                got.extend(page.iter().copied());
                if page.len() < 37 {
                    break;
                }
            }
            assert_eq!(got, want, "{placed:?}, {held} held");
        }
        // Of all others no part runs in that second.
        let ids = data.oracle.trace_ids();
        let starts = ids.iter().flat_map(|id| data.oracle.trace(id)).map(|span| span.start_ns);
        let first = starts.min().unwrap().cast_signed();
        let second = TimeRange::new(first, first + 1_000_000_000).unwrap();
        let wish = Wish { within: TimeRange::ALL, touches: second, below: None, most: 10_000 };
        let got = longest(&machine.footers, &snapshot, &pool, wish, 50).await.unwrap();
        let all = measured(&data, second);
        assert!(got.iter().all(|one| all.contains(one)), "{placed:?}");
        assert!(got.len() > 3 && got.len() < want.len(), "{} of {}", got.len(), want.len());
        assert_eq!(pool.reserved(), 0);
    }
}
