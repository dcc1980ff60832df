"""Network errors: retries of transient errors, and messages about others."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

import requests
import urllib3

from pipeline.errors import UserError
from pipeline.sources.download_record import public_url

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)
"""HTTP status codes (RFC 9110, RFC 6585, RFC 8470) of transient errors."""

LONGEST_WAIT_SECONDS = 120.0


@dataclass(frozen=True)
class Patience:
    """Timeouts and retries."""

    attempts: int = 5
    """attempts without progress before giving up"""
    delay_seconds: float = 1.0
    """delay before the second attempt, doubled with every further one"""
    timeout_seconds: float = 60.0
    """maximum time without data from a server"""


class UnreachableError(UserError):
    """A server is unreachable or refuses a file; another source may work."""


class TransientError(Exception):
    """A transient error, with the delay requested by the server."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


def persistently(action: Callable[[], Result], patience: Patience, progress: Callable[[], int] = lambda: 0) -> Result:
    """Repeat an action until it no longer raises TransientError.

    Args:
        action: function to call.
        patience: number of attempts and delays between them.
        progress: returns a number that increases with progress. A failed attempt that made progress counts as the
            first, so that a long download over an unreliable connection can complete.

    Returns:
        The return value of the action.

    Raises:
        UnreachableError: all attempts failed.
    """
    furthest, failures = progress(), 0
    while True:
        try:
            return action()
        except TransientError as error:
            trouble = error
        failures = 1 if progress() > furthest else failures + 1
        furthest = max(furthest, progress())
        if failures >= patience.attempts:
            raise UnreachableError(
                f"{trouble} ({failures} attempts). Check the network connection, then run again to resume."
            ) from trouble
        delay = min(max(patience.delay_seconds * 2 ** (failures - 1), trouble.wait_seconds), LONGEST_WAIT_SECONDS)
        logger.warning("%s; next attempt in %g s", trouble, delay)
        time.sleep(delay)


@contextmanager
def telling(address: str) -> Iterator[None]:
    """Convert network errors to TransientError if a retry may help, otherwise to UnreachableError."""
    try:
        yield
    except requests.HTTPError as error:
        _raise_for(cast(requests.Response, error.response), address)  # raise_for_status always sets it
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
        raise TransientError(f"{public_url(address)}: {root_of(error)}") from error
    except (requests.RequestException, ValueError) as error:  # the latter for an invalid address in a redirect
        raise UnreachableError(
            f"{public_url(address)} cannot be fetched: {type(error).__name__}. Check the address."
        ) from error


def check_status(response: requests.Response, address: str) -> None:
    """Check the status of a response.

    Raises:
        TransientError: for the status of a transient error.
        UnreachableError: for any other error status.
    """
    if response.status_code not in (requests.codes.ok, requests.codes.partial_content):
        _raise_for(response, address)


def _raise_for(response: requests.Response, address: str) -> None:
    answer = f"{public_url(address)}: the server returned {response.status_code} {response.reason or ''}".rstrip()
    if response.status_code not in PASSING_STATUS:
        raise UnreachableError(f"{answer}. Check the address, and whether the file requires a login.")
    wait = response.headers.get("Retry-After", "")
    raise TransientError(answer, float(wait) if wait.isdecimal() else 0.0)


def root_of(error: BaseException) -> str:
    """Describe the innermost cause of an error; outer layers repeat addresses."""
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
