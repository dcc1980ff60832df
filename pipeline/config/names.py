"""Names of plug-ins, for the checks of the configuration.

A room is named without the leading "pipeline.": code_version takes a string that begins with it for code that the
module runs, and a check of names runs none. Otherwise a new metric would make every stage run again.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline import plugins


def plugin_names(room: str) -> list[str]:
    """Returns the names of all plug-ins of a room such as "metrics" or "physics.noise", sorted."""
    return plugins.names(".".join(("pipeline", room)))


@dataclass(frozen=True)
class PluginName:
    """A check that a text is the name of a plug-in of a room."""

    room: str

    @property
    def folder(self) -> str:
        """The folder whose modules are the plug-ins."""
        return "/".join(("pipeline", *self.room.split(".")))

    def __call__(self, name: str) -> str:
        """Returns `name`.

        Raises:
            ValueError: no such plug-in; the message names the nearest one.
        """
        known = plugin_names(self.room)
        if name not in known:
            raise ValueError(f"unknown name; {plugins.suggest(name, known)}")
        return name
