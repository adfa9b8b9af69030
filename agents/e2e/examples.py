"""The example files of the OTLP repository come back through SQL with every field they carried."""

import json
import tempfile
from pathlib import Path

from harness.report import equal, eventually
from harness.server import FLUSH_SOON, KEEP, Headrope, find_data
from harness.values import attributes

FILES = {"trace.json": "traces", "logs.json": "logs", "events.json": "logs", "metrics.json": "metrics"}
AT = "2018-12-13T14:51:00.300000000Z"
SHARED = """service_name, scope_name, scope_version, scope_attributes, resource, attributes"""


def test(report):
    """Posts the four files and reads them back."""
    folder = find_data("otlp-examples")
    if folder is None:
        report.skip("OTLP examples", "otlp-examples not found; set HEADROPE_SHARED_DATA")
        return
    with tempfile.TemporaryDirectory(prefix="headrope-e2e-") as root:
        server = Headrope(Path(root) / "data", root, KEEP)
        try:
            for file, signal in FILES.items():
                payload = json.loads((folder / file).read_text())
                report.check(f"OTLP example {file}: accepted whole",
                             lambda s=signal, p=payload: _accepted(server.send(s, p)))
            _check_fields(report, server, "live")
            server.kill()
            server = Headrope(Path(root) / "data", root, {**KEEP, **FLUSH_SOON})
            report.check("OTLP examples: flushed after kill -9",
                         lambda: server.wait_until_flushed("spans", "logs", "metrics"))
            _check_fields(report, server, "from segments")
        finally:
            server.stop()


def _check_fields(report, server, where):
    for name, check in [
        ("trace.json", _span), ("logs.json", _log), ("events.json", _event),
        ("metrics.json: sum", _sum), ("metrics.json: gauge", _gauge),
        ("metrics.json: histogram", _histogram),
        ("metrics.json: exponential histogram", _exponential),
    ]:
        report.check(f"OTLP example {name}: every field, {where}", lambda check=check: check(server))


def _accepted(answer):
    rejected = [v for k, v in answer.get("partialSuccess", {}).items() if k.startswith("rejected")]
    assert not any(int(n) for n in rejected), answer


def _row(server, table, columns, condition):
    query = f"SELECT {columns}, {SHARED} FROM {table} WHERE {condition}"
    (row,) = eventually(lambda: server.sql(query), lambda rows: rows, f"a row with {condition}")
    equal(row["service_name"], "my.service", "service_name")
    equal((row["scope_name"], row["scope_version"]), ("my.library", "1.0.0"), "scope")
    equal(attributes(row["scope_attributes"]), {"my.scope.attribute": "some scope attribute"}, "scope")
    equal(attributes(row["resource"]), {"service.name": "my.service"}, "resource")
    return row


def _expect(row, **expected):
    equal({name: row[name] for name in expected}, expected, "fields")


def _span(server):
    columns = """trace_id, span_id, parent_span_id, name, kind, status_code, duration_ns,
        events, links, start_time"""
    row = _row(server, "spans", columns, "name = 'I''m a server span'")
    _expect(
        row, trace_id="5b8efff798038103d269b633813fc60c", span_id="eee19b7ec3c1b174",
        parent_span_id="eee19b7ec3c1b173", kind="SERVER", start_time="2018-12-13T14:51:00.000000000Z",
        duration_ns=1_000_000_000, status_code="UNSET",
    )
    equal(attributes(row["attributes"]), {"my.span.attr": "some value"}, "attributes")
    equal((row["events"] or [], row["links"] or []), ([], []), "events and links")


def _log(server):
    columns = """severity_number, severity_text, body, trace_id, span_id, event_name,
        time, event_time, observed_time"""
    row = _row(server, "logs", columns, "body = 'Example log record'")
    _expect(
        row, time=AT, event_time=AT, observed_time=AT, severity_number=10,
        severity_text="Information", trace_id="5b8efff798038103d269b633813fc60c",
        span_id="eee19b7ec3c1b174",
    )
    got = attributes(row["attributes"])
    expected = {
        "string.attribute": "some string", "boolean.attribute": True, "int.attribute": 10,
        "double.attribute": 637.704, "array.attribute": ["many", "values"],
        "map.attribute": {"some.map.key": "some value"},
    }
    equal(got, expected, "attributes")
    equal({k: type(v) for k, v in got.items()}, {k: type(v) for k, v in expected.items()}, "types")


def _event(server):
    columns = "severity_number, severity_text, body, event_name, time, observed_time"
    row = _row(server, "logs", columns, "event_name = 'browser.page_view'")
    _expect(row, time=AT, observed_time=AT, severity_number=9, severity_text="test severity text")
    equal(attributes(row["attributes"]), {"event.attribute": "some event attribute"}, "attributes")
    body = {
        "type": 0, "url": "https://www.guidgenerator.com/online-guid-generator.aspx",
        "referrer": "https://wwww.google.com", "title": "Free Online GUID Generator",
    }
    equal(json.loads(row["body"]), body, "body")


POINT = """type, unit, description, temporality, is_monotonic, value, value_int, count, sum, min, max,
    bucket_counts, explicit_bounds, scale, zero_count, zero_threshold, positive_offset,
    positive_bucket_counts, time, start_time"""


def _point(server, name, kind, description, temporality="delta"):
    row = _row(server, "metrics", POINT, f"name = '{name}'")
    _expect(row, unit="1", description=description, time=AT)
    equal(row["type"].lower().replace("_", ""), kind, "type")
    equal((row["temporality"] or "").lower(), temporality, "temporality")
    equal(attributes(row["attributes"]), {f"{name}.attr": "some value"}, "attributes")
    return row


def _sum(server):
    row = _point(server, "my.counter", "sum", "I am a Counter")
    _expect(row, start_time=AT, is_monotonic=True, value=5.0)


def _gauge(server):
    row = _point(server, "my.gauge", "gauge", "I am a Gauge", temporality="")
    _expect(row, value=10.0, start_time=None)


def _histogram(server):
    row = _point(server, "my.histogram", "histogram", "I am a Histogram")
    _expect(row, start_time=AT, count=2, sum=2.0, min=0.0, max=2.0, bucket_counts=[1, 1],
            explicit_bounds=[1.0])


def _exponential(server):
    name = "my.exponential.histogram"
    row = _point(server, name, "exponentialhistogram", "I am an Exponential Histogram")
    _expect(row, start_time=AT, count=3, sum=10.0, min=0.0, max=5.0, scale=0, zero_count=1,
            zero_threshold=0.0, positive_offset=1, positive_bucket_counts=[0, 2])
