"""Real clients: what instrumented services sent is found again, whole and joined."""

import os
import signal
import tempfile
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg

from harness.apps import Shop
from harness.processes import Postgres, Redis
from harness.report import equal, eventually
from harness.server import Headrope
from harness.values import attributes

PURCHASES = ["rope"] * 6 + ["net"] * 4 + ["missing", "broken"]
PLACED = PURCHASES.count("rope") + PURCHASES.count("net")
STATUSES = [200] * PLACED + [404, 500]
SERVICES = ["shop-front", "shop-gateway", "shop-stock"]
ROUTES = {"shop-gateway": "/buy/:sku", "shop-front": "/orders/<sku>", "shop-stock": "/stock/{sku}"}
DATABASE_CALLS = {
    ("postgresql", "INSERT INTO orders (sku, visits) VALUES (%s, %s) RETURNING id"): PLACED,
    ("postgresql", "SELECT count(*) FROM orders WHERE sku = %s"): PLACED,
    ("redis", "INCRBY ? ?"): len(PURCHASES),
    ("redis", "SET ? ?"): PLACED,
}


class Run:
    """One round of traffic over one protocol."""

    def __init__(self, environment, protocol, stable_names):
        self.environment = environment
        self.protocol = protocol
        self.stable_names = stable_names
        self.started = None
        self.gateway_pid = None
        self.ports = {}

    def window(self):
        """Parameters of a REST question about this run."""
        until = datetime.now(timezone.utc) + timedelta(minutes=1)
        return {"from": _rfc3339(self.started), "to": _rfc3339(until)}

    def where(self, more="true"):
        """A SQL condition for this run's rows."""
        return f"WHERE deployment_environment_name = '{self.environment}' AND {more}"


def _rfc3339(at):
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Bench:
    """PostgreSQL, Redis and the server, over one temporary directory."""

    def __init__(self, root):
        self.root = Path(root)
        self.logs = self.root / "logs"
        self.logs.mkdir()
        self.postgres = self.redis = self.server = None

    def start(self):
        """Starts all three."""
        self.postgres = Postgres(self.root / "postgres", self.logs)
        self.redis = Redis(self.root / "redis", self.logs)
        _create_table(self.postgres)
        self.start_server()

    def start_server(self):
        """Starts the server over the same data directory as before."""
        self.server = None
        self.server = Headrope(self.root / "data", self.logs)

    def kill_and_restart(self):
        """What a power cut does to the server, and the start after it."""
        equal(self.server.kill(), -signal.SIGKILL, "exit of the killed server")
        self.start_server()

    def stop_and_restart(self):
        """An orderly end, and the start after it."""
        equal(self.server.stop(), 0, "exit code of an orderly end")
        self.start_server()

    def stop(self):
        """Ends whatever runs."""
        for child in (self.server, self.redis, self.postgres):
            if child is not None:
                child.stop()

    def show_logs(self):
        """The end of every process's stderr."""
        for path in sorted(self.logs.glob("*.stderr")):
            lines = path.read_text("utf-8", "replace").splitlines()[-15:]
            print("\n".join([f"--- {path.name}", *lines]))


def test(report):
    """Both protocols, with a power cut between the first one's last acknowledgement and its check."""
    with tempfile.TemporaryDirectory(prefix="headrope-e2e-") as root:
        # PostgreSQL runs under its own account below this directory.
        os.chmod(root, 0o755)
        bench = Bench(root)
        try:
            if report.check("PostgreSQL, Redis and the server start", bench.start):
                _rounds(report, bench)
        finally:
            bench.stop()
            if report.failed:
                bench.show_logs()


def _create_table(postgres):
    def connect():
        try:
            return psycopg.connect(postgres.url, autocommit=True)
        except psycopg.OperationalError:
            return None

    connection = eventually(connect, lambda c: c is not None, "PostgreSQL to accept connections")
    with connection:
        connection.execute(
            "CREATE TABLE orders (id bigserial PRIMARY KEY, sku text NOT NULL, visits bigint NOT NULL)"
        )


