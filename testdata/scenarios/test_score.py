"""Scoring without a server or a generator: python3 -m unittest test_score"""

import argparse
import copy
import io
import json
import sys
import tempfile
import textwrap
import unittest
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import judge
import poorer
import score

STATEMENT = {"kind": "statement", "service": "orders", "statement": "SELECT orders", "text": "SELECT 1", "database": "db"}
HOST = {"kind": "host", "host": "node-2"}
PEER = {"kind": "peer", "address": "api.payments.example", "host": ""}
EDGE = {"kind": "edge", "caller": "checkout", "callee": "payment"}
INSTANCE = {"kind": "instance", "service": "search", "instance": "i-1", "host": "node-1"}
SERVICE = {"kind": "service", "service": "cart", "version": "3.8.0"}


def fault(kind="slow-sql", entity=STATEMENT, cause="statement", action="fix-statement", also=(), share=1.0, ns=8e6):
    """A fault of a label."""
    return {"fault": kind, "entity": entity, "cause": cause, "action": action, "also": list(also), "share": share,
            "entity_ns": ns}


def result(faults=None, case="seed 1", **answer):
    """A result with an answer that is right about one slow statement."""
    faults = [fault()] if faults is None else faults
    parts = [{"service": "orders", "wait": "remote", "to": "db", "statement": "SELECT orders", "added_ns": 8e6}]
    whole = {
        "summary": "a sentence", "action": "fix_statement", "confident": True, "evidence": [], "abstains": None,
        "culprits": [{"service": "orders", "peer": "postgresql orders", "statement": "SELECT orders", "host": None,
                      "instance": None, "cause": "statement", "action": "fix_statement", "share": 0.95}],
        "ledger": {"excess_ns": 10e6, "lines": [
            {"service": "orders", "operation": "SELECT orders", "wait": "remote", "to": "postgresql orders",
             "statement": "SELECT orders", "added_ns": 8.5e6},
            {"service": "orders", "operation": "GET", "wait": "work", "added_ns": 0.3e6},
        ]},
    } | answer
    label = {"fault": faults[0]["fault"] if faults else None, "faults": faults, "mean": {
        "reference_ns": 20e6, "excess_ns": 10e6 if faults else 0.0, "added_ns": 8e6 if faults else 0.0,
        "parts": parts if faults else [],
    }}
    return {"case": case, "size": [], "label": label, "distractors": [], "answer": whole, "seconds": 0.25}


def culprit(**fields):
    """A culprit."""
    empty = dict.fromkeys(("service", "instance", "host", "operation", "peer", "statement"))
    return empty | {"cause": "unknown", "action": "unknown", "share": 0.5} | fields


class Matching(unittest.TestCase):
    def test_each_kind_of_entity(self):
        right = [
            (STATEMENT, culprit(statement="SELECT orders", peer="postgresql orders")),
            (STATEMENT, culprit(statement="SELECT 1")), (HOST, culprit(host="node-2", service="cart")),
            (PEER, culprit(peer="api.payments.example:443")),
            (EDGE, culprit(service="payment")), (EDGE, culprit(service="checkout")),
            (INSTANCE, culprit(service="search", instance="another")),
            (SERVICE, culprit(service="cart")),
        ]
        for entity, named in right:
            self.assertTrue(judge.matches(entity, named), entity)
        wrong = [
            (STATEMENT, culprit(statement="SELECT orders order_items")), (HOST, culprit(host="node-21")),
            (PEER, culprit(peer="api.payments.example.org")), (PEER, culprit(service="payment")),
            (EDGE, culprit(service="cart")), (SERVICE, culprit(service="cart", peer="redis")), (SERVICE, {}), (HOST, {}),
        ]
        for entity, named in wrong:
            self.assertFalse(judge.matches(entity, named), (entity, named))

    def test_lines_of_the_ledger_at_an_entity(self):
        way = {"service": "checkout", "wait": "way", "to": "payment"}
        remote = {"service": "payment", "wait": "remote", "to": "api.payments.example:443"}
        self.assertTrue(judge.lies_at(EDGE, way) and judge.lies_at(PEER, remote))
        self.assertFalse(judge.lies_at(EDGE, way | {"to": "fraud"}) or judge.lies_at(EDGE, way | {"wait": "work"}))
        self.assertFalse(judge.lies_at(PEER, way))
        self.assertTrue(judge.lies_at(SERVICE, {"service": "cart", "wait": "work"}))


