"""Sends the data set to an OTLP/HTTP receiver as its users' exporters would: JSON, gzip, 2,000 records a request."""

import argparse
import gzip
import itertools
import json
import os
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import dataset


class Refused(Exception):
    """A receiver that did not take everything."""


def attributes(values):
    """OTLP's list of string attributes."""
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def trace_request(spans):
    """A trace export request of (resource, span) pairs, one block per resource."""
    groups = {}
    for resource, encoded in spans:
        groups.setdefault(tuple(resource.items()), []).append(encoded)
    return {"resourceSpans": [
        {"resource": {"attributes": attributes(dict(resource))}, "scopeSpans": [{"spans": group}]}
        for resource, group in groups.items()
    ]}


def metric_request(points):
    """A metric export request of gauge points, one block per resource, one metric per name."""
    groups = {}
    for resource, name, unit, labels, at, value in points:
        metrics = groups.setdefault(tuple(resource.items()), {})
        point = {"timeUnixNano": str(at), "asDouble": value}
        if labels:
            point["attributes"] = attributes(labels)
        metrics.setdefault((name, unit), []).append(point)
    return {"resourceMetrics": [
        {"resource": {"attributes": attributes(dict(resource))}, "scopeMetrics": [{"metrics": [
            {"name": name, "unit": unit, "gauge": {"dataPoints": group}} for (name, unit), group in metrics.items()
        ]}]}
        for resource, metrics in groups.items()
    ]}


def post(url, payload):
    """Sends one request; anything but 200 and a full success is an error."""
    request = urllib.request.Request(url, gzip.compress(json.dumps(payload).encode(), 1), {
        "Content-Type": "application/json", "Content-Encoding": "gzip",
    })
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status, body = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        raise Refused(f"{url}: {error.code} {error.read()[:500]!r}") from error
    partial = json.loads(body or b"{}").get("partialSuccess") if status == 200 else None
    if status != 200 or partial and any(str(value) not in ("", "0") for value in partial.values()):
        raise Refused(f"{url}: {status} {body[:500]!r}")


def batches(items, size):
    """Lists of up to `size` items."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def spans(root, counts):
    """All spans as (resource, span), file after file."""
    node_of = {path.parts[-2]: dataset.nodes(path) for path in dataset.metric_folders(root)}
    seen, traces, ids = set(), {}, set()
    for path in dataset.trace_files(root):
        rows = dataset.read_traces(path, seen, counts)
        kinds = dataset.kinds(rows)
        for row in rows:
            identity = row["TraceID"], row["SpanID"]
            counts["spans"] += 1
            counts["spans with an id seen before"] += identity in ids
            ids.add(identity)
            traces.setdefault(row["TraceID"], set()).add(path)
            kind = kinds.get(identity, dataset.UNSPECIFIED)
            counts[f"spans of kind {('unspecified', '', 'server', 'client')[kind]}"] += 1
            node = node_of[path.parts[-3]].get(dataset.service_of(row["PodName"]))
            yield dataset.pod_resource(row["PodName"], node), dataset.span(row, kind)
    counts["traces"] = len(traces)
    counts["traces in two files"] = sum(len(files) > 1 for files in traces.values())


def points(root, counts, edited_cpu):
    """All metric points, folder after folder."""
    seen = set()
    for folder in dataset.metric_folders(root):
        for point in dataset.read_metrics(folder, seen, counts, edited_cpu):
            counts["metric points"] += 1
            yield point


def send(root, options, counts):
    """Sends what the options ask for."""
    jobs = {
        "metrics": (points(root, counts, options.edited_cpu), metric_request, "/v1/metrics"),
        "spans": (spans(root, counts), trace_request, "/v1/traces"),
    }
    for signal, (records, request, path) in jobs.items():
        if options.only in (None, signal):
            for batch in batches(records, options.batch):
                payload = request(batch)
                if options.url:
                    post(options.url.rstrip("/") + path, payload)
                counts["requests"] += 1


def find_data(folder):
    """The folder of the data set: the one given, or online-boutique under HEADROPE_SHARED_DATA."""
    if folder is None and os.environ.get("HEADROPE_SHARED_DATA"):
        folder = Path(os.environ["HEADROPE_SHARED_DATA"]) / "online-boutique"
    if folder is None or not (Path(folder) / "telemetry.tar.xz").exists():
        sys.exit(f"no telemetry.tar.xz in {folder or 'HEADROPE_SHARED_DATA (not set)'}; name the folder with --data")
    return Path(folder)


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="OTLP/HTTP receiver, e.g. http://127.0.0.1:4318; without it nothing is sent")
    parser.add_argument("--data", help="folder with telemetry.tar.xz; default: $HEADROPE_SHARED_DATA/online-boutique")
    parser.add_argument("--only", choices=["spans", "metrics"])
    parser.add_argument("--batch", type=int, default=2000, help="records a request")
    parser.add_argument("--edited-cpu", action="store_true", help="send the edited CPU columns as they are (README)")
    options = parser.parse_args()
    data, counts, begun = find_data(options.data), Counter(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="headrope-boutique-") as target:
        send(dataset.unpack(data, target), options, counts)
    counts["seconds"] = round(time.monotonic() - begun)
    json.dump(dict(sorted(counts.items())), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
