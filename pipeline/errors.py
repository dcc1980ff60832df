"""The one exception that stands for a user's mistake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake that the user can mend: what is wrong, where (file, key, volume), and what to do.

    The command line prints its text without a traceback. Everything else that is raised is a defect of BrainSR.
    """


@contextmanager
def about(what: str) -> Iterator[None]:
    """Put what a mistake is about, such as a volume and its file, before the message, unless it begins with that.

    Raises:
        UserError: the one that is raised in the block, with this in front.
    """
    try:
        yield
    except UserError as error:
        text = str(error)
        raise UserError(text if text.startswith(what) else f"{what}: {text}") from error
