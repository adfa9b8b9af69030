"""The same questions to Headrope, DuckDB and chDB over the same spans.

    headrope bench query --workload shop --records 20000000 --data-dir DATA
    HEADROPE_BIN=target/release/headrope venv/bin/python agents/peers/queries.py DATA --work WORK

DATA is the data directory of a stopped node and is not changed. DuckDB reads its files as they are, and
a table of its own with all columns but those of single attributes; chDB a MergeTree with every column. A
time counts if all candidates answer alike. Prints a Markdown table of medians: wall clock, and CPU time of the process.
"""

import argparse
import multiprocessing
import os
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

WARM_UP = 3
# All columns but those of single attributes, which differ from file to file.
FIXED = "COLUMNS(lambda c: NOT starts_with(c, 'attr:'))"
IDS = ("trace_id", "span_id", "parent_span_id")
# Columns with few distinct values, as the schema of OpenTelemetry's ClickHouse exporter has them.
TEXT_LIMIT = 10_000
QUESTIONS = {
    # Whole rows, and of them what is compared.
    "trace by id": ("SELECT * FROM spans WHERE trace_id = {id}", "span_id"),
    "trace by id, absent": ("SELECT * FROM spans WHERE trace_id = {id}", "span_id"),
    "TOP-10 services by total time, with a least duration": (
        "SELECT service_name, count(*) AS calls, sum(CASE WHEN status_code = 'ERROR' THEN 1 ELSE 0 END) AS errors, "
        "sum(duration_ns) AS total, max(duration_ns) AS slowest FROM spans WHERE duration_ns >= {least} "
        "GROUP BY service_name ORDER BY total DESC, service_name LIMIT 10", "total"),
    "newest 20 spans of an operation": (
        "SELECT trace_id, span_id, {start} AS at FROM spans WHERE service_name = '{service}' AND name = '{name}' "
        "ORDER BY start_time DESC LIMIT 20", "at"),
    "slowest 100 spans": (
        "SELECT trace_id, span_id, duration_ns FROM spans ORDER BY duration_ns DESC LIMIT 100", "duration_ns"),
}


def draw(files, count):
    """Parameters of each question, from the data and a seed."""
    rng = random.Random(1)
    ids, operations = [], {}
    for path in files:
        file = pq.ParquetFile(path)
        table = file.read_row_group(rng.randrange(file.num_row_groups), columns=["trace_id", "service_name", "name"])
        ids += [table["trace_id"][rng.randrange(len(table))].as_py().hex() for _ in range(count)]
        for service, name, n in _counts(table):
            operations[service, name] = operations.get((service, name), 0) + n
    total = sum(operations.values())
    common = [key for key, n in sorted(operations.items()) if 0.005 < n / total < 0.02]
    rng.shuffle(ids)
    return {
        "trace by id": [{"trace": id} for id in ids[:count]],
        "trace by id, absent": [{"trace": rng.randbytes(16).hex()} for _ in range(count)],
        "TOP-10 services by total time, with a least duration":
            [{"least": 10 ** (3 + at % 6)} for at in range(count)],
        "newest 20 spans of an operation":
            [dict(zip(("service", "name"), rng.choice(common), strict=True)) for _ in range(count)],
        "slowest 100 spans": [{} for _ in range(count)],
    }


def _counts(table):
    grouped = table.group_by(["service_name", "name"]).aggregate([([], "count_all")])
    return zip(*(grouped[name].to_pylist() for name in ("service_name", "name", "count_all")), strict=True)


