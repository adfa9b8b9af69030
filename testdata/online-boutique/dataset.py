"""Reads the data set: times, spans with the kinds their names prove, gauges with units of OpenTelemetry."""

import csv
import math
import re
import statistics
import tarfile
from datetime import datetime, timezone
from pathlib import Path

TRACE_COLUMNS = (
    "TraceID", "SpanID", "ParentID", "PodName", "OperationName", "StartTimeUnixNano", "EndTimeUnixNano", "Duration",
)

UNSPECIFIED, SERVER, CLIENT = 0, 2, 3

# column: (metric, unit, factor from the column's unit)
POD_GAUGES = {
    "CpuUsage(m)": ("k8s.pod.cpu.usage", "{cpu}", 0.01),
    "MemoryUsage(Mi)": ("k8s.pod.memory.usage", "By", 1024 * 1024),
    "MemoryUsageRate(%)": ("k8s.pod.memory_limit_utilization", "1", 0.01),
    "SyscallRead": ("boutique.pod.syscall.read", "{syscall}", 1),
    "SyscallWrite": ("boutique.pod.syscall.write", "{syscall}", 1),
    "NetworkReceiveBytes": ("boutique.pod.network.receive.rate", "By/s", 1),
    "NetworkTransmitBytes": ("boutique.pod.network.transmit.rate", "By/s", 1),
    "PodClientLatencyP90(s)": ("boutique.pod.client.latency.p90", "s", 1),
    "PodClientLatencyP95(s)": ("boutique.pod.client.latency.p95", "s", 1),
    "PodClientLatencyP99(s)": ("boutique.pod.client.latency.p99", "s", 1),
    "PodServerLatencyP90(s)": ("boutique.pod.server.latency.p90", "s", 1),
    "PodServerLatencyP95(s)": ("boutique.pod.server.latency.p95", "s", 1),
    "PodServerLatencyP99(s)": ("boutique.pod.server.latency.p99", "s", 1),
    "PodWorkload(Ops)": ("boutique.pod.request.rate", "{request}/s", 1),
}
CPU_USAGE, CPU_RATE = "CpuUsage(m)", "CpuUsageRate(%)"
CPU_LIMIT_UTILIZATION = "k8s.pod.cpu_limit_utilization"

# column: (metric, unit, factor, attributes)
NODE_GAUGES = {
    "NodeCpuUsageRate(%)": ("system.cpu.utilization", "1", 0.01, {}),
    "NodeMemoryUsageRate(%)": ("system.memory.utilization", "1", 0.01, {"system.memory.state": "used"}),
    "NodeNetworkReceiveBytes": ("boutique.node.network.receive.rate", "By/s", 1, {}),
}

FRONT_GAUGES = {
    "SuccessRate(%)": ("boutique.front.success.ratio", "1", 0.01),
    "LatencyP50(s)": ("boutique.front.latency.p50", "s", 1),
    "LatencyP90(s)": ("boutique.front.latency.p90", "s", 1),
    "LatencyP95(s)": ("boutique.front.latency.p95", "s", 1),
    "LatencyP99(s)": ("boutique.front.latency.p99", "s", 1),
}

PAIR_GAUGE = ("boutique.service_pair.request.duration.p50", "s")

# A container is throttled at its limit; a reading above this multiple of it is no measurement.
IMPOSSIBLE_CPU = 1.5

_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d{1,9}))? ([+-])(\d\d)(\d\d)\b")
_RPC = re.compile(r"^(?:grpc\.|/)?([A-Za-z_][\w.]*)/([^/\s]+)$")


def unpack(folder, target):
    """Unpacks the telemetry of the data set into a folder; returns that folder."""
    with tarfile.open(Path(folder) / "telemetry.tar.xz") as archive:
        archive.extractall(target, filter="data")
    return Path(target)


def trace_files(root):
    """All trace files, oldest minute first."""
    return sorted(root.glob("*/*/trace/*.csv"), key=lambda path: (path.parts[-3], path.name))


def metric_folders(root):
    """All metric folders by day; a day may have two of the same content."""
    return sorted(root.glob("*/*/metric"), key=lambda path: (path.parts[-2], path.parts[-3]))


