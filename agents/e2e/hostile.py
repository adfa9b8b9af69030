"""Broken and hostile requests get the right answer, are counted, and leave the server well."""

import gzip
import math
import random
import re
import tempfile
from pathlib import Path

import grpc

from harness.otlp import Batch, bomb, gauge, post, rejected_spans
from harness.report import equal, eventually
from harness.server import Headrope

TRACES = "/v1/traces"
LIMIT = 64 << 20


def test(report):
    """Sends one bad request after another to one server."""
    with tempfile.TemporaryDirectory(prefix="headrope-e2e-") as root:
        server = Headrope(Path(root) / "data", root)
        try:
            for name, check in CHECKS:
                report.check(f"hostile: {name}", lambda check=check: check(server))
                report.check(f"hostile: well after {name}", lambda: _well(server))
            report.check("hostile: every record is accounted for", lambda: _accounted(server))
        finally:
            server.stop()


def _well(server):
    """Alive, ready, and a good span is stored and found."""
    server.get("/livez")
    server.get("/readyz")
    service = f"well-{random.getrandbits(64):x}"
    batch = Batch(service)
    batch.span()
    equal(post(server.http, TRACES, batch.bytes())[0], 200, "status of a good request")
    _stored(server, service, 1)


def _stored(server, service, n):
    query = f"SELECT count(*) FROM spans WHERE service_name = '{service}'"
    got = eventually(lambda: server.sql_value(query), lambda found: found >= n, f"spans of {service}")
    equal(got, n, f"spans of {service}")


def _refused(server, reason, kind="requests"):
    """How many requests or records were refused for a reason, from the server's own metrics."""
    pattern = rf'^headrope_ingest_{kind}_refused(?:_total)?{{[^}}]*reason="{reason}"[^}}]*}} ([0-9.e+]+)'
    return sum(float(n) for n in re.findall(pattern, server.get("/metrics"), re.MULTILINE))


def _expect_refusal(server, reason, status, path, body, **options):
    before = _refused(server, reason)
    got, answer, _ = post(server.http, path, body, **options)
    equal(got, status, f"status ({answer[:200]!r})")
    assert answer, "the answer says nothing"
    equal(_refused(server, reason), before + 1, f"requests refused as {reason}")


def _expect_partial(server, service, reason, batch, rejected, stored):
    before = _refused(server, reason, "records")
    status, answer, _ = post(server.http, TRACES, batch.bytes())
    equal(status, 200, "status")
    number, message = rejected_spans(answer)
    equal(number, rejected, "rejected spans")
    assert message, "no reason given"
    equal(_refused(server, reason, "records"), before + rejected, f"records refused as {reason}")
    _stored(server, service, stored)


