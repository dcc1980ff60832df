"""Log messages and progress bars on the terminal."""

from __future__ import annotations

import logging
import sys


class _LevelFormatter(logging.Formatter):
    """Prefix warnings and errors with their level; progress messages carry none."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name that logging calls)
        """Return the line of a record."""
        line = super().formatMessage(record)
        return f"{record.levelname} {line}" if record.levelno >= logging.WARNING else line


def start_logging() -> None:
    """Send log messages of level INFO and above to standard error, each with the time and the module's name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LevelFormatter("%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def show_progress() -> bool:
    """Return whether standard error is a terminal, so that a progress bar makes sense."""
    return sys.stderr.isatty()
