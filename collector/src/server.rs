//! The collector: two listeners over one pipeline.

use std::net::SocketAddr;
use std::sync::Arc;

use headrope_model::metric::Family;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::CollectorConfig;
use crate::error::CollectorError;
use crate::listen::{self, Door};
use crate::pipeline::Pipeline;
use crate::sink::Sink;
use crate::{grpc, http};

/// An OTLP receiver.
pub struct Collector<S> {
    config: CollectorConfig,
    pipeline: Arc<Pipeline<S>>,
    grpc_addr: SocketAddr,
    http_addr: SocketAddr,
    listeners: Mutex<Option<(TcpListener, TcpListener)>>,
}

impl<S> std::fmt::Debug for Collector<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector")
            .field("config", &self.config)
            .field("grpc_addr", &self.grpc_addr)
            .field("http_addr", &self.http_addr)
            .finish_non_exhaustive()
    }
}

impl<S: Sink> Collector<S> {
    /// Opens both listeners. Connections queue in the kernel until [`Collector::serve`] runs.
    ///
    /// # Errors
    /// When the configuration is not usable or an address is taken.
    pub async fn bind(config: CollectorConfig, sink: Arc<S>) -> Result<Self, CollectorError> {
        let problems = config.validate();
        if !problems.is_empty() {
            return Err(CollectorError::Config { problems });
        }
        let (grpc, grpc_addr) = bind("OTLP/gRPC", config.grpc_addr).await?;
        let (http, http_addr) = bind("OTLP/HTTP", config.http_addr).await?;
        let pipeline = Pipeline::new(&config, sink);
        let listeners = Mutex::new(Some((grpc, http)));
        Ok(Self { config, pipeline, grpc_addr, http_addr, listeners })
    }

    /// Where OTLP/gRPC listens.
    #[must_use]
    pub const fn grpc_addr(&self) -> SocketAddr {
        self.grpc_addr
    }

    /// Where OTLP/HTTP listens.
    #[must_use]
    pub const fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// The collector's own metrics.
    #[must_use]
    pub fn metrics(&self) -> Vec<Family> {
        let mut families = self.pipeline.counters.families();
        let budget = &self.pipeline.budget;
        let (used, total) = (budget.used() as u64, budget.total() as u64);
        families.push(
            Family::gauge("headrope_ingest_memory_bytes", "Memory held by requests in flight.")
                .with(Vec::new(), used),
        );
        families.push(
            Family::gauge("headrope_ingest_memory_limit_bytes", "The most requests may hold.")
                .with(Vec::new(), total),
        );
        families
    }

    /// Serves until `stop` is cancelled, then finishes the requests in flight.
    ///
    /// # Errors
    /// When called twice, or when requests are still being stored at the end of the drain time.
    pub async fn serve(&self, stop: CancellationToken) -> Result<(), CollectorError> {
        let listeners = self.listeners.lock().take();
        let (grpc, http) = listeners.ok_or(CollectorError::AlreadyServing)?;
        let tasks = self.pipeline.tasks.clone();
        let kill = CancellationToken::new();
        let door = |router, http2_only| Door {
            router,
            builder: listen::builder(&self.config, &tasks, http2_only),
            tasks: tasks.clone(),
            first_request: self.config.first_request_timeout,
            max_connections: self.config.max_connections,
            stop: stop.clone(),
            kill: kill.clone(),
        };
        let grpc_door = door(grpc::router(&self.pipeline, stop.clone()), true);
        let http_door = door(http::router(&self.pipeline, &self.config), false);
        tokio::join!(listen::accept(grpc, grpc_door), listen::accept(http, http_door));
        tasks.close();
        let drain = self.config.drain_timeout;
        if tokio::time::timeout(drain, tasks.wait()).await.is_ok() {
            return Ok(());
        }
        // Connections are cut; what is being stored gets as long again.
        kill.cancel();
        tokio::time::timeout(drain, tasks.wait()).await.map_err(|_| CollectorError::NotDrained {
            tasks: tasks.len(),
            seconds: 2 * drain.as_secs(),
        })
    }
}

async fn bind(
    protocol: &'static str,
    addr: SocketAddr,
) -> Result<(TcpListener, SocketAddr), CollectorError> {
    let error = |source| CollectorError::Bind { protocol, addr, source };
    let listener = TcpListener::bind(addr).await.map_err(error)?;
    let bound = listener.local_addr().map_err(error)?;
    Ok((listener, bound))
}