class Judging(unittest.TestCase):
    def test_a_right_answer(self):
        scored = judge.judge(result())
        self.assertTrue(judge.is_right(scored))
        self.assertEqual(scored["wanted"], "statement")
        self.assertEqual([round(value, 9) for value in scored["errors"]["culprits"]], [0.05])
        self.assertAlmostEqual(scored["errors"]["entity"][0], 0.05)
        self.assertAlmostEqual(scored["errors"]["places"][0], 0.05)

    def test_each_way_to_be_wrong(self):
        for change, keys in [
            ({"confident": False}, ("entity_right", "cause_right")), ({"culprits": []}, ("entity_right", "cause_right")),
            ({"culprits": [culprit(statement="SELECT orders", cause="lock")]}, ("cause_right",)),
            ({"culprits": [culprit(service="orders", cause="statement")]}, ("entity_right",)),
            ({"action": "scale_out"}, ("action_right",)),
        ]:
            scored = judge.judge(result(**change))
            self.assertFalse(judge.is_right(scored))
            for key in ("entity_right", "cause_right", "action_right"):
                self.assertEqual(scored[key], key not in keys, (change, key))

    def test_an_action_that_relieves_is_right_but_not_the_first(self):
        scored = judge.judge(result([fault(also=["throttle-caller"])], action="throttle_caller"))
        self.assertTrue(scored["action_right"])
        self.assertFalse(scored["action_first"])

    def test_a_healthy_window(self):
        scored = judge.judge(result([], confident=False, culprits=[], action="none"))
        self.assertTrue(judge.is_right(scored) and scored["action_right"])
        self.assertEqual((scored["fault"], scored["wanted"], scored["errors"]), ("healthy", "none", {"culprits": []}))
        self.assertFalse(judge.is_right(judge.judge(result([]))))

    def test_an_instance(self):
        labelled = [fault("gc", INSTANCE, "gc", "raise-limit")]
        one = culprit(service="search", instance="i-1", cause="garbage_collection")
        self.assertTrue(judge.judge(result(labelled, culprits=[one]))["instance_right"])
        self.assertFalse(judge.judge(result(labelled, culprits=[one | {"instance": "i-2"}]))["instance_right"])

    def test_two_faults(self):
        both = [fault(share=0.6), fault("cpu", HOST, "cpu", "repair", ["scale-out"], 0.4, None)]
        named = [culprit(host="node-2", cause="cpu", share=0.45), culprit(statement="SELECT orders", share=0.3)]
        scored = judge.judge(result(both, culprits=named, action="scale_out"))
        self.assertEqual((scored["fault"], scored["wanted"], scored["found"]), ("two faults", "cpu", [True, True]))
        self.assertTrue(judge.is_right(scored))
        self.assertEqual([round(value, 9) for value in scored["errors"]["culprits"]], [0.3, 0.05])
        self.assertEqual(len(scored["errors"]["entity"]), 1)

    def test_shares_of_time_need_time(self):
        one = result()
        one["label"]["mean"]["added_ns"] = -1e6
        self.assertEqual(list(judge.judge(one)["errors"]), ["culprits"])
        one["label"]["mean"]["added_ns"] = 0.9e6
        self.assertEqual(list(judge.judge(one)["errors"]), ["culprits"])

    def test_a_line_where_nothing_was_planted_is_an_error_of_the_ledger(self):
        one = result()
        one["answer"]["ledger"]["lines"][1]["added_ns"] = 4e6
        self.assertAlmostEqual(judge.judge(one)["errors"]["places"][0], 0.4)


