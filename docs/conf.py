"""Settings of the documentation site, which `make docs` builds in site/ with Sphinx, without a network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]

from generate import write_pages  # noqa: E402

from pipeline import __version__  # noqa: E402

write_pages(FOLDER / "generated")

project = "BrainSR"
author = "The BrainSR developers"
copyright = "2026, the BrainSR developers. BSD 3-Clause licence. Not for diagnosis"
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["generated/home.md"]
suppress_warnings = ["ref.python"]  # types of signatures, some of which have the same short name

myst_enable_extensions = ["attrs_inline", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
default_role = "code"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

smartquotes = False  # they would turn the dashes of options into typographic ones

html_theme = "furo"
html_title = f"BrainSR {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
copybutton_exclude = ".linenos, .gp"


def make_accessible(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Correct what axe-core finds in pages of the theme.

    These are headings without a level, boxes that only a mouse scrolls, and lists of parameters without terms.
    """
    context["furo_navigation_tree"] = context.get("furo_navigation_tree", "").replace(' role="heading"', "")
    if body := context.get("body"):
        body = body.replace("<pre>", '<pre tabindex="0">')
        body = body.replace('<dl>\n<dd><em class="sig-param"', '<dl role="presentation">\n<dd><em class="sig-param"')
        context["body"] = body.replace('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper')


def name_asides(app: Any, error: Exception | None) -> None:
    """Name the two sidebars of the theme's templates, which readers of screens otherwise cannot distinguish."""
    for path in Path(app.outdir).rglob("*.html") if error is None else ():
        page = path.read_text(encoding="utf-8")
        for start, label in (("sidebar-drawer", "Site"), ("toc-drawer", "On this page")):
            page = page.replace(f'<aside class="{start}', f'<aside aria-label="{label}" class="{start}')
        path.write_text(page, encoding="utf-8")


def setup(app: Any) -> None:
    """Change pages after the theme has prepared them."""
    app.connect("build-finished", name_asides)
    app.connect("html-page-context", make_accessible, priority=900)
