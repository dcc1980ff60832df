"""Validation of names and parameters of plug-ins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Union

from pydantic import BaseModel, Field

from pipeline import plugins


@dataclass(frozen=True)
class PluginName:
    """Validator for the name of a plug-in of a package such as "pipeline.metrics", or one of some other words."""

    package: str
    words: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Folder of the plug-ins."""
        return self.package.replace(".", "/")

    def __call__(self, name: str) -> str:
        """Return `name`.

        Raises:
            ValueError: no such plug-in; the message suggests the most similar name.
        """
        known = [*self.words, *plugins.names(self.package)]
        if name not in known:
            raise ValueError(f"unknown name; {plugins.suggest(name, known)}")
        return name


@dataclass(frozen=True)
class PluginParameters:
    """Annotation of a table with the parameters of a plug-in, whose name is the value of another key."""

    package: str
    key: str

    @property
    def models(self) -> list[type[BaseModel]]:
        """The classes `Parameters` of all plug-ins that have parameters."""
        found = [plugins.load(self.package, name).Parameters for name in plugins.names(self.package)]
        return [model for model in found if len(model.model_fields) > 1]  # all have a name


def any_parameters(package: str) -> Any:
    """Return the type of a table with the name and the parameters of a plug-in."""
    kinds = tuple(plugins.load(package, name).Parameters for name in plugins.names(package))
    return Annotated[Union[kinds], Field(discriminator="name")]  # noqa: UP007