def _rounds(report, bench):
    over_grpc = Run("e2e-grpc", "grpc", stable_names=False)
    over_http = Run("e2e-http", "http/protobuf", stable_names=True)

    def traffic(run):
        endpoint = bench.server.grpc if run.protocol == "grpc" else bench.server.http
        _traffic(run, endpoint, bench)

    report.check("grpc: the shop serves its purchases", lambda: traffic(over_grpc))
    if not report.check("kill -9 and start again", bench.kill_and_restart):
        return
    _check_run(report, bench.server, over_grpc, "grpc, after kill -9")

    report.check("http: the shop serves its purchases", lambda: traffic(over_http))
    _check_run(report, bench.server, over_http, "http")

    if not report.check("orderly end and start again", bench.stop_and_restart):
        return
    for run in (over_grpc, over_http):
        report.check(f"{run.environment}: unchanged by restarts", lambda run=run: _routes(bench.server, run))


def _traffic(run, endpoint, bench):
    run.started = datetime.now(timezone.utc)
    shop = Shop(endpoint, run.protocol, run.environment, bench.logs, bench.postgres.url,
                bench.redis.url, run.stable_names)
    run.ports = {"postgresql": bench.postgres.port, "redis": bench.redis.port}
    try:
        run.gateway_pid = shop.children[-1].process.pid
        equal([shop.buy(sku) for sku in PURCHASES], STATUSES, "answers")
        # Long enough for the metric readers (1 s) to have exported on their own, too.
        time.sleep(1.2)
    finally:
        codes = shop.stop()
    equal(set(codes.values()), {0}, f"exit codes {codes}")


def _check_run(report, server, run, label):
    for name, check in [
        ("server spans by route", _routes),
        ("statuses of the answers", _statuses),
        ("traces join gateway, order and stock service", _joined),
        ("calls have the caller's client span as parent", _parents),
        ("database and cache calls with their statements", _database_calls),
        ("the call chain of a purchase", _call_chain),
        ("the failed purchase", _failed_purchase),
        ("log lines carry their trace", _logs),
        ("log search by text", _log_search),
        ("request metrics count the requests", _request_metrics),
        ("histograms are whole", _histograms),
        ("process and runtime metrics", _process_metrics),
        ("resources", _resources),
        ("service list", _service_list),
        ("attribute names", _attribute_names),
        ("trace search", _trace_search),
    ]:
        report.check(f"{label}: {name}", lambda check=check: check(server, run))


def _routes(server, run):
    query = f"""SELECT service_name, http_route, count(*) AS n FROM spans
        {run.where("kind = 'SERVER'")} GROUP BY service_name, http_route"""
    got = eventually(
        lambda: {(r["service_name"], r["http_route"]): r["n"] for r in server.sql(query)},
        lambda rows: sum(rows.values()) >= 3 * len(PURCHASES), "server spans",
    )
    equal(got, {(s, ROUTES[s]): len(PURCHASES) for s in SERVICES}, "server spans by route")


def _statuses(server, run):
    query = f"""SELECT service_name, http_response_status_code AS code, count(*) AS n FROM spans
        {run.where("kind = 'SERVER'")} GROUP BY 1, 2"""
    got = {(r["service_name"], r["code"]): r["n"] for r in server.sql(query)}
    expected = {(s, c): n for s in SERVICES for c, n in Counter(STATUSES).items()}
    equal(got, expected, "answers by status")


def _joined(server, run):
    query = f"""SELECT trace_id, count(DISTINCT service_name) AS services,
        count(*) FILTER (WHERE kind = 'SERVER') AS answered
        FROM spans {run.where()} GROUP BY trace_id HAVING count(DISTINCT service_name) > 1"""
    rows = server.sql(query)
    equal(len(rows), len(PURCHASES), "traces over several services")
    equal({(r["services"], r["answered"]) for r in rows}, {(3, 3)}, "services and answers per trace")


def _parents(server, run):
    query = f"""SELECT p.service_name AS caller, p.kind AS kind, s.service_name AS callee, count(*) AS n
        FROM spans s JOIN spans p ON p.trace_id = s.trace_id AND p.span_id = s.parent_span_id
        WHERE s.deployment_environment_name = '{run.environment}' AND s.kind = 'SERVER'
        GROUP BY 1, 2, 3"""
    got = {(r["caller"], r["kind"], r["callee"]): r["n"] for r in server.sql(query)}
    n = len(PURCHASES)
    equal(got, {("shop-gateway", "CLIENT", "shop-front"): n, ("shop-front", "CLIENT", "shop-stock"): n},
          "parents of server spans")


