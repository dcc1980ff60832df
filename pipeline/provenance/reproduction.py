"""Repetition of a run from its provenance: the folder it runs in, and what has changed since."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import UserError
from pipeline.files import read_json, write_json
from pipeline.provenance.environment import git_state, package_versions, platform_details
from pipeline.provenance.record import Record, read_record

CONFIG = "config.json"
DOWNLOADS = PurePosixPath("resources")


def prepare_folder(results: Path, folder: Path) -> dict[str, Any]:
    """Prepare a folder in which a run can be repeated.

    The folder receives the run's configuration, and links to the downloads and to the local files that the
    configuration names. Nothing is checked out or installed.

    Args:
        results: folder of the run's results, such as results/demo.
        folder: a new or empty folder, or one that was prepared for the same run.

    Returns:
        The configuration.

    Raises:
        UserError: the run has no provenance, or the folder contains something else.
    """
    config = repeatable_config(read_record(results))
    project = results.resolve().parents[1]
    outside = [path for path in local_paths(config) if not path.is_absolute() and ".." in path.parts]
    for source in config["sources"].values():
        if source["kind"] == "local" and PurePosixPath(source["path"]) in outside:
            source["path"] = str((project / source["path"]).resolve())
    _check_folder(folder, config)
    for top in {DOWNLOADS, *(PurePosixPath(path.parts[0]) for path in local_paths(config) if not path.is_absolute())}:
        if ".." not in top.parts:
            _link(project / top, folder / top)
    write_json(folder / CONFIG, config)
    return config


def repeatable_config(record: Record) -> dict[str, Any]:
    """Return the configuration of a run with its data sets resolved to volumes, so that no folder is searched again."""
    return {**record["config"], "datasets": []}


def local_paths(config: Mapping[str, Any]) -> list[PurePosixPath]:
    """Return the local files and folders that a configuration names."""
    sources = [source for source in config["sources"].values() if source["kind"] == "local"]
    named = [source[key] for source in sources for key in ("path", "bids") if source.get(key)]
    return [PurePosixPath(path) for path in dict.fromkeys(named)]


def _check_folder(folder: Path, config: dict[str, Any]) -> None:
    """Raise a UserError if a folder contains anything but an earlier start of the same repetition."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    earlier = folder / CONFIG
    if not earlier.is_file() or read_json(earlier) != config:
        raise UserError(f"{folder}: is not empty and not a repetition of this run; name a new folder.")


def _link(target: Path, link: Path) -> None:
    """Create a symbolic link with the times of its target: Snakemake would download again through a newer link."""
    if not target.exists():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(target, target_is_directory=target.is_dir())
    status = target.stat()
    os.utime(link, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def changes_since(record: Record) -> list[str]:
    """Return the differences between the environment of a run and the current one, as `differences` does."""
    now = {"git": git_state(), "packages": package_versions(), "platform": platform_details()}
    return list(differences(record, now))


def differences(record: Record, other: Record) -> Iterator[str]:
    """Describe each difference in code, packages, platform and data between two records.

    Args:
        record: of the run.
        other: of its repetition, or of the current environment; sources that it lacks altogether are not compared.

    Yields:
        One phrase a difference, such as "numpy: 2.0 then, 2.1 now".
    """
    yield from _code_differences(record.get("git"), other.get("git"))
    for name in sorted({*record["packages"], *other["packages"]}):
        one, two = record["packages"].get(name), other["packages"].get(name)
        if one != two:
            yield f"{name}: {one or 'not installed'} then, {two or 'not installed'} now"
    for name, value in record["platform"].items():
        if other["platform"].get(name) != value:
            yield f"{name} of the machine: {value} then, {other['platform'].get(name)} now"
    now = {source["name"]: source.get("sha256") for source in other.get("sources", [])}
    for source in record["sources"]:
        name = source["name"]
        if now and now.get(name) != source.get("sha256"):
            yield f"data of {name}: SHA-256 {source.get('sha256')} then, {now.get(name)} now"


def _code_differences(then: Record | None, now: Record | None) -> Iterator[str]:
    commits = [state["commit"] if state else "no git checkout" for state in (then, now)]
    if commits[0] != commits[1]:
        yield f"git commit: {commits[0]} then, {commits[1]} now"
    for state, word in ((then, "then"), (now, "now")):
        if state and state["changed"]:
            yield f"uncommitted changes to the code {word}"
