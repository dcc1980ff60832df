"""Sections of the report pages, and the blocks they consist of.

A section is one file of `pipeline/reporting/sections/`, found by its name. It has a function for every page that shows
it, named after the page: `for_index(run)`, `for_volume(volume)`, `for_training(trainings)`, `for_resources(usage)`. The
function receives the record of the page (for the index page a `RunRecord`), and returns a `Section`, or None where the
run has no data for it::

    def for_index(run: RunRecord) -> Section | None:
        table = run.tested(TISSUE_AGREEMENT)          # a CSV declared in pipeline/tables
        if table.empty:
            return None
        rows = [(method_cell(row["method"], run.deliver), Cell.of(row["bias_ml"], sign=True)) for row in records(table)]
        return Section(
            "tissue",
            "Tissue volumes",
            (
                Text("Volume of each tissue in the result minus the volume in the reference.", "note"),
                Table("tissue-table", "Agreement of tissue volumes", ("Method", "Bias (ml)"), tuple(rows)),
            ),
        )

`pipeline/reporting/pages/` lists the sections of every page in their order; a section that no page lists is placed
after the others. One template (`reports/templates/page.html.j2`) renders all pages: it writes each block with the macro
of the same name in `reports/templates/blocks.html.j2`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pipeline import plugins
from pipeline.reporting.numbers import as_float, format_number

SECTIONS = "pipeline.reporting.sections"


@dataclass(frozen=True)
class Text:
    """A paragraph. `Markup` is kept as it is; any other text is escaped."""

    block: ClassVar[str] = "paragraph"
    text: str
    style: str = ""


@dataclass(frozen=True)
class Heading:
    """A heading inside a section, followed by the label of a split where one is named."""

    block: ClassVar[str] = "heading"
    text: str
    split: str = ""
    code: str = ""


@dataclass(frozen=True)
class Items:
    """A list of sentences."""

    block: ClassVar[str] = "items"
    sentences: tuple[str, ...]
    style: str = "prose"


@dataclass(frozen=True)
class Facts:
    """Pairs of a name and a value."""

    block: ClassVar[str] = "facts"
    pairs: tuple[tuple[str, str], ...]
    style: str = "facts"


@dataclass(frozen=True)
class Preformatted:
    """Text in a monospaced font; with an id in `copied_as`, it is folded and has a button that copies it."""

    block: ClassVar[str] = "preformatted"
    label: str
    text: str
    copied_as: str = ""


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        image: data URI.
        alt: what it shows, for readers who do not see it.
        caption: shown below; may be empty.
    """

    image: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Figures:
    """Figures side by side ("grid") or over the whole width, below each other ("wide")."""

    block: ClassVar[str] = "figures"
    figures: tuple[Figure, ...]
    layout: Literal["grid", "wide"] = "grid"
    label: str = "Figures"


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: as shown.
        number: key for sorting; None for text, NaN where the number is missing.
        style: CSS class, such as "better", "worse", "failed" or "delivered".
        link: target of the text; may be empty.
        split: split whose label is drawn around the text; may be empty.
        code: identifier shown below the text; may be empty.
        aside: second line, smaller, such as a difference; may be empty.
        aside_style: CSS class of the second line.
        interval: shown after the second line; may be empty.
        best: whether the number is the best of its column.
    """

    text: str
    number: float | None = None
    style: str = ""
    link: str = ""
    split: str = ""
    code: str = ""
    aside: str = ""
    aside_style: str = ""
    interval: str = ""
    best: bool = False

    @classmethod
    def of(cls, value: Any, decimals: int | None = None, *, sign: bool = False, unit: str = "", **more: Any) -> Self:
        """Return the cell of a number.

        Args:
            value: the number.
            decimals: see `format_number`, also for `sign` and `unit`.
            sign: whether positive numbers get a plus sign.
            unit: appended after a space.
            more: further attributes of the cell.
        """
        return cls(format_number(value, decimals, sign=sign, unit=unit), as_float(value), **more)

    @property
    def key(self) -> str:
        """The number as the script of the page reads it; empty where it is missing."""
        return "" if self.number is None or math.isnan(self.number) else f"{self.number:.9g}"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: id in the page, unique there.
        caption: shown above.
        headings: of the columns.
        rows: cells, one for each heading; the first names the row.
        style: "listing" can be sorted by every column, "metrics" has numbers with differences below, "plain" neither.
        sorted_by: column by which the rows are sorted in ascending order; -1 for none.
        groups: headings above those of the columns after the first, each with the number of columns it spans.
        row_styles: CSS class of every row; empty for none.
    """

    block: ClassVar[str] = "table"
    name: str
    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    style: Literal["listing", "metrics", "plain"] = "listing"
    sorted_by: int = -1
    groups: tuple[tuple[str, int], ...] = ()
    row_styles: tuple[str, ...] = ()

    def is_numeric(self, column: int) -> bool:
        """Return whether a column contains numbers."""
        return any(row[column].number is not None for row in self.rows)


@dataclass(frozen=True)
class Template:
    """What no other block can show: the template reports/templates/<name>.html.j2, which reads `content`."""

    block: ClassVar[str] = "template"
    name: str
    content: Any


@dataclass(frozen=True)
class Folded:
    """Blocks that are shown after a click on their title."""

    block: ClassVar[str] = "folded"
    title: str
    blocks: tuple[Block, ...]
    is_open: bool = False


Block = Text | Heading | Items | Facts | Preformatted | Figures | Table | Template | Folded


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes:
        name: id in the page, unique there.
        title: heading, or the label where `has_heading` is False.
        blocks: content, from top to bottom.
        link: short title in the navigation of the page; empty to leave the section out there.
        style: CSS class.
        has_heading: whether the title is shown.
    """

    name: str
    title: str
    blocks: tuple[Block, ...]
    link: str = ""
    style: str = ""
    has_heading: bool = True

    @property
    def tables(self) -> tuple[Table, ...]:
        """Tables that are shown at once, in their order."""
        return tuple(block for block in self.blocks if isinstance(block, Table))

    @property
    def folded_tables(self) -> tuple[Table, ...]:
        """Tables that are folded, in their order."""
        folded = [block for block in self.blocks if isinstance(block, Folded)]
        return tuple(block for one in folded for block in one.blocks if isinstance(block, Table))

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All figures, in their order."""
        return tuple(figure for block in self.blocks if isinstance(block, Figures) for figure in block.figures)


def folded_table(table: Table) -> Folded:
    """Fold a table under its caption."""
    return Folded(table.caption, (table,))


def build_sections(page: str, record: Any, first: Iterable[str], last: Iterable[str] = ()) -> tuple[Section, ...]:
    """Build the sections of a page.

    Args:
        page: name of the page, such as "index".
        record: what its sections read.
        first: names of sections, in the order of the page.
        last: names of the sections at its end; sections that neither names come before them, by name.

    Returns:
        The sections for which the record has data.
    """
    first, last = list(first), list(last)
    others = [name for name in plugins.names(SECTIONS) if name not in (*first, *last)]
    modules = [plugins.load(SECTIONS, name) for name in (*first, *others, *last)]
    builders = [getattr(module, f"for_{page}", None) for module in modules]
    sections = [builder(record) for builder in builders if builder is not None]
    return tuple(section for section in sections if section is not None)
