"""The command line's behaviour: log messages, waiting threads, error messages and exit statuses."""

from __future__ import annotations

import ast
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from pipeline.errors import UserError

if TYPE_CHECKING:
    from cyclopts import App

# Busy-waiting threads slow down all others: with one other busy process on two cores, a training step took 2.5 times as
# long. OpenMP reads this when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

MISTAKE, WRONG_COMMAND_LINE, INTERRUPTED = 1, 2, 128
"""Exit statuses; the number of the signal is added to the last one."""
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C; the end of a job, container or system; and the end of a terminal."""


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


def docstring_summary(module: str) -> str:
    """Return the first line of a module's docstring without importing the module."""
    spec = find_spec(module)
    source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def run_app(app: App, arguments: Sequence[str], command: str) -> int:
    """Run a command line and return the exit status, see `exit_status`.

    Args:
        app: the application.
        arguments: words of the command line.
        command: name of the command for messages, such as "brainsr apply".
    """
    start_logging()
    return exit_status(lambda: app(arguments, exit_on_error=False, print_error=False), command)


def exit_status(run: Callable[[], object], command: str) -> int:
    """Call a function; a mistake of the user becomes one message on standard error, without a traceback.

    Args:
        run: the function.
        command: name of the command for messages.

    Returns:
        0, or the exit status that the function returns; 1 for a user's mistake, 2 for a wrong command line, 130 after
        Ctrl-C, 143 after SIGTERM.
    """
    from cyclopts import CycloptsError, MissingArgumentError

    try:
        with _interruptible():
            status = run()
    except CycloptsError as error:
        problem = str(error)
        if isinstance(error, MissingArgumentError):
            name = error.argument.name if error.argument else "an argument"
            problem = f"{error.keyword} requires a value." if error.keyword else f"{name} is missing."
        sys.stderr.write(f"error: {problem}\nSee: {command} --help\n")
        return WRONG_COMMAND_LINE
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return MISTAKE
    except OSError as error:
        logging.getLogger(__name__).debug("details", exc_info=True)
        sys.stderr.write(f"error: {error.filename or command}: {error.strerror or error}\n")
        return MISTAKE
    except KeyboardInterrupt as interrupt:
        sys.stderr.write("interrupted; run the same command again to continue\n")
        return INTERRUPTED + (interrupt.args or (signal.SIGINT,))[0]
    return status if isinstance(status, int) else 0


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on every signal that asks a process to end, so that it removes its temporary files.

    Signals that are ignored, as SIGHUP by nohup, stay ignored. Only the main thread receives signals.

    Raises:
        KeyboardInterrupt: its argument is the signal. It replaces an exception that was raised after a signal: an
            interrupted import may fail with another one.
    """
    received: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt(number)

    previous = {number: signal.getsignal(number) for number in INTERRUPTS}
    replaced = [number for number in INTERRUPTS if previous[number] in (signal.SIG_DFL, signal.default_int_handler)]
    if threading.current_thread() is not threading.main_thread():
        replaced = []
    for number in replaced:
        signal.signal(number, interrupt)
    try:
        yield
    except Exception as error:
        if received:
            raise KeyboardInterrupt(received[0]) from error
        raise
    finally:
        for number in replaced:
            signal.signal(number, previous[number])
