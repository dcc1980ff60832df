"""Files to ignore in a BIDS data set: `.bidsignore`, in the syntax of gitignore(5).

No package is used, since the workflow is planned in an environment that contains only Snakemake.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

IGNORE_FILE = ".bidsignore"
ANY_FOLDERS = "**"


@dataclass(frozen=True)
class Pattern:
    """One line of the file.

    Attributes:
        parts: patterns of the parts of a path, in the syntax of `fnmatch`; "**" matches any number of folders.
        keeps: the line begins with "!": files ignored by earlier lines are kept.
        folders_only: the line ends with "/".
    """

    parts: tuple[str, ...]
    keeps: bool
    folders_only: bool

    def fits(self, path: Sequence[str], is_folder: bool) -> bool:
        """Return whether a path, given by its parts, matches."""
        return (is_folder or not self.folders_only) and _fits(tuple(path), self.parts)


def _fits(path: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    if not parts:
        return not path
    if parts[0] == ANY_FOLDERS:
        # At the end, it matches everything inside the folder, but not the folder itself.
        starts = range(1, len(path) + 1) if len(parts) == 1 else range(len(path) + 1)
        return any(_fits(path[start:], parts[1:]) for start in starts)
    return bool(path) and fnmatchcase(path[0], parts[0]) and _fits(path[1:], parts[1:])


def parse_line(line: str) -> Pattern | None:
    """Parse one line; None for blank lines and comments."""
    text = re.sub(r"(?<!\\)((?:\\\\)*)[ \t]+$", r"\1", line)
    if not text or text.startswith("#"):
        return None
    keeps = text.startswith("!")
    text = text[keeps:]
    folders_only = text.endswith("/")
    inner = text.rstrip("/") if folders_only else text
    parts = [_as_fnmatch(part) for part in inner.lstrip("/").split("/")]
    if not any(parts):
        return None
    anywhere = [] if "/" in inner else [ANY_FOLDERS]
    return Pattern((*anywhere, *parts), keeps, folders_only)


def _as_fnmatch(part: str) -> str:
    """Convert the syntax of Git to that of fnmatch: escapes, and [^...] to [!...]."""
    escaped = re.sub(r"\\(.)", lambda match: f"[{match[1]}]" if match[1] in "*?[" else match[1], part)
    return escaped.replace("[^", "[!")


@dataclass(frozen=True)
class Ignored:
    """The ignored files of a data set.

    Attributes:
        patterns: the lines, in order; the last match decides.
    """

    patterns: tuple[Pattern, ...] = ()
    _folders: dict[tuple[str, ...], bool] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, path: str, is_folder: bool = False) -> bool:
        """Return whether a path or one of its parent folders is ignored.

        Args:
            path: path relative to the data set, with forward slashes.
            is_folder: whether the path is a folder.
        """
        return bool(self.patterns) and self._leaves_out(tuple(path.split("/")), is_folder)

    def _leaves_out(self, path: tuple[str, ...], is_folder: bool) -> bool:
        if is_folder and path in self._folders:
            return self._folders[path]
        matching = (pattern for pattern in reversed(self.patterns) if pattern.fits(path, is_folder))
        last = next(matching, None)
        # Nothing inside an ignored folder can be kept.
        found = (len(path) > 1 and self._leaves_out(path[:-1], True)) or (last is not None and not last.keeps)
        if is_folder:
            self._folders[path] = found
        return found


def read_ignored(root: Path) -> Ignored:
    """Read the `.bidsignore` of a data set; without one, nothing is ignored.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: the file is not UTF-8 text.
    """
    path = root / IGNORE_FILE
    if not path.is_file():
        return Ignored()
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return Ignored(tuple(pattern for line in lines if (pattern := parse_line(line)) is not None))
