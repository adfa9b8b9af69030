"""Segments as programs that know nothing of Headrope read them: Apache Arrow and DuckDB.

What the columns mean is docs/format/segment.md; nothing here is taken from the server.
"""

import json
import sqlite3
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from .telemetry import compact

DATA_SETS = ["spans", "trace_parts", "logs", "metrics", "operation_rollup", "service_rollup", "statement_rollup",
             "edge_rollup"]
# Promoted columns that stand for an attribute of a span, with their canonical keys and older names.
PROMOTED = {
    "http_request_method": ("http.request.method", ["http.method"]),
    "http_response_status_code": ("http.response.status_code", ["http.status_code"]),
    "db_system_name": ("db.system.name", ["db.system"]),
    "db_query_text": ("db.query.text", ["db.statement"]),
    "error_type": ("error.type", []),
}


class Segments:
    """The segment files of a data directory no server uses."""

    def __init__(self, data_dir):
        self._data_dir = Path(data_dir)
        self.files = {name: [] for name in DATA_SETS}
        for path in sorted((self._data_dir / "segments").glob("*.parquet")):
            self.files[path.name.rsplit("-", 1)[0]].append(path)

    def catalogued(self):
        """(data set, id, rows) of the segments in the catalog."""
        address = f"file:{self._data_dir / 'catalog.sqlite'}?mode=ro"
        with sqlite3.connect(address, uri=True) as catalog:
            return sorted(catalog.execute("SELECT data_set, id, rows FROM segment"))

    def labelled(self):
        """(data set, id, rows) that the files say of themselves; their rows are counted, too."""
        found, levels = [], set()
        for name, paths in self.files.items():
            for path in paths:
                metadata = pq.ParquetFile(path).metadata
                label = json.loads(metadata.metadata[b"headrope.segment"])
                assert label["rows"] == metadata.num_rows, f"{path.name}: {label['rows']} or {metadata.num_rows} rows"
                assert (label["data_set"], label["id"]) == (name, path.stem.rsplit("-", 1)[1]), path.name
                found.append((name, label["id"], metadata.num_rows))
                levels.add((name, label["level"]))
        return sorted(found), levels


class Arrow:
    """Reads with pyarrow."""

    name = "pyarrow"

    def __init__(self, segments):
        self._files = segments.files

    def rows(self, data_set):
        """Every row as a dictionary by column: times in nanoseconds, bytes as hex text."""
        for path in self._files[data_set]:
            table = pq.ParquetFile(path).read()
            plain = pa.schema([field.with_type(_without_times(field.type)) for field in table.schema])
            for row in table.cast(plain).to_pylist():
                yield {name: v.hex() if isinstance(v, bytes) else v for name, v in row.items()}

    def bodies(self):
        """The bodies of log records, sorted; null ones left out."""
        found = map(body, self.rows("logs"))
        return sorted(text for text in found if text is not None)

    def of_service(self, service):
        """(spans, sum of durations) of a service, by a filter on the files."""
        service_is = pyarrow.dataset.field("service_name") == service
        durations = self._spans().to_table(columns=["duration_ns"], filter=service_is)["duration_ns"]
        return len(durations), sum(durations.to_pylist())

    def of_trace(self, trace_id):
        """The span ids of a trace, by a filter on the files."""
        wanted = pa.scalar(bytes.fromhex(trace_id), pa.binary(16))
        table = self._spans().to_table(columns=["span_id"], filter=pyarrow.dataset.field("trace_id") == wanted)
        return sorted(v.hex() for v in table["span_id"].to_pylist())

    def _spans(self):
        return pyarrow.dataset.dataset(self._files["spans"])


def _without_times(kind):
    if pa.types.is_timestamp(kind):
        return pa.int64()
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_without_times(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_times(field.type)) for field in kind])
    return kind


