"""A report page: its heading, its sections, and the links to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.reporting.section import Block, Section
from pipeline.reporting.templates import render


@dataclass(frozen=True)
class Page:
    """A report page.

    Attributes:
        site_title: title of the report, from the section `report` of the configuration.
        title: in the title bar of the browser.
        heading: of the page.
        sections: from top to bottom.
        version: of BrainSR.
        pages: links to other pages in the navigation, as pairs of address and text.
        lead: blocks between the heading and the first section.
        split: split of the volume that the page is about; empty for other pages.
        split_title: the split as a reader sees it.
    """

    site_title: str
    title: str
    heading: str
    sections: tuple[Section, ...]
    version: str
    pages: tuple[tuple[str, str], ...] = ()
    lead: tuple[Block, ...] = ()
    split: str = ""
    split_title: str = ""

    @property
    def links(self) -> list[tuple[str, str]]:
        """Entries of the navigation: the sections with a short title, then the other pages."""
        own = [(f"#{section.name}", section.link) for section in self.sections if section.link]
        return [*own, *self.pages]

    def html(self, scripts: Sequence[str] = ("tables.js",)) -> str:
        """Return the page as a single HTML file.

        Args:
            scripts: files of reports/ that become the script of the page.
        """
        return render("page.html.j2", scripts=scripts, page=self)
