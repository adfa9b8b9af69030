"""Parsing and scoring without the data set: python3 -m unittest test_boutique"""

import csv
import http.server
import io
import json
import tempfile
import threading
import unittest
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import convert
import dataset
import score

FRONT, CART = "frontend-579b9bff58-t2dbm", "cartservice-579f59597d-wc2lz"
POD_HEADER = ["Time", "TimeStamp", "PodName", *dataset.POD_GAUGES, dataset.CPU_RATE, *dataset.NODE_GAUGES]


def row(span, parent, pod, operation, trace="t"):
    """A row of a trace file."""
    values = (trace, span, parent, pod, operation, "1661140435622501485", "1661140435622502485", "1")
    return dict(zip(dataset.TRACE_COLUMNS, values, strict=True))


def pod_row(minute, pod=CART, usage="3", rate="10", stamp=None, **cells):
    """A row of a pod's metric file, 03:51 of 2022-08-22 and the given minutes later."""
    values = dict.fromkeys(POD_HEADER, "1") | {
        "Time": f"2022-08-22 03:{51 + minute}:19.607158889 +0000 UTC m=+0.113112869",
        "TimeStamp": str(stamp or 1661140279 + 60 * minute), "PodName": pod,
        dataset.CPU_USAGE: usage, dataset.CPU_RATE: rate,
    }
    return values | cells


