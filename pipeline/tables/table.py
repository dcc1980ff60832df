"""Declare the columns of a CSV file by the type of its rows; write and read the file by that declaration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints

from pipeline.errors import UserError
from pipeline.files import write_text

if TYPE_CHECKING:
    import pandas as pd

Row = TypeVar("Row")

DTYPES = {str: "str", int: "int64", float: "float64", bool: "bool"}


@dataclass(frozen=True)
class Column:
    """What a column contains; it annotates a field of a row type.

    Attributes:
        description: a noun phrase.
        unit: empty for text, counts and numbers without unit.
    """

    description: str
    unit: str = ""


@dataclass(frozen=True)
class Table(Generic[Row]):
    """The columns of a CSV file.

    Floating-point numbers are written with nine significant digits, booleans as `true` and `false`; NaN is an empty
    field. Text is read as it is: a subject may be called 007 or NA.

    Attributes:
        title: what the rows are about, for error messages.
        row: frozen dataclass whose fields are the columns, each `Annotated[str | int | float | bool, Column(...)]`.
        extensible: whether further columns of floating-point numbers may follow or stand between those of `row`.
        advice: what to do about a file that cannot be read.

    Example:
        >>> GATES.write(path, rows)
        >>> table = GATES.read(path)
    """

    title: str
    row: type[Row]
    extensible: bool = False
    advice: str = "Delete it and run again."

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in the order of the file."""
        return tuple(field.name for field in fields(self.row))  # pyright: ignore[reportArgumentType]

    @cached_property
    def dtypes(self) -> dict[str, str]:
        """Data type of every column, as pandas names it."""
        types = get_type_hints(self.row)
        return {name: DTYPES[types[name]] for name in self.columns}

    @cached_property
    def descriptions(self) -> dict[str, Column]:
        """Description and unit of every column."""
        types = get_type_hints(self.row, include_extras=True)
        return {name: types[name].__metadata__[0] for name in self.columns}

    def frame(self, rows: Iterable[Row] = ()) -> pd.DataFrame:
        """Return rows as a data frame, whose columns have their types even without any row."""
        import pandas as pd

        values = [attrgetter(*self.columns)(row) for row in rows]
        return pd.DataFrame(values, columns=pd.Index(self.columns)).astype(self.dtypes)

    def rows(self, frame: pd.DataFrame) -> list[Row]:
        """Return the rows of a data frame with these columns."""
        values = frame[list(self.columns)].itertuples(index=False, name=None)
        return [self.row(*one) for one in values]

    def write(self, path: Path, rows: Iterable[Row] | pd.DataFrame) -> None:
        """Write rows as CSV, atomically.

        Args:
            path: the file.
            rows: the rows, or a data frame with these columns.

        Raises:
            ValueError: the data frame has other columns.
        """
        import numpy as np
        import pandas as pd

        frame = rows if isinstance(rows, pd.DataFrame) else self.frame(rows)
        names = [str(name) for name in frame.columns]
        if not self._has_columns(names):
            raise ValueError(f"{path}: the columns are {names}, those of {self.title} are {list(self.columns)}.")
        flags = [name for name in self.columns if self.dtypes[name] == "bool"]
        text = frame.assign(**{name: np.where(frame[name], "true", "false") for name in flags})
        write_text(path, text.to_csv(index=False, float_format="%.9g", lineterminator="\n"))

    def read(self, path: Path) -> pd.DataFrame:
        """Read a file.

        Raises:
            UserError: the file cannot be read, or has other columns.
        """
        import pandas as pd

        try:
            names = [str(name) for name in pd.read_csv(path, nrows=0).columns]
            if not self._has_columns(names):
                raise UserError(
                    f"{path}: is not a table of {self.title}: it has the columns {', '.join(names)}; expected are "
                    f"{', '.join(self.columns)}. {self.advice}"
                )
            types: Any = {name: self.dtypes.get(name, "float64") for name in names}
            missing: Any = {name: ["", "nan"] for name in names if types[name] == "float64"}
            return pd.read_csv(
                path, dtype=types, keep_default_na=False, na_values=missing, float_precision="round_trip"
            )
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {path} as a table of {self.title}: {error}. {self.advice}") from error

    def read_rows(self, path: Path) -> list[Row]:
        """Read the rows of a file; errors as `read`."""
        return self.rows(self.read(path))

    def read_all(self, paths: Sequence[Path]) -> pd.DataFrame:
        """Read several files into one data frame, in their order; errors as `read`."""
        import pandas as pd

        return pd.concat([self.read(path) for path in paths], ignore_index=True) if paths else self.frame()

    def _has_columns(self, names: Sequence[str]) -> bool:
        return set(self.columns) <= set(names) if self.extensible else tuple(names) == self.columns


def concatenate(paths: Sequence[Path]) -> str:
    """Return the lines of CSV files under one header, unchanged and in the order of the files.

    Raises:
        UserError: a file cannot be read, or its columns are not those of the first.
    """
    header, lines = "", []
    for path in paths:
        try:
            first, *others = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {path} as a table: {error}. Delete it and run again.") from error
        header = header or first
        if first != header:
            raise UserError(
                f"{path}: has the columns {first!r}, but {paths[0]} has {header!r}. Delete it and run again."
            )
        lines.extend(others)
    return "\n".join([header, *lines]) + "\n"
