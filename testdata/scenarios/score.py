"""Plants labelled faults in the shop, sends each scenario through the socket, asks the verdict, and scores it.

    cargo build --release -p headrope-testdata --example scenario
    score.py --server target/release/headrope --generator target/release/examples/scenario \\
        --seeds 1..256 --healthy 257..320 --pairs 1..32 --jobs 2 --results results.jsonl

Every case has a server of its own, as all scenarios lie in one range of time. A case that is in the file of results is
not run again; without --server the tables are made of that file alone. What is right is in `judge.py`.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import judge
import poorer

KEEP = {f"HEADROPE_STORAGE__RETAIN_{what}": "forever" for what in ("TRACES", "LOGS", "METRICS", "ROLLUPS")}
TIMEOUT_S = 120
# Flags of the generator by the word that a case begins with.
DRAWS = {"seed": [], "healthy": ["--healthy"], "pair": ["--pairs"], "landscape": ["--landscape"]}


def post(url, path, body):
    """Sends one request; anything but success is an error."""
    request = urllib.request.Request(url + path, body, {"content-type": "application/x-protobuf"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        answer.read()


def ask(url, truth):
    """The verdict over a scenario's window, and how long it took in seconds."""
    query = urllib.parse.urlencode({
        "from": truth["window"][0], "to": truth["window"][1],
        "reference_from": truth["reference"][0], "reference_to": truth["reference"][1],
    })
    began = time.perf_counter()
    with urllib.request.urlopen(f"{url}/api/v1/verdict?{query}", timeout=TIMEOUT_S) as answer:
        return json.load(answer), time.perf_counter() - began


def run(case, options):
    """Generates, sends and asks one scenario: its label, the answer, and the seconds that took."""
    draw, seed = case.split()
    with tempfile.TemporaryDirectory(prefix="headrope-scenario-") as root:
        folder = Path(root) / "otlp"
        command = [*shlex.split(options.generator), *DRAWS[draw], seed, str(folder), *options.size]
        subprocess.run(command, check=True, capture_output=True)
        truth = json.loads((folder / "truth.json").read_text())
        any_port = [word for name in ("otlp-grpc", "otlp-http", "listen") for word in (f"--{name}", "127.0.0.1:0")]
        server = subprocess.Popen([*shlex.split(options.server), "--log", "warn", "serve", "--data-dir", f"{root}/data",
                                   *any_port], stdout=subprocess.PIPE, env={**os.environ, **KEEP})
        try:
            bound = json.loads(server.stdout.readline())["listening"]
            for path in sorted(folder.glob("*.pb")):
                signal = path.stem.split("-")[1]
                body = poorer.poorer(signal, path.read_bytes(), options.lacks)
                if body is not None:
                    post(f"http://{bound['otlp_http']}", f"/v1/{signal}", body)
            answer, seconds = ask(f"http://{bound['ui']}", truth)
        finally:
            server.terminate()
            server.wait()
            server.stdout.close()
    kept = {key: answer.get(key) for key in
            ("summary", "action", "confident", "abstains", "culprits", "ledger", "evidence", "trust", "rules_version")}
    return {"case": case, "size": options.size, "lacks": sorted(options.lacks), "label": truth["truth"], "distractors": truth["distractors"],
            "answer": kept, "seconds": seconds}


def load(path, size, lacks=()):
    """Results by case, of a file with one to a line; a last line that was cut short is left out."""
    results = {}
    for line in path.read_text().splitlines() if path and path.exists() else []:
        try:
            result = json.loads(line)
        except ValueError:
            continue
        if result["size"] == size and result.get("lacks", []) == sorted(lacks):
            results[result["case"]] = result
    return results


def run_all(cases, options, results):
    """Runs the cases that have no result yet, several at once; returns those that failed, with the error."""
    failed, lock = {}, threading.Lock()
    with ThreadPoolExecutor(max_workers=options.jobs) as pool:
        running = {pool.submit(run, case, options): case for case in cases if case not in results}
        for done in as_completed(running):
            case = running[done]
            try:
                result = done.result()
            except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
                failed[case] = repr(error)
                print(f"{case} failed: {error!r}", file=sys.stderr, flush=True)
                continue
            with lock:
                results[case] = result
                if options.results:
                    append(options.results, result)
            print(judge.line(judge.judge(result)), file=sys.stderr, flush=True)
    return failed


def append(path, result):
    """Adds a line, after a line that was cut short."""
    with open(path, "ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(result).encode() + b"\n")


def cases_of(options):
    """The names of the cases that are asked for."""
    ranges = (("seed", options.seeds), ("healthy", options.healthy), ("pair", options.pairs),
              ("landscape", options.landscapes))
    return [f"{draw} {seed}" for draw, seeds in ranges for seed in seeds]


def seeds(text):
    """The seeds of FIRST..LAST, or of one number."""
    first, _, last = text.partition("..")
    return range(int(first), int(last or first) + 1)


def words(text):
    """What is between commas."""
    found = set(filter(None, text.split(",")))
    if found - poorer.LACKS.keys():
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(found - poorer.LACKS.keys()))}: not one of {', '.join(poorer.LACKS)}")
    return found


def main(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="the program; without it only the results in the file are scored")
    parser.add_argument("--generator", help="the example `scenario`")
    parser.add_argument("--seeds", type=seeds, default=[], help="FIRST..LAST, kinds of fault in turn")
    parser.add_argument("--healthy", type=seeds, default=[], help="FIRST..LAST, healthy scenarios")
    parser.add_argument("--pairs", type=seeds, default=[], help="FIRST..LAST, scenarios with two faults")
    parser.add_argument("--landscapes", type=seeds, default=[], help="FIRST..LAST, random systems with one fault or none")
    parser.add_argument("--size", nargs="*", default=[], help="traces per second, and seconds of a window")
    parser.add_argument("--lacks", type=words, default=set(), help=f"what is not sent, comma-separated: {', '.join(poorer.LACKS)}")
    parser.add_argument("--jobs", type=int, default=1, help="cases at once; more than one makes answers slower")
    parser.add_argument("--results", type=Path, help="file for the results, one to a line; is resumed from")
    options = parser.parse_args(arguments)
    results, cases, failed = load(options.results, options.size, options.lacks), cases_of(options), {}
    if options.server:
        if not options.generator:
            parser.error("--server needs --generator")
        failed = run_all(cases, options, results)
    chosen = [results[case] for case in cases if case in results] if cases else list(results.values())
    print(judge.report([judge.judge(result) for result in chosen]))
    for case, error in failed.items():
        print(f"No result: {case}: {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
