"""Asks the verdict endpoint about every labelled fault and about fault-free windows, and scores the answers."""

import argparse
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

from convert import find_data
from dataset import service_of

# The causes an answer may give for each injected kind.
CAUSES = {
    "cpu_contention": {"cpu"},
    "cpu_consumed": {"cpu"},
    "network_delay": {"network"},
    "return": {"code"},
    "exception": {"code"},
}

# Seconds after the minute HH:MM at which the minute labelled HH_MM is over: its metric samples are complete.
MINUTE_ENDS = {"2022-08-22": 21, "2022-08-23": 30}

FAULT_FREE = ("2022-08-23", "17_00")

# First and last minute of metrics without traces that no injection comes near.
QUIET = (("2022-08-22", "09_30", "23_30"), ("2022-08-23", "18_00", "23_30"))


def window(day, minute):
    """The minute of a label as (from, to)."""
    clock = datetime.strptime(f"{day} {minute}", "%Y-%m-%d %H_%M").replace(tzinfo=timezone.utc)
    end = clock + timedelta(seconds=MINUTE_ENDS[day])
    return end - timedelta(minutes=1), end


def reference(scored, rule):
    """The reference of a scored minute: the fault-free minute, or so many minutes that end at its begin."""
    if rule == "fault-free":
        return window(*FAULT_FREE)
    return scored[0] - timedelta(minutes=int(rule.removeprefix("before:"))), scored[0]


def fault_cases(labels, rule):
    """One case per label: (name, window, reference, label)."""
    for label in labels:
        scored = window(label["day"], label["minute"])
        yield f"{label['day']} {label['minute']}", scored, reference(scored, rule), label


def healthy_cases(parts, quiet):
    """Windows without a fault: parts of the fault-free minute against each other, and minutes of metrics alone."""
    begin, end = window(*FAULT_FREE)
    for count in parts:
        step = (end - begin) / count
        cuts = [(begin + step * n, begin + step * (n + 1)) for n in range(count)]
        for n, scored in enumerate(cuts):
            for m, other in enumerate(cuts):
                if n != m:
                    yield f"part {n + 1} of {count} against part {m + 1}", scored, other
    for day, first, last in QUIET:
        low, high = window(day, first), window(day, last)
        for n in range(quiet):
            at = low[0] + (high[0] - low[0]) * n / max(1, quiet - 1)
            scored = at, at + timedelta(minutes=1)
            yield f"metrics alone, {day} {at:%H:%M}", scored, (at - timedelta(minutes=10), at)


def rfc3339(moment):
    """A moment of UTC as the endpoint takes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").replace(".000000", "")


def ask(url, scored, compared):
    """The endpoint's answer and the seconds it took; (None, seconds, error) if there is none."""
    query = urllib.parse.urlencode({
        "from": rfc3339(scored[0]), "to": rfc3339(scored[1]),
        "reference_from": rfc3339(compared[0]), "reference_to": rfc3339(compared[1]),
    })
    begun = time.monotonic()
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/api/v1/verdict?{query}", timeout=120) as answer:
            body = json.load(answer)
        if not isinstance(body, dict):
            raise ValueError(f"no JSON object: {body!r}"[:200])
        return body, time.monotonic() - begun, None
    except urllib.error.HTTPError as error:
        return None, time.monotonic() - begun, f"{error.code} {error.read()[:200]!r}"
    except (OSError, ValueError) as error:
        return None, time.monotonic() - begun, str(error)


def culprits(answer):
    """The ranked list of an answer, empty if there is none."""
    return [entry for entry in (answer or {}).get("culprits") or [] if isinstance(entry, dict)]


def ranking(answer):
    """Culprits by service in the answer's order, each service once; a culprit without one stands by its host."""
    names = [entry.get("service") or f"host:{entry.get('host')}" for entry in culprits(answer)]
    return list(dict.fromkeys(names))


def confident(answer):
    """Whether the first culprit is blamed."""
    return bool((answer or {}).get("confident"))


def cause_of(answer, service):
    """The cause given for a service: that of its first culprit."""
    return next((entry.get("cause") for entry in culprits(answer) if entry.get("service") == service), None)


def score_fault(label, answer):
    """What an answer to a fault is worth."""
    service = service_of(label["pod"])
    ranked = ranking(answer)
    cause = cause_of(answer, service)
    return {
        "kind": label["type"], "service": service, "pod": label["pod"], "ranking": ranked[:5], "cause": cause,
        "top1": ranked[:1] == [service], "top3": service in ranked[:3],
        "cause_right": cause in CAUSES[label["type"]],
        "pod_right": any(label["pod"] in (entry.get("instance"), entry.get("pod")) for entry in culprits(answer)[:1]),
        "confident": confident(answer),
    }


