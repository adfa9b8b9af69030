//! A collector over an in-memory sink, clients for it, and small messages.

pub mod clients;
pub mod messages;
pub mod sink;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use headrope_collector::{Collector, CollectorConfig, CollectorError};
use headrope_model::Signal;
use headrope_model::metric::Family;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use clients::{Reply, grpc_raw, post};
use messages::good;
use sink::MemorySink;

/// A collector that serves until it is stopped.
pub struct Running {
    pub collector: Arc<Collector<MemorySink>>,
    pub sink: Arc<MemorySink>,
    pub stop: CancellationToken,
    pub task: JoinHandle<Result<(), CollectorError>>,
}

pub async fn start() -> Running {
    start_with(|_| ()).await
}

pub async fn start_with(adapt: impl FnOnce(&mut CollectorConfig)) -> Running {
    let any = "127.0.0.1:0".parse().unwrap();
    let mut config =
        CollectorConfig { grpc_addr: any, http_addr: any, ..CollectorConfig::default() };
    adapt(&mut config);
    let sink = Arc::new(MemorySink::default());
    let collector = Arc::new(Collector::bind(config, Arc::clone(&sink)).await.unwrap());
    let stop = CancellationToken::new();
    let task = {
        let (collector, stop) = (Arc::clone(&collector), stop.clone());
        tokio::spawn(async move { collector.serve(stop).await })
    };
    Running { collector, sink, stop, task }
}

pub const TRANSPORTS: [&str; 2] = ["grpc", "http"];

impl Running {
    /// Sends a protobuf message over a transport with an encoding name.
    pub async fn send(
        &self,
        transport: &str,
        signal: Signal,
        encoding: &str,
        body: Vec<u8>,
    ) -> Reply {
        match transport {
            "grpc" => grpc_raw(self.collector.grpc_addr(), signal, encoding, body).await,
            _ => {
                let headers =
                    [("content-type", "application/x-protobuf"), ("content-encoding", encoding)];
                post(self.collector.http_addr(), &format!("/v1/{signal}"), &headers, body).await
            }
        }
    }

    /// One counter, summed over the samples with these label values.
    pub fn count(&self, name: &str, labels: &[&str]) -> u64 {
        count(&self.collector.metrics(), name, labels)
    }

    /// Everything received was stored, refused or is in flight, and nothing is in flight.
    pub fn assert_balanced(&self) {
        let families = self.collector.metrics();
        for signal in Signal::ALL {
            for transport in TRANSPORTS {
                for (kind, stored) in [("requests", "accepted"), ("records", "stored")] {
                    let labels = [signal.name(), transport];
                    let of = |what: &str| {
                        count(&families, &format!("headrope_ingest_{kind}_{what}"), &labels)
                    };
                    assert_eq!(of("in_flight"), 0, "{kind} {labels:?}");
                    assert_eq!(of("received"), of(stored) + of("refused"), "{kind} {labels:?}");
                }
            }
        }
        assert_eq!(count(&families, "headrope_ingest_memory_bytes", &[]), 0);
        let stored = count(&families, "headrope_ingest_records_stored", &[]);
        assert_eq!(stored, self.sink.records());
    }

    /// A good request on every transport still succeeds, and the counters balance.
    pub async fn assert_healthy(&self) {
        for transport in TRANSPORTS {
            for signal in Signal::ALL {
                let reply = self.send(transport, signal, "identity", good(signal)).await;
                assert!(reply.ok(), "{transport} {signal}: {reply:?}");
            }
        }
        self.assert_balanced();
    }

    /// Stops and expects a clean end.
    pub async fn finish(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), self.task).await.unwrap().unwrap().unwrap();
    }
}

fn count(families: &[Family], name: &str, labels: &[&str]) -> u64 {
    let family = families.iter().find(|f| f.name == name).unwrap_or_else(|| panic!("no {name}"));
    let matching = |sample: &&headrope_model::metric::Sample| {
        labels.iter().all(|want| sample.labels.iter().any(|(_, have)| have == want))
    };
    family.samples.iter().filter(matching).map(|s| s.value as u64).sum()
}

/// The counts by reason that are not zero.
pub fn refusals(running: &Running, kind: &str) -> BTreeMap<String, u64> {
    let name = format!("headrope_ingest_{kind}_refused");
    let mut counts = BTreeMap::new();
    for family in running.collector.metrics().iter().filter(|f| f.name == name) {
        for sample in family.samples.iter().filter(|s| s.value > 0.0) {
            let reason = sample.labels.iter().find(|(name, _)| *name == "reason").unwrap();
            *counts.entry(reason.1.clone()).or_default() += sample.value as u64;
        }
    }
    counts
}
