"""Git commit, package versions and platform of the current environment."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from pipeline import WORKFLOW_FOLDER
from pipeline.code_version import PACKAGE_FOLDER
from pipeline.config.base import Section

CODE = ("pipeline", "workflow", "Snakefile", "requirements", "reports", "envs")
"""Paths whose uncommitted changes mark a checkout as changed; results and a user's own files do not."""


class GitState(Section):
    """Commit of a checkout, and whether its code has uncommitted changes."""

    commit: str
    changed: bool


class Platform(Section):
    """Operating system, processor and Python version."""

    system: str
    release: str
    machine: str
    processor: str
    """model name; empty where it is unknown"""
    python: str


class Environment(Section):
    """Code, packages and machine on which a run depends."""

    git: GitState | None
    """None if neither a git checkout nor a package that pip installed from a git repository"""
    packages: dict[str, str]
    """version by name"""
    platform: Platform

    @classmethod
    def current(cls) -> Environment:
        """Return the current environment."""
        return Environment(
            git=git_state() or installed_commit(), packages=package_versions(), platform=platform_details()
        )


def package_versions() -> dict[str, str]:
    """Return the versions of the installed runtime packages by name, without importing them."""
    listings = (WORKFLOW_FOLDER / "requirements" / name for name in ("run.in", "optional.in"))
    names = sorted({"torch", *(name for listing in listings for name in _runtime_packages(listing))})
    found = {}
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _runtime_packages(listing: Path) -> list[str]:
    if not listing.is_file():
        return []
    lines = listing.read_text(encoding="utf-8").splitlines()
    return [match[0] for line in lines if (match := re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line))]


def platform_details() -> Platform:
    """Return operating system, processor and Python version."""
    return Platform(
        system=platform.system(),
        release=platform.release(),
        machine=platform.machine(),
        processor=processor_name(),
        python=platform.python_version(),
    )


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the model name of the processor, empty where it is unknown.

    Args:
        cpuinfo: file in which Linux describes the processor.
    """
    if not cpuinfo.is_file():
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return found[1].strip() if found else platform.processor()


def git_state(folder: Path = WORKFLOW_FOLDER) -> GitState | None:
    """Return the commit of a checkout and whether its code has uncommitted changes; None outside a checkout.

    A copy of the package inside another repository has no git state.
    """
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != folder.resolve():
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--", *CODE)
    return None if commit is None or changes is None else GitState(commit=commit, changed=bool(changes))


def installed_commit(packages: Path = PACKAGE_FOLDER.parent) -> GitState | None:
    """Return the commit of a package that pip installed from a git repository; None for other packages.

    Args:
        packages: folder into which the package was installed.
    """
    for distribution in metadata.distributions(name="brainsr", path=[str(packages)]):
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        if commit := origin.get("vcs_info", {}).get("commit_id"):
            return GitState(commit=commit, changed=False)
    return None


def _git(folder: Path, *arguments: str) -> str | None:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, env=environment
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