class Duck:
    """Reads with DuckDB."""

    name = "DuckDB"

    def __init__(self, segments):
        # Whatever is not in the package must not be fetched.
        offline = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
        self._db = duckdb.connect(":memory:", config=offline)
        for data_set, paths in segments.files.items():
            if paths:
                files = ", ".join(f"'{path}'" for path in paths)
                self._db.execute(f"CREATE VIEW {data_set} AS "
                                 f"SELECT * FROM read_parquet([{files}], union_by_name = true)")

    def bodies(self):
        """The bodies of log records, sorted; null ones left out."""
        found = self._db.execute(f"SELECT {BODY} FROM logs").fetchall()
        return sorted(row[0] for row in found if row[0] is not None)

    def rows(self, data_set):
        """Every row as a dictionary by column: times in nanoseconds, bytes as hex text."""
        columns = self._db.execute(f"DESCRIBE {data_set}").fetchall()
        answer = self._db.execute(f"SELECT {', '.join(_plain(c[0], c[1]) for c in columns)} FROM {data_set}")
        names = [column[0] for column in columns]
        while rows := answer.fetchmany(10_000):
            yield from (dict(zip(names, row, strict=True)) for row in rows)

    def of_service(self, service):
        """(spans, sum of durations) of a service, by a filter on the files."""
        query = "SELECT count(*), sum(duration_ns)::BIGINT FROM spans WHERE service_name = $1"
        return self._db.execute(query, [service]).fetchone()

    def of_trace(self, trace_id):
        """The span ids of a trace, by a filter on the files, bloom filters included."""
        query = "SELECT lower(hex(span_id)) FROM spans WHERE trace_id = unhex($1)"
        return sorted(row[0] for row in self._db.execute(query, [trace_id]).fetchall())


def _plain(name, kind):
    column = '"' + name.replace('"', '""') + '"'
    if kind == "BLOB":
        return f"lower(hex({column}))"
    if kind.startswith("TIMESTAMP"):
        return f"epoch_ns({column})"
    if kind.startswith("STRUCT") and kind.endswith("[]") and '"time" TIMESTAMP' in kind:
        return f"list_transform({column}, lambda e: struct_update(e, \"time\" := epoch_ns(e.\"time\")))"
    return column


MARK = "\x1f"
FIRST = [f"body_value_{place}" for place in range(1, 6)]


def body(row):
    """The body of a log record put together from its template and values; None without one."""
    template, rest = row["body_template"], row["body_values"]
    if template is None:
        return rest
    values = [row[column] for column in FIRST if row[column] is not None]
    values += [] if rest is None else rest.split(MARK)
    pieces = template.split(MARK)
    assert len(values) == len(pieces) - 1, row
    return "".join(piece for pair in zip(pieces, [*values, ""], strict=True) for piece in pair)


# The same in DuckDB.
BODY = """CASE WHEN body_template IS NULL THEN body_values ELSE array_to_string(flatten(list_transform(
    list_zip(string_split(body_template, chr(31)), string_split(concat_ws(chr(31), body_value_1, body_value_2,
    body_value_3, body_value_4, body_value_5, body_values), chr(31))),
    lambda pair: [pair[1], coalesce(pair[2], '')])), '') END"""


def members(text):
    """The members of an object in JSON text as sorted (key, canonical value); keys may repeat."""
    if not text:
        return []
    # Every object becomes its pairs first, and the inner ones objects again.
    pairs = json.loads(text, object_pairs_hook=_Pairs)
    return sorted((key[1:] if key.startswith("$$") else key, compact(_objects(value))) for key, value in pairs)


class _Pairs(list):
    """The members of an object, repeated keys included."""


def _objects(value):
    if isinstance(value, _Pairs):
        return {key: _objects(item) for key, item in value}
    if isinstance(value, list):
        return [_objects(item) for item in value]
    return value


def attributes(row):
    """The attributes of a row put together from its columns, as sorted (key, canonical value)."""
    pairs = members(row["attributes_rest"])
    for column, value in row.items():
        if column.startswith("attr:") and value is not None:
            pairs.append((column.removeprefix("attr:"), compact(json.loads(value))))
    keys = {key for key, _ in pairs}
    for column, (key, older) in PROMOTED.items():
        if row.get(column) is not None and not keys & {key, *older}:
            pairs.append((key, compact(row[column])))
    return sorted(pairs)
