//! grpc.health.v1: whether the sink takes writes, asked anew each time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use headrope_model::Signal;
use tokio_stream::wrappers::IntervalStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::sink::Sink;

/// The services and what they take.
pub(crate) const SERVICES: [(Signal, &str); 3] = [
    (Signal::Traces, "opentelemetry.proto.collector.trace.v1.TraceService"),
    (Signal::Metrics, "opentelemetry.proto.collector.metrics.v1.MetricsService"),
    (Signal::Logs, "opentelemetry.proto.collector.logs.v1.LogsService"),
];

/// How often a watcher's answer is checked.
const PERIOD: Duration = Duration::from_secs(1);

/// The health service over a sink.
pub(crate) struct SinkHealth<S> {
    pub(crate) sink: Arc<S>,
    /// Ends the watches, so that they do not hold up a shutdown.
    pub(crate) stop: CancellationToken,
}

fn state<S: Sink>(sink: &S, stop: &CancellationToken) -> ServingStatus {
    if !stop.is_cancelled() && sink.ready().is_ok() {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

fn reply(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status as i32 }
}

fn known(service: &str) -> bool {
    service.is_empty() || SERVICES.iter().any(|(_, name)| *name == service)
}

#[tonic::async_trait]
impl<S: Sink> Health for SinkHealth<S> {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !known(&service) {
            return Err(Status::not_found(format!("there is no service {service:?}")));
        }
        Ok(Response::new(reply(state(&*self.sink, &self.stop))))
    }

    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send + 'static>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let known = known(&request.into_inner().service);
        let (sink, stop) = (Arc::clone(&self.sink), self.stop.clone());
        let ended = self.stop.clone().cancelled_owned();
        let mut last = None;
        let changes = IntervalStream::new(tokio::time::interval(PERIOD))
            .map(move |_| if known { state(&*sink, &stop) } else { ServingStatus::ServiceUnknown })
            .filter_map(move |now| {
                let news = (last.replace(now) != Some(now)).then(|| Ok(reply(now)));
                futures::future::ready(news)
            })
            .take_until(ended);
        Ok(Response::new(Box::pin(changes)))
    }
}
