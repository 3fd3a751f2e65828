"""A table of results that is written row by row: CSV, JSON lines or Parquet."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from .errors import UserError
from .files import atomic_write

Row = dict[str, Any]
Write = Callable[[Row], None]
ROWS_AT_ONCE = 1000


@contextmanager
def open_table(path: Path | None) -> Iterator[Write]:
    """A function that writes a row; without a path, CSV goes to standard output.

    A file is there only when it is complete. All rows have the same keys.

    Raises:
        UserError: the suffix is none of .csv, .jsonl and .parquet, or there is no such folder.
    """
    if path is None:
        yield _csv_writer(sys.stdout)
        return
    if path.suffix not in (".csv", ".jsonl", ".parquet") or not path.parent.is_dir():
        raise UserError(
            f"Cannot write {path}. Type --output with a name that ends in .csv, .jsonl or "
            ".parquet, in a folder that exists."
        )
    with atomic_write(path) as file:
        if path.suffix == ".parquet":
            with _parquet_writer(file) as write:
                yield write
            return
        text = TextIOWrapper(file, encoding="utf-8", newline="")
        yield _csv_writer(text) if path.suffix == ".csv" else _json_writer(text)
        text.flush()
        text.detach()  # the file is not to be closed yet


def _csv_writer(file: TextIO) -> Write:
    writers: list[csv.DictWriter[str]] = []

    def write(row: Row) -> None:
        if not writers:
            writers.append(csv.DictWriter(file, list(row), lineterminator="\n"))
            writers[0].writeheader()
        cells = {name: _to_cell(value) for name, value in row.items()}
        writers[0].writerow(cells)

    return write


def _to_cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _json_writer(file: TextIO) -> Write:
    return lambda row: print(json.dumps(row, ensure_ascii=False), file=file)


@contextmanager
def _parquet_writer(file: Any) -> Iterator[Write]:
    """Groups of rows, so that memory does not grow with their number."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise UserError(
            "Parquet files need pyarrow. Install it with `uv sync --extra parquet` or "
            '`python -m pip install -e ".[parquet]"`, or write .csv or .jsonl.'
        ) from None
    rows: list[Row] = []
    writers: list[Any] = []

    def flush() -> None:
        if rows:
            table = pa.Table.from_pylist(rows, schema=writers[0].schema if writers else None)
            if not writers:
                writers.append(pq.ParquetWriter(file, table.schema))
            writers[0].write_table(table)
            rows.clear()

    def write(row: Row) -> None:
        rows.append(row)
        if len(rows) == ROWS_AT_ONCE:
            flush()

    yield write
    flush()
    for writer in writers:
        writer.close()
