"""Reading of configurations: from Snakemake, from a file, or from the JSON that a rule passes to a step."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError, create_model
from yaml.error import MarkedYAMLError

from pipeline import plugins
from pipeline.config.base import Section
from pipeline.config.checks import (
    check_degradations,
    check_derivatives,
    check_dropped_slices,
    check_infer,
    check_labels,
    check_leaks,
    check_operators,
    check_reading,
    check_recipes,
    check_same_files,
    check_teachers,
    check_train,
    check_unseen,
    check_volumes,
    unused_recipes,
)
from pipeline.config.demo import DEMO
from pipeline.config.families import check_formats
from pipeline.config.finding import find_all
from pipeline.config.finding.items import holds, shortened
from pipeline.config.known import known_sources
from pipeline.config.mistakes import explain, key_path, shown
from pipeline.config.recipe import PRETRAINED, Recipe, filled
from pipeline.config.run import NOT_TESTED, Run
from pipeline.config.sections import is_self_supervised
from pipeline.config.sources import LocalSource
from pipeline.config.volumes import with_stacks
from pipeline.errors import UserError

logger = logging.getLogger(__name__)

NUMBERED = ("evaluate", "labels")
"""The only table whose keys are numbers."""

SectionType = TypeVar("SectionType", bound=Section)


def read_run(values: Mapping[str, Any], look: bool = True, files: Sequence[Path] = ()) -> Run:
    """Check a whole configuration.

    Args:
        values: content of the configuration file.
        look: expand `datasets`. The configuration passed to a step already contains their volumes, and must not change
            if files are added or removed during the run.
        files: files that contain the values, for messages; the first one with a key takes precedence.

    Warnings are logged for images left out of a data set, for a run without test volumes, and for unused recipes.

    Raises:
        UserError: lists all mistakes, one per line.
    """
    as_json(values)  # rejects values that contain themselves
    mistakes = [*_unknown_keys(values), *_not_text(values)]
    values = {**values, "recipes": _filled_recipes(values["recipes"])} if "recipes" in values else values
    good: dict[str, Any] = {}
    notes: list[str] = []
    for name, field in Run.model_fields.items():
        definition: Any = {name: (field.annotation, field)}
        holder = create_model("Holder", __base__=Section, **definition)
        try:
            text = as_json({name: values[name]} if name in values else {})
            good[name] = getattr(holder.model_validate_json(text), name)
        except ValidationError as error:
            mistakes.extend(explain(error, Run, written=partial(as_written, files)))
    if {"volumes", "collections"} <= good.keys():
        good["volumes"] = with_stacks(good["volumes"], good["collections"])
    if look and {"volumes", "datasets", "sources"} <= good.keys():
        found = find_all(good["datasets"], good["sources"])
        mistakes.extend(found.mistakes)
        notes.extend(found.notes)
        good["volumes"] = (*good["volumes"], *found.volumes)
        good["sources"] = {**good["sources"], **found.sources}
        if found.mistakes:
            del good["datasets"]
    mistakes.extend(_contradictions(good))
    if look and {"volumes", "collections", "datasets", "sources"} <= good.keys():
        mistakes.extend(check_same_files(good["volumes"], {**known_sources(), **good["sources"]}))
    if mistakes:
        raise UserError(listed("the configuration", mistakes))
    run = Run.model_construct(**good)
    if look:
        notes.extend(_unused(run))
        for note in (*notes, *([] if run.is_tested else [NOT_TESTED])):
            logger.warning("warning: %s", note)
    return run


def _unknown_keys(values: Mapping[str, Any]) -> Iterator[str]:
    known = list(Run.model_fields)
    for key in values:
        if key not in known:
            yield f"{key}: unknown key; {plugins.suggest(str(key), known)}"


def _not_text(values: Any, parts: tuple[int | str, ...] = ()) -> Iterator[str]:
    """Find keys and dates that YAML did not read as text."""
    items = values.items() if isinstance(values, Mapping) else enumerate(values) if isinstance(values, list) else ()
    place = key_path(parts) or "the configuration"
    before: Any = None
    for key, value in items:
        last, before = before, key
        numbers_wanted = isinstance(values, list) or parts == NUMBERED
        if not isinstance(key, str) and not (numbers_wanted and isinstance(key, int)):
            if isinstance(key, int) and value is None and isinstance(last, str):  # {noise_sigma: 0,1}
                yield f"{key_path((*parts, last))}: write decimals with a point, such as 0.1, and not with a comma"
                continue
            found = json.dumps(key, default=str)
            quoted = f'"{_plain_key(key)}"'
            yield (
                f"{place}: YAML does not read the key {found} as text: put it in quotes, as in your file: "
                f"{quoted}: (YAML reads 007 as 7 and no as false)"
            )
        elif isinstance(value, datetime):
            yield f"{key_path((*parts, key))}: YAML reads this as a date: put it in quotes"
        else:
            yield from _not_text(value, (*parts, key))


def as_written(files: Sequence[Path], parts: Sequence[int | str]) -> str | None:
    """Return the text of the value at a key path in the first YAML file that contains it; None if none does."""
    for file in files:
        try:
            node = yaml.compose(file.read_text(encoding="utf-8"), yaml.SafeLoader)
        except (OSError, ValueError, yaml.YAMLError):
            continue
        for part in parts:
            node = _child(node, part)
        if isinstance(node, yaml.ScalarNode):
            return node.value
    return None


def _child(node: yaml.Node | None, part: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    return None


def _filled_recipes(recipes: Any) -> Any:
    """Fill in the presets of recipes; values that are no tables are left to the validation."""
    if not isinstance(recipes, Mapping):
        return recipes
    return {name: filled(str(name), given) if isinstance(given, Mapping) else given for name, given in recipes.items()}


def _contradictions(good: Mapping[str, Any]) -> Iterator[str]:
    """Run the checks across sections whose sections are valid."""
    if {"volumes", "collections", "datasets", "sources"} <= good.keys():
        yield from check_volumes(
            good["volumes"], good["sources"], bool(good["datasets"]), _self_supervised(good), _trains(good)
        )
        yield from check_derivatives(good["volumes"], good["sources"])
        yield from check_formats(good["volumes"], {**known_sources(), **good["sources"]})
    if {"volumes", "datasets", "evaluate"} <= good.keys():
        yield from check_labels(good["volumes"], good["evaluate"])
    if {"degrade", "evaluate"} <= good.keys():
        yield from check_dropped_slices(good["degrade"], good["evaluate"])
    if {"volumes", "collections", "datasets", "min_gap_slices"} <= good.keys():
        yield from check_leaks(good["volumes"], good["min_gap_slices"])
    if {"train", "sources", "degrade", "methods", "recipes"} <= good.keys():
        yield from check_train(good["train"], good["sources"], good["degrade"], good["methods"], good["recipes"])
    if {"train", "volumes", "collections", "datasets", "sources"} <= good.keys():
        yield from check_unseen(good["train"], good["volumes"], good["sources"])
    if "degradations" in good:
        yield from check_degradations(good["degradations"])
    if {"methods", "recipes"} <= good.keys():
        yield from check_recipes(good["methods"], good["recipes"])
    if {"methods", "recipes", "degrade"} <= good.keys():
        yield from check_operators(good["methods"], good["recipes"], good["degrade"])
    if {"methods", "recipes", "train", "sources", "degrade"} <= good.keys():
        yield from check_teachers(good["methods"], good["recipes"], good["train"], good["sources"], good["degrade"])
    networks = ("methods", "recipes", "degrade", "train")
    if {"infer", *networks} <= good.keys():
        yield from check_infer(good["infer"], *(good[key] for key in networks))
    if {"reading", *networks} <= good.keys():
        yield from check_reading(good["reading"], *(good[key] for key in networks))


def _unused(run: Run) -> Iterator[str]:
    """Find unused recipes, except for those of the default configuration."""
    default = DEMO["recipes"]
    for name in unused_recipes(run.methods, run.recipes):
        is_default = name in default and run.recipes[name] == read_entry(
            Recipe, as_json(filled(name, default[name])), name
        )
        if not is_default:
            yield f"recipes.{name}: no method uses this recipe; to train it, list it in `methods`"


def _self_supervised(good: Mapping[str, Any]) -> bool:
    """Return whether networks are trained on the volumes that they restore."""
    return {"train", "degrade"} <= good.keys() and is_self_supervised(good["train"], good["degrade"])


def _trains(good: Mapping[str, Any]) -> bool:
    """Return whether networks are trained; also if the list of methods is invalid."""
    return bool(good.get("methods", True))


def check_files(run: Run) -> None:
    """Check that all local files of a run exist.

    Files that were already copied to the folder `resources` are not needed any more.

    Raises:
        UserError: lists all missing files, one per line.
    """
    weights = [run.train.initial_weights] if PRETRAINED in run.network_methods else []
    if run.evaluate.needs_features or any(run.recipe(method).needs_perceptual for method in run.trained_methods):
        weights.append(run.train.perceptual_weights)
    used = [name for volume in run.volumes for name in (*volume.source_names, *volume.companion_names)]
    local = {name: run.sources.get(name) for name in dict.fromkeys([*used, *weights])}
    mistakes = [
        _missing(name, source)
        for name, source in local.items()
        if isinstance(source, LocalSource)
        and not any(holds(Path(path).exists) for path in (source.path, f"resources/{name}/{source.file_name}"))
    ]
    if mistakes:
        raise UserError(listed("the configuration", shortened(mistakes)))


def _missing(name: str, source: LocalSource) -> str:
    """Return a message about a missing file, with a hint."""
    path = Path(source.path)
    where = "" if path.is_absolute() else f" in {Path.cwd()}"
    hint = ""
    if source.path.startswith("~"):
        hint = "; ~ is not expanded: write the full path"
    elif holds(path.is_symlink):
        hint = "; this is a broken link (for DataLad, run: datalad get)"
    return f"sources.{name}.path: no such file: {shown(source.path)}{where}{hint}"


def listed(what: str, mistakes: Sequence[str]) -> str:
    """Return all mistakes as one message."""
    if len(mistakes) == 1:
        return f"{what} has a mistake: {mistakes[0]}"
    return "\n".join([f"{what} has {len(mistakes)} mistakes:", *(f"  - {mistake}" for mistake in mistakes)])


def as_json(values: Any) -> str:
    """Convert values read by YAML to JSON; keys and dates become text.

    Raises:
        UserError: the values contain themselves through a YAML alias.
    """
    try:
        return json.dumps(_plain(values), default=str)
    except RecursionError as error:
        raise UserError("the configuration contains itself through a YAML alias; write it out.") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_plain_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _plain_key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(key, default=str).strip('"')


class _Loader(yaml.SafeLoader):
    """A safe loader that rejects duplicate keys, of which YAML would silently use the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping; see the class."""
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise MarkedYAMLError(problem=f"the key {key.value!r} occurs twice", problem_mark=key.start_mark)
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a configuration file as a mapping.

    Raises:
        UserError: the file cannot be read or does not contain a YAML mapping.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise UserError(f"{path} is not valid YAML: {_reason(error)}.") from error
    if not isinstance(values, dict):
        found = {type(None): "nothing", list: "a list"}.get(type(values), "a single value")
        raise UserError(f"{path} is not a configuration: expected keys and values, found {found}.")
    return values


def _reason(error: Exception) -> str:
    """Describe a YAML error and its position in one line."""
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    mark = error.problem_mark
    return f"{error.problem} in line {mark.line + 1}, column {mark.column + 1}"


def read_section(model: type[SectionType], text: str) -> SectionType:
    """Read the settings of a step.

    Args:
        model: the section's type.
        text: JSON, or the path of a configuration file that contains the section.

    Raises:
        UserError: lists all mistakes, one per line.
    """
    if not text.lstrip().startswith("{"):
        text = as_json(read_yaml(Path(text)).get(model.__name__.lower(), {}))
    return _validated(model, text, model.__name__.lower())


def read_entry(model: Any, text: str, name: str) -> Any:
    """Read one entry of the configuration (a volume, a source) from its JSON; errors as `read_section`."""
    return _validated(model, text, name)


def _validated(model: Any, text: str, name: str) -> Any:
    try:
        return TypeAdapter(model).validate_json(text)
    except ValidationError as error:
        raise UserError(listed(f"{name!r}", explain(error, model, (name,)))) from error
