"""Child processes: started, waited for by what they say, stopped by their own id."""

import json
import os
import pwd
import queue
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

START_S = 60
STOP_S = 60


class Child:
    """A process whose stdout is read line by line and whose stderr goes to a file."""

    def __init__(self, name, command, logs, env=None, **options):
        self.name = name
        self.stderr_path = Path(logs) / f"{name}.stderr"
        self._stderr = open(self.stderr_path, "ab")
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **(env or {})},
            **options,
        )
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line.decode("utf-8", "replace"))
        self._lines.put(None)

    def first_json(self):
        """The first stdout line that is a JSON object."""
        while True:
            try:
                line = self._lines.get(timeout=START_S)
            except queue.Empty:
                raise AssertionError(f"{self.name} did not report its address\n{self.tail()}")
            if line is None:
                raise AssertionError(f"{self.name} ended before it was ready\n{self.tail()}")
            if line.lstrip().startswith("{"):
                return json.loads(line)

    def stop(self, how=signal.SIGTERM):
        """Sends a signal and waits for the end; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end within {STOP_S} s\n{self.tail()}")
        finally:
            self._reader.join(5)
            self._stderr.close()
        return code

    def errors(self):
        """What the process wrote on stderr."""
        return self.stderr_path.read_text("utf-8", "replace")

    def tail(self):
        """The end of stderr, for messages."""
        return "\n".join(f"    {self.name}: {line}" for line in self.errors().splitlines()[-25:])


def free_port():
    """A port nobody listens on now, for servers that cannot choose one themselves."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def find_postgres():
    """The newest installed initdb's directory."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3])
    )
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    raise AssertionError("initdb not found: install the package postgresql")


class Postgres:
    """A PostgreSQL cluster in a directory of its own."""

    def __init__(self, directory, logs):
        binaries = find_postgres()
        directory = Path(directory)
        directory.mkdir()
        options = {}
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            account = pwd.getpwnam("postgres")
            os.chown(directory, account.pw_uid, account.pw_gid)
            options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        data = directory / "data"
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "shop", "-A", "trust", "-N", "--locale=C", "-E", "UTF8"],
            check=True, stdout=subprocess.DEVNULL, cwd=directory, timeout=120, **options,
        )
        self.port = free_port()
        self.url = f"postgresql://shop@127.0.0.1:{self.port}/postgres"
        self._child = Child(
            "postgres",
            [binaries / "postgres", "-D", data, "-p", self.port, "-h", "127.0.0.1", "-k", directory,
             "-c", "fsync=off"],
            logs, cwd=directory, **options,
        )

    def stop(self):
        # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
        return self._child.stop(signal.SIGINT)


class Redis:
    """A Redis server that keeps nothing on disk."""

    def __init__(self, directory, logs):
        Path(directory).mkdir()
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._child = Child(
            "redis",
            ["redis-server", "--bind", "127.0.0.1", "--port", self.port, "--save", "", "--dir", directory],
            logs,
        )

    def stop(self):
        return self._child.stop()
