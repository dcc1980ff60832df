"""Messages about invalid values of the configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline import plugins
from pipeline.config.allowed import KEY, Place, choices, in_words, key_place, step, tags

LONGEST_VALUE = 80
"""Maximum number of characters of an invalid value in a message."""


DECIMAL_COMMA = re.compile(r"[-+]?[0-9]*,[0-9]+")
YAML_NUMBER = re.compile(r"[-+]?([0-9]+|[0-9]+\.[0-9]*([eE][-+][0-9]+)?)")
"""Unquoted text that YAML 1.1 reads as a number."""

Written = Callable[[tuple[int | str, ...]], str | None]
"""Return the text of the value at a key path in the configuration file; None if unknown."""


def explain(
    error: ValidationError, annotation: Any, prefix: tuple[str, ...] = (), written: Written = lambda parts: None
) -> list[str]:
    """Return one line per mistake: key path, value, accepted values, and the most similar valid key.

    Args:
        error: validation error of pydantic.
        annotation: the validated type.
        prefix: keys that lead to the value.
        written: returns the text of a value in the configuration file.
    """
    root = Place.of_type(annotation)
    return list(dict.fromkeys(_line(detail, root, prefix, written) for detail in error.errors()))


def _line(detail: ErrorDetails, root: Place, prefix: tuple[str, ...], written: Written) -> str:
    in_key = detail["loc"][-1:] == (KEY,)
    location = detail["loc"][:-2] if in_key else detail["loc"]
    place, parts = follow(root, location)
    if in_key:
        return f"{_named(prefix, parts)}: the key {_refused(detail, key_place(place))}"
    holder, above = follow(root, location[:-1])
    if detail["type"] == "missing" and holder and not holder.models:  # the list is too short
        return f"{_named(prefix, above)}: {_refused(detail, holder)}"
    quotes = _quotes(detail, parts, written((*prefix, *parts)))
    return f"{_named(prefix, parts)}{_trouble(detail, place, holder)}{quotes}"


def _named(prefix: tuple[str, ...], parts: tuple[int | str, ...]) -> str:
    return key_path((*prefix, *parts)) or "the configuration"


def _trouble(detail: ErrorDetails, place: Place | None, holder: Place | None) -> str:
    """Return the part of a line after the key path."""
    match detail["type"]:
        case "extra_forbidden":
            known = list(holder.models[0].model_fields) if holder and holder.models else []
            return f": unknown key; {plugins.suggest(str(detail['loc'][-1]), known)}"
        case "missing":
            return f": is missing and has no default; {_wanted(place)}"
        case "union_tag_invalid" | "union_tag_not_found":
            return _kind_trouble(detail, place)
        case "json_invalid":
            return f": {shown(detail['input'])} is not valid JSON ({detail.get('ctx', {}).get('error')})"
    return f": {_refused(detail, place)}"


def _refused(detail: ErrorDetails, place: Place | None) -> str:
    """Describe an invalid value and the accepted values."""
    if detail["type"] == "value_error":
        return f"{shown(detail['input'])} is not allowed: {detail['msg'].removeprefix('Value error, ')}"
    return f"{shown(detail['input'])} is not allowed; {_wanted(place)}{_hint(detail, place)}"


def _kind_trouble(detail: ErrorDetails, place: Place | None) -> str:
    """Describe a table, such as a source, whose kind is missing or unknown."""
    context = detail.get("ctx", {})
    key = str(context.get("discriminator")).strip("'")
    if detail["type"] == "union_tag_not_found":
        kinds = [tag for model in (place.models if place else []) for tag in tags(model)]
        return f".{key}: is missing and has no default; allowed: one of {', '.join(kinds)}"
    expected = [tag.strip(" '") for tag in str(context.get("expected_tags")).split(",")]
    return f".{key}: {shown(context.get('tag'))} is not allowed; {plugins.suggest(str(context.get('tag')), expected)}"


def _wanted(place: Place | None) -> str:
    return f"allowed: {in_words(place)}" if place else "see the comments in config.yaml"


def _hint(detail: ErrorDetails, place: Place | None) -> str:
    """Return a hint about the intended value."""
    value = detail["input"]
    if detail["type"] == "literal_error" and isinstance(value, str):
        nearest = plugins.suggest(value, choices(place))
        return f"; {nearest}" if nearest.startswith("did") else ""
    if detail["type"] in ("float_type", "int_type") and isinstance(value, str):
        return _number_hint(value.strip(), whole=detail["type"] == "int_type")
    return ""


def _number_hint(text: str, whole: bool) -> str:
    """Return a hint for a number that YAML read as text."""
    if DECIMAL_COMMA.fullmatch(text):
        return f"; write decimals with a point: {text.replace(',', '.')}"
    try:
        number = float(text)
    except ValueError:
        return ""
    if whole:
        return f"; YAML reads this as text: write {int(number)} without quotes" if number.is_integer() else ""
    if YAML_NUMBER.fullmatch(text):
        return f"; YAML reads this as text: write {text} without quotes"
    return "; YAML reads this as text: write it without quotes and with a decimal point, such as 2.0e-4"


def _quotes(detail: ErrorDetails, parts: Sequence[int | str], text: str | None) -> str:
    """Return a hint for text that YAML read as a number or boolean."""
    value = detail["input"]
    if detail["type"] != "string_type" or not isinstance(value, bool | int | float) or not parts:
        return ""
    what = "true or false" if isinstance(value, bool) else "a number"
    quoted = json.dumps(text if text is not None else str(value).lower(), ensure_ascii=False)
    line = f"[{quoted}]" if isinstance(parts[-1], int) else f"{parts[-1]}: {quoted}"
    as_written = "" if text is not None else ", as in your file (YAML reads 007 as 7 and no as false)"
    return f"; YAML reads this as {what}: put it in quotes{as_written}: {line}"


def follow(root: Place, location: Iterable[int | str]) -> tuple[Place | None, tuple[int | str, ...]]:
    """Follow a pydantic location through nested models, lists, tables and kinds.

    Returns:
        The location, or None if it does not exist; and the parts that are visible to the user.
    """
    place: Place | None = root
    seen: list[int | str] = []
    for part in location:
        place, visible = step(place, part) if place else (None, True)
        if visible:
            seen.append(part)
    return place, tuple(seen)


def key_path(parts: Iterable[int | str]) -> str:
    """Join keys and indices: ("volumes", 2, "split") becomes "volumes[2].split"."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def shown(value: Any) -> str:
    """Return a value as JSON, shortened."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."
