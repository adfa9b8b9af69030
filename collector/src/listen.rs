//! Connections: accepted up to a limit, watched by tasks that are waited for, closed in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::config::CollectorConfig;

/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// Flow-control windows: a stream may be a typical batch ahead of its reader, a connection some.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Larger frames than the 16 KiB default save work on large batches.
const MAX_FRAME: u32 = 256 << 10;
/// A silent HTTP/2 peer is pinged after this long, and dropped if it stays silent.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after a failed accept, which usually means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Spawns what hyper needs in the background where it is waited for.
#[derive(Clone)]
pub(crate) struct Tracked(pub(crate) TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn(future));
    }
}

/// What the connections of one listener have in common.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) router: Router,
    pub(crate) builder: Arc<Builder<Tracked>>,
    pub(crate) tasks: TaskTracker,
    pub(crate) first_request: Duration,
    pub(crate) max_connections: usize,
    /// No new connections and requests; those in flight are finished.
    pub(crate) stop: CancellationToken,
    /// Connections are closed whatever they do.
    pub(crate) kill: CancellationToken,
}

/// Connection settings; `http2_only` for gRPC.
pub(crate) fn builder(
    config: &CollectorConfig,
    tasks: &TaskTracker,
    http2_only: bool,
) -> Arc<Builder<Tracked>> {
    let mut builder = Builder::new(Tracked(tasks.clone()));
    if http2_only {
        builder = builder.http2_only();
    }
    builder.http1().timer(TokioTimer::new()).header_read_timeout(config.idle_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    Arc::new(builder)
}

/// Accepts connections until told to stop; the listener is closed on return.
pub(crate) async fn accept(listener: TcpListener, door: Door) {
    let places = Arc::new(Semaphore::new(door.max_connections));
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = door.stop.cancelled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let door = door.clone();
                let tasks = door.tasks.clone();
                drop(tasks.spawn(async move {
                    serve(stream, door).await;
                    drop(place);
                }));
            }
            Err(cause) => {
                tracing::warn!(error = %cause, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, door: Door) {
    if let Err(cause) = stream.set_nodelay(true) {
        tracing::debug!(error = %cause, "cannot set TCP_NODELAY");
    }
    let asked = Arc::new(AtomicBool::new(false));
    let service = {
        let asked = Arc::clone(&asked);
        door.router.map_request(move |request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            request
        })
    };
    let service = TowerToHyperService::new(service);
    let connection = door.builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut deadline = std::pin::pin!(tokio::time::sleep(door.first_request));
    let (mut stopping, mut waited) = (false, false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(cause) = ended {
                    tracing::debug!(error = %cause, "connection ended");
                }
                return;
            }
            () = door.stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = deadline.as_mut(), if !waited => {
                waited = true;
                if !asked.load(Ordering::Relaxed) {
                    return;
                }
            }
            () = door.kill.cancelled() => return,
        }
    }
}