def run(url, labels, options):
    """All cases, asked one after another."""
    results = []
    for name, scored, compared, label in fault_cases(labels, options.reference):
        answer, seconds, error = ask(url, scored, compared)
        results.append(_result("fault", name, scored, compared, answer, seconds, error) | score_fault(label, answer))
    for name, scored, compared in healthy_cases(options.parts, options.quiet):
        answer, seconds, error = ask(url, scored, compared)
        result = _result("healthy", name, scored, compared, answer, seconds, error)
        result["ranking"] = ranking(answer)[:5]
        result["confident"] = culprits(answer)[:1] if confident(answer) else []
        results.append(result)
    return results


def _result(group, name, scored, compared, answer, seconds, error):
    answer = answer or {}
    return {
        "group": group, "case": name, "window": [rfc3339(at) for at in scored],
        "reference": [rfc3339(at) for at in compared], "seconds": seconds, "error": error,
        **{key: answer.get(key) for key in ("action", "ledger", "trust", "rules_version")},
        "culprits": culprits(answer)[:5],
    }


def percentage(part, whole):
    """`7/10 (70 %)`."""
    return f"{part}/{whole} ({100 * part / whole:.0f} %)" if whole else "–"


def markdown(results):
    """The tables for people."""
    faults = [result for result in results if result["group"] == "fault"]
    healthy = [result for result in results if result["group"] == "healthy"]
    lines = ["| fault | n | top-1 | top-3 | cause right | pod right | confident and wrong |",
             "|---|--:|--:|--:|--:|--:|--:|"]
    groups = {kind: [fault for fault in faults if fault["kind"] == kind] for kind in CAUSES}
    for name, group in [*groups.items(), ("all", faults)]:
        cells = [percentage(sum(fault[key] for fault in group), len(group))
                 for key in ("top1", "top3", "cause_right", "pod_right")]
        wrong = sum(fault["confident"] and not fault["top1"] for fault in group)
        lines.append(f"| {name} | {len(group)} | {' | '.join(cells)} | {wrong} |")
    times = sorted(result["seconds"] for result in results)
    alarms = [result for result in healthy if result["confident"]]
    errors = Counter(result["error"] for result in results if result["error"])
    lines += [
        "",
        f"Answer time: p50 {times[len(times) // 2] * 1000:.0f} ms, max {times[-1] * 1000:.0f} ms, n {len(times)}. "
        f"Rules: {', '.join(sorted({str(result['rules_version']) for result in results}))}.",
        f"Healthy windows with a confident culprit: {percentage(len(alarms), len(healthy))}.",
    ]
    lines += [f"No answer, {count} times: {error}" for error, count in errors.items()]
    lines += ["", "| not first | fault | truth | answered | cause | action |", "|---|---|---|---|---|---|"]
    lines += [_miss(fault) for fault in faults if not fault["top1"]]
    lines += ["", "| first, cause wrong | fault | service | cause |", "|---|---|---|---|"]
    lines += [f"| {fault['case']} | {fault['kind']} | {fault['service']} | {fault['cause']} |"
              for fault in faults if fault["top1"] and not fault["cause_right"]]
    lines += ["", "| healthy, yet | named | action |", "|---|---|---|"]
    lines += [f"| {alarm['case']} | {', '.join(alarm['ranking'][:3])} | {_short(alarm['action'])} |"
              for alarm in alarms]
    return "\n".join(lines)


def _miss(fault):
    answered = ", ".join(fault["ranking"][:3]) or "nobody"
    first = fault["culprits"][0].get("cause") if fault["culprits"] else None
    return (f"| {fault['case']} | {fault['kind']} | {fault['service']} | {answered} | {first} | "
            f"{_short(fault['action'])} |")


def _short(value):
    text = value if isinstance(value, str) else json.dumps(value)
    return text.replace("|", "/").replace("\n", " ")[:120]


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="where the server answers, e.g. http://127.0.0.1:8080")
    parser.add_argument("--data", help="folder with labels.json; default: $HEADROPE_SHARED_DATA/online-boutique")
    parser.add_argument("--reference", default="fault-free", type=_rule, help="fault-free (default) or before:MINUTES")
    parser.add_argument("--parts", type=int, nargs="*", default=[2, 3],
                        help="into how many parts the fault-free minute is cut for healthy windows")
    parser.add_argument("--quiet", type=int, default=10, help="healthy minutes of metrics alone, per day")
    parser.add_argument("--json", type=Path, help="file for the results in full")
    options = parser.parse_args()
    labels = json.loads((find_data(options.data) / "labels.json").read_text())
    results = run(options.url, labels, options)
    print(markdown(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    sys.exit(1 if any(result["error"] for result in results) else 0)


def _rule(text):
    if text == "fault-free" or text.startswith("before:") and text.removeprefix("before:").isdigit():
        return text
    raise argparse.ArgumentTypeError("fault-free or before:MINUTES")


if __name__ == "__main__":
    main()