class Tables(unittest.TestCase):
    def test_ranks_and_bounds(self):
        self.assertEqual([judge.rank([3, 1, 2, 4], q) for q in (0.5, 0.99, 0.0)], [2, 4, 1])
        # Nothing seen in n tries: 1 - 0.05^(1/n).
        self.assertAlmostEqual(judge.at_most(0, 100), 1 - 0.05 ** 0.01, 6)
        self.assertAlmostEqual(judge.at_most(5, 5), 1.0, 6)

    def test_a_report(self):
        results = [
            result(), result(case="seed 2", confident=False, culprits=[], action="none"),
            result([], case="healthy 3", confident=False, culprits=[], action="none"), result([], case="healthy 4"),
            result([fault(share=0.7), fault("cpu", HOST, "cpu", "repair", (), 0.3, None)], case="pair 5"),
        ]
        text = judge.report([judge.judge(one) for one in results])
        for line in (
            "| slow-sql | 2 | 1 | 1 | 1 | 1 | 1 | 1 |",
            "| healthy | 2 | 1 | 0 | 0 | 0 | 1 | 1 |",
            "| planted | nobody | statement |", "| none | 1 | 1 |", "| statement | 1 | 2 |",
            "Healthy windows with somebody blamed: 1 of 2 (50.0 %), so with 95 % confidence at most 97.5 %.",
            "One fault: entity and cause right in 1 of 2 (50.0 %), the action in 1 of 2 (50.0 %); blamed and wrong 0;"
            " of faults of one instance the instance is named in none.",
            "1 scenarios with two faults: the first culprit is one of them with its cause in 1 of 1 (100.0 %), the "
            "greater is among the first three in 1 of 1 (100.0 %), both are in 0 of 1 (0.0 %).",
            "| slow-sql | 1 of 2 | 5.0 | 2 of 2 | 5.0 | 2 of 2 | 5.0 |",
            "5 answers: p50 250 ms, p99 250 ms, slowest 250 ms.",
            "- seed 2: slow-sql statement orders SELECT orders db: wrong entity, cause, action: a sentence [none]",
            "- healthy 4: healthy : wrong: a sentence [fix_statement]",
        ):
            self.assertIn(line, text.splitlines())
        self.assertNotIn("- seed 1", text)


GENERATOR = """
    import json, pathlib, sys
    flags = [word for word in sys.argv[1:] if word.startswith("--")]
    seed, folder = [word for word in sys.argv[1:] if not word.startswith("--")][:2]
    if seed == "13":
        sys.exit("no such seed")
    folder = pathlib.Path(folder)
    folder.mkdir()
    (folder / "000001-traces.pb").write_bytes(b"spans")
    (folder / "000002-logs.pb").write_bytes(b"logs")
    label = json.loads(LABEL)
    if flags == ["--healthy"]:
        label |= {"fault": None, "faults": [], "mean": dict(label["mean"], added_ns=0)}
    (folder / "truth.json").write_text(json.dumps(
        {"truth": label, "distractors": [], "window": [2, 3], "reference": [1, 2]}))
"""
SERVER = """
    import http.server, json, sys
    posts = []
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            posts.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()
        def do_GET(self):
            sent = posts == [("/v1/traces", b"spans"), ("/v1/logs", b"logs")]
            wanted = self.path == "/api/v1/verdict?from=2&to=3&reference_from=1&reference_to=2"
            self.send_response(200 if sent and wanted else 500)
            self.end_headers()
            self.wfile.write(ANSWER.encode())
        def log_message(self, *_):
            pass
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    at = f"127.0.0.1:{server.server_port}"
    print(json.dumps({"listening": {"otlp_http": at, "ui": at}}), flush=True)
    server.serve_forever()
"""


