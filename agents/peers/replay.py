"""Sends the same encoded requests to Headrope and to miradb, and says what each costs.

    cargo run --release -p headrope-testdata --example requests -- shop.bin 2000000
    HEADROPE_BIN=target/release/headrope venv/bin/python agents/peers/replay.py shop.bin --miradb miradb

Every candidate gets a process and a directory of its own, one after the other, round by round. CPU time
is the server's (user and system, /proc/PID/stat) from before the first request until it has been idle
for some seconds; a request that is refused is sent again. Prints a line per run, then a table of medians.
"""

import argparse
import json
import os
import statistics
import struct
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from harness.processes import Child, free_port  # noqa: E402 - the path comes first
from harness.server import KEEP, Headrope  # noqa: E402

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
# Wait before a refused request is sent again, unless the answer names another (RetryInfo).
RETRY_S = 0.1
# Less than this share of one CPU counts as idle, as in `headrope bench ingest`.
IDLE_SHARE = 0.05
PATIENCE_S = 900
TICKS = os.sysconf("SC_CLK_TCK")


class HeadropeNode:
    """A Headrope node with one class of durability; it flushes and merges when all is sent."""

    log = "log"

    def __init__(self, _arguments, root, durability):
        self.directory = Path(root) / "data"
        self._server = Headrope(self.directory, root, {**KEEP, "HEADROPE_STORAGE__DURABILITY": durability})
        self.pid, self.grpc = self._server.pid, self._server.grpc.removeprefix("http://")
        self.stop = self._server.stop

    def settle(self):
        """Asks for the work that would come later."""
        self._server.admin("flush")
        self._server.admin("compact")

    def settled(self):
        """Whether nothing is left for later."""
        return True

    def spans(self):
        """Spans that it stores."""
        return self._server.sql_value("SELECT count(*) FROM spans")


class Mira:
    """A miradb node, with its log or without."""

    log = ".wal"

    def __init__(self, arguments, root, wal):
        self.directory = Path(root) / "data"
        self._cold = arguments.cold
        self.grpc, http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self._http = f"http://{http}"
        config = Path(root) / "miradb.yaml"
        config.write_text(json.dumps({
            "listen": {"grpc": self.grpc, "http": http},
            "storage": {"dir": str(self.directory), "retention": "3650d"},
            "ingest": {"wal": "true" if wal else "false"},
        }))
        self._child = Child("miradb", [arguments.miradb, "--config", config], root)
        self.pid = self._child.process.pid
        self.stop = self._child.stop
        until = time.monotonic() + 60
        while not self._ready():
            assert time.monotonic() < until, f"miradb is not ready\n{self._child.tail()}"
            time.sleep(0.05)

    def _ready(self):
        try:
            self._stats()
        except OSError:
            return False
        return True

    def _stats(self):
        with urllib.request.urlopen(f"{self._http}/api/v1/stats", timeout=10) as answer:
            return json.load(answer)

    def settle(self):
        """Nothing to ask for: blocks are written when they are full or two seconds old."""

    def settled(self):
        """Whether every block is compressed, which happens once it is an hour old, if that is waited for."""
        blocks = [path for path in self.directory.rglob("*") if path.is_dir() and any(path.glob("*.arrow"))]
        return not self._cold or all((block / "cold").exists() for block in blocks)

    def spans(self):
        """Spans that it has written into blocks."""
        return self._stats()["signals"]["traces"]["rows"]


CANDIDATES = {
    "headrope, fsync": lambda arguments, root: HeadropeNode(arguments, root, "fsync"),
    "headrope, page cache": lambda arguments, root: HeadropeNode(arguments, root, "page-cache"),
    "miradb, log on (page cache)": lambda arguments, root: Mira(arguments, root, True),
    "miradb, log off (fsync)": lambda arguments, root: Mira(arguments, root, False),
}


def read_requests(path):
    """The encoded requests of a file."""
    content = path.read_bytes()
    at, requests = 0, []
    while at < len(content):
        (length,) = struct.unpack_from("<I", content, at)
        requests.append(content[at + 4 : at + 4 + length])
        at += 4 + length
    return requests


class Sender:
    """Sends requests over some connections, each with one under way: so many a second, or as fast as answers
    come. The latency of a request counts from when it was to be sent."""

    def __init__(self, address, requests, rate):
        self._address = address
        self._requests = enumerate(requests)
        self._every = 1 / rate if rate else None
        self._began = None
        self._lock = threading.Lock()
        self.latencies, self.refused, self.failure = [], 0, None

    def run(self, connections):
        """Returns the seconds it took."""
        threads = [threading.Thread(target=self._work) for _ in range(connections)]
        self._began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert self.failure is None, f"a request failed: {self.failure}"
        return time.monotonic() - self._began

    def _work(self):
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(self._address, options) as channel:
            export = channel.unary_unary(EXPORT)
            while self.failure is None:
                with self._lock:
                    number, body = next(self._requests, (0, None))
                if body is None:
                    return
                intended = time.monotonic()
                if self._every:
                    intended = self._began + number * self._every
                    time.sleep(max(0, intended - time.monotonic()))
                self._send(export, body, intended)

    def _send(self, export, body, intended):
        while self.failure is None:
            try:
                answer = ExportTraceServiceResponse.FromString(export(body, timeout=60))
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
                    self.failure = str(error)
                    return
                self.refused += 1
                time.sleep(retry_seconds(error))
                continue
            if answer.partial_success.rejected_spans:
                self.failure = answer.partial_success.error_message
            self.latencies.append(time.monotonic() - intended)
            return