def write(path, rows):
    """Writes a CSV file with a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


class Metrics(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root, self.counts = Path(scratch.name), Counter()
        self.folder = self.root / "faults" / "2022-08-22" / "metric"
        write(self.folder / "dependency.csv", [
            {"Source": "cartservice", "Target": "33.33.33.80", "Weight": "1"},
            {"Source": "adservice", "Target": "33.33.33.80", "Weight": "1"},
            {"Source": "loadgenerator", "Target": "33.33.33.79", "Weight": "1"},
            {"Source": "loadgenerator", "Target": "33.33.33.60", "Weight": "1"},
            {"Source": "frontend", "Target": "cartservice", "Weight": "1"},
        ])

    def read(self, rows, edited_cpu=False, seen=None):
        write(self.folder / f"{CART}_metric.csv", rows)
        return dataset.read_metrics(self.folder, set() if seen is None else seen, self.counts, edited_cpu)

    def values(self, points, name):
        return [point[5] for point in points if point[1] == name]

    def test_time_is_believed_where_the_stamp_is_not(self):
        points = self.read([pod_row(0, stamp=1861140279), pod_row(1), pod_row(2, stamp="1861140419.0")])
        self.assertEqual({point[4] // 10**9 for point in points}, {1661140279, 1661140339, 1661140399})
        self.assertEqual(points[0][4], 1661140279607158889)
        self.assertEqual(self.counts["metric rows with a wrong TimeStamp"], 2)

    def test_units(self):
        points = self.read([pod_row(0, usage="3", rate="10", **{"MemoryUsage(Mi)": "2", "MemoryUsageRate(%)": "25"})])
        self.assertEqual(self.values(points, "k8s.pod.cpu.usage"), [0.03])
        self.assertEqual(self.values(points, dataset.CPU_LIMIT_UTILIZATION), [0.1])
        self.assertEqual(self.values(points, "k8s.pod.memory.usage"), [2 * 1024 * 1024])
        self.assertEqual(self.values(points, "k8s.pod.memory_limit_utilization"), [0.25])

    def test_an_edited_share_is_worked_out_anew_and_an_impossible_usage_left_out(self):
        rows = [*(pod_row(n) for n in range(5)), pod_row(5, usage="6", rate="84"), pod_row(6, usage="90", rate="84")]
        points = self.read(rows)
        self.assertEqual(self.values(points, dataset.CPU_LIMIT_UTILIZATION), [0.1] * 5 + [0.2])
        self.assertEqual(len(self.values(points, "k8s.pod.cpu.usage")), 6)
        self.assertEqual(self.counts["CPU shares that contradict the usage"], 2)
        self.assertEqual(self.counts["CPU usages above what the limit allows, not sent"], 1)

    def test_edited_columns_on_demand(self):
        points = self.read([*(pod_row(n) for n in range(5)), pod_row(6, usage="90", rate="84")], edited_cpu=True)
        self.assertEqual(self.values(points, dataset.CPU_LIMIT_UTILIZATION)[-1], 0.84)
        self.assertEqual(self.values(points, "k8s.pod.cpu.usage")[-1], 0.9)

    def test_missing_values_are_counted(self):
        points = self.read([pod_row(0, **{"PodClientLatencyP90(s)": "NaN", "PodClientLatencyP95(s)": ""})])
        self.assertEqual(self.counts["metric cells without a number"], 2)
        self.assertEqual(self.values(points, "boutique.pod.client.latency.p90"), [])

    def test_a_node_is_named_by_its_table_and_sent_once_a_minute(self):
        write(self.folder / "adservice-5f6585d649-fnmft_metric.csv", [pod_row(0, "adservice-5f6585d649-fnmft")])
        points = self.read([pod_row(0), pod_row(1)])
        nodes = [point for point in points if point[1] == "system.cpu.utilization"]
        self.assertEqual([point[0] for point in nodes], [{"k8s.node.name": "33.33.33.80"}] * 2)
        self.assertEqual(dataset.nodes(self.folder), {"cartservice": "33.33.33.80", "adservice": "33.33.33.80"})

    def test_lines_of_an_earlier_folder(self):
        seen = set()
        self.assertTrue(self.read([pod_row(0)], seen=seen))
        self.assertEqual(self.read([pod_row(0)], seen=seen), [])
        self.assertEqual(self.counts["metric lines of an earlier file"], 1)

    def test_pairs_say_who_reports(self):
        write(self.folder / "source_50.csv", [
            {"time": f"2022-08-22 03:{minute}:19.9 +0000 UTC m=+0.5", "timestamp": stamp, "frontend_cartservice": value}
            for minute, stamp, value in ((51, "1661140279", "0.25"), (52, "1661140339", ""))
        ])
        (point,) = [point for point in self.read([pod_row(0)]) if point[1] == dataset.PAIR_GAUGE[0]]
        self.assertEqual(point[0], {"service.name": "frontend"})
        self.assertEqual(point[3], {"source": "frontend", "destination": "cartservice", "reporter": "source"})
        self.assertEqual(point[5], 0.25)

    def test_an_unknown_file_is_an_error(self):
        write(self.folder / "surprise.csv", [{"a": "1"}])
        with self.assertRaises(ValueError):
            self.read([pod_row(0)])


class Traces(unittest.TestCase):
    def test_times(self):
        self.assertEqual(dataset.nanoseconds("2022-08-22 03:51:19.5 +0000 UTC m=+0.1"), 1661140279500000000)
        self.assertEqual(dataset.nanoseconds("2022-08-22 03:51:19 +0000 UTC"), 1661140279000000000)
        self.assertEqual(dataset.nanoseconds("2022-08-22 11:51:19.000000001 +0800 CST"), 1661140279000000001)
        with self.assertRaises(ValueError):
            dataset.nanoseconds("1661140279")

    def test_service_of_a_pod(self):
        self.assertEqual(dataset.service_of(FRONT), "frontend")
        self.assertEqual(dataset.service_of("my-own-service-5f6585d649-fnmft"), "my-own-service")
        for pod in ("frontend", "-a-b", "a-b"):
            with self.assertRaises(ValueError):
                dataset.service_of(pod)

    def test_kinds_need_two_pods_and_one_method(self):
        rows = [
            row("1", "root", FRONT, "hipstershop.Frontend/Recv."),
            row("2", "1", FRONT, "hipstershop.CartService/GetCart"),
            row("3", "2", CART, "grpc.hipstershop.CartService/GetCart"),
            row("4", "3", CART, "hipstershop.CartService/GetCart"),
            row("5", "1", FRONT, "hipstershop.CartService/AddItem"),
            row("6", "5", CART, "/hipstershop.CartService/EmptyCart"),
            row("7", "1", FRONT, "sql.conn.query"),
            row("8", "elsewhere", CART, "hipstershop.CartService/GetCart"),
        ]
        self.assertEqual(dataset.kinds(rows), {
            ("t", "1"): dataset.SERVER, ("t", "2"): dataset.CLIENT, ("t", "3"): dataset.SERVER,
        })

    def test_repeated_ids_are_sent_and_repeated_lines_are_not(self):
        with tempfile.TemporaryDirectory() as scratch:
            first, second, counts, seen = Path(scratch, "a.csv"), Path(scratch, "b.csv"), Counter(), set()
            lines = [row("1", "root", FRONT, "a/Recv."), row("1", "root", FRONT, "b"), row("1", "root", FRONT, "b")]
            write(first, lines)
            write(second, [lines[0], row("2", "1", FRONT, "c")])
            self.assertEqual(len(dataset.read_traces(first, seen, counts)), 3)
            self.assertEqual([line["SpanID"] for line in dataset.read_traces(second, seen, counts)], ["2"])
            self.assertEqual(counts["span lines of an earlier file"], 1)

    def test_a_short_line_is_an_error(self):
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch, "a.csv")
            path.write_text(",".join(dataset.TRACE_COLUMNS) + "\nt,1,root\n")
            with self.assertRaises(ValueError):
                dataset.read_traces(path, set(), Counter())

    def test_spans_carry_no_more_than_the_data(self):
        self.assertEqual(dataset.span(row("1", "root", FRONT, "a"), 0), {
            "traceId": "t", "spanId": "1", "name": "a", "kind": 0,
            "startTimeUnixNano": "1661140435622501485", "endTimeUnixNano": "1661140435622502485",
        })
        self.assertEqual(dataset.span(row("2", "1", FRONT, "a"), 3)["parentSpanId"], "1")

    def test_requests_group_by_resource(self):
        one, two = {"service.name": "a"}, {"service.name": "b"}
        request = convert.trace_request([(one, {"n": 1}), (two, {"n": 2}), (one, {"n": 3})])
        self.assertEqual([len(block["scopeSpans"][0]["spans"]) for block in request["resourceSpans"]], [2, 1])


class Sending(unittest.TestCase):
    def answer(self, status, body):
        answer = mock.MagicMock(status=status)
        answer.read.return_value = body
        answer.__enter__.return_value = answer
        with mock.patch("urllib.request.urlopen", return_value=answer):
            convert.post("http://127.0.0.1/v1/traces", {})

    def test_only_a_full_success_passes(self):
        for body in (b"", b"{}", b'{"partialSuccess":{}}', b'{"partialSuccess":{"rejectedSpans":"0"}}'):
            self.answer(200, body)
        for status, body in (
            (202, b"{}"), (200, b'{"partialSuccess":{"rejectedSpans":"1"}}'),
            (200, b'{"partialSuccess":{"rejectedDataPoints":0,"errorMessage":"old"}}'),
        ):
            with self.assertRaises(convert.Refused):
                self.answer(status, body)


class Scoring(unittest.TestCase):
    LABELS = [
        {"day": "2022-08-22", "minute": "04_28", "pod": CART, "type": "network_delay"},
        {"day": "2022-08-23", "minute": "12_02", "pod": FRONT, "type": "cpu_contention"},
    ]
    ANSWER = {"action": "look", "rules_version": 3, "confident": True, "culprits": [
        {"service": "cartservice", "instance": CART, "cause": "network", "confidence": 0.9},
        {"service": "cartservice", "cause": "cpu", "confidence": 0.1},
        {"service": "frontend", "cause": "cpu", "confidence": 0.4},
    ]}

    def test_windows(self):
        self.assertEqual([score.rfc3339(at) for at in score.window("2022-08-22", "04_28")],
                         ["2022-08-22T04:27:21Z", "2022-08-22T04:28:21Z"])
        scored = score.window("2022-08-23", "12_02")
        self.assertEqual(score.rfc3339(score.reference(scored, "fault-free")[0]), "2022-08-23T16:59:30Z")
        self.assertEqual(score.rfc3339(score.reference(scored, "before:5")[0]), "2022-08-23T11:56:30Z")
        self.assertEqual(len(list(score.healthy_cases([2, 3], 10))), 2 + 6 + 20)

    def test_ranking_and_causes(self):
        self.assertEqual(score.ranking(self.ANSWER), ["cartservice", "frontend"])
        network, cpu = (score.score_fault(label, self.ANSWER) for label in self.LABELS)
        self.assertTrue(network["top1"] and network["cause_right"] and network["pod_right"] and network["confident"])
        self.assertTrue(cpu["top3"] and cpu["cause_right"])
        self.assertFalse(cpu["top1"] or cpu["pod_right"])
        for answer in (None, {}, {"culprits": None}, {"culprits": [{"host": "n"}]}):
            self.assertFalse(score.score_fault(self.LABELS[0], answer)["top3"])

    def test_a_run_over_http(self):
        queries = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(handler):
                queries.append(handler.path)
                handler.send_response(500 if "12%3A01" in handler.path else 200)
                handler.end_headers()
                handler.wfile.write(json.dumps(Scoring.ANSWER).encode())

            def log_message(handler, *_):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        options = SimpleNamespace(reference="fault-free", parts=[2], quiet=1)
        with redirect_stdout(io.StringIO()):
            results = score.run(f"http://127.0.0.1:{server.server_port}", self.LABELS, options)
        table = score.markdown(results)
        self.assertIn("| network_delay | 1 | 1/1 (100 %) |", table)
        self.assertIn("Healthy windows with a confident culprit: 4/4 (100 %).", table)
        self.assertIn("No answer, 1 times: 500", table)
        self.assertIn("reference_from=2022-08-23T16%3A59%3A30Z", queries[0])


if __name__ == "__main__":
    unittest.main()
