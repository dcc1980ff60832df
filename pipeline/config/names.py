"""Name and parameters of plug-ins, for the checks of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Union

from pydantic import BaseModel, Field

from pipeline import plugins


@dataclass(frozen=True)
class PluginName:
    """A check that a text is the name of a plug-in of a package such as "pipeline.metrics", or one of other words."""

    package: str
    words: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The folder whose modules are the plug-ins."""
        return self.package.replace(".", "/")

    def __call__(self, name: str) -> str:
        """Return `name`.

        Raises:
            ValueError: no such plug-in; the message names the nearest one.
        """
        known = [*self.words, *plugins.names(self.package)]
        if name not in known:
            raise ValueError(f"unknown name; {plugins.suggest(name, known)}")
        return name


@dataclass(frozen=True)
class PluginParameters:
    """Marks a table of the configuration that holds the parameters of a plug-in, which the key beside it names."""

    package: str
    key: str

    @property
    def models(self) -> list[type[BaseModel]]:
        """The classes `Parameters` of all plug-ins that have any."""
        found = [plugins.load(self.package, name).Parameters for name in plugins.names(self.package)]
        return [model for model in found if len(model.model_fields) > 1]  # all have a name


def any_parameters(package: str) -> Any:
    """Return the type of a table that holds the name of a plug-in of a package, and its parameters."""
    kinds = tuple(plugins.load(package, name).Parameters for name in plugins.names(package))
    return Annotated[Union[kinds], Field(discriminator="name")]  # noqa: UP007
