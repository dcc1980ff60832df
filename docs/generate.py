"""Pages of the documentation site that are generated, so that nothing is written twice; conf.py calls `write_pages`.

README.md, CONTRIBUTING.md, CHANGELOG.md, SECURITY.md and LICENSE become pages. The reference pages are made from the
typed configuration, the examples, the command line, and the packages, whose docstrings Sphinx reads.
"""

from __future__ import annotations

import inspect
import json
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from pipeline.__main__ import app_for
from pipeline.config.allowed import Place, in_words, tag_key, tags
from pipeline.config.run import Run
from pipeline.console import docstring_summary
from pipeline.files import write_text

CHECKOUT = Path(__file__).resolve().parents[1]
LINKS = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "generated/contributing.md",
    "CHANGELOG.md": "generated/changelog.md",
    "SECURITY.md": "generated/security.md",
    "LICENSE": "generated/licence.md",
    "config.yaml": "generated/configuration.md",
    "examples/": "generated/examples.md",
}
"""Pages of the site, relative to docs/, by the file or folder of the checkout that they replace."""
PACKAGES = (
    *("tables", "image", "physics", "formats", "baselines", "models", "metrics", "statistics", "training", "inference"),
    "fidelity",
)
"""Packages of the Python API, in the order of their layers. Those for configurations, downloads, records and reports
are of use inside the workflow only."""
INDENT = "    "


def write_pages(folder: Path) -> None:
    """Write all generated pages into an empty folder inside docs/."""
    shutil.rmtree(folder, ignore_errors=True)
    contents = {
        "home": with_site_links("README.md"),
        "contributing": with_site_links("CONTRIBUTING.md", up="../"),
        "changelog": with_site_links("CHANGELOG.md", up="../"),
        "security": with_site_links("SECURITY.md", up="../"),
        "licence": f"# Licence\n\n```text\n{(CHECKOUT / 'LICENSE').read_text(encoding='utf-8').strip()}\n```\n",
        "configuration": configuration(),
        "examples": examples(),
        "command-line": command_line(),
        "api": api(),
        **{f"api-{name}": package_page(name) for name in PACKAGES},
    }
    for name, text in contents.items():
        write_text(folder / f"{name}.md", text)


def with_site_links(name: str, up: str = "") -> str:
    """Return a Markdown file of the checkout with links to pages of the site in place of files.

    Args:
        name: name of the file.
        up: path from the page to docs/.
    """

    def replaced(found: re.Match[str]) -> str:
        target = found[1]
        if target in LINKS:
            return f"]({up}{LINKS[target]}"
        return f"]({up}{target.removeprefix('docs/')}" if target.startswith("docs/") else found[0]

    return re.sub(r"\]\(([^)#\s]+)", replaced, (CHECKOUT / name).read_text(encoding="utf-8"))


# The configuration


def configuration() -> str:
    """Return the reference of the configuration, from its models."""
    introduction = """# Configuration

Every key of a configuration, with its type, range and default. `run` and `volumes` are required (`volumes: []` if there
are only `collections`). `config.yaml` is the default run and contains all keys; [examples](examples.md) are
configurations for real data. `brainsr check FILE` reports all errors of a configuration before anything runs.
"""
    sections = [line for name, field in Run.model_fields.items() for line in top_level(name, field)]
    return "\n".join([introduction, *sections])


def top_level(name: str, field: Any) -> Iterator[str]:
    """Yield the lines of a section, or of a key outside sections."""
    place = Place.of_field(field)
    yield f"## {name}\n"
    if len(place.models) == 1:
        yield f"{capitalised(purpose(place.models[0]))}\n"
    else:
        yield f"{capitalised(place.description)}{limits(place, field)}\n"
    yield from entries(place)


def keys(model: type[BaseModel], without: str = "") -> Iterator[str]:
    """Yield a definition list of the keys of a model."""
    for name, field in model.model_fields.items():
        if name != without:
            place = Place.of_field(field)
            yield from definition(name, f"{escaped(place.description)}{limits(place, field)}", entries(place))


def definition(term: str, text: str, nested: Iterable[str]) -> Iterator[str]:
    """Yield an item of a definition list, with a list of further items below its text."""
    yield f"`{term}`"
    yield f":   {text}\n"
    yield textwrap.indent("\n".join(nested), INDENT)


