"""Documents generated from the typed configuration: the commented default file and the JSON schema.

Both are deterministic.
"""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import yaml
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from pipeline.config.allowed import Place, in_words, tag_key, tags
from pipeline.config.demo import DEMO
from pipeline.config.load import read_run
from pipeline.config.run import Run

WIDTH = 110
"""Maximum line length of the default file."""
INDENT = 2
HEADER = """
BrainSR: the default run. It downloads two brain images, trains on one, and evaluates on both.

This file lists every key with its description and, in parentheses, its type and range. Your own
configuration needs `run` and `volumes` ([] if it only has `collections`); keys that are left out have the
defaults given here. Check it with
    brainsr check FILE
and run it with
    snakemake --cores all --configfile FILE

This file is generated: edit the models in pipeline/config, or the values in pipeline/config/demo.py, and
run `make config`.
"""


def default_config(values: Mapping[str, Any] = DEMO) -> str:
    """Return a configuration as YAML with a comment on the description and range of every key.

    Args:
        values: a configuration; keys left out are written with their defaults.

    Raises:
        UserError: the configuration is invalid.
    """
    # Of recipes, only the given values are written; the others are those of the preset.
    filled = {**read_run(values).model_dump(mode="json"), "recipes": dict(values.get("recipes", {}))}
    parts = [_comments(HEADER.strip().splitlines())]
    for name, field in Run.model_fields.items():
        place = Place.of_field(field)
        is_section = len(place.models) == 1
        parts.append(_section(name, place.models[0], filled[name]) if is_section else _key(name, place, filled[name]))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def schema() -> str:
    """Return the JSON schema of a configuration, as indented JSON with sorted keys."""
    content = {
        **Run.model_json_schema(),
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "BrainSR configuration",
        "description": "Configuration of a run of BrainSR; generated from pipeline/config, do not edit.",
    }
    return json.dumps(content, indent=INDENT, sort_keys=True) + "\n"


def _section(name: str, model: type[BaseModel], values: Mapping[str, Any]) -> list[str]:
    """Return the lines of a section."""
    lines = [*_comments(_wrapped(_purpose(model))), f"{name}:"]
    for key, field in model.model_fields.items():
        lines.extend(" " * INDENT + line for line in _key(key, Place.of_field(field), values[key], INDENT))
    return lines


def _key(name: str, place: Place, value: Any, indent: int = 0) -> list[str]:
    """Return the lines of a key: its comment and its value."""
    inner = _inner_models(place)
    allowed = "" if inner else f" ({in_words(place)})"
    comment = _wrapped(f"{place.description}{allowed}", indent)
    named_by = place.plugin_parameters.key if place.plugin_parameters else ""
    return [*_comments([*comment, *_keys_of(inner, named_by)]), *_value(name, value)]


def _value(name: str, value: Any) -> list[str]:
    """Return a key and its value as YAML, with one line per table in a list of tables if it fits."""
    if not (isinstance(value, list) and value and isinstance(value[0], dict)):
        lines = _dump({name: value}, flow=None if isinstance(value, list | dict) else False)
        return lines if max(map(len, lines)) + INDENT <= WIDTH else _dump({name: value}, flow=False)
    lines = [f"{name}:"]
    for given in value:
        entry = {key: one for key, one in given.items() if one is not None}  # a key left out is null
        one_line = _dump(entry, flow=True)[0]
        fits = len(one_line) + INDENT + 2 <= WIDTH
        first, *rest = [one_line] if fits else _dump(entry, flow=None)
        lines.extend([f"  - {first}", *(f"    {line}" for line in rest)])
    return lines


def _dump(value: Any, flow: bool | None) -> list[str]:
    text = yaml.safe_dump(value, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text.rstrip("\n").splitlines()


def _inner_models(place: Place) -> list[type[BaseModel]]:
    """Return the model of a table, or the models of the entries of a list or table."""
    if place.models or place.plugin_parameters:
        return place.models or (place.plugin_parameters.models if place.plugin_parameters else [])
    types = [one for one in get_args(place.annotation) if one is not Ellipsis]
    return Place.of_type(types[-1]).models if types else []


def _keys_of(models: list[type[BaseModel]], named_by: str = "") -> list[str]:
    """Describe the keys of an entry; with several kinds, the common keys come last.

    Args:
        models: the kinds.
        named_by: the key outside the entry that selects its kind; empty if a key of the entry does.
    """
    if len(models) <= 1:
        return [line for model in models for line in _key_table(_fields(model))]
    fields = {model: _fields(model) for model in models}
    shared = set.intersection(*(set(table.items()) for table in fields.values()))
    lines: list[str] = []
    for model, table in fields.items():
        key = tag_key(model)
        own = {name: words for name, words in table.items() if (name, words) not in shared and name != key}
        heading = f"{named_by or key}: {' or '.join(tags(model))} ({_purpose(model)})"
        lines.extend([*_wrapped(heading), *_key_table(own)])
    common = {key: words for key, words in fields[models[0]].items() if (key, words) in shared}
    return [*lines, "all kinds:", *_key_table(common)] if common else lines


def _fields(model: type[BaseModel]) -> dict[str, str]:
    """Return the keys of a model and their descriptions; keys of nested tables have dotted names."""
    found: dict[str, str] = {}
    for name, field in model.model_fields.items():
        place = Place.of_field(field)
        stated = not field.is_required() and not isinstance(field.default, BaseModel)
        default = f"; default {json.dumps(to_jsonable_python(field.default))}" if stated else ""
        found[name] = f"{place.description} ({in_words(place)}{default})"
        items = [] if place.models else _inner_models(place)
        for inner in place.models or (items if len(items) == 1 else []):
            found |= {f"{name}.{key}": words for key, words in _fields(inner).items()}
    return found


def _key_table(fields: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of a two-column table of keys and descriptions."""
    width = max((len(name) for name in fields), default=0) + 2
    for name, words in fields.items():
        first, *rest = _wrapped(words, width + 4)
        yield f"  {name:<{width}}{first}"
        yield from (" " * (width + 2) + line for line in rest)


def _purpose(model: type[BaseModel]) -> str:
    return " ".join((inspect.getdoc(model) or "").split())


def _wrapped(text: str, indent: int = 0) -> list[str]:
    return textwrap.wrap(text, WIDTH - indent - 2, break_long_words=False, break_on_hyphens=False)


def _comments(lines: Iterable[str]) -> list[str]:
    return [f"# {line}".rstrip() for line in lines]
