"""Seeded spans, log records and data points, as requests and as the rows they are.

Attribute values are kept as canonical JSON (docs/format/segment.md), so that what was sent can be
compared with what any reader finds, types included.
"""

import base64
import json
import math
import random

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

# 2025-06-01T00:00:00Z, and what a batch's records are spread over.
BEGIN_NS = 1_748_736_000_000_000_000
BATCH_NS = 120 * 1_000_000_000
SERVICES = ["basket", "catalogue", "front", "payment", "stöck"]
OPERATIONS = ["GET /items", "POST /orders", "load", "SELECT items", "publish"]
KINDS = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT"}
STATUS = {0: "UNSET", 1: "OK", 2: "ERROR"}
TEXTS = ["", "plain", "two words", 'quoted "text"', "back\\slash", "line\nbreak\ttab", "naïve – 日本語 😀", "null"]
SEVERITIES = {5: "DEBUG", 9: "INFO", 13: "WARN", 17: "ERROR"}


def canonical(value):
    """A Python value as the canonical JSON of an attribute."""
    return compact(_tagged(value))


def compact(value):
    """JSON without white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _tagged(value):
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$double": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    if isinstance(value, dict):
        # A key that begins with the reserved character has one more of them.
        return {"$" * key.startswith("$") + key: _tagged(item) for key, item in value.items()}
    return value


def _set(target, value):
    """Fills an AnyValue."""
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, bytes):
        target.bytes_value = value
    elif isinstance(value, list):
        target.array_value.SetInParent()
        for item in value:
            _set(target.array_value.values.add(), item)
    elif isinstance(value, dict):
        target.kvlist_value.SetInParent()
        _fill(target.kvlist_value.values, value.items())
    else:
        target.string_value = value


def _fill(target, pairs):
    for key, value in pairs:
        entry = target.add(key=key)
        _set(entry.value, value)


def _sent(pairs):
    return sorted((key, canonical(value)) for key, value in pairs)


class Batch:
    """One request per signal, and the rows they hold."""

    def __init__(self, seed, number, spans, logs, points):
        self._random = random.Random(f"{seed}/{number}")
        self._number = number
        self._begin = BEGIN_NS + number * BATCH_NS
        self.spans, self.logs, self.points = [], [], []
        self._traces = ExportTraceServiceRequest()
        self._records = ExportLogsServiceRequest()
        self._metrics = ExportMetricsServiceRequest()
        while len(self.spans) < spans:
            self._trace()
        self._log_records(logs)
        self._data_points(points)

    def requests(self):
        """The encoded requests by their path."""
        return {
            "/v1/traces": self._traces.SerializeToString(),
            "/v1/logs": self._records.SerializeToString(),
            "/v1/metrics": self._metrics.SerializeToString(),
        }

    def _chance(self, one_in):
        return self._random.randrange(one_in) == 0

    def _resource(self, target, service):
        pairs = [("service.name", service), ("host.name", f"node-{SERVICES.index(service) % 2}"),
                 ("resource.bytes", b"\x00\xff")]
        _fill(target.attributes, pairs)
        return dict(_sent(pairs))

    def _trace(self):
        trace_id = self._random.randbytes(16)
        parents = []
        for _ in range(self._random.randint(1, 12)):
            service = self._random.choice(SERVICES)
            resource = self._traces.resource_spans.add()
            resource_pairs = self._resource(resource.resource, service)
            scope = resource.scope_spans.add()
            scope.scope.name = "e2e"
            self._span(scope.spans.add(), service, trace_id, parents, resource_pairs)

    def _span(self, span, service, trace_id, parents, resource):
        start = self._begin + self._random.randrange(BATCH_NS)
        duration = int(self._random.lognormvariate(14, 2))
        kind = self._random.choice(list(KINDS)) if parents else 2
        status = self._random.choices(list(STATUS), [80, 15, 5])[0]
        pairs = self._span_attributes()
        span.trace_id, span.span_id = trace_id, self._random.randbytes(8)
        span.parent_span_id = self._random.choice(parents) if parents else b""
        span.name, span.kind, span.status.code = self._random.choice(OPERATIONS), kind, status
        span.start_time_unix_nano, span.end_time_unix_nano = start, start + duration
        _fill(span.attributes, pairs)
        events = []
        for at in range(self._random.choice([0, 0, 0, 1, 3])):
            event = span.events.add(name=f"event {at}", time_unix_nano=start + at)
            _fill(event.attributes, [("event.number", at)])
            events.append((event.name, start + at, [("event.number", canonical(at))]))
        links = []
        if self._chance(9) and parents:
            link = span.links.add(trace_id=trace_id, span_id=parents[0])
            links.append((link.trace_id.hex(), link.span_id.hex()))
        self.spans.append({
            "trace_id": trace_id.hex(), "span_id": span.span_id.hex(),
            "parent_span_id": span.parent_span_id.hex() or None, "start": start, "duration_ns": duration,
            "name": span.name, "service": service, "kind": KINDS[kind], "status": STATUS[status],
            "attributes": _sent(pairs), "resource": resource, "events": events, "links": links,
        })
        parents.append(span.span_id)

    def _span_attributes(self):
        """Keys on many rows and on few, promoted ones under both names, every type of value."""
        random, pairs = self._random, []
        if self._chance(11):
            return pairs
        for one_in, key, value in [
            (2, "shop.tier", random.choice(["gold", "silver", "lead"])),
            (3, "shop.items", random.randint(-3, 40)),
            (3, "shop.weight", random.choice([0.5, 2.0, 1e300, -0.0])),
            (4, "shop.gift", random.random() < 0.5),
            (4, "shop.note", random.choice(TEXTS)),
            (5, "$code", random.randint(1, 3)),
            (60, "shop.coupon", random.choice(["SPRING", "AUTUMN"])),
            (80, "shop.tags", ["a", 1, 2.0, True, random.choice(TEXTS)]),
            (90, "shop.raw", random.randbytes(5)),
            (90, "shop.map", {"inner": {"deep": 1}, "$list": [1.5]}),
            (100, "shop.ratio", random.choice([math.nan, math.inf, -math.inf])),
            (100, "$rare", "reserved"),
            # On many rows of one file and few of the next.
            (100 if self._number % 2 else 2, "shop.batch", self._number),
        ]:
            if self._chance(one_in):
                pairs.append((key, value))
        if self._chance(70):
            pairs += [("shop.twice", 1), ("shop.twice", "two")]
        return pairs + self._promoted()

    def _promoted(self):
        random, pairs = self._random, []
        method, code = random.choice(["GET", "POST"]), random.choice([200, 404, 500])
        match random.randrange(6):
            case 0 | 1:
                pairs = [("http.request.method", method), ("http.response.status_code", code)]
            case 2:
                pairs = [("http.method", method), ("http.status_code", code)]
            case 3:
                # Both names, one of them of a type that is not promoted.
                pairs = [("http.request.method", method), ("http.method", "OTHER"),
                         ("http.response.status_code", str(code))]
            case 4:
                pairs = [("db.system.name", "postgresql"), ("db.query.text", random.choice(TEXTS[1:]))]
        if self._chance(200):
            pairs.append(("error.type", "timeout"))
        return pairs

    def _log_records(self, count):
        random = self._random
        for service in SERVICES:
            resource = self._records.resource_logs.add()
            self._resource(resource.resource, service)
            records = resource.scope_logs.add().log_records
            for _ in range(count // len(SERVICES)):
                at, severity = self._begin + random.randrange(BATCH_NS), random.choice(list(SEVERITIES))
                body = random.choice([f"order {random.randrange(9999)} placed", "cache miss",
                                      random.choice(TEXTS), {"step": random.randrange(5)}])
                pairs = [("log.file", "app.log")] + [("log.rare", random.choice(TEXTS))] * self._chance(150)
                span = random.choice(self.spans) if self._chance(2) else None
                record = records.add(time_unix_nano=at, observed_time_unix_nano=at + 5,
                                     severity_number=severity, severity_text=SEVERITIES[severity])
                _set(record.body, body)
                _fill(record.attributes, pairs)
                if span:
                    record.trace_id = bytes.fromhex(span["trace_id"])
                    record.span_id = bytes.fromhex(span["span_id"])
                self.logs.append({
                    "service": service, "time": at, "severity": SEVERITIES[severity],
                    "body": body if isinstance(body, str) else canonical(body),
                    "trace_id": span and span["trace_id"], "attributes": _sent(pairs),
                })

    def _data_points(self, count):
        random = self._random
        for service in SERVICES:
            resource = self._metrics.resource_metrics.add()
            self._resource(resource.resource, service)
            metrics = resource.scope_metrics.add().metrics
            gauge = metrics.add(name="queue.length", unit="1").gauge
            total = metrics.add(name="orders.placed", unit="1").sum
            total.aggregation_temporality, total.is_monotonic = 1, True
            histogram = metrics.add(name="request.duration", unit="s").histogram
            histogram.aggregation_temporality = 1
            for number in range(count // len(SERVICES) // 3):
                at = self._begin + number * 1_000_000
                pairs = [("queue", f"q{number % 3}")]
                for points in (gauge.data_points, total.data_points, histogram.data_points):
                    point = points.add(time_unix_nano=at, start_time_unix_nano=self._begin)
                    _fill(point.attributes, pairs)
                    row = {"service": service, "time": at, "attributes": _sent(pairs),
                           "value": None, "value_int": None, "sum": None, "buckets": None}
                    self.points.append(row)
                    if points is gauge.data_points:
                        # Multiples of an eighth add up exactly in any order.
                        point.as_double = row["value"] = random.randint(-800, 800) / 8
                        row["name"] = "queue.length"
                    elif points is total.data_points:
                        point.as_int = row["value_int"] = random.randint(0, 1 << 40)
                        row["value"] = float(point.as_int)
                        row["name"] = "orders.placed"
                    else:
                        row["buckets"] = [random.randint(0, 9) for _ in range(4)]
                        row["sum"], row["name"] = random.randint(0, 99) / 8, "request.duration"
                        point.bucket_counts.extend(row["buckets"])
                        point.explicit_bounds.extend([0.1, 1.0, 10.0])
                        point.count, point.sum = sum(row["buckets"]), row["sum"]
