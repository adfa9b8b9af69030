"""Foreign readers: pyarrow and DuckDB find in the segments what was sent and what SQL answers."""

import tempfile
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

from harness.otlp import post
from harness.report import equal
from harness.segments import Arrow, Duck, Segments, attributes, body, members
from harness.server import KEEP, Headrope
from harness.telemetry import SERVICES, Batch

SEED = 20250601
# Flushes, and how many segments are merged into one.
BATCHES, FAN_IN = 5, 4
SPANS, LOGS, POINTS = 4000, 2000, 900
SETTINGS = {
    **KEEP,
    "HEADROPE_STORAGE__COMPACT_FAN_IN": str(FAN_IN),
    # Flushes and merges happen when asked for, not on their own.
    "HEADROPE_STORAGE__FLUSH_AGE": "1h",
    "HEADROPE_STORAGE__MAINTENANCE_INTERVAL": "1h",
}
STEPS = {60_000_000_000: "minute", 3_600_000_000_000: "hour", 86_400_000_000_000: "day"}
ROLLUPS = {"operation_rollup": "operation", "service_rollup": "service", "statement_rollup": "statement",
           "edge_rollup": "edge"}
ALL = {"max_rows": 1_000_000}


def test(report):
    """Reads the files after the flushes, and again after a merge."""
    batches = [Batch(SEED, number, SPANS, LOGS, POINTS) for number in range(BATCHES)]
    sent = {name: [row for batch in batches for row in getattr(batch, name)] for name in ("spans", "logs", "points")}
    with tempfile.TemporaryDirectory(prefix="headrope-e2e-") as root:
        data = Path(root) / "data"
        if report.check("foreign readers: everything is stored, in a flush each",
                        lambda: _with_server(data, root, lambda server: _store(server, batches))):
            _compare(report, data, root, sent, "flushed", lambda level: level == 0)
            report.check("foreign readers: segments are merged",
                         lambda: _with_server(data, root, lambda server: server.admin("compact")))
            _compare(report, data, root, sent, "merged", lambda level: level > 0)


def _with_server(data, logs, ask):
    """Runs something with a server over the data; afterwards the files are nobody's."""
    server = Headrope(data, logs, SETTINGS)
    try:
        answer = ask(server)
    finally:
        code = server.stop()
    equal(code, 0, "exit code of the server")
    return answer


def _store(server, batches):
    for batch in batches:
        for path, body in batch.requests().items():
            equal(post(server.http, path, body)[:2], (200, b""), f"answer to {path}")
        server.admin("flush")


def _compare(report, data, logs, sent, stage, of_stage):
    def check(name, function):
        report.check(f"foreign readers, {stage}: {name}", function)

    answers = {}
    check("SQL has what was sent", lambda: answers.update(_with_server(data, logs, lambda s: _of_sql(s, sent))))
    segments = Segments(data)
    check("files are those of the catalog", lambda: _files(segments, of_stage))
    for reader in (Arrow(segments), Duck(segments)):
        for name, function in [
            ("spans, each whole", _spans), ("spans by service", _by_service), ("spans by trace", _by_trace),
            ("traces", _traces), ("log records, each whole", _logs), ("data points, each whole", _points),
            ("roll-ups", _rollups),
        ]:
            check(f"{name}, {reader.name}", lambda f=function: f(reader, sent, answers))


def _files(segments, of_stage):
    labelled, levels = segments.labelled()
    equal(labelled, segments.catalogued(), "segments")
    for data_set in segments.files:
        found = [level for name, level in levels if name == data_set]
        assert any(map(of_stage, found)), f"levels of {data_set}: {found}"


def _same(found, expected, what):
    """Equal as bags of rows; names one that is too many and one that lacks."""
    found, expected = Counter(map(repr, found)), Counter(map(repr, expected))
    more, less = list((found - expected).elements()), list((expected - found).elements())
    assert not more and not less, (f"{what}: {len(more)} unexpected, such as {more[:1]}; "
                                   f"{len(less)} missing, such as {less[:1]}")


