"""Named checks, and the one line that counts them."""

import os
import time
import traceback


class Report:
    """Runs checks one after another and remembers how they went."""

    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def check(self, name, function):
        """Runs one check; an exception is its failure. Returns whether it passed."""
        started = time.monotonic()
        try:
            function()
        except Exception as error:  # noqa: BLE001 - any failure of a check is a result
            self.failed.append(name)
            print(f"FAIL {name}: {error}", flush=True)
            if not isinstance(error, AssertionError) or os.environ.get("HEADROPE_E2E_TRACE"):
                traceback.print_exc()
            return False
        self.passed += 1
        print(f"ok   {name} ({time.monotonic() - started:.1f} s)", flush=True)
        return True

    def suite(self, name, function):
        """Runs a suite; what it does not catch itself is one more failed check."""
        try:
            function(self)
        except Exception as error:  # noqa: BLE001 - as above
            self.failed.append(f"{name} ({error})")
            print(f"FAIL {name}: {error}", flush=True)
            traceback.print_exc()

    def skip(self, name, reason):
        """Notes a check that cannot run here, with the reason."""
        self.skipped.append(name)
        print(f"skip {name}: {reason}", flush=True)

    def finish(self):
        """Prints the sum and returns the exit code."""
        if self.skipped:
            print(f"{len(self.skipped)} skipped: {', '.join(self.skipped)}")
        if self.failed:
            print("failed: " + "; ".join(self.failed))
        print(f"{self.passed} passed, {len(self.failed)} failed", flush=True)
        return 1 if self.failed or not self.passed else 0


def equal(got, expected, what):
    """Asserts equality and shows both sides."""
    assert got == expected, f"{what}: expected {expected!r}, got {got!r}"


def eventually(read, satisfied, what, deadline_s=30.0):
    """Calls `read` until `satisfied(answer)`, at most until the deadline; returns the answer."""
    until = time.monotonic() + deadline_s
    while True:
        answer = read()
        if satisfied(answer):
            return answer
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not within {deadline_s:.0f} s, last answer {answer!r}")
        time.sleep(0.1)