def _database_calls(server, run):
    query = f"""SELECT db_system_name AS system, db_query_text AS text, server_port AS port, kind,
        count(*) AS n FROM spans {run.where("db_system_name IS NOT NULL")} GROUP BY 1, 2, 3, 4"""
    rows = server.sql(query)
    equal({(r["system"], r["text"]): r["n"] for r in rows}, DATABASE_CALLS, "database calls")
    equal({(r["system"], r["port"]) for r in rows}, set(run.ports.items()), "ports called")
    equal({r["kind"] for r in rows}, {"CLIENT"}, "kind of a database call")


def _a_trace(server, run, status):
    query = f"""SELECT trace_id FROM spans {run.where("service_name = 'shop-gateway'")}
        AND kind = 'SERVER' AND http_response_status_code = {status} ORDER BY start_time LIMIT 1"""
    return server.sql_value(query)


def _call_chain(server, run):
    trace_id = _a_trace(server, run, 200)
    stored = server.sql(f"SELECT span_id, duration_ns FROM spans WHERE trace_id = '{trace_id}'")
    trace = server.get(f"/api/v1/traces/{trace_id}")
    spans = trace["spans"]
    equal(sorted(s["span_id"] for s in spans), sorted(r["span_id"] for r in stored), "spans")
    equal((trace["orphans"], trace["duplicates"]), (0, 0), "orphans and duplicates")
    roots = [s for s in spans if s["depth"] == 0]
    equal([(r["service"], r["kind"]) for r in roots], [("shop-gateway", "SERVER")], "roots")
    by_service = {s["service"]: s["depth"] for s in spans if s["kind"] == "SERVER"}
    assert by_service["shop-gateway"] < by_service["shop-front"] < by_service["shop-stock"], by_service
    critical = sum(p["to_ns"] - p["from_ns"] for s in spans for p in s["critical"])
    equal(critical, roots[0]["duration_ns"], "length of the critical path")
    systems = Counter(s["attributes"].get("db.system.name", s["attributes"].get("db.system")) for s in spans)
    equal((systems["postgresql"], systems["redis"]), (2, 2), "database and cache spans")
    assert trace["log_count"] >= 2, f"log records of the trace: {trace['log_count']}"


def _failed_purchase(server, run):
    trace = server.get(f"/api/v1/traces/{_a_trace(server, run, 500)}")
    failing = {s["service"] for s in trace["spans"] if s["status_code"] == "ERROR"}
    assert {"shop-gateway", "shop-stock"} <= failing, f"services with failing spans: {failing}"
    equal(trace["error_count"], sum(s["status_code"] == "ERROR" for s in trace["spans"]), "error count")
    exceptions = [e["attributes"] for s in trace["spans"] for e in s["events"] if e["name"] == "exception"]
    messages = {e.get("exception.message") for e in exceptions}
    assert "stock table is damaged" in messages, f"exceptions: {messages}"


def _logs(server, run):
    for service, body, severity, expected in [
        ("shop-front", "order placed%", "INFO", PLACED),
        ("shop-front", "no such article%", "WARN", 1),
        ("shop-stock", "stock read%", "INFO", PLACED),
        ("shop-stock", "stock table is damaged sku=broken", "ERROR", 1),
    ]:
        query = f"""SELECT count(*) FROM logs l JOIN spans s
            ON s.trace_id = l.trace_id AND s.span_id = l.span_id AND s.service_name = l.service_name
            WHERE l.deployment_environment_name = '{run.environment}' AND l.service_name = '{service}'
            AND l.body LIKE '{body}' AND upper(l.severity_text) LIKE '{severity}%'"""
        got = eventually(lambda q=query: server.sql_value(q), lambda n: n >= expected, body)
        equal(got, expected, f"log lines {body!r} of {service} with their span")


def _log_search(server, run):
    page = server.get("/api/v1/logs", q="placed", service="shop-front", limit=100, **run.window())
    bodies = [row["body"] for row in page["logs"]]
    equal(len(bodies), PLACED, "log lines found")
    assert all(body.startswith("order placed") for body in bodies), bodies
    trace_id = page["logs"][0]["trace_id"]
    of_trace = server.get("/api/v1/logs", trace_id=trace_id, limit=100, **run.window())["logs"]
    equal({row["trace_id"] for row in of_trace}, {trace_id}, "traces of the log lines of a trace")
    assert {"shop-front", "shop-stock"} <= {row["service"] for row in of_trace}, of_trace


