"""Runs the end-to-end tests against a built server.

    HEADROPE_BIN=target/release/headrope agents/e2e/run.py [examples] [jaeger-store] [foreign] [hostile] [verdict] [clients]

Needs the packages of python/requirements.txt, `npm ci` in node/, PostgreSQL and Redis. Prints one line
per check and ends with `N passed, N failed`.
"""

import sys

import clients
import examples
import foreign
import hostile
import jaeger_store
import verdict
from harness.report import Report
from harness.server import find_binary

SUITES = {
    "examples": examples.test,
    "jaeger-store": jaeger_store.test,
    "foreign": foreign.test,
    "hostile": hostile.test,
    "verdict": verdict.test,
    "clients": clients.test,
}


def main(names):
    unknown = set(names) - set(SUITES)
    if unknown:
        print(f"unknown suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}", file=sys.stderr)
        return 2
    find_binary()
    report = Report()
    for name in names or SUITES:
        report.suite(name, SUITES[name])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