def _of_sql(server, sent):
    """What SQL answers, compared with what was sent."""
    spans = server.sql(f"""SELECT trace_id, span_id, parent_span_id, start_time, duration_ns, name, service_name,
        kind, status_code, attributes_json(attributes) AS attributes, resource, events, links FROM spans""", **ALL)
    _same(map(_sql_span, spans), sent["spans"], "spans in SQL")
    logs = server.sql("""SELECT service_name, time, severity_text, body, trace_id,
        attributes_json(attributes) AS attributes FROM logs""", **ALL)
    _same((_log({**row, "time": _nanos(row["time"])}, members(row["attributes"])) for row in logs),
          sent["logs"], "log records in SQL")
    points = server.sql("""SELECT service_name, name, time, value, value_int, sum, bucket_counts,
        attributes_json(attributes) AS attributes FROM metrics""", **ALL)
    _same((_point({**row, "time": _nanos(row["time"])}, members(row["attributes"])) for row in points),
          map(_sent_point, sent["points"]), "data points in SQL")
    services = server.sql("SELECT service_name, count(*) AS n, sum(duration_ns) AS ns FROM spans "
                          "WHERE duration_ns >= 0 GROUP BY service_name")
    traces = server.sql("SELECT trace_id, count(*) AS n, sum(CASE WHEN status_code = 'ERROR' THEN 1 ELSE 0 END) "
                        "AS errors FROM spans GROUP BY trace_id", **ALL)
    return {
        "services": {row["service_name"]: (row["n"], int(row["ns"])) for row in services},
        "traces": {row["trace_id"]: (row["n"], row["errors"]) for row in traces},
        **{data_set: _sql_rollup(server, view) for data_set, view in ROLLUPS.items()},
    }


def _sql_rollup(server, view):
    """(calls, nanoseconds, least, most) by length of the step and service."""
    sums = {}
    for step, name in STEPS.items():
        rows = server.sql(f"""SELECT service_name, sum(calls) AS calls, sum(total_ns) AS ns, min(min_ns) AS least,
            max(max_ns) AS most FROM {view}_{name} GROUP BY service_name""")
        for row in rows:
            numbers = tuple(int(row[column]) for column in ("calls", "ns", "least", "most"))
            sums[step, row["service_name"]] = numbers
    return sums