def _request_metrics(server, run):
    query = f"""SELECT service_name, sum(n) AS n FROM (
        SELECT service_name, series_id, max(count) AS n FROM metrics
        {run.where("name IN ('http.server.request.duration', 'http.server.duration')")}
        GROUP BY service_name, series_id) GROUP BY service_name"""
    expected = {s: len(PURCHASES) for s in SERVICES}
    got = eventually(
        lambda: {r["service_name"]: r["n"] for r in server.sql(query)},
        lambda rows: rows == expected, "requests counted by metrics",
    )
    equal(got, expected, "requests counted by metrics")


def _histograms(server, run):
    query = f"""SELECT name, count, sum, min, max, bucket_counts, explicit_bounds, temporality
        FROM metrics {run.where("lower(type) = 'histogram'")}"""
    rows = server.sql(query)
    assert rows, "no histogram points"
    for row in rows:
        buckets, bounds = row["bucket_counts"], row["explicit_bounds"]
        equal(sum(buckets), row["count"], f"sum of the buckets of {row['name']}")
        equal(len(buckets), len(bounds) + 1, f"buckets of {row['name']}")
        assert row["min"] <= row["sum"] / row["count"] <= row["max"], row
        equal(row["temporality"].lower(), "cumulative", f"temporality of {row['name']}")


def _process_metrics(server, run):
    query = f"SELECT DISTINCT service_name, name, unit FROM metrics {run.where()}"
    got = {(r["service_name"], r["name"], r["unit"]) for r in server.sql(query)}
    for service in ("shop-front", "shop-stock"):
        for metric in (("process.cpu.time", "s"), ("process.memory.usage", "By")):
            assert (service, *metric) in got, f"{service} lacks {metric}"
    node = {name for service, name, _ in got if service == "shop-gateway"}
    assert "v8js.memory.heap.used" in node, f"metrics of shop-gateway: {node}"


def _resources(server, run):
    query = f"""SELECT DISTINCT service_name, telemetry_sdk_language AS language, process_pid AS pid,
        resource FROM spans {run.where()}"""
    rows = {r["service_name"]: r for r in server.sql(query)}
    languages = {name: row["language"] for name, row in rows.items()}
    expected = {"shop-gateway": "nodejs", "shop-front": "python", "shop-stock": "python"}
    equal(languages, expected, "languages")
    equal(rows["shop-gateway"]["pid"], run.gateway_pid, "process id of the gateway")
    for name, row in rows.items():
        equal(attributes(row["resource"])["service.name"], name, "service.name in the resource")


def _service_list(server, run):
    answer = server.get("/api/v1/services", **run.window())
    rows = answer["services"] if isinstance(answer, dict) else answer
    calls = {row["service"]: row["calls"] for row in rows}
    missing = set(SERVICES) - set(calls)
    assert not missing, f"services not listed: {missing}"
    assert all(calls[s] >= len(PURCHASES) for s in SERVICES), calls


def _attribute_names(server, run):
    answer = server.get("/api/v1/attributes", signal="spans", limit=1000, **run.window())
    assert answer["complete"] and answer["left_off"] == 0, answer
    named = {(a["level"], a["key"]): a for a in answer["attributes"]}
    # Some instrumentations still use the older name.
    statement = next(key for key in ("db.query.text", "db.statement") if ("record", key) in named)
    for key, value_type in [(("record", "http.response.status_code"), "int"), (("record", statement), "string"),
                            (("resource", "telemetry.sdk.language"), "string"), (("resource", "process.pid"), "int")]:
        assert value_type in named[key]["types"], f"{key}: {named.get(key)}"
        rows = server.sql(f"""SELECT sum(value_count) AS n FROM attribute_keys WHERE signal = 'spans'
            AND level = '{key[0]}' AND key = '{key[1]}'""")
        assert rows[0]["n"] >= named[key]["values"] > 0, f"{key}: {rows}, {named[key]}"
    counted = server.sql(f"SELECT count(attr(attributes, '{statement}')) AS n FROM spans")[0]["n"]
    keys = f"SELECT sum(value_count) AS n FROM attribute_keys WHERE key = '{statement}' AND signal = 'spans'"
    equal(server.sql(keys)[0]["n"], counted, f"values of {statement}")


def _trace_search(server, run):
    tags = f'{{"deployment.environment.name": "{run.environment}"}}'
    found = server.get("/api/v1/traces", service="shop-front", operation="POST /orders/<sku>",
                       tags=tags, limit=100, **run.window())
    equal(len(found["traces"]), len(PURCHASES), "traces of the order operation")
    assert all(set(SERVICES) == set(t["services"]) for t in found["traces"]), found["traces"][0]
