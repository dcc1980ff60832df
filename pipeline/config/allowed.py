"""Descriptions of the values that a key of the configuration accepts, for messages and for comments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, Tag
from pydantic.fields import FieldInfo

from pipeline.config.names import PluginName, PluginParameters
from pipeline.config.parameters import RANGE

SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
WORDS = {bool: "true or false", int: "whole number", float: "number", Any: "anything"}
TAG_KEYS = ("kind", "name")
"""Keys that discriminate between kinds of tables."""
KEY = "[key]"
"""Marker of pydantic for errors in a key rather than in its value."""


@dataclass(frozen=True)
class Place:
    """A location in the configuration: its type, constraints and description."""

    annotation: Any
    constraints: tuple[Any, ...] = ()
    description: str = ""

    @classmethod
    def of_field(cls, field: FieldInfo) -> Place:
        """Return the location of a field."""
        return cls(field.annotation, tuple(field.metadata), " ".join((field.description or "").split())).bare()

    @classmethod
    def of_type(cls, annotation: Any) -> Place:
        """Return a location of the given type."""
        return cls(annotation).bare()

    def bare(self) -> Place:
        """Move the metadata of `Annotated` into the constraints."""
        if get_origin(self.annotation) is not Annotated:
            return self
        inner, *metadata = get_args(self.annotation)
        return Place(inner, (*self.constraints, *_flat(metadata)), self.description).bare()

    @property
    def alternatives(self) -> list[Place]:
        """The members of a union without None, or the location itself if it is no union."""
        if get_origin(self.annotation) not in (Union, UnionType):
            return [self]
        arms = [arm for arm in get_args(self.annotation) if arm is not type(None)]
        places = [Place(arm, self.constraints, self.description).bare() for arm in arms]
        return [alternative for place in places for alternative in place.alternatives]

    @property
    def optional(self) -> bool:
        """Whether null is accepted."""
        return type(None) in get_args(self.annotation)

    @property
    def models(self) -> list[type[BaseModel]]:
        """The accepted models: none, one, or several that are discriminated by a tag."""
        kinds = [place.annotation for place in self.alternatives]
        return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]

    @property
    def tag(self) -> str:
        """The tag by which pydantic discriminates this alternative; empty if it has none."""
        return next((item.tag for item in self.constraints if isinstance(item, Tag)), "")

    @property
    def plugin_parameters(self) -> PluginParameters | None:
        """The annotation of a table with the parameters of a plug-in."""
        return next((item for item in self.constraints if isinstance(item, PluginParameters)), None)

    @property
    def plugin_name(self) -> PluginName | None:
        """The validator of plug-in names at this location."""
        checks = [item.func for item in self.constraints if isinstance(item, AfterValidator)]
        return next((check for check in checks if isinstance(check, PluginName)), None)


def _flat(metadata: Sequence[Any]) -> Iterator[Any]:
    for item in metadata:
        yield from item.metadata if isinstance(item, FieldInfo) else (item,)


def step(place: Place, part: int | str) -> tuple[Place | None, bool]:
    """Follow one part of a pydantic location.

    Returns:
        The location, or None if it does not exist; and whether the part is visible to the user (tags are not).
    """
    models = place.models
    if len(models) > 1:
        return next((Place.of_type(model) for model in models if part in tags(model)), None), False
    if models:
        field = models[0].model_fields.get(str(part))
        return (Place.of_field(field) if field else None), True
    tagged = next((alternative for alternative in place.alternatives if alternative.tag == part), None)
    if tagged is not None:
        return tagged, False
    for alternative in place.alternatives:
        inner = _inner(alternative, part)
        if inner is not None:
            return Place.of_type(inner), True
    return None, True


def _inner(place: Place, part: int | str) -> Any:
    """The type of an item of a list or table."""
    origin, arguments = get_origin(place.annotation), get_args(place.annotation)
    if origin is dict:
        return arguments[1]
    if origin is tuple and isinstance(part, int):
        return arguments[0] if arguments[-1] is Ellipsis else dict(enumerate(arguments)).get(part)
    return None


def key_place(place: Place | None) -> Place | None:
    """Return the location of the keys of a table."""
    if place is None or get_origin(place.annotation) is not dict:
        return None
    return Place.of_type(get_args(place.annotation)[0])


def tag_key(model: type[BaseModel]) -> str:
    """Return the key that discriminates a kind of table from others; empty if there is none."""
    return next((key for key in TAG_KEYS if choices(_place_of_key(model, key))), "")


def tags(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the values of that key for a kind of table."""
    return choices(_place_of_key(model, tag_key(model)))


def _place_of_key(model: type[BaseModel], key: str) -> Place | None:
    field = model.model_fields.get(key)
    return Place.of_field(field) if field else None


def choices(place: Place | None) -> tuple[str, ...]:
    """Return the accepted values of a literal type; empty for other types."""
    if place is None or get_origin(place.annotation) is not Literal:
        return ()
    return tuple(map(str, get_args(place.annotation)))


def in_words(place: Place) -> str:
    """Describe the accepted values, such as "whole number >= 2, <= 8"."""
    words = " or ".join(dict.fromkeys(_one_in_words(one) for one in place.alternatives))
    return f"{words}, or null" if place.optional else words


def _one_in_words(place: Place) -> str:
    if choices(place):
        return f"one of {', '.join(choices(place))}" if len(choices(place)) > 1 else choices(place)[0]
    if place.plugin_name:
        return ", ".join([*place.plugin_name.words, f"name of a module of {place.plugin_name.folder}"])
    if place.annotation is str:
        return f"text{_text_limits(place)}"
    if place.annotation in WORDS:
        return f"{WORDS[place.annotation]}{_bounds(place)}"
    return _container_in_words(place)


def _container_in_words(place: Place) -> str:
    origin, arguments = get_origin(place.annotation), get_args(place.annotation)
    inner = [in_words(Place.of_type(one)) for one in arguments if one is not Ellipsis]
    if place.tag == RANGE:
        return "range [low, high]"
    if place.plugin_parameters:
        return f"parameters of the module of {place.plugin_parameters.package.replace('.', '/')}"
    if origin is tuple and Ellipsis in arguments:
        return f"list, each item: {inner[0]}"
    if origin is tuple:
        return f"list of {len(inner)}: [{'; '.join(inner)}]"
    return f"keys and values, each key: {inner[0]}, each value: {inner[1]}" if origin is dict else "keys and values"


def _bounds(place: Place) -> str:
    bounds = [
        f"{sign} {getattr(item, name)}"
        for item in place.constraints
        for name, sign in SIGNS.items()
        if getattr(item, name, None) is not None
    ]
    return f" {', '.join(bounds)}" if bounds else ""


def _text_limits(place: Place) -> str:
    """The pattern of a text, described in words if the type provides them."""
    words = [f": {item}" for item in place.constraints if isinstance(item, str)]
    patterns = [f" matching {item.pattern}" for item in place.constraints if getattr(item, "pattern", None)]
    return next(iter([*words, *patterns]), "")
