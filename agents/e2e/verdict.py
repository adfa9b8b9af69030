"""Verdicts over labelled real faults: only the public endpoint is asked, see testdata/online-boutique."""

import json
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path

from harness.report import equal
from harness.server import KEEP, REPOSITORY, Headrope, find_binary, find_data

TOOLS = REPOSITORY / "testdata" / "online-boutique"
# The best published share without logs (see docs/diagnosis.md).
PUBLISHED = 0.643
# Kinds whose cause is to be right, and in which share of those found.
CAUSES, RIGHT = ("cpu_contention", "cpu_consumed", "network_delay"), 0.8


def test(report):
    """Sends the labelled faults, asks for each, and holds the answers against the published ones."""
    report.check("online boutique: the tools read what the data is like", lambda: _unit_tests(TOOLS))
    report.check("scenarios: what is right is judged as labelled", lambda: _unit_tests(TOOLS.parent / "scenarios"))
    data = find_data("online-boutique")
    if data is None:
        report.skip("online boutique", "online-boutique not found; set HEADROPE_SHARED_DATA")
        return
    with tempfile.TemporaryDirectory(prefix="headrope-e2e-") as root:
        server = Headrope(Path(root) / "data", root, KEEP)
        try:
            results = Path(root) / "results.json"
            report.check("online boutique: everything is accepted", lambda: _run("convert.py", data, server.http))
            server.admin("flush")
            if report.check("online boutique: every window is answered",
                            lambda: _run("score.py", data, server.ui, "--json", str(results))):
                answers = json.loads(results.read_text())
                _judge(report, answers)
                report.check("the terminal prints the card of the endpoint", lambda: _card(server, answers[0]))
        finally:
            server.stop()


def _unit_tests(folder):
    # A process each: their modules have the same names.
    command = [sys.executable, "-m", "unittest", "discover", "-s", str(folder), "-t", str(folder), "-p", "test_*.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0 and "Ran 0 tests" not in done.stderr, done.stderr[-3000:]


def _run(tool, data, url, *more):
    done = subprocess.run([sys.executable, str(TOOLS / tool), "--data", str(data), "--url", url, *more],  # noqa: S603
                          capture_output=True, text=True, check=False)
    print(done.stdout, flush=True)
    assert done.returncode == 0, done.stderr[-2000:]


def _judge(report, results):
    faults = [result for result in results if result["group"] == "fault"]
    report.check("online boutique: no question fails",
                 lambda: equal([result["error"] for result in results if result["error"]], [], "errors"))
    first = sum(fault["top1"] for fault in faults)
    report.check(f"online boutique: the service is found as often as published ({first} of {len(faults)})",
                 lambda: _at_least(first, PUBLISHED * len(faults)))
    found = [fault for fault in faults if fault["top1"] and fault["kind"] in CAUSES]
    right = sum(fault["cause_right"] for fault in found)
    wrong = Counter((fault["kind"], fault["cause"]) for fault in found if not fault["cause_right"])
    report.check(f"online boutique: so is the cause of CPU and network faults ({right} of {len(found)}, {dict(wrong)})",
                 lambda: _at_least(right, RIGHT * len(found)))


def _card(server, answer):
    """The card of a fault, in the terminal and over REST: of all services, and as the guilty one sees requests."""
    names = ("from", "to", "reference_from", "reference_to")
    times = dict(zip(names, answer["window"] + answer["reference"], strict=True))
    options = [word for name, value in times.items() for word in (f"--{name.replace('_', '-')}", value)]
    for service in ([], [answer["service"]]):
        command = [find_binary(), "verdict", *service, *options, "--url", server.ui]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        assert done.returncode == 0, done.stderr[-2000:]
        query = urllib.parse.urlencode(times | {"format": "markdown"} | ({"service": service[0]} if service else {}))
        with urllib.request.urlopen(f"{server.ui}/api/v1/verdict?{query}", timeout=60) as card:  # noqa: S310
            equal(done.stdout, card.read().decode(), "card")
        titles = [line for line in done.stdout.splitlines() if line.startswith("## ")]
        assert done.stdout.startswith("# ") and {"## Ledger", "## Trust"} <= set(titles), done.stdout


def _at_least(count, wanted):
    assert count >= wanted > 0, f"{count}, at least {wanted:.1f} wanted"
