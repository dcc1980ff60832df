"""Fill the templates of reports/: one page, one file, nothing that is fetched from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from pipeline import WORKFLOW_FOLDER
from pipeline.reporting.numbers import format_number, format_share

FOLDER = WORKFLOW_FOLDER / "reports"


@cache
def environment() -> Environment:
    """Return the template environment. Whatever is put into a page is escaped."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["cited"] = cited
    made.filters["linked"] = linked
    made.filters["html"] = html
    made.filters["number"] = format_number
    made.filters["share"] = format_share
    return made


def html(block: Any) -> Markup:
    """Return a block of `pipeline.reporting.section` as HTML, written by the macro or the template of its name."""
    if block.block == "template":
        return Markup(environment().get_template(f"{block.name}.html.j2").render(content=block.content))
    macros = environment().get_template("blocks.html.j2").module
    return Markup(getattr(macros, block.block)(block))


def render(
    template: str,
    *,
    style_files: Sequence[str] = ("style.css",),
    scripts: Sequence[str] = ("script.js",),
    **context: Any,
) -> str:
    """Return a page with style sheets and scripts inside it.

    The page forbids itself every request, and every script but its own, which is named by its SHA-256.

    Args:
        template: name of the template.
        style_files: names of its style sheets, one after the other.
        scripts: names of its scripts, which become one.
        context: what the template is filled with.
    """
    style, script = "".join(map(source, style_files)), "\n".join(map(source, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    page = environment().get_template(template)
    return page.render(style=Markup(style), script=Markup(script), policy=policy, **context)


def source(name: str) -> str:
    """Return the text of a file of reports/."""
    return (FOLDER / name).read_text(encoding="utf-8")


def cited(text: str) -> Markup:
    """Escape a text and turn its marks such as [2] into links to the references."""
    link = r'<a class="mark" href="#reference-\1">[\1]</a>'
    return Markup(re.sub(r"\[(\d+)\]", link, str(escape(text))))


def linked(text: str) -> Markup:
    """Escape a reference and turn its DOI or arXiv number into a link, which is followed only when it is clicked."""
    escaped = str(escape(text))
    escaped = re.sub(r"doi:(10\.[\w./()-]*\w)", r'<a href="https://doi.org/\1" rel="noreferrer">doi:\1</a>', escaped)
    link = r'<a href="https://arxiv.org/abs/\1" rel="noreferrer">arXiv:\1</a>'
    return Markup(re.sub(r"arXiv:(\d{4}\.\d{4,5})", link, escaped))
