"""The literature that the pages cite: reports/literature.bib, as numbered references and as BibTeX entries."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from pipeline.reporting.templates import source

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    **{character: f"\\{character}" for character in "&%$#_"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
"""Characters that mean something to TeX, and how they are escaped."""
ACCENTS = {"'": "\N{COMBINING ACUTE ACCENT}", "`": "\N{COMBINING GRAVE ACCENT}", '"': "\N{COMBINING DIAERESIS}"}


@dataclass(frozen=True)
class Work:
    """An entry of reports/literature.bib: its BibTeX source and its fields."""

    entry: str
    fields: Mapping[str, str]

    @property
    def reference(self) -> str:
        """The work as a reference: authors, title, where and when it was published, DOI or arXiv number."""
        fields = self.fields
        parts = [_names(fields["author"]), fields["title"], f"{_venue(fields)}, {fields['year']}"]
        identifier = f"doi:{fields['doi']}" if "doi" in fields else ""
        identifier = f"arXiv:{fields['eprint']}" if "eprint" in fields else identifier
        return ". ".join([*parts, identifier] if identifier else parts)


def _venue(fields: Mapping[str, str]) -> str:
    if "journal" in fields:
        number = f"({fields['number']})" if "number" in fields else ""
        return f"{fields['journal']} {fields['volume']}{number}:{fields['pages'].replace('--', '-')}"
    if "editor" in fields:
        return f"In: {_names(fields['editor'])} (eds). {fields['booktitle']}. {fields['publisher']}"
    return fields["booktitle"]


def _names(people: str) -> str:
    """Return names such as "Bovik, Alan C. and others" as "Bovik AC, et al."."""
    names = []
    for person in people.split(" and "):
        family, _, given = person.partition(", ")
        names.append("et al" if family == "others" else f"{family} {''.join(name[0] for name in given.split())}")
    return ", ".join(names)


@cache
def works() -> dict[str, Work]:
    """Return the works of reports/literature.bib by key."""
    entries = re.finditer(r"^@\w+\{([^,]+),.*?^\}", source("literature.bib"), re.MULTILINE | re.DOTALL)
    return {match[1]: Work(match[0], _fields(match[0])) for match in entries}


def _fields(entry: str) -> dict[str, str]:
    return {name: _plain(value) for name, value in re.findall(r"^  (\w+) = \{(.*?)\},?$", entry, re.MULTILINE)}


def _plain(text: str) -> str:
    """Replace accents that are written for TeX by characters, and remove its braces."""

    def accented(match: re.Match[str]) -> str:
        return unicodedata.normalize("NFC", match[2] + ACCENTS[match[1]])

    return re.sub(r"[{}]", "", re.sub(r"\{\\(['`\"])(\w)\}", accented, text))


class Bibliography:
    """References, numbered in the order in which a page cites them."""

    def __init__(self) -> None:
        self._references: list[str] = []

    def cite(self, *keys: str) -> str:
        """Return the mark of works of the literature, such as " [2][3]", with a leading space."""
        return self.cite_text(*(works()[key].reference for key in keys))

    def cite_known(self, key: str) -> str:
        """Return the mark of a work; empty where the literature has no such work."""
        return self.cite(key) if key in works() else ""

    def cite_text(self, *references: str) -> str:
        """Return the mark of references given as text, such as those of data; empty ones are skipped."""
        marks = []
        for reference in filter(None, references):
            if reference not in self._references:
                self._references.append(reference)
            marks.append(f"[{self._references.index(reference) + 1}]")
        return f" {''.join(marks)}" if marks else ""

    @property
    def references(self) -> tuple[str, ...]:
        """The references in the order of their numbers."""
        return tuple(self._references)


def bibtex(references: Iterable[str]) -> str:
    """Return the BibTeX entries of cited references, in their order.

    References that are not of the literature, such as those of data, become entries with the reference as a note.

    Args:
        references: texts from `Bibliography.references`.
    """
    entries = {work.reference: work.entry for work in works().values()}
    return "\n\n".join(
        entries.get(reference) or f"@misc{{reference{number},\n  note = {{{escape_tex(reference)}}}\n}}"
        for number, reference in enumerate(references, start=1)
    )


def escape_tex(text: str) -> str:
    """Escape the characters that mean something to TeX."""
    return "".join(SPECIAL.get(character, character) for character in text)
