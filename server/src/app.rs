//! Wiring: opens storage, binds the listeners, serves until told to stop, and stops in order:
//! readiness off → listeners drain → last flush → files closed.

use std::sync::Arc;

use anyhow::Context as _;
use headrope_collector::Collector;
use headrope_query::Queries;
use headrope_storage::Engine;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::http::{self, Addresses, Site};

/// A node that is bound and recovered but does not serve yet.
pub(crate) struct Node {
    engine: Arc<Engine>,
    collector: Arc<Collector<Engine>>,
    listener: TcpListener,
    site: Site,
}

impl Node {
    /// Opens the data directory and binds every address.
    pub(crate) async fn start(config: Config, banner: Option<String>) -> anyhow::Result<Self> {
        let backups = config.storage.data_dir.join("backups");
        let engine = Engine::open(config.storage).await?;
        let collector = Arc::new(Collector::bind(config.collector, Arc::clone(&engine)).await?);
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("cannot listen on {}", config.listen))?;
        let queries = Queries::with_config(Arc::clone(&engine), config.query);
        let site = Site {
            engine: Arc::clone(&engine),
            collector: Arc::clone(&collector),
            queries,
            banner,
            backups,
        };
        Ok(Self { engine, collector, listener, site })
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> anyhow::Result<Addresses> {
        Ok(Addresses {
            grpc: self.collector.grpc_addr(),
            http: self.collector.http_addr(),
            ui: self.listener.local_addr()?,
        })
    }

    /// Serves until `stop`, then stops in order.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let addresses = self.addresses()?;
        let router = http::router(self.site, addresses);
        let drained = stop.clone().cancelled_owned();
        let pages = axum::serve(self.listener, router).with_graceful_shutdown(drained);
        let intake = self.collector.serve(stop.clone());
        let pages = async { pages.await.context("the page listener failed") };
        let intake = async { intake.await.context("the OTLP listeners failed") };
        // If one side fails, the other must stop too.
        let guard = |result: anyhow::Result<()>| {
            stop.cancel();
            result
        };
        let (pages, intake) =
            tokio::join!(async { guard(pages.await) }, async { guard(intake.await) });
        tracing::info!("stopping: writing what is live into segments");
        let closed = self.engine.shutdown().await.context("cannot close the data directory");
        intake.and(pages).and(closed)
    }
}

/// Cancels `stop` on SIGINT or SIGTERM.
pub(crate) async fn until_signal(stop: CancellationToken) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = stop.cancelled() => {}
    }
    stop.cancel();
    Ok(())
}
