"""Requests in protobuf, built and broken by hand."""

import gzip
import http.client
import time
import urllib.parse

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PROTOBUF = "application/x-protobuf"


class Batch:
    """Spans of one service in one export request."""

    def __init__(self, service):
        self.request = ExportTraceServiceRequest()
        resource = self.request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = service
        self._spans = resource.scope_spans.add().spans
        self._next = 1

    def span(self, name="work", **fields):
        """Adds a valid span, overridden by the fields given; returns it."""
        end = time.time_ns()
        span = self._spans.add(
            trace_id=self._next.to_bytes(16, "big"), span_id=self._next.to_bytes(8, "big"), name=name,
            kind=2, start_time_unix_nano=end - 1_000_000, end_time_unix_nano=end,
        )
        self._next += 1
        for field, value in fields.items():
            setattr(span, field, value)
        return span

    def bytes(self):
        """The encoded request."""
        return self.request.SerializeToString()


def gauge(service, name, *values):
    """A request with one gauge point per value."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    metric = resource.scope_metrics.add().metrics.add(name=name, unit="1")
    for value in values:
        metric.gauge.data_points.add(as_double=value, time_unix_nano=time.time_ns())
    return request.SerializeToString()


def rejected_spans(body):
    """What a protobuf answer says was left out: (number, message)."""
    partial = ExportTraceServiceResponse.FromString(body).partial_success
    return partial.rejected_spans, partial.error_message


def post(endpoint, path, body, content_type=PROTOBUF, encoding=None, method="POST"):
    """One request; `body` is bytes or an iterable of chunks. Returns (status, body, headers).

    A server may answer and close before it has read everything; the answer counts then.
    """
    address = urllib.parse.urlsplit(endpoint)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    try:
        connection.putrequest(method, path)
        connection.putheader("Content-Type", content_type)
        if encoding:
            connection.putheader("Content-Encoding", encoding)
        chunked = not isinstance(body, bytes)
        connection.putheader(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(body)))))
        connection.endheaders()
        try:
            for piece in body if chunked else _pieces(body):
                connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                connection.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.headers)
    finally:
        connection.close()


def _pieces(body, size=1 << 20):
    for at in range(0, len(body), size):
        yield body[at : at + size]


def bomb(size):
    """Zeros that deflate a thousandfold."""
    return gzip.compress(bytes(size), 9)
