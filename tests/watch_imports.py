"""Put into an environment of a test: tells which packages a command imports, and can refuse some as if absent.

WATCH_IMPORTS names a file to which every command adds a line of JSON; REFUSE_IMPORTS names top-level modules.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import time

START = time.monotonic()


class Refusal:
    """A finder that knows no module of some names."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def record(path: str) -> None:
    """Add what was called and imported to a file, in one write, since jobs run side by side."""
    modules = sorted({name.partition(".")[0] for name in sys.modules})
    line = {"arguments": sys.argv[1:], "python": sys.prefix, "modules": modules, "seconds": time.monotonic() - START}
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, json.dumps(line).encode() + b"\n")
    os.close(handle)


if "REFUSE_IMPORTS" in os.environ:
    sys.meta_path.insert(0, Refusal(set(os.environ["REFUSE_IMPORTS"].split(","))))
if "WATCH_IMPORTS" in os.environ:
    atexit.register(record, os.environ["WATCH_IMPORTS"])
