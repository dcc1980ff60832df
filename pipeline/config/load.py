"""Read configurations: from Snakemake's mapping, from a file, or from the JSON that a rule hands to a stage."""

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
    check_derivatives,
    check_infer,
    check_labels,
    check_leaks,
    check_reading,
    check_recipes,
    check_same_files,
    check_train,
    check_volumes,
    unused_recipes,
)
from pipeline.config.demo import DEMO
from pipeline.config.families import check_formats
from pipeline.config.finding import find_all
from pipeline.config.finding.items import holds, shortened
from pipeline.config.known import known_sources
from pipeline.config.mistakes import explain, key_path, shown
from pipeline.config.recipe import Recipe, filled
from pipeline.config.run import NOT_TESTED, Run
from pipeline.config.sections import is_self_supervised
from pipeline.config.sources import LocalSource
from pipeline.config.volumes import with_stacks
from pipeline.errors import UserError

logger = logging.getLogger(__name__)

NUMBERED = ("evaluate", "labels")
"""The one table whose keys are numbers."""

SectionType = TypeVar("SectionType", bound=Section)


def read_run(values: Mapping[str, Any], look: bool = True, files: Sequence[Path] = ()) -> Run:
    """Check a whole configuration.

    Args:
        values: what the file says.
        look: look up what `datasets` hold. What a rule hands to a stage has their volumes already, and must not change
            when a file comes or goes while the run goes on.
        files: where the values come from, for messages; the first one that has a key counts.

    What is no mistake but should be known is logged as a warning: images that a data set leaves out, a run without
    test volumes, a recipe that nothing is trained by.

    Raises:
        UserError: with every mistake, one a line.
    """
    as_json(values)  # refuses what contains itself
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
            yield f"{key}: there is no such key; {plugins.suggest(str(key), known)}"


def _not_text(values: Any, parts: tuple[int | str, ...] = ()) -> Iterator[str]:
    """Name keys and points in time that YAML did not read as the text that they are in the file."""
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
                f"{place}: the key {found} is not text to YAML: put quotes around it, as it stands in your file: "
                f"{quoted}: (YAML reads 007 as 7 and no as false)"
            )
        elif isinstance(value, datetime):
            yield f"{key_path((*parts, key))}: to YAML this is a point in time: put quotes around it"
        else:
            yield from _not_text(value, (*parts, key))


def as_written(files: Sequence[Path], parts: Sequence[int | str]) -> str | None:
    """Return how the value at a key path is written in the first of some YAML files that has it; None if none has."""
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
    """Fill what recipes leave out from their presets; what is no table is left for the validation to complain of."""
    if not isinstance(recipes, Mapping):
        return recipes
    return {name: filled(str(name), given) if isinstance(given, Mapping) else given for name, given in recipes.items()}


def _contradictions(good: Mapping[str, Any]) -> Iterator[str]:
    """Check across sections, each as far as the sections it needs are sound."""
    if {"volumes", "collections", "datasets", "sources"} <= good.keys():
        yield from check_volumes(good["volumes"], good["sources"], bool(good["datasets"]), _self_supervised(good))
        yield from check_derivatives(good["volumes"], good["sources"])
        yield from check_formats(good["volumes"], {**known_sources(), **good["sources"]})
    if {"volumes", "datasets", "evaluate"} <= good.keys():
        yield from check_labels(good["volumes"], good["evaluate"])
    if {"volumes", "collections", "datasets", "min_gap_slices"} <= good.keys():
        yield from check_leaks(good["volumes"], good["min_gap_slices"])
    if {"train", "sources", "degrade"} <= good.keys():
        yield from check_train(good["train"], good["sources"], good["degrade"])
    if {"methods", "recipes"} <= good.keys():
        yield from check_recipes(good["methods"], good["recipes"])
    if {"infer", "methods", "recipes"} <= good.keys():
        yield from check_infer(good["infer"], good["methods"], good["recipes"])
    if {"reading", "methods", "recipes"} <= good.keys():
        yield from check_reading(good["reading"], good["methods"], good["recipes"])


def _unused(run: Run) -> Iterator[str]:
    """Name recipes that nothing is trained by, but for those of the default configuration, which others build on."""
    default = DEMO["recipes"]
    for name in unused_recipes(run.methods, run.recipes):
        is_default = name in default and run.recipes[name] == read_entry(
            Recipe, as_json(filled(name, default[name])), name
        )
        if not is_default:
            yield f"recipes.{name}: no method uses this recipe: it has no effect; to train by it, list it in `methods`"


def _self_supervised(good: Mapping[str, Any]) -> bool:
    """Whether networks learn from the volumes that they restore, as far as the sections that say so are sound."""
    return {"train", "degrade"} <= good.keys() and is_self_supervised(good["train"], good["degrade"])


def check_files(run: Run) -> None:
    """Make sure that the files on this machine that a run needs are there.

    A file that the workflow has taken over into its folder `resources` need not be there any longer.

    Raises:
        UserError: with every file that is missing, one a line.
    """
    weights = [run.train.initial_weights]
    if run.evaluate.needs_features or any(run.recipe(method).needs_perceptual for method in run.trained_methods):
        weights.append(run.train.perceptual_weights)
    used = [name for volume in run.volumes for name in (volume.source, volume.segmentation) if name]
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
    """Says that a source's file is not there, and why that may be."""
    path = Path(source.path)
    where = "" if path.is_absolute() else f" in {Path.cwd()}"
    hint = ""
    if source.path.startswith("~"):
        hint = "; ~ is not understood here: write the whole path of your home folder"
    elif holds(path.is_symlink):
        hint = "; it is a link to something that is not there (where it is one of DataLad, fetch it with: datalad get)"
    return f"sources.{name}.path: there is no file {shown(source.path)}{where}{hint}"


def listed(what: str, mistakes: Sequence[str]) -> str:
    """Return all mistakes as one message."""
    if len(mistakes) == 1:
        return f"{what} has a mistake: {mistakes[0]}"
    return "\n".join([f"{what} has {len(mistakes)} mistakes:", *(f"  - {mistake}" for mistake in mistakes)])


def as_json(values: Any) -> str:
    """Return what YAML read as JSON: keys and dates become the text that stands in the file.

    Raises:
        UserError: the values contain themselves, which a YAML alias can do.
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
    """A safe loader that refuses a key given twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping; see the class."""
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise MarkedYAMLError(problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a configuration file as a mapping.

    Raises:
        UserError: the file cannot be read or is no YAML mapping.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise UserError(f"{path} is not valid YAML: {_reason(error)}.") from error
    if not isinstance(values, dict):
        found = {type(None): "nothing", list: "a list"}.get(type(values), "a single value")
        raise UserError(f"{path} holds no configuration: expected keys and values, found {found}.")
    return values


def _reason(error: Exception) -> str:
    """What is wrong with a file's YAML, and where, in one line."""
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    mark = error.problem_mark
    return f"{error.problem} in line {mark.line + 1}, column {mark.column + 1}"


def read_section(model: type[SectionType], text: str) -> SectionType:
    """Read the settings of one stage.

    Args:
        model: the section's type.
        text: its JSON, or the path of a configuration file, of which the stage's own section is taken.

    Raises:
        UserError: with every mistake, one a line.
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
