"""A folder of pictures with a table of their attributes: CSV with a header, or CelebA's list_attr file.

The column called file, filename, image, image_id, name or path names the pictures, else the first that does not hold numbers; every other
column of numbers is an attribute. Columns of -1 and 1 are read as 0 and 1.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave.data import Table, cache
from unweave.data.dataset import Indices
from unweave.data.folders import FileSet, Listing, list_pictures
from unweave.errors import UserError, did_you_mean
from unweave.method import Need

FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_id", "name", "path")


@dataclass(frozen=True)
class Attributes:
    """files: as the table writes them, each once; values (files, columns), NaN where the table has none; repeated: rows left out"""

    files: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.float64]
    repeated: int = 0


def read_table(path: str | Path) -> Attributes:
    """Raises UserError when there is no such file or it is no table."""
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"there is no table {path}; check the path.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start} is not): save the table as CSV in UTF-8.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read as a table of text; give a CSV file with a header, or CelebA's list_attr file.") from error
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2:
        raise UserError(f"the table {path} has no rows; give a CSV file with a header, or CelebA's list_attr file.")
    if lines[0].strip().isdigit():  # CelebA: a count, the names, then file and values
        header, rows = ["file", *lines[1].split()], [line.split() for line in lines[2:]]
    else:
        dialect = max(",;\t", key=lines[0].count)
        header, *rows = csv.reader(io.StringIO("\n".join(lines)), delimiter=dialect)
        header = [name.strip() for name in header]
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise UserError(f"row {number} of {path} has {len(row)} values and the header {len(header)}; mend the table.")
    if len(set(header)) < len(header):
        raise UserError(f"two columns of {path} have the same name; rename one.")
    cells = list(zip(*rows))
    numbers = {name: column for name, cell in zip(header, cells) if (column := _numbers(cell)) is not None}
    called = next((name for name in header if name.lower() in FILE_COLUMNS), None) or next(
        (n for n in header if n not in numbers), header[0]
    )
    files = cells[header.index(called)]
    numbers.pop(called, None)
    if not numbers:
        raise UserError(f"no column of {path} holds numbers; attributes are numbers, as 0 and 1.")
    for name, column in numbers.items():
        if np.isinf(column).any():
            raise UserError(
                f'the column "{name}" of {path} holds an infinite number (row {int(np.isinf(column).argmax()) + 2}); mend the table.'
            )
    return _once(path, tuple(name.strip() for name in files), tuple(numbers), np.stack(list(numbers.values()), 1))


def _once(path: Path, files: tuple[str, ...], columns: tuple[str, ...], values: NDArray[np.float64]) -> Attributes:
    """Each file once: rows that say the same are one. Raises UserError for rows of one file that say different things."""
    first: dict[str, int] = {}
    for row, name in enumerate(files):
        known = first.setdefault(name, row)
        if not np.array_equal(values[known], values[row], equal_nan=True):
            raise UserError(f"{path} says two different things of {name} (rows {known + 2} and {row + 2}); keep one of them.")
    kept = list(first.values())
    return Attributes(tuple(first), columns, values[kept], repeated=len(files) - len(kept))


def load_table(table: Table, *, size: int, split: str, n: int | None = None, among: Sequence[str] | None = None) -> FileSet:
    """The set of a table: with its attributes, or as two sets by `table.part`, a column or two. among: see `FileSet`."""
    listing, attributes = list_pictures(table.images), read_table(table.attributes)
    known = {name: row for row, name in enumerate(attributes.files)}
    stems = {PurePosixPath(name).stem: row for name, row in known.items()}
    rows = {
        name: row
        for name in listing.names
        if (row := known.get(name, known.get(PurePosixPath(name).name, stems.get(PurePosixPath(name).stem)))) is not None
    }
    if not rows:
        raise UserError(
            f"no picture in {listing.root} is named in {table.attributes} (its first is {attributes.files[0]}, "
            f"the folder's first is {listing.names[0]}); check that they belong together."
        )
    counts = {
        "pictures are not in the table and are left out": len(listing.names) - len(rows),
        "rows of the table name pictures that are not there": len(attributes.files) - len(set(rows.values())),
        "rows of the table are there twice": attributes.repeated,
    }
    note = tuple(f"{count:,} {what}" for what, count in counts.items() if count)
    if table.part is None:
        return TableSet(table, listing, attributes, rows, note, size=size, split=split, n=n)

    parts = (table.part,) if table.part in attributes.columns else tuple(part.strip() for part in table.part.split(","))
    for part in parts:
        if part not in attributes.columns:
            raise UserError(f'{table.attributes} has no column "{part}": {did_you_mean(part, attributes.columns)}.')
    if len(parts) > 2 or len(set(parts)) < len(parts):
        raise UserError(f'two sets are told apart by one column or by two different ones, not by "{table.part}".')
    above, below = 0.5 if table.above is None else table.above, 0.5 if table.below is None else table.below
    if below > above:
        raise UserError(f"set a would be below {below:g} and set b above {above:g}, so some pictures were in both; take a lower `below`.")
    values = [attributes.values[:, attributes.columns.index(part)] for part in parts]
    shows, lacks = [column > above for column in values], [column < below for column in values]
    sets = {"a": lacks[0], "b": shows[0]} if len(parts) == 1 else {"a": shows[0] & lacks[1], "b": shows[1] & lacks[0]}
    for stream, wanted in sets.items():
        if not any(wanted[row] for row in rows.values()):
            low, high = np.nanmin(values[0]), np.nanmax(values[0])
            limit = f"below {below:g}" if stream == "a" else f"above {above:g}"
            lacking = f'"{parts[0]}" {limit} (it runs from {low:g} to {high:g})'
            if len(parts) == 2:
                first, second = parts if stream == "a" else parts[::-1]
                lacking = f'"{first}" above {above:g} and "{second}" below {below:g}'
            raise UserError(f"no picture has {lacking}; choose other limits.")
    listings = {stream: Listing(listing.root, tuple(name for name, row in rows.items() if wanted[row])) for stream, wanted in sets.items()}
    kind, among = (FileSet, among) if len(parts) == 1 else (TwoColumns, tuple(rows))
    out = kind(table, f"{table.images} by {table.part}", listings, size=size, split=split, n=n, among=among)
    out.notes += note
    return out


class TwoColumns(FileSet):
    """Two sets with a part each: a shows that of the first column and not the second's, b the other way round."""

    def alone(self, which: int) -> FileSet:
        """The same split as two sets by one of the columns, 0 or 1, whatever the other says; no picture is in another split than here."""
        assert isinstance(self.source, Table) and self.source.part is not None
        part = self.source.part.split(",")[which].strip()
        return load_table(replace(self.source, part=part), size=self.size, split=self.split, among=self.among)