def _peak_memory(server):
    """The largest resident size so far, in bytes."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def malformed_protobuf(server):
    _expect_refusal(server, "malformed", 400, TRACES, b"\x0a\xff\xff\xff\xff\x0f")
    whole = Batch("malformed")
    whole.span()
    _expect_refusal(server, "malformed", 400, TRACES, whole.bytes()[:-3])
    noise = random.Random(7).randbytes(4096)
    _expect_refusal(server, "malformed", 400, "/v1/logs", noise)
    _expect_refusal(server, "malformed", 400, "/v1/metrics", noise)


def malformed_json(server):
    for body in (b"{", b'{"resourceSpans": 3}', b"[]", b"\xff\xfe", b"[" * 100_000):
        _expect_refusal(server, "malformed", 400, TRACES, body, content_type="application/json")


def invalid_utf8(server):
    batch = Batch("utf8")
    batch.span("PLACEHOLDER")
    body = batch.bytes().replace(b"PLACEHOLDER", b"\xff\xfe\xfdCEHOLDER")
    _expect_refusal(server, "malformed", 400, TRACES, body)


def truncated_gzip(server):
    batch = Batch("gzip")
    for _ in range(100):
        batch.span()
    body = gzip.compress(batch.bytes())
    _expect_refusal(server, "bad_compression", 400, TRACES, body[: len(body) // 2], encoding="gzip")
    _expect_refusal(server, "bad_compression", 400, TRACES, b"not gzip", encoding="gzip")
    _expect_refusal(server, "bad_compression", 400, TRACES, b"not zstd", encoding="zstd")


def zip_bomb(server):
    before = _peak_memory(server)
    _expect_refusal(server, "message_too_large", 413, TRACES, bomb(1 << 30), encoding="gzip")
    grown = _peak_memory(server) - before
    assert grown < 4 * LIMIT, f"peak memory grew by {grown >> 20} MiB"


def a_body_of_100_mb(server):
    _expect_refusal(server, "message_too_large", 413, TRACES, bytes(100_000_000))
    _expect_refusal(server, "message_too_large", 413, TRACES, (bytes(1 << 20) for _ in range(96)))


def unknown_types_and_paths(server):
    _expect_refusal(server, "unsupported_media_type", 415, TRACES, b"x", content_type="text/plain")
    _expect_refusal(server, "unsupported_encoding", 415, TRACES, b"x", encoding="br")
    equal(post(server.http, "/v1/nothing", b"")[0], 404, "status of an unknown path")
    equal(post(server.http, TRACES, b"", method="GET")[0], 405, "status of GET")


def invalid_ids(server):
    batch = Batch("ids")
    batch.span()
    batch.span(trace_id=b"\x01" * 15)
    batch.span(trace_id=bytes(16))
    _expect_partial(server, "ids", "invalid_trace_id", batch, 2, 1)
    batch = Batch("span-ids")
    batch.span()
    batch.span(span_id=bytes(8))
    batch.span(span_id=b"\x01" * 9)
    _expect_partial(server, "span-ids", "invalid_span_id", batch, 2, 1)


def negative_durations(server):
    batch = Batch("negative")
    batch.span()
    span = batch.span()
    span.end_time_unix_nano = span.start_time_unix_nano - 1
    _expect_partial(server, "negative", "end_before_start", batch, 1, 1)


def times_beyond_63_bits(server):
    batch = Batch("times")
    batch.span()
    batch.span(start_time_unix_nano=(1 << 64) - 2, end_time_unix_nano=(1 << 64) - 1)
    _expect_partial(server, "times", "invalid_time", batch, 1, 1)


def numbers_that_are_none(server):
    """NaN and infinities are legal values of a point."""
    body = gauge("nan", "odd.value", math.nan, math.inf, -math.inf, 1.5)
    equal(post(server.http, "/v1/metrics", body)[0], 200, "status")
    query = "SELECT value FROM metrics WHERE service_name = 'nan' AND name = 'odd.value'"
    rows = eventually(lambda: server.sql(query), lambda r: len(r) >= 4, "four points")
    equal(sorted(str(row["value"]) for row in rows), ["-Infinity", "1.5", "Infinity", "NaN"], "values")


def an_attribute_of_10_mb(server):
    batch = Batch("large")
    batch.span()
    batch.span().attributes.add(key="k").value.string_value = "x" * 10_000_000
    _expect_partial(server, "large", "record_too_large", batch, 1, 1)


def values_nested_too_deep(server):
    batch = Batch("deep")
    batch.span()
    value = batch.span().attributes.add(key="k").value
    for _ in range(60):
        value = value.array_value.values.add()
    value.int_value = 1
    status, answer, _ = post(server.http, TRACES, batch.bytes())
    if status == 200:
        equal(rejected_spans(answer)[0], 1, "rejected spans")
    else:
        equal(status, 400, "status")


def a_million_attribute_keys(server):
    before = _peak_memory(server)
    for part in range(20):
        batch = Batch("keys")
        for i in range(5000):
            span = batch.span(trace_id=(1 + part * 5000 + i).to_bytes(16, "big"))
            for k in range(10):
                span.attributes.add(key=f"key.{part}.{i}.{k}").value.int_value = k
        equal(post(server.http, TRACES, batch.bytes())[0], 200, "status")
    _stored(server, "keys", 100_000)
    query = "SELECT attributes FROM spans WHERE service_name = 'keys' AND trace_id = '{:032x}'"
    (row,) = server.sql(query.format(1 + 7 * 5000 + 123))
    equal(row["attributes"], {f"key.7.123.{k}": k for k in range(10)}, "attributes of one span")
    grown = _peak_memory(server) - before
    assert grown < 1 << 30, f"peak memory grew by {grown >> 20} MiB"


def grpc_requests(server):
    path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.grpc.removeprefix("http://"), options) as channel:
        export = channel.unary_unary(path, lambda body: body, lambda body: body)
        for body, code in [
            (b"\x0a\xff\xff\xff\xff\x0f", grpc.StatusCode.INVALID_ARGUMENT),
            (bytes(LIMIT + 1), grpc.StatusCode.RESOURCE_EXHAUSTED),
        ]:
            try:
                export(body, timeout=60)
            except grpc.RpcError as error:
                equal(error.code(), code, "gRPC code")
                assert error.details(), "no reason given"
            else:
                raise AssertionError(f"a request that deserves {code} was accepted")


def _accounted(server):
    """received = stored + refused + in flight, for every signal and transport."""
    text = server.get("/metrics")

    def total(name):
        lines = re.findall(rf"^headrope_ingest_records_{name}(?:_total)?{{[^}}]*}} ([0-9.e+]+)", text, re.MULTILINE)
        assert lines, f"no metric for {name} records"
        return sum(float(n) for n in lines)

    equal(total("stored") + total("refused") + total("in_flight"), total("received"), "records received")
    assert total("refused") > 0 and total("stored") > 100_000, "what was sent is not in the metrics"


CHECKS = [
    ("malformed protobuf", malformed_protobuf),
    ("malformed JSON", malformed_json),
    ("invalid UTF-8", invalid_utf8),
    ("truncated gzip", truncated_gzip),
    ("a zip bomb", zip_bomb),
    ("a body of 100 MB", a_body_of_100_mb),
    ("unknown types and paths", unknown_types_and_paths),
    ("invalid ids", invalid_ids),
    ("negative durations", negative_durations),
    ("times beyond 63 bits", times_beyond_63_bits),
    ("numbers that are none", numbers_that_are_none),
    ("an attribute of 10 MB", an_attribute_of_10_mb),
    ("values nested too deep", values_nested_too_deep),
    ("a million attribute keys", a_million_attribute_keys),
    ("gRPC requests", grpc_requests),
]
