"""Jaeger's storage conformance: 25 queries over 32 traces, typed tags wherever they may stand."""

import json
import tempfile
from pathlib import Path

from harness.report import equal, eventually
from harness.server import FLUSH_SOON, KEEP, Headrope, find_data
from harness.values import trace_ids


def test(report):
    """Posts every fixture as it is and asks every query."""
    folder = find_data("jaeger-store")
    if folder is None:
        report.skip("Jaeger store cases", "jaeger-store not found; set HEADROPE_SHARED_DATA")
        return
    cases = json.loads((folder / "queries.json").read_text())
    with tempfile.TemporaryDirectory(prefix="headrope-e2e-") as root:
        server = Headrope(Path(root) / "data", root, KEEP)
        try:
            ids = {}
            report.check("Jaeger store: every fixture is accepted",
                         lambda: ids.update(_send_all(server, folder)))
            _ask_all(report, server, cases, ids, "live")
            server.kill()
            server = Headrope(Path(root) / "data", root, {**KEEP, **FLUSH_SOON})
            report.check("Jaeger store: flushed after kill -9", lambda: server.wait_until_flushed("spans"))
            _ask_all(report, server, cases, ids, "from segments")
        finally:
            server.stop()


def _ask_all(report, server, cases, ids, where):
    for case in cases:
        query = case["Query"]
        expected = sorted({ids.get(name, name) for name in case["ExpectedFixtures"]})
        report.check(
            f"Jaeger store: {case['Caption']} ({query['ServiceName']}), {where}",
            lambda q=query, e=expected: equal(_search(server, q), e, "traces"),
        )
    report.check(f"Jaeger store: a number is not its text, {where}", lambda: _types_matter(server))


def _send_all(server, folder):
    ids, spans = {}, 0
    for path in sorted((folder / "traces").glob("*.json")):
        payload = json.loads(path.read_text())
        answer = server.send("traces", payload)
        assert not int(answer.get("partialSuccess", {}).get("rejectedSpans", 0)), (path.name, answer)
        sent = [s for r in payload["resourceSpans"] for c in r["scopeSpans"] for s in c["spans"]]
        spans += len(sent)
        (ids[path.stem],) = {s["traceId"].lower() for s in sent}
    equal(len(ids), 32, "fixtures")
    eventually(lambda: server.sql_value("SELECT count(*) FROM spans"), lambda n: n == spans, "spans")
    return ids


def _search(server, query, tags=None):
    """The fixtures give durations in nanoseconds; 0 means no bound."""
    tags = tags or query["Tags"]
    return trace_ids(server.get(
        "/api/v1/traces",
        service=query["ServiceName"],
        operation=query["OperationName"],
        **{"from": query["StartTimeMin"], "to": query["StartTimeMax"]},
        min_duration=f"{query['DurationMin']}ns" if query["DurationMin"] else None,
        max_duration=f"{query['DurationMax']}ns" if query["DurationMax"] else None,
        tags=json.dumps(tags) if tags else None,
        limit=query["NumTraces"],
    ))


def _types_matter(server):
    query = {
        "ServiceName": "query01-service", "OperationName": "", "Tags": None, "NumTraces": 1000,
        "StartTimeMin": "2017-01-26T15:46:31.639875Z", "StartTimeMax": "2017-01-26T17:46:31.639875Z",
        "DurationMin": 0, "DurationMax": 0,
    }
    equal(len(_search(server, query, {"sameplacetag2": 123})), 1, "traces with the number")
    equal(_search(server, query, {"sameplacetag2": "123"}), [], "traces with the text")
    equal(_search(server, query, {"sameplacetag4": "true"}), [], "traces with the text")
