"""Names of plug-ins, for the checks of the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline import plugins


@dataclass(frozen=True)
class PluginName:
    """A check that a text is the name of a plug-in of a package such as "pipeline.metrics"."""

    package: str

    @property
    def folder(self) -> str:
        """The folder whose modules are the plug-ins."""
        return self.package.replace(".", "/")

    def __call__(self, name: str) -> str:
        """Returns `name`.

        Raises:
            ValueError: no such plug-in; the message names the nearest one.
        """
        known = plugins.names(self.package)
        if name not in known:
            raise ValueError(f"unknown name; {plugins.suggest(name, known)}")
        return name
