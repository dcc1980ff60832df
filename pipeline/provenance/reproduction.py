"""Repetition of a run from its provenance: the folder it runs in, and what has changed since."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.config.run import Run
from pipeline.config.sources import LocalSource
from pipeline.errors import UserError
from pipeline.files import read_json, write_json
from pipeline.provenance.environment import Environment, GitState
from pipeline.provenance.record import FILE_NAME, Provenance, config_to_json, read_provenance

CONFIG = "config.json"
DOWNLOADS = PurePosixPath("resources")


def prepare_folder(results: Path, folder: Path) -> Run:
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
    config = repeatable_config(read_provenance(results / FILE_NAME))
    project = results.resolve().parents[1]
    sources = {
        name: source.model_copy(update={"path": str((project / source.path).resolve())})
        if isinstance(source, LocalSource) and ".." in PurePosixPath(source.path).parts
        else source
        for name, source in config.sources.items()
    }
    config = config.model_copy(update={"sources": sources})
    values = config_to_json(config)
    _check_folder(folder, values)
    for top in {DOWNLOADS, *(PurePosixPath(path.parts[0]) for path in local_paths(config) if not path.is_absolute())}:
        if ".." not in top.parts:
            _link(project / top, folder / top)
    write_json(folder / CONFIG, values)
    return config


def repeatable_config(record: Provenance) -> Run:
    """Return the configuration of a run with its data sets resolved to volumes, so that no folder is searched again."""
    return record.config.model_copy(update={"datasets": ()})


def local_paths(config: Run) -> list[PurePosixPath]:
    """Return the local files and folders that a configuration names."""
    sources = [source for source in config.sources.values() if isinstance(source, LocalSource)]
    named = [path for source in sources for path in (source.path, source.bids) if path]
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


def changes_since(record: Provenance) -> list[str]:
    """Return the differences between the environment of a run and the current one, as `differences` does."""
    return list(differences(record, Environment.current()))


def differences(record: Provenance, other: Environment) -> Iterator[str]:
    """Describe each difference in code, packages, platform and data between two records.

    Args:
        record: of the run.
        other: of its repetition, or the current environment, which has no sources to compare.

    Yields:
        One phrase a difference, such as "numpy: 2.0 then, 2.1 now".
    """
    yield from _code_differences(record.git, other.git)
    for name in sorted({*record.packages, *other.packages}):
        one, two = record.packages.get(name), other.packages.get(name)
        if one != two:
            yield f"{name}: {one or 'not installed'} then, {two or 'not installed'} now"
    for name, value in record.platform:
        if getattr(other.platform, name) != value:
            yield f"{name} of the machine: {value} then, {getattr(other.platform, name)} now"
    if isinstance(other, Provenance):
        now = {source.name: source.sha256 for source in other.sources}
        for source in record.sources:
            if now.get(source.name) != source.sha256:
                yield f"data of {source.name}: SHA-256 {source.sha256} then, {now.get(source.name)} now"


def _code_differences(then: GitState | None, now: GitState | None) -> Iterator[str]:
    commits = [state.commit if state else "no git checkout" for state in (then, now)]
    if commits[0] != commits[1]:
        yield f"git commit: {commits[0]} then, {commits[1]} now"
    for state, word in ((then, "then"), (now, "now")):
        if state and state.changed:
            yield f"uncommitted changes to the code {word}"