def service_of(pod):
    """The service of a pod of a deployment: its name without the two parts Kubernetes adds."""
    service, *added = pod.rsplit("-", 2)
    if not service or len(added) != 2:
        raise ValueError(f"not a pod of a deployment: {pod!r}")
    return service


def nanoseconds(text):
    """Unix time in ns of a time as Go prints it: `2022-08-22 03:51:19.607158889 +0000 UTC m=+0.11`."""
    match = _TIME.match(text)
    if not match:
        raise ValueError(f"not a time: {text!r}")
    clock, fraction, sign, hours, minutes = match.groups()
    seconds = int(datetime.strptime(clock, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc).timestamp())
    offset = (int(hours) * 3600 + int(minutes) * 60) * (1 if sign == "+" else -1)
    return (seconds - offset) * 10**9 + int((fraction or "0").ljust(9, "0"))


def number(text):
    """The value of a cell; None for an empty one and for what is no finite number."""
    value = float(text) if text.strip() else math.nan
    return value if math.isfinite(value) else None


def rpc(operation):
    """`package.Service/Method` of a span name of gRPC instrumentation, or None."""
    match = _RPC.match(operation)
    return f"{match[1]}/{match[2]}" if match else None


def kinds(rows):
    """Span kinds that names prove, by (trace, span): a call whose two ends lie in two pods and name one method."""
    by_id = {(row["TraceID"], row["SpanID"]): row for row in rows}
    known = {}
    for row in rows:
        if row["ParentID"] == "root" and row["OperationName"].endswith("/Recv."):
            known[row["TraceID"], row["SpanID"]] = SERVER
        parent = by_id.get((row["TraceID"], row["ParentID"]))
        method = rpc(row["OperationName"])
        if parent and method and parent["PodName"] != row["PodName"] and rpc(parent["OperationName"]) == method:
            known[row["TraceID"], row["SpanID"]] = SERVER
            known[parent["TraceID"], parent["SpanID"]] = CLIENT
    return known


def read_traces(path, seen, counts):
    """Rows of a trace file; a line that an earlier file had in full is left out and counted."""
    rows = []
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != TRACE_COLUMNS:
            raise ValueError(f"{path}: columns {reader.fieldnames}")
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"{path}, line {reader.line_num}: {row}")
            rows.append(row)
    fresh = [row for row in rows if tuple(row.values()) not in seen]
    counts["span lines of an earlier file"] += len(rows) - len(fresh)
    seen.update(tuple(row.values()) for row in rows)
    return fresh


def span(row, kind):
    """A span in OTLP's JSON."""
    encoded = {
        "traceId": row["TraceID"],
        "spanId": row["SpanID"],
        "name": row["OperationName"],
        "kind": kind,
        "startTimeUnixNano": row["StartTimeUnixNano"],
        "endTimeUnixNano": row["EndTimeUnixNano"],
    }
    if row["ParentID"] != "root":
        encoded["parentSpanId"] = row["ParentID"]
    return encoded


def nodes(folder):
    """The node of each service by the dependency table, for services that one node alone runs."""
    found = {}
    with open(folder / "dependency.csv", newline="") as file:
        for row in csv.DictReader(file):
            if re.fullmatch(r"\d+(\.\d+){3}", row["Target"]):
                found.setdefault(row["Source"], set()).add(row["Target"])
    return {service: targets.pop() for service, targets in found.items() if len(targets) == 1}


def pod_resource(pod, node):
    """Resource attributes of what a pod sends."""
    resource = {"service.name": service_of(pod), "k8s.pod.name": pod}
    return {**resource, "k8s.node.name": node} if node else resource


def sample_time(row, counts):
    """Time of a metric row in ns, from `Time`; counts where the numeric column says otherwise."""
    time = nanoseconds(row.get("Time") or row["time"])
    if int(float(row.get("TimeStamp") or row["timestamp"])) != time // 10**9:
        counts["metric rows with a wrong TimeStamp"] += 1
    return time


def cpu_limit(rows):
    """A pod's CPU limit in the unit of its usage: what usage and share of the limit agree on most of the time."""
    pairs = [(number(row[CPU_USAGE]), number(row[CPU_RATE])) for row in rows]
    ratios = [usage / rate * 100 for usage, rate in pairs if usage is not None and rate]
    return statistics.median(ratios) if ratios else None


