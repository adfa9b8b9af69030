"""The server under test and its public interface."""

import json
import os
import shutil
import signal
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from .processes import Child
from .report import eventually

REPOSITORY = Path(__file__).resolve().parents[3]
TIMEOUT_S = 60


def find_binary():
    """HEADROPE_BIN, or the release build of this tree."""
    named = os.environ.get("HEADROPE_BIN")
    target = os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")
    path = Path(named) if named else Path(target) / "release" / "headrope"
    if not path.is_file() and not shutil.which(str(path)):
        raise SystemExit(f"{path} is missing: build it with `cargo build --release -p headrope-server`")
    return path


def find_data(name):
    """A folder of the shared real data, or None where it is absent."""
    named = os.environ.get("HEADROPE_SHARED_DATA")
    root = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    folder = root / name
    return folder if folder.is_dir() else None


class Refused(Exception):
    """An answer other than 2xx."""

    def __init__(self, status, body):
        super().__init__(f"status {status}: {body[:500]}")
        self.status = status
        self.body = body


# The fixtures are years old; their rows must not expire while they are asked for.
KEEP = {
    "HEADROPE_STORAGE__RETAIN_TRACES": "forever",
    "HEADROPE_STORAGE__RETAIN_LOGS": "forever",
    "HEADROPE_STORAGE__RETAIN_METRICS": "forever",
    "HEADROPE_STORAGE__RETAIN_ROLLUPS": "forever",
}
# Live rows become segments at once.
FLUSH_SOON = {"HEADROPE_STORAGE__FLUSH_AGE": "100ms"}


class Headrope:
    """A `headrope serve` over a directory, with ports it chose itself."""

    def __init__(self, data_dir, logs, settings=None):
        # As the default configuration has it, from where the server is started.
        data_dir = os.path.relpath(data_dir)
        self._child = Child(
            "headrope",
            [find_binary(), "serve", "--data-dir", data_dir,
             "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--listen", "127.0.0.1:0"],
            logs,
            settings,
        )
        bound = self._child.first_json()["listening"]
        self.grpc = f"http://{bound['otlp_grpc']}"
        self.http = f"http://{bound['otlp_http']}"
        self.ui = f"http://{bound['ui']}"
        eventually(self._ready, bool, "readiness")

    def _ready(self):
        try:
            return self.get("/readyz") is not None
        except (Refused, OSError):
            return False

    @property
    def pid(self):
        """The process id."""
        return self._child.process.pid

    def kill(self):
        """Ends the process at once, as a power cut would."""
        return self._child.stop(signal.SIGKILL)

    def stop(self):
        """Asks for an orderly end; returns the exit code."""
        return self._child.stop()

    def tail(self):
        """The end of the server's own log."""
        return self._child.tail()

    def get(self, path, **parameters):
        """GET of the REST interface; JSON is decoded."""
        query = urllib.parse.urlencode({k: v for k, v in parameters.items() if v not in (None, "")})
        return _call(f"{self.ui}{path}" + (f"?{query}" if query else ""))

    def sql(self, query, **options):
        """Rows of a SQL query as dictionaries; `options` go with the request, as `max_rows`."""
        answer = _call(f"{self.ui}/api/v1/sql", {"query": query, **options})
        names = [column["name"] for column in answer["columns"]]
        return [dict(zip(names, row, strict=True)) for row in answer["rows"]]

    def sql_value(self, query):
        """The only value of a SQL query's only row."""
        (row,) = self.sql(query)
        (value,) = row.values()
        return value

    def admin(self, action):
        """An administrative action, such as `flush` or `compact`; returns when it is done."""
        _call(f"{self.ui}/api/v1/admin/{action}", {})

    def wait_until_flushed(self, *tables):
        """Waits until each table's rows are read from segments."""
        for table in tables:
            query = {"query": f"SELECT count(*) FROM {table}"}
            eventually(lambda q=query: _call(f"{self.ui}/api/v1/sql", q)["stats"]["segments_scanned"],
                       lambda n: n > 0, f"segments of {table}")

    def send(self, signal_name, payload):
        """Posts OTLP JSON and returns the decoded answer."""
        return _call(f"{self.http}/v1/{signal_name}", payload)


def _call(url, payload=None):
    body = None if payload is None else json.dumps(payload).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if body else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            text = answer.read().decode()
            is_json = "json" in answer.headers.get("Content-Type", "")
    except urllib.error.HTTPError as error:
        raise Refused(error.code, error.read().decode("utf-8", "replace")) from None
    return json.loads(text) if is_json else text
