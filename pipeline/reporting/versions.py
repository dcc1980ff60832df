"""Which code and which packages made the results."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
CODE = ("pipeline", "workflow", "Snakefile", "requirements", "reports", "envs")
"""What counts as code when a checkout is called changed; results and the user's own files do not."""


def package_versions() -> dict[str, str]:
    """Return the versions of all runtime packages that are installed, by name, without importing any of them."""
    listings = (CHECKOUT / "requirements" / name for name in ("run.in", "optional.in"))
    names = sorted({"torch", *(name for listing in listings for name in _runtime_packages(listing))})
    found = {name: _version(name) for name in names}
    return {name: version for name, version in found.items() if version is not None}


def _runtime_packages(listing: Path) -> list[str]:
    if not listing.is_file():
        return []
    lines = listing.read_text(encoding="utf-8").splitlines()
    return [match[0] for line in lines if (match := re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line))]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def platform_facts() -> dict[str, Any]:
    """Return operating system, processor and Python version."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "processor": processor_name(),
        "python": platform.python_version(),
    }


def processor_name(facts: Path = Path("/proc/cpuinfo")) -> str:
    """Return what the processor is called, from the file in which Linux describes it; empty where nobody knows."""
    if not facts.is_file():
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.+)$", facts.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return found[1].strip() if found else platform.processor()


def git_state(folder: Path = CHECKOUT) -> dict[str, Any] | None:
    """Return the commit of a checkout and whether its code was changed since; None where `folder` is no checkout.

    A copy of the package that lies inside somebody else's checkout has no state of its own.
    """
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != folder.resolve():
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--", *CODE)
    return None if commit is None or changes is None else {"commit": commit, "changed": bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, env=environment
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
