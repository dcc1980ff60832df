"""A stand-in for conda, so that `snakemake --use-conda` runs where no channel can be reached.

It builds what an environment file names, and what that requires, in a new virtual environment from the package index:
nothing else can be imported there. Of the versions that the file's ranges allow, it takes those of run.lock, so that no
release of today changes a test, or the lowest. torch is taken from where the tests run, since its builds are large and
differ by machine. `conda_base` makes a folder like that of an installed conda; the commands are those that Snakemake
gives.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from importlib import metadata
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from uv import find_uv_bin

from tests.environments import INDEX_NAMES, locked_names, locked_requirements, packages, ranges
from tests.helpers import CHECKOUT

VERSION = "26.5.0"
ACTIVATE = """\
export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"
export PYTHONPYCACHEPREFIX="$1/compiled"
unset PYTHONDONTWRITEBYTECODE
"""
"""What is compiled is kept, but not in the checkout: the packages are new, and every job would compile them again."""
WATCH = Path(__file__).with_name("watch_imports.py")


def conda_base(folder: Path, lowest: bool = False) -> Path:
    """Make the folder of an installed conda; return the folder to put on the PATH.

    Args:
        folder: the folder to make.
        lowest: whether environments get the lowest versions that their files allow, and not the locked ones.
    """
    programs = folder / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(ACTIVATE)
    command = [sys.executable, str(Path(__file__).resolve()), "--base", str(folder)]
    if lowest:
        command.append("--lowest")
    conda = programs / "conda"
    conda.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    conda.chmod(0o755)
    return programs


def build(environment: Path, prefix: Path, lowest: bool = False) -> None:
    """Build the packages of an environment file, and those that they require, in a new virtual environment."""
    wanted = {INDEX_NAMES.get(name, name): versions for name, versions in packages(environment).items()}
    linked: list[str] = []
    if "torch" in wanted:
        required, linked = required_by_torch()
        wanted = {name: ranges().get(name, SpecifierSet()) for name in required} | wanted
    requirements = [f"{name}{versions}" for name, versions in wanted.items() if name not in ("python", "torch")]
    uv("venv", "--python", sys.executable, prefix)
    given: list[str | Path] = ["--override", CHECKOUT / "requirements/overrides.txt"]
    if lowest:
        given += ["--resolution", "lowest-direct"]
    else:
        constraints = prefix / "constraints.txt"
        constraints.write_text("\n".join(locked_requirements()))
        given += ["--constraint", constraints]
    uv("pip", "install", "--python", prefix / "bin/python", *given, *requirements)
    packages_folder = next(prefix.glob("lib/python*/site-packages"))
    for name in linked:
        link(name, packages_folder)
    (packages_folder / WATCH.name).write_bytes(WATCH.read_bytes())
    (packages_folder / "watch_imports.pth").write_text("import watch_imports\n")


def uv(*arguments: str | Path) -> None:
    subprocess.run(list(map(str, [find_uv_bin(), "--quiet", *arguments])), check=True)


def required_by_torch() -> tuple[list[str], list[str]]:
    """Return what torch requires of the locked packages; and torch itself with what only its own build brings."""
    required, linked, waiting = set(), ["torch"], ["torch"]
    while waiting:
        for text in metadata.requires(waiting.pop()) or []:
            requirement = Requirement(text)
            name = canonicalize_name(requirement.name)
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            if name in locked_names():
                required.add(name)
            elif name not in linked:
                linked.append(name)
                waiting.append(name)
    return sorted(required), linked


def link(name: str, packages_folder: Path) -> None:
    """Make the files of one installed package importable in another environment."""
    distribution = metadata.distribution(name)
    tops = {file.parts[0] for file in distribution.files or [] if file.parts[0] != ".."}
    for top in tops - {"__pycache__"}:
        place = packages_folder / top
        if not place.exists():
            place.symlink_to(Path(str(distribution.locate_file(top))).resolve())


def main(arguments: list[str]) -> None:
    """Answers the commands that Snakemake gives to conda."""
    parser = ArgumentParser()
    parser.add_argument("--base", required=True)
    parser.add_argument("--lowest", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("words", nargs="*")
    for flag in ("--file", "--prefix"):
        parser.add_argument(flag, type=Path)
    for flag in ("--json", "--quiet", "--no-default-packages", "--get", "-y", "--tarballs", "--packages"):
        parser.add_argument(flag, action="store_true")
    given = parser.parse_intermixed_args(arguments)
    if given.version:
        answer(f"conda {VERSION}")
    elif given.words == ["info"]:
        answer(json.dumps({"conda_prefix": given.base, "platform": "linux-64", "root_prefix": given.base}))
    elif given.words == ["config", "channel_priority"]:
        answer(json.dumps({"get": {"channel_priority": "strict"}}))
    elif given.words == ["env", "create"]:
        build(given.file, given.prefix, given.lowest)
    elif given.words != ["clean"]:
        sys.exit(f"the stand-in for conda knows no {arguments}")


def answer(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