class HeadropeNode:
    """A node over links to the files, asked in SQL over HTTP, and for traces by its own address."""

    name = "headrope"

    def __init__(self, data, files, work):
        from harness.server import KEEP, Headrope, Refused
        self._refused = Refused
        copy = work / "headrope"
        (copy / "segments").mkdir(parents=True)
        for path in (data / "segments").iterdir():
            os.link(path, copy / "segments" / path.name)
        for path in data.glob("catalog.sqlite*"):
            shutil.copy(path, copy / path.name)
        # Merging would change what is measured.
        still = {"HEADROPE_STORAGE__MAINTENANCE_INTERVAL": "1h"}
        self._server = Headrope(copy, work, {**KEEP, **still})
        self.bytes = sum(path.stat().st_size for path in files)

    def cpu_seconds(self):
        """Of the server."""
        fields = Path(f"/proc/{self._server.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, question, values):
        """The column that is compared."""
        sql, compared = QUESTIONS[question]
        if "trace" in values:
            try:
                return [span[compared] for span in self._server.get(f"/api/v1/traces/{values['trace']}")["spans"]]
            except self._refused as error:
                return [] if error.status == 404 else [str(error)]
        sql = sql.format(start="CAST(start_time AS BIGINT)", **values)
        return [row[compared] for row in self._server.sql(sql)]

    def stop(self):
        self._server.stop()


class DuckFiles:
    """DuckDB over the files as they are."""

    name = "DuckDB, Headrope's files"

    def __init__(self, _data, files, _work):
        self._db = _duck()
        listed = ", ".join(f"'{path}'" for path in files)
        self._db.execute("SET parquet_metadata_cache = true")
        self._db.execute(f"CREATE VIEW spans AS SELECT * FROM read_parquet([{listed}], union_by_name = true)")
        self.bytes = sum(path.stat().st_size for path in files)

    def cpu_seconds(self):
        return _own_cpu()

    def ask(self, question, values):
        sql, compared = QUESTIONS[question]
        sql = sql.format(id=f"unhex('{values.get('trace')}')", start="epoch_ns(start_time)", **values)
        # As Arrow, which needs no Python object per value.
        found = self._db.sql(sql).to_arrow_table()[compared].to_pylist()
        return [v.hex() if isinstance(v, bytes) else int(v) for v in found]

    def stop(self):
        self._db.close()


class DuckTable(DuckFiles):
    """DuckDB over a table of its own."""

    name = "DuckDB, own table"

    def __init__(self, data, files, work):
        super().__init__(data, files, work)
        path = work / "duck.db"
        self._db.execute(f"ATTACH '{path}' AS own")
        self._db.execute(f"SET temp_directory = '{work / 'spilled'}'")
        self._db.execute(f"CREATE TABLE own.spans AS SELECT {FIXED} FROM memory.main.spans LIMIT 0")
        # File by file and within bounds: at once, 20 million wide rows take more than 12 GB of memory.
        for one in files:
            self._db.execute(f"INSERT INTO own.spans BY NAME SELECT {FIXED} FROM read_parquet('{one}')")
        self._db.execute("CHECKPOINT own")
        self._db.execute("USE own")
        self.bytes = path.stat().st_size


def _duck():
    import duckdb
    offline = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    return duckdb.connect(":memory:", config={**offline, "memory_limit": "4GB"})


class ChTable:
    """chDB over a MergeTree in the order and with the indexes of OpenTelemetry's ClickHouse exporter."""

    name = "chDB, MergeTree"

    def __init__(self, data, files, work):
        from chdb.session import Session
        self._session = Session(str(work / "chdb"))
        run = self._session.query
        columns = _clickhouse_columns(files)
        run("CREATE DATABASE IF NOT EXISTS own ENGINE = Atomic")
        listed = ", ".join(f"`{name}` {kind} CODEC({'Delta(8), ' * (name == 'start_time')}ZSTD(1))"
                           for name, kind in columns)
        run(f"CREATE TABLE own.spans ({listed}, INDEX by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1) "
            "ENGINE = MergeTree ORDER BY (service_name, start_time)")
        structure = ", ".join(f"`{name}` {kind}" for name, kind in columns).replace("'", "\\'")
        run(f"INSERT INTO own.spans SELECT * FROM file('{data}/segments/spans-*.parquet', Parquet, '{structure}')")
        run("OPTIMIZE TABLE own.spans FINAL")
        used = run("SELECT sum(bytes_on_disk) FROM system.parts WHERE database = 'own' AND active", "CSV")
        self.bytes = int(str(used))

    def cpu_seconds(self):
        return _own_cpu()

    def ask(self, question, values):
        sql, compared = QUESTIONS[question]
        sql = sql.format(id=f"unhex('{values.get('trace')}')", start="toUnixTimestamp64Nano(start_time)", **values)
        answer = self._session.query(sql.replace("FROM spans", "FROM own.spans"), "Arrow")
        table = pa.ipc.open_file(pa.py_buffer(answer.bytes())).read_all() if answer.size() else {compared: pa.array([])}
        return [v.hex() if isinstance(v, bytes) else int(v) for v in table[compared].to_pylist()]

    def stop(self):
        self._session.close()


def _clickhouse_columns(files):
    """(name, type) of every column of the files; texts with few values are dictionary-encoded."""
    fields = {}
    for path in files:
        for field in pq.ParquetFile(path).schema_arrow:
            fields.setdefault(field.name, field)
    db = _duck()
    listed = ", ".join(f"'{path}'" for path in files)
    texts = [name for name, field in fields.items() if pa.types.is_string(field.type)]
    counts = db.execute("SELECT " + ", ".join(f'approx_count_distinct("{name}")' for name in texts) +
                        f" FROM read_parquet([{listed}], union_by_name = true)").fetchone()
    few = {name for name, count in zip(texts, counts, strict=True) if count < TEXT_LIMIT}
    return [(name, _clickhouse_type(field, name in few)) for name, field in fields.items()]


def _clickhouse_type(field, few):
    kind = field.type
    if pa.types.is_list(kind):
        members = ", ".join(f"`{inner.name}` {_clickhouse_type(inner, False)}" for inner in kind.value_type)
        return f"Array(Tuple({members}))"
    plain = {
        pa.int64(): "Int64", pa.int32(): "Int32", pa.uint32(): "UInt32", pa.string(): "String",
        pa.binary(16): "FixedString(16)", pa.binary(8): "FixedString(8)",
        pa.timestamp("ns", tz="UTC"): "DateTime64(9, 'UTC')",
    }[kind]
    plain = f"Nullable({plain})" if field.nullable else plain
    return f"LowCardinality({plain})" if few else plain


def _own_cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


CANDIDATES = [HeadropeNode, DuckFiles, ChTable, DuckTable]


def _work(which, data, files, work, parameters, patience, answers):
    """Asks everything of one candidate, in a process of its own."""
    began, before = time.monotonic(), _own_cpu()
    candidate = CANDIDATES[which](data, files, work)
    loaded = (time.monotonic() - began, _own_cpu() - before)
    found = {"bytes": candidate.bytes, "loaded": loaded, "questions": {}}
    try:
        for question, values in parameters.items():
            for one in values[-WARM_UP:]:
                candidate.ask(question, one)
            walls, results, cpu = [], [], candidate.cpu_seconds()
            until = time.monotonic() + patience
            for one in values:
                began = time.monotonic()
                results.append(candidate.ask(question, one))
                walls.append(time.monotonic() - began)
                if time.monotonic() > until:
                    break
            found["questions"][question] = (walls, (candidate.cpu_seconds() - cpu) / len(walls), results)
    finally:
        candidate.stop()
    answers.put(found)


def _comparable(question, rows):
    return sorted(map(str, rows)) if question.startswith("trace") else [str(row) for row in rows]


def _note(name, figures):
    """What is known as soon as a candidate is done."""
    wall, cpu = figures["loaded"]
    print(f"{name}: ready after {wall:.1f} s, {cpu:.1f} s of CPU time", file=sys.stderr)
    for question, (walls, cpu, _) in figures["questions"].items():
        print(f"  {question}: {statistics.median(walls) * 1000:.1f} / {cpu * 1000:.1f} ms", file=sys.stderr, flush=True)


def _check(question, found, expected, name):
    for mine, theirs in zip(found, expected, strict=False):
        mine, theirs = _comparable(question, mine), _comparable(question, theirs)
        assert mine == theirs, f"{name} answers {question!r} otherwise: {mine[:3]}…, not {theirs[:3]}…"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", help="where copies are made, on the file system of the data; removed at the end")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--patience", type=float, default=120, help="seconds after which a question is asked no more")
    parser.add_argument("--only", action="append", choices=[c.name for c in CANDIDATES])
    arguments = parser.parse_args()
    files = sorted((arguments.data / "segments").glob("spans-*.parquet"))
    parameters = draw(files, arguments.repeat)
    context = multiprocessing.get_context("spawn")
    found, load = {}, os.getloadavg()[0]
    for which, candidate in enumerate(CANDIDATES):
        if arguments.only and candidate.name not in arguments.only:
            continue
        with tempfile.TemporaryDirectory(prefix="headrope-peers-", dir=arguments.work) as work:
            answers = context.Queue()
            process = context.Process(target=_work, args=(
                which, arguments.data.resolve(), files, Path(work), parameters, arguments.patience, answers))
            process.start()
            while process.is_alive() and answers.empty():
                process.join(0.2)
            assert not answers.empty() or process.exitcode == 0, f"{candidate.name} ended with {process.exitcode}"
            found[candidate.name] = answers.get()
            process.join()
        _note(candidate.name, found[candidate.name])
    rows = sum(pq.ParquetFile(path).metadata.num_rows for path in files)
    print(f"{rows} spans in {len(files)} files, load average before {load:.2f}, {arguments.repeat} questions of each "
          "kind; p50 of the wall clock / mean CPU time, ms\n")
    print("| question | " + " | ".join(found) + " |")
    print("|" + "---|" * (len(found) + 1))
    first = next(iter(found.values()))
    for question in QUESTIONS:
        cells = []
        for name, figures in found.items():
            walls, cpu, results = figures["questions"][question]
            _check(question, results, first["questions"][question][2], name)
            cells.append(f"{statistics.median(walls) * 1000:.1f} / {cpu * 1000:.1f}")
        print(f"| {question} | " + " | ".join(cells) + " |")
    print("| bytes on disk a span | " + " | ".join(f"{f['bytes'] / rows:.1f}" for f in found.values()) + " |")


if __name__ == "__main__":
    main()