def _nanos(text):
    """RFC 3339 with nanoseconds as nanoseconds."""
    whole, fraction = text.rstrip("Z").split(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp()
    return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0"))


def _sql_span(row):
    events = [{**event, "time": _nanos(event["time"])} for event in row["events"] or []]
    row = {**row, "start_time": _nanos(row["start_time"]), "duration_ns": int(row["duration_ns"]), "events": events}
    return _span(row, members(row["attributes"]))


def _span(row, found):
    """A row as what was sent is kept."""
    events = [(e["name"], e["time"], members(e["attributes"])) for e in row["events"] or []]
    return {
        "trace_id": row["trace_id"], "span_id": row["span_id"], "parent_span_id": row["parent_span_id"],
        "start": row["start_time"], "duration_ns": row["duration_ns"], "name": row["name"],
        "service": row["service_name"], "kind": row["kind"], "status": row["status_code"], "attributes": found,
        "resource": dict(members(row["resource"])), "events": events,
        "links": [(link["trace_id"], link["span_id"]) for link in row["links"] or []],
    }


def _log(row, found):
    return {
        "service": row["service_name"], "time": row["time"], "severity": row["severity_text"], "body": row["body"],
        "trace_id": row["trace_id"], "attributes": found,
    }


def _point(row, found):
    value_int = row["value_int"]
    return (row["service_name"], row["name"], row["time"], row["value"], None if value_int is None else int(value_int),
            row["sum"], row["bucket_counts"], found)


def _sent_point(row):
    names = ("service", "name", "time", "value", "value_int", "sum", "buckets", "attributes")
    return tuple(row[name] for name in names)


def _spans(reader, sent, _answers):
    rows = list(reader.rows("spans"))
    # Attributes stand in all places the format has for them.
    for column in ("attributes_rest", "attr:shop.batch", "http_request_method"):
        present = sum(row.get(column) is not None for row in rows)
        assert 0 < present < len(rows), f"{column} has {present} values on {len(rows)} rows"
    _same((_span(row, attributes(row)) for row in rows), sent["spans"], "spans")


def _logs(reader, sent, _answers):
    rows = [{**row, "body": body(row)} for row in reader.rows("logs")]
    with_template = sum(row["body_template"] is not None for row in rows)
    assert with_template > len(rows) / 2, f"{with_template} of {len(rows)} bodies have a template"
    _same((_log(row, attributes(row)) for row in rows), sent["logs"], "log records")
    bodies = sorted(record["body"] for record in sent["logs"] if record["body"] is not None)
    _same(reader.bodies(), bodies, "bodies")


def _points(reader, sent, _answers):
    found = (_point(row, attributes(row)) for row in reader.rows("metrics"))
    _same(found, map(_sent_point, sent["points"]), "data points")


def _by_service(reader, sent, answers):
    for service in SERVICES:
        durations = [span["duration_ns"] for span in sent["spans"] if span["service"] == service]
        equal(reader.of_service(service), (len(durations), sum(durations)), f"spans of {service}")
        equal(reader.of_service(service), answers["services"][service], f"spans of {service} in SQL")
    equal(reader.of_service("nobody")[0], 0, "spans of a service that is not there")


def _by_trace(reader, sent, _answers):
    for at in range(0, len(sent["spans"]), 997):
        trace = sent["spans"][at]["trace_id"]
        expected = sorted(span["span_id"] for span in sent["spans"] if span["trace_id"] == trace)
        equal(reader.of_trace(trace), expected, f"spans of trace {trace}")
    equal(reader.of_trace("00" * 15 + "01"), [], "spans of a trace that is not there")


def _traces(reader, sent, answers):
    """Trace parts add up to the spans of their traces."""
    found, expected = {}, {}
    for row in reader.rows("trace_parts"):
        _add_trace(found, row["trace_id"], row["span_count"], row["error_count"], row["start_time"], row["end_time"],
                   row["service_names"])
    for span in sent["spans"]:
        _add_trace(expected, span["trace_id"], 1, int(span["status"] == "ERROR"), span["start"],
                   span["start"] + span["duration_ns"], [span["service"]])
    _same(found.items(), expected.items(), "traces")
    equal({trace: tuple(sums[:2]) for trace, sums in found.items()}, answers["traces"], "traces in SQL")


def _add_trace(traces, trace, spans, errors, start, end, services):
    old = traces.get(trace, (0, 0, start, end, []))
    traces[trace] = (old[0] + spans, old[1] + errors, min(old[2], start), max(old[3], end),
                     sorted({*old[4], *services}))


def _rollups(reader, sent, answers):
    for data_set in ROLLUPS:
        found, expected = {}, {}
        for row in reader.rows(data_set):
            key = (row["step_ns"], row["service_name"])
            _add_calls(found, key, row["calls"], row["total_ns"], row["min_ns"], row["max_ns"])
        for span in sent["spans"]:
            if data_set == "statement_rollup" and "db.system.name" not in dict(span["attributes"]):
                continue
            if data_set == "edge_rollup" and span["kind"] not in ("CLIENT", "PRODUCER", "CONSUMER"):
                continue
            for step in STEPS:
                took = span["duration_ns"]
                _add_calls(expected, (step, span["service"]), 1, took, took, took)
        equal(found, expected, data_set)
        equal(found, answers[data_set], f"{data_set} in SQL")


def _add_calls(sums, key, calls, total, least, most):
    old = sums.get(key, (0, 0, least, most))
    sums[key] = (old[0] + calls, old[1] + total, min(old[2], least), max(old[3], most))