class Gauges:
    """Collects gauge points as (resource, metric, unit, attributes, time in ns, value)."""

    def __init__(self, counts):
        self.points = []
        self.counts = counts

    def add(self, resource, name, unit, time, value, attributes=None):
        """Adds a point; a missing value is counted, not sent."""
        if value is None:
            self.counts["metric cells without a number"] += 1
        else:
            self.points.append((resource, name, unit, attributes or {}, time, value))


def read_metrics(folder, seen, counts, edited_cpu=False):
    """All points of a metric folder that no earlier folder had, in the order of time."""
    gauges, node_of, measured = Gauges(counts), nodes(folder), set()
    for path in sorted(folder.glob("*.csv")):
        if path.name == "dependency.csv":
            continue
        rows = _fresh_rows(path, seen, counts)
        if path.name.endswith("_metric.csv"):
            _pod_points(gauges, rows, node_of, measured, edited_cpu)
        elif path.name == "front_service.csv":
            _front_points(gauges, rows)
        elif path.name in ("source_50.csv", "destination_50.csv"):
            _pair_points(gauges, rows, path.name.split("_")[0])
        else:
            raise ValueError(f"unknown metric file {path}")
    return sorted(gauges.points, key=lambda point: point[4])


def _fresh_rows(path, seen, counts):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    fresh = [row for row in rows if (path.name, *row.values()) not in seen]
    counts["metric lines of an earlier file"] += len(rows) - len(fresh)
    seen.update((path.name, *row.values()) for row in rows)
    return fresh


def _pod_points(gauges, rows, node_of, measured, edited_cpu):
    limit = cpu_limit(rows)
    for row in rows:
        time = sample_time(row, gauges.counts)
        node = node_of.get(service_of(row["PodName"]))
        resource = pod_resource(row["PodName"], node)
        for column, (name, unit, factor) in POD_GAUGES.items():
            if column != CPU_USAGE:
                gauges.add(resource, name, unit, time, _scaled(row[column], factor))
        _cpu_points(gauges, row, resource, time, limit, edited_cpu)
        if node and (node, time // 60_000_000_000) not in measured:
            measured.add((node, time // 60_000_000_000))
            for column, (name, unit, factor, attributes) in NODE_GAUGES.items():
                gauges.add({"k8s.node.name": node}, name, unit, time, _scaled(row[column], factor), attributes)


def _cpu_points(gauges, row, resource, time, limit, edited_cpu):
    """Usage, and its share of the limit worked out from it: the column of the share has been edited."""
    name, unit, factor = POD_GAUGES[CPU_USAGE]
    usage, rate = number(row[CPU_USAGE]), number(row[CPU_RATE])
    if usage is not None and limit:
        share = usage / limit
        if rate is not None and abs(share * 100 - rate) > max(3, 0.03 * rate):
            gauges.counts["CPU shares that contradict the usage"] += 1
        if share > IMPOSSIBLE_CPU and not edited_cpu:
            gauges.counts["CPU usages above what the limit allows, not sent"] += 1
            return
        gauges.add(resource, CPU_LIMIT_UTILIZATION, "1", time, rate / 100 if edited_cpu else share)
    gauges.add(resource, name, unit, time, None if usage is None else usage * factor)


def _front_points(gauges, rows):
    for row in rows:
        time = sample_time(row, gauges.counts)
        for column, (name, unit, factor) in FRONT_GAUGES.items():
            resource = {"service.name": row["ServiceName"].lower()}
            gauges.add(resource, name, unit, time, _scaled(row[column], factor))


def _pair_points(gauges, rows, reporter):
    name, unit = PAIR_GAUGE
    for row in rows:
        time = sample_time(row, gauges.counts)
        for pair in sorted(row.keys() - {"time", "timestamp"}):
            source, destination = pair.split("_")
            attributes = {"source": source, "destination": destination, "reporter": reporter}
            resource = {"service.name": source if reporter == "source" else destination}
            gauges.add(resource, name, unit, time, number(row[pair]), attributes)


def _scaled(text, factor):
    value = number(text)
    return None if value is None else value * factor