def retry_seconds(error):
    """How long a refusal asks to wait."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in Status.FromString(value).details:
                info = RetryInfo()
                if detail.Unpack(info):
                    return info.retry_delay.ToNanoseconds() / 1e9
    return RETRY_S


def cpu_seconds(pid):
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def proc_bytes(pid, file, name, scale=1):
    """A number of /proc/PID/FILE in bytes."""
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) * scale for line in lines if line.startswith(name + ":"))


def wait_until_idle(pid, seconds):
    """Returns once the process has used next to no CPU for so long."""
    until = time.monotonic() + PATIENCE_S
    since, used = time.monotonic(), cpu_seconds(pid)
    while time.monotonic() - since < seconds:
        assert time.monotonic() < until, "the server is never idle"
        time.sleep(0.25)
        if cpu_seconds(pid) - used > IDLE_SHARE * seconds:
            since, used = time.monotonic(), cpu_seconds(pid)


def measure(arguments, name, requests):
    """One run of a candidate: its figures."""
    with tempfile.TemporaryDirectory(prefix="headrope-peers-", dir=arguments.dir) as root:
        server = CANDIDATES[name](arguments, root)
        try:
            wait_until_idle(server.pid, 1)
            before, written = cpu_seconds(server.pid), proc_bytes(server.pid, "io", "write_bytes")
            sender = Sender(server.grpc, requests, arguments.rate)
            seconds = sender.run(arguments.connections)
            server.settle()
            until = time.monotonic() + PATIENCE_S
            wait_until_idle(server.pid, arguments.idle)
            while not server.settled():
                assert time.monotonic() < until, "the server does not settle"
                time.sleep(1)
            wait_until_idle(server.pid, arguments.idle)
            cpu, spans = cpu_seconds(server.pid) - before, server.spans()
            latencies = sorted(sender.latencies)
            return {
                "spans": spans,
                "spans a CPU-second": spans / cpu,
                "CPU seconds": cpu,
                "seconds to send": seconds,
                "acknowledgement p50, ms": latencies[len(latencies) // 2] * 1000,
                "acknowledgement p99, ms": latencies[len(latencies) * 99 // 100] * 1000,
                "refused": sender.refused,
                "bytes on disk a span": disk_bytes(server.directory) / spans,
                "of which log": disk_bytes(server.directory / server.log) / spans,
                "bytes written a span": (proc_bytes(server.pid, "io", "write_bytes") - written) / spans,
                "most memory, MiB": proc_bytes(server.pid, "status", "VmHWM", 1024) / 2**20,
                "memory after, MiB": proc_bytes(server.pid, "status", "VmRSS", 1024) / 2**20,
            }
        finally:
            server.stop()


def disk_bytes(directory):
    """Bytes of all files."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("requests", type=Path, help="file written by the example `requests` of headrope-testdata")
    parser.add_argument("--miradb", help="its binary; without it, Headrope alone")
    parser.add_argument("--only", action="append", choices=CANDIDATES, help="candidates [default: all]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rate", type=float, help="requests a second; without it, as fast as answers come")
    parser.add_argument("--idle", type=float, default=12, help="seconds without work after which all is done")
    parser.add_argument("--cold", action="store_true", help="wait until miradb has compressed every block")
    parser.add_argument("--dir", help="where the data directories are made")
    arguments = parser.parse_args()
    names = arguments.only or [name for name in CANDIDATES if arguments.miradb or "miradb" not in name]
    assert arguments.miradb or not any("miradb" in name for name in names), "name miradb's binary: --miradb"
    requests = read_requests(arguments.requests)
    runs = {name: [] for name in names}
    for number in range(arguments.rounds):
        for name in names if number % 2 == 0 else reversed(names):
            load = os.getloadavg()[0]
            figures = measure(arguments, name, requests)
            runs[name].append(figures)
            print(f"{name}, load average before {load:.2f}:", json.dumps(figures), file=sys.stderr, flush=True)
    spans = {figures["spans"] for of_one in runs.values() for figures in of_one}
    print(f"{len(requests)} requests, {sum(map(len, requests))} bytes, spans stored {sorted(spans)}, "
          f"{arguments.connections} connections, "
          f"{arguments.rate or 'as many'} requests a second, medians of {arguments.rounds} rounds\n")
    print("| figure | " + " | ".join(names) + " |")
    print("|" + "---|" * (len(names) + 1))
    for figure in runs[names[0]][0]:
        medians = (statistics.median(run[figure] for run in runs[name]) for name in names)
        print(f"| {figure} | " + " | ".join(f"{median:,.4g}" if median < 1000 else f"{median:,.0f}"
                                           for median in medians) + " |")


if __name__ == "__main__":
    main()