def limits(place: Place, field: Any) -> str:
    """Return the type, range and default of a key, in parentheses; empty if its own keys state them."""
    stated = [] if inner_models(place) else [escaped(in_words(place))]
    if field.is_required():
        stated.append("required")
    elif field.default_factory is None and not isinstance(field.default, BaseModel):
        stated.append(f"default `{json.dumps(to_jsonable_python(field.default))}`")
    return f" ({'; '.join(stated)})" if stated else ""


def entries(place: Place) -> Iterator[str]:
    """Yield the keys of a table, of the entries of a list, or of each of several kinds of entries."""
    models = inner_models(place)
    named_by = place.plugin_parameters.key if place.plugin_parameters else ""
    if len(models) == 1:
        yield from keys(models[0])
        return
    for model in models:
        key = tag_key(model)
        yield from definition(
            f"{named_by or key}: {' or '.join(tags(model))}", escaped(purpose(model)), keys(model, without=key)
        )


def inner_models(place: Place) -> list[type[BaseModel]]:
    """Return the models of a table, or of the entries of a list or table."""
    if place.models or place.plugin_parameters:
        return place.models or (place.plugin_parameters.models if place.plugin_parameters else [])
    types = [one for one in get_args(place.annotation) if one is not Ellipsis]
    return Place.of_type(types[-1]).models if types else []


def purpose(model: type[BaseModel]) -> str:
    """Return the docstring of a model in one line."""
    return " ".join((inspect.getdoc(model) or "").split())


def capitalised(text: str) -> str:
    """Return escaped text with a capital first letter."""
    return escaped(text[:1].upper() + text[1:])


def escaped(text: str) -> str:
    """Return text with the characters escaped that Markdown and HTML interpret, except in code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*_\[\]<>])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


# Examples and the command line


def examples() -> str:
    """Return the page of the examples."""
    introduction = """# Examples

Configurations for real data, in the folder `examples` of the checkout. Copy the most similar one, change names and
paths, and check it with `brainsr check my.yaml`.
"""
    folder = CHECKOUT / "examples"
    paths = [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*/*.yaml"))]
    sections = [
        f"## {path.relative_to(folder)}\n\n```yaml\n{path.read_text(encoding='utf-8').strip()}\n```\n" for path in paths
    ]
    return "\n".join([introduction, *sections])


def command_line() -> str:
    """Return the reference of the command line: all commands, and a list of the steps of the workflow."""
    from pipeline.steps._framework import names

    text = app_for([]).generate_docs(output_format="markdown")
    text = re.sub(r"## Table of Contents\n.*?\*\*Commands\*\*", "**Commands**", text, flags=re.DOTALL)
    text = text.replace("# brainsr\n", "# Command line\n", 1)
    # The usage of this command names the program that generates the page.
    text = re.sub(r"(brainsr --install-completion) .*?\[OPTIONS\]", r"\1 [OPTIONS]", text)
    introduction = """
## Steps of the workflow

Each step can also be run by hand, as `python -m pipeline.steps STEP`; `--help` lists its options.
"""
    steps = [f"- `{name}`: {escaped(docstring_summary(f'pipeline.steps.{name}'))}" for name in names()]
    return "\n".join([text, introduction, *steps, ""])


# The Python API


def api() -> str:
    """Return the overview of the Python API."""
    introduction = """# Python API

The import package is called `pipeline`. Its packages form layers: each imports only packages of the same or an earlier
layer. Unless stated otherwise, volumes are arrays of shape (x, y, z) in normalised intensities.
"""
    summaries = [
        f"- [`pipeline.{name}`](api-{name}.md): {escaped(docstring_summary(f'pipeline.{name}'))}" for name in PACKAGES
    ]
    contents = ["", "```{toctree}", ":hidden:", "", *(f"api-{name}" for name in PACKAGES), "```", ""]
    return "\n".join([introduction, *summaries, *contents])


def package_page(name: str) -> str:
    """Return the page of a package, with all of its public modules."""
    folder = CHECKOUT / "pipeline" / name
    modules = sorted(
        ".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__")
        for path in folder.rglob("*.py")
        if not any(part.startswith("_") and part != "__init__.py" for part in path.relative_to(folder).parts)
    )
    package = f"pipeline.{name}."
    sections = [
        f"{f'## {module.removeprefix(package)}' if module.startswith(package) else f'# {module}'}\n\n"
        f"```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n```\n"
        for module in modules
    ]
    return "\n".join(sections)
