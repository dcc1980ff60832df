"""Tells what is wrong with a configuration: all of it at once, in the user's words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from pipeline import plugins

_TAGS = {"package", "http", "local"}


def explain(error: ValidationError, model: type[BaseModel], prefix: tuple[str, ...] = ()) -> list[str]:
    """Returns one line a mistake: key path, the value found, what is allowed, and the nearest valid key."""
    return [_line(detail, model, prefix) for detail in error.errors()]


def _line(detail: ErrorDetails, model: type[BaseModel], prefix: tuple[str, ...]) -> str:
    location = [part for part in detail["loc"] if part not in _TAGS and part != "[key]"]
    path = key_path((*prefix, *location))
    if detail["type"] == "extra_forbidden":
        known = list(_model_at(model, detail["loc"][:-1]).model_fields)
        return f"{path}: there is no such key; {plugins.suggest(str(location[-1]), known)}"
    if detail["type"] == "missing":
        return f"{path}: is missing and has no default"
    message = detail["msg"].removeprefix("Value error, ")
    allowed = allowed_range(_field_at(model, detail["loc"]))
    return f"{path}: {_shown(detail['input'])} is not allowed: {_lower(message)}" + (
        f" (allowed: {allowed})" if allowed else ""
    )


def key_path(parts: tuple[Any, ...]) -> str:
    """Joins keys and indices: ("volumes", 2, "split") becomes "volumes[2].split"."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def allowed_range(field: FieldInfo | None) -> str:
    """Returns the numeric bounds of a field, such as ">= 2, <= 8", or an empty string."""
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    constraints = field.metadata if field else []
    bounds = [
        f"{sign} {getattr(item, name)}" for item in constraints for name, sign in signs.items() if hasattr(item, name)
    ]
    return ", ".join(bounds)


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _field_at(model: type[BaseModel], location: tuple[int | str, ...]) -> FieldInfo | None:
    """The field that a location ends in, or nothing where it ends inside a list or table."""
    return _model_at(model, location[:-1]).model_fields.get(str(location[-1])) if location else None


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """Follows a location through nested models, lists, tables and tagged unions."""
    current: Any = model
    for part in location:
        models = list(_models_in(current))
        holder = next((m for m in models if str(part) in m.model_fields), None)
        if holder is not None:
            current = holder.model_fields[str(part)].annotation
        elif part in _TAGS:
            current = next((m for m in models if part in get_args(m.model_fields["kind"].annotation)), current)
    return next(_models_in(current), model)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
