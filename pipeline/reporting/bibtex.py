"""The literature as BibTeX entries, out of reports/literature.bib, whose keys are those of `LITERATURE`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from pipeline.reporting.literature import LITERATURE
from pipeline.reporting.templates import source

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    **{character: f"\\{character}" for character in "&%$#_"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
"""Characters that mean something to TeX, and how they are written as themselves."""


@cache
def entries() -> dict[str, str]:
    """Return the entries of the literature by key."""
    found = re.finditer(r"^@\w+\{([^,]+),.*?^\}", source("literature.bib"), re.MULTILINE | re.DOTALL)
    return {match[1]: match[0] for match in found}


def bibtex(texts: Iterable[str]) -> str:
    """Return the entries of cited works, in their order.

    Works that the literature does not know, such as those that come with data, become entries with the reference as a
    note, for a reader to complete.

    Args:
        texts: references as `Bibliography` gives them.
    """
    keys = {text: key for key, text in LITERATURE.items()}
    found = []
    for number, text in enumerate(texts, start=1):
        known = entries().get(keys.get(text, ""))
        found.append(known or f"@misc{{reference{number},\n  note = {{{as_tex(text)}}}\n}}")
    return "\n\n".join(found)


def as_tex(text: str) -> str:
    """Write a text so that TeX shows it as it is."""
    return "".join(SPECIAL.get(character, character) for character in text)
