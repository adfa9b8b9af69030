use std::sync::Arc;

use headrope_model::TimeRange;
use serde_json::json;

use crate::answer::trace::{TraceOrder, TraceQuery};
use crate::ask::search::conditions;
use crate::ask::slowest::{FEW, slowest};
use crate::ask::tests::trace_query;
use crate::engine::Session;
use crate::tests::{Placed, seeded};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_traces_one_by_one_are_those_that_a_statement_measures() {
    for placed in [Placed::Mixed, Placed::Merged] {
        let data = seeded(placed).await;
        let snapshot = data.engine.snapshot().await.unwrap();
        let session = Session::open(&data.queries.machine(), Arc::clone(&snapshot)).unwrap();
        let any = TraceQuery { order: TraceOrder::Slowest, ..trace_query(&data) };
        let service = Some(
            data.oracle.services(headrope_testdata::oracle::Kinds::All).into_keys().next().unwrap(),
        );
        let (from, third) = (data.range.from(), data.range.duration_ns() / 3);
        let middle = TimeRange::new(from + third, from + 2 * third).unwrap();
        let tags = vec![("service.name".to_owned(), json!(service.clone().unwrap()))];
        let queries = [
            any.clone(),
            TraceQuery { service: service.clone(), ..any.clone() },
            TraceQuery { range: middle, ..any.clone() },
            TraceQuery { range: middle, service: service.clone(), ..any.clone() },
            TraceQuery { errors_only: true, ..any.clone() },
            TraceQuery { min_duration_ns: Some(40_000_000), service, ..any.clone() },
            TraceQuery { tags, range: middle, ..any.clone() },
            TraceQuery { service: Some("nobody".to_owned()), ..any },
        ];
        for mut query in queries {
            let mut pages = 0;
            loop {
                let (condition, params) = conditions(&query).unwrap();
                let of = |few| slowest(&session, &query, 20, &condition, params.clone(), few);
                let (one_by_one, measured) = (of(1).await.unwrap(), of(FEW).await.unwrap());
                assert_eq!(one_by_one, measured, "{placed:?} {query:?}");
                pages += 1;
                let Some(last) = measured.get(19).filter(|_| measured.len() > 20 && pages < 4)
                else {
                    break;
                };
                query.cursor = Some(
                    crate::ask::cursor::Cursor {
                        list: 's',
                        at: last.at,
                        tie: last.trace_id.clone(),
                    }
                    .encode(),
                );
            }
        }
    }
}
