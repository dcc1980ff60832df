"""Reads configurations: from Snakemake's mapping, from a file, or from the JSON that a rule hands to a stage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError, create_model

from pipeline import plugins
from pipeline.config.base import Section
from pipeline.config.checks import check_infer, check_leaks, check_train, check_volumes
from pipeline.config.mistakes import explain
from pipeline.config.run import Run
from pipeline.errors import UserError

SectionType = TypeVar("SectionType", bound=Section)


def read_run(values: Mapping[str, Any]) -> Run:
    """Checks a whole configuration.

    Raises:
        UserError: with every mistake, one a line.
    """
    mistakes = list(_unknown_keys(values))
    good: dict[str, Any] = {}
    for name, field in Run.model_fields.items():
        holder = create_model("Holder", __base__=Section, **{name: (field.annotation, field)})
        try:
            text = json.dumps({name: values[name]} if name in values else {}, default=str)
            good[name] = getattr(holder.model_validate_json(text), name)
        except ValidationError as error:
            mistakes.extend(explain(error, holder))
    mistakes.extend(_contradictions(good))
    if mistakes:
        lines = "\n".join(f"  - {mistake}" for mistake in mistakes)
        raise UserError(f"the configuration has {len(mistakes)} mistake(s):\n{lines}")
    return Run.model_construct(**good)


def _unknown_keys(values: Mapping[str, Any]) -> Iterator[str]:
    known = list(Run.model_fields)
    for key in values:
        if key not in known:
            yield f"{key}: there is no such key; {plugins.suggest(str(key), known)}"


def _contradictions(good: Mapping[str, Any]) -> Iterator[str]:
    """Checks across sections, each as far as the sections it needs are sound."""
    if {"volumes", "sources"} <= good.keys():
        yield from check_volumes(good["volumes"], good["sources"])
    if {"volumes", "min_gap_slices"} <= good.keys():
        yield from check_leaks(good["volumes"], good["min_gap_slices"])
    if {"train", "sources"} <= good.keys():
        yield from check_train(good["train"], good["sources"])
    if "infer" in good:
        yield from check_infer(good["infer"])


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a configuration file as a mapping.

    Raises:
        UserError: the file cannot be read or is no YAML mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no configuration: expected keys and values.")
    return values


def read_section(model: type[SectionType], text: str) -> SectionType:
    """Reads the settings of one stage.

    Args:
        model: the section's type.
        text: its JSON, or the path of a configuration file, of which the stage's own section is taken.

    Raises:
        UserError: with every mistake, one a line.
    """
    if not text.lstrip().startswith("{"):
        values = read_yaml(Path(text)).get(model.__name__.lower(), {})
        text = json.dumps(values, default=str)
    return _validated(model, text, model.__name__.lower())


def read_entry(model: Any, text: str, name: str) -> Any:
    """Reads one entry of the configuration (a volume, a source) from its JSON; errors as `read_section`."""
    return _validated(model, text, name)


def _validated(model: Any, text: str, name: str) -> Any:
    try:
        return TypeAdapter(model).validate_json(text)
    except ValidationError as error:
        holder = create_model("Holder", __base__=Section, **{name: (model, ...)})
        raise UserError("\n".join(explain(error, holder, (name,)))) from error