class Running(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root, one = Path(scratch.name), result()
        self.results = self.root / "results.jsonl"
        for name, program, given in (("generator", GENERATOR, f"LABEL = {json.dumps(one['label'])!r}"),
                                     ("server", SERVER, f"ANSWER = {json.dumps(one['answer'])!r}")):
            (self.root / name).write_text(f"{given}\n{textwrap.dedent(program)}")

    def score(self, *words, server=True):
        """Runs the command line: its exit code and what it printed."""
        program = ["--server", f"{sys.executable} {self.root / 'server'}"] if server else []
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            code = score.main([*program, "--generator", f"{sys.executable} {self.root / 'generator'}", "--results",
                               str(self.results), *words])
        return code, out.getvalue(), err.getvalue()

    def test_cases_run_once_and_are_scored_again(self):
        code, out, err = self.score("--seeds", "1..3", "--healthy", "7", "--jobs", "2")
        self.assertEqual((code, err.count("right"), err.count("wrong")), (0, 3, 1))
        self.assertIn("| slow-sql | 3 | 3 | 3 | 3 | 3 | 3 | 3 |", out)
        self.assertIn("- healthy 7: healthy", out)
        # A run that was cut short in the middle of a line goes on where it was.
        kept = self.results.read_bytes().splitlines(keepends=True)
        self.results.write_bytes(b"".join(kept[:2]) + kept[2][:50])
        left = {json.loads(line)["case"] for line in kept[2:]}
        code, again, err = self.score("--seeds", "1..3", "--healthy", "7")
        self.assertEqual({line.split(":")[0] for line in err.splitlines()}, left)
        self.assertEqual(again.split("answers:")[0], out.split("answers:")[0])
        # Without a server nothing runs.
        code, alone, err = self.score(server=False)
        self.assertEqual((code, err, alone.splitlines()[:6]), (0, "", out.splitlines()[:6]))
        self.assertEqual(len(self.results.read_bytes().splitlines()), 5)

    def test_a_case_that_fails_is_said_and_not_kept(self):
        code, out, err = self.score("--seeds", "12..14")
        self.assertEqual(code, 1)
        self.assertIn("No result: seed 13:", out)
        self.assertIn("| slow-sql | 2 |", out)
        self.assertEqual(set(score.load(self.results, [])), {"seed 12", "seed 14"})

    def test_results_of_another_size_are_others(self):
        self.results.write_text(json.dumps(result() | {"size": ["20"]}) + "\n")
        self.assertEqual(score.load(self.results, []), {})
        self.assertEqual(list(score.load(self.results, ["20"])), ["seed 1"])

    def test_results_of_less_telemetry_are_others(self):
        self.results.write_text(json.dumps(result() | {"lacks": ["hosts", "kinds"]}) + "\n")
        self.assertEqual(score.load(self.results, []), {})
        self.assertEqual(list(score.load(self.results, [], {"kinds", "hosts"})), ["seed 1"])
        self.assertEqual(score.words("kinds,hosts"), {"kinds", "hosts"})
        with self.assertRaises(argparse.ArgumentTypeError):
            score.words("kinds,colours")

    def test_seeds(self):
        self.assertEqual(list(score.seeds("3..5")), [3, 4, 5])
        self.assertEqual(list(score.seeds("8")), [8])


class Poorer(unittest.TestCase):
    def test_what_is_to_be_lacking_is_lacking_and_nothing_else(self):
        try:
            from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
        except ImportError:
            self.skipTest("the Python package opentelemetry-proto is not installed")
        request = ExportTraceServiceRequest()
        block = request.resource_spans.add()
        for key in ("service.name", "k8s.pod.name", "host.name"):
            block.resource.attributes.add(key=key).value.string_value = "x"
        span = block.scope_spans.add().spans.add(name="GET /", kind=2, span_id=b"12345678", start_time_unix_nano=7)
        span.status.code = 2
        span.attributes.add(key="http.route").value.string_value = "/"
        body = request.SerializeToString()

        def left(*lacks):
            found = ExportTraceServiceRequest.FromString(poorer.poorer("traces", body, set(lacks))).resource_spans[0]
            one = found.scope_spans[0].spans[0]
            self.assertEqual((one.name, one.span_id, one.start_time_unix_nano), ("GET /", b"12345678", 7))
            keys = [attribute.key for attribute in found.resource.attributes]
            return keys, one.kind, one.status.code, len(one.attributes)

        everything = ["service.name", "k8s.pod.name", "host.name"]
        self.assertEqual(left(), (everything, 2, 2, 1))
        self.assertEqual(left("kinds"), (everything, 0, 2, 1))
        self.assertEqual(left("status"), (everything, 2, 0, 1))
        self.assertEqual(left("attributes"), (everything, 2, 2, 0))
        self.assertEqual(left("hosts", "metrics"), (everything[:2], 2, 2, 1))
        rootless = ExportTraceServiceRequest.FromString(poorer.poorer("traces", body, {"roots"}))
        self.assertEqual(len(rootless.resource_spans[0].scope_spans[0].spans), 0)
        span.parent_span_id = b"87654321"
        called = ExportTraceServiceRequest.FromString(
            poorer.poorer("traces", request.SerializeToString(), {"roots"}))
        self.assertEqual(len(called.resource_spans[0].scope_spans[0].spans), 1)
        self.assertIsNone(poorer.poorer("metrics", b"any", {"metrics"}))
        self.assertEqual(poorer.poorer("logs", b"any", {"metrics", "kinds"}), b"any")


class Untouched(unittest.TestCase):
    def test_judging_changes_nothing(self):
        one = result()
        before = copy.deepcopy(one)
        judge.judge(one)
        self.assertEqual(one, before)


if __name__ == "__main__":
    unittest.main()
