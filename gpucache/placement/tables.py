"""Tables in CSV files, plain or gzipped: every mistake is BadTable, with the file, the line, the column and what was expected."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence

from gpucache.errors import BadTable

LARGEST_SECONDS = 10**12


class Row:
    """A row of a table, whose cells are read by column."""

    def __init__(self, path: str, line: int, cells: dict[str, str]) -> None:
        self.path, self.line, self.cells = path, line, cells

    def text(self, column: str) -> str:
        """What stands there; empty if there is no such column."""
        return self.cells.get(column, "").strip()

    def bad(self, column: str, expected: str) -> BadTable:
        """The error that says where, what stands there and what was expected."""
        return BadTable(self.path, self.line, column, self.text(column), expected)

    def whole(self, column: str, largest: int) -> int:
        """A whole number from 0 to `largest`. Raises BadTable."""
        text = self.text(column)
        if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > largest:
            raise self.bad(column, f"a whole number from 0 to {largest}")
        return int(text)

    def moment(self, column: str) -> int | None:
        """A time, s; None if the cell is empty. Raises BadTable."""
        return self.whole(column, LARGEST_SECONDS) if self.text(column) else None


def rows(path: str, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a CSV file that must have these columns, and may have others.

    Raises:
        BadTable: It has not, or is no CSV.
        OSError: It can't be read.
    """
    open_text = gzip.open if path.endswith(".gz") else open
    # Bytes that are no UTF-8 come through, so that the line and column where they stand can be told.
    with open_text(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        try:
            header = next(reader, [])
            for column in columns:
                if header.count(column) != 1:
                    raise BadTable(path, 1, column, _shown(header), "a header with this column, once")
            for cells in reader:
                if not cells:
                    continue
                line = reader.line_num
                if len(cells) != len(header):
                    column = header[min(len(cells), len(header) - 1)]
                    raise BadTable(path, line, column, _shown(cells), f"{len(header)} cells, one per column")
                row = dict(zip(header, cells, strict=True))
                for column, cell in row.items():
                    if not cell.isascii() and _shown([cell]) != cell:
                        raise BadTable(path, line, column, _shown([cell]), "text in UTF-8")
                yield Row(path, line, row)
        except csv.Error as problem:
            raise BadTable(path, reader.line_num, "", str(problem), "CSV") from problem
        except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
            raise BadTable(path, reader.line_num + 1, "", str(problem), "a gzipped file that is whole") from problem


def _shown(cells: Sequence[str]) -> str:
    """Cells for people, bytes that are no text escaped."""
    return ",".join(cells).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def has_columns(path: str, columns: Sequence[str]) -> bool:
    """Whether a file's header has these columns; False where it has none that can be read."""
    try:
        next(rows(path, columns), None)
    except BadTable as problem:
        return problem.line != 1
    return True