class TableSet(FileSet):
    """Pictures with attributes: columns `image` and `attributes`; `names` are the attributes'."""

    def __init__(
        self,
        table: Table,
        listing: Listing,
        attributes: Attributes,
        rows: dict[str, int],
        notes: tuple[str, ...],
        *,
        size: int,
        split: str,
        n: int | None,
    ):
        complete = {name: row for name, row in rows.items() if not np.isnan(attributes.values[row]).any()}
        if not complete:
            raise UserError(f"every row of {table.attributes} lacks a value; fill the gaps or drop the columns that have them.")
        spec = f"{table.images} with {table.attributes}"
        super().__init__(table, spec, {"image": Listing(listing.root, tuple(complete))}, size=size, split=split, n=n)
        self.names = attributes.columns
        values = attributes.values[[complete[self.name("image", i)] for i in range(self.lengths["image"])]]
        self.attributes = torch.from_numpy(values.astype(np.float32))
        self.streams = {"image": ("image", "attributes")}
        self.offers["attributes"] = Need("attributes", (len(self.names),))
        self.lengths["attributes"] = self.lengths["image"]
        self.key = "table-" + cache.key(pictures=self.key, names=self.names, attributes=self.attributes.tolist())
        gaps = len(rows) - len(complete)
        self.notes += notes + ((f"{gaps:,} pictures lack an attribute and are left out",) if gaps else ())

    def take(self, name: str, indices: Indices) -> Tensor:
        if name == "attributes":
            return self.attributes[torch.as_tensor(np.asarray(indices, dtype=np.int64))]
        return super().take(name, indices)


def _numbers(cells: tuple[str, ...]) -> NDArray[np.float64] | None:
    """A column as numbers, empty cells as NaN; None when it holds anything else."""
    try:
        column = np.array([float(cell) if cell.strip() else np.nan for cell in cells])
    except ValueError:
        return None
    if np.isnan(column).all():
        return None
    return (column + 1) / 2 if set(np.unique(column[~np.isnan(column)])) == {-1.0, 1.0} else column
