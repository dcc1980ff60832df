"""What a key of the configuration may hold, in words: for messages and for the comments of the default file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, Tag
from pydantic.fields import FieldInfo

from pipeline.config.names import PluginName, PluginParameters
from pipeline.physics.parameters import RANGE

SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
WORDS = {bool: "true or false", int: "whole number", float: "number", Any: "anything"}
TAG_KEYS = ("kind", "name")
"""Keys by whose value one kind of table is told from another."""
KEY = "[key]"
"""How pydantic marks that a mistake is in a key and not in its value."""


@dataclass(frozen=True)
class Place:
    """A place in the configuration: the type of what stands there, the constraints on it, and its description."""

    annotation: Any
    constraints: tuple[Any, ...] = ()
    description: str = ""

    @classmethod
    def of_field(cls, field: FieldInfo) -> Place:
        """Return the place of a model's field."""
        return cls(field.annotation, tuple(field.metadata), " ".join((field.description or "").split())).bare()

    @classmethod
    def of_type(cls, annotation: Any) -> Place:
        """Return the place that a type annotation stands for."""
        return cls(annotation).bare()

    def bare(self) -> Place:
        """Move what `Annotated` and `X | None` carry into the constraints; None stays visible in `optional`."""
        if get_origin(self.annotation) is not Annotated:
            return self
        inner, *metadata = get_args(self.annotation)
        return Place(inner, (*self.constraints, *_flat(metadata)), self.description).bare()

    @property
    def alternatives(self) -> list[Place]:
        """The places behind a union, None left out; the place itself where there is no union."""
        if get_origin(self.annotation) not in (Union, UnionType):
            return [self]
        arms = [arm for arm in get_args(self.annotation) if arm is not type(None)]
        places = [Place(arm, self.constraints, self.description).bare() for arm in arms]
        return [alternative for place in places for alternative in place.alternatives]

    @property
    def optional(self) -> bool:
        """Whether null may stand here."""
        return type(None) in get_args(self.annotation)

    @property
    def models(self) -> list[type[BaseModel]]:
        """The models that may stand here: none, one, or several kinds that a tag tells apart."""
        kinds = [place.annotation for place in self.alternatives]
        return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]

    @property
    def tag(self) -> str:
        """How pydantic tells this alternative from others; empty where it does not."""
        return next((item.tag for item in self.constraints if isinstance(item, Tag)), "")

    @property
    def plugin_parameters(self) -> PluginParameters | None:
        """The mark of a table that holds the parameters of a plug-in."""
        return next((item for item in self.constraints if isinstance(item, PluginParameters)), None)

    @property
    def plugin_name(self) -> PluginName | None:
        """The check of plug-in names that stands on this place."""
        checks = [item.func for item in self.constraints if isinstance(item, AfterValidator)]
        return next((check for check in checks if isinstance(check, PluginName)), None)


def _flat(metadata: Sequence[Any]) -> Iterator[Any]:
    for item in metadata:
        yield from item.metadata if isinstance(item, FieldInfo) else (item,)


def step(place: Place, part: int | str) -> tuple[Place | None, bool]:
    """Go one part of a pydantic location further.

    Returns:
        The place there, or None where the configuration knows none; and whether the part is seen by the user (the tag
        of a kind is not).
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
    """Return the place of the keys of a table."""
    if place is None or get_origin(place.annotation) is not dict:
        return None
    return Place.of_type(get_args(place.annotation)[0])


def tag_key(model: type[BaseModel]) -> str:
    """Return the key by whose value a kind of table is told from the others; empty where it has none."""
    return next((key for key in TAG_KEYS if choices(_place_of_key(model, key))), "")


def tags(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the values by which a kind of table is told from the others."""
    return choices(_place_of_key(model, tag_key(model)))


def _place_of_key(model: type[BaseModel], key: str) -> Place | None:
    field = model.model_fields.get(key)
    return Place.of_field(field) if field else None


def choices(place: Place | None) -> tuple[str, ...]:
    """Return the values that may be chosen from, or nothing where there are too many to name."""
    if place is None or get_origin(place.annotation) is not Literal:
        return ()
    return tuple(map(str, get_args(place.annotation)))


def in_words(place: Place) -> str:
    """Describe what may stand at a place, such as "whole number >= 2, <= 8"."""
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
        return f"keys and values that the module of {place.plugin_parameters.package.replace('.', '/')} knows"
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
    """The pattern of a text: in the words that its type gives, or as it is."""
    words = [f": {item}" for item in place.constraints if isinstance(item, str)]
    patterns = [f" that fits {item.pattern}" for item in place.constraints if getattr(item, "pattern", None)]
    return next(iter([*words, *patterns]), "")
