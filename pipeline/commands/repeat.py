"""Prepare a folder in which a run is repeated from its provenance, and says what has changed since.

The folder gets the run's configuration and links to the files that it names and to the downloads. Nothing is checked
out and nothing is installed. Then run, with the same Snakefile,

    snakemake --directory FOLDER --configfile FOLDER/config.json --cores all

and compare with `python -m pipeline compare_runs`; `make reproduce RUN=results/demo` does all three.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import UserError
from pipeline.files import read_json, write_json
from pipeline.provenance.record import differences, local_paths, read_provenance, repeatable_config
from pipeline.reporting.versions import git_state, package_versions, platform_facts
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

logger = logging.getLogger(__name__)

CONFIG = "config.json"
SHARED = PurePosixPath("resources")


def prepare(results: Path, folder: Path) -> dict[str, Any]:
    """Make `folder` ready for a repetition of the run in `results`; return the configuration.

    Raises:
        UserError: the run has no provenance, or the folder holds something else.
    """
    config = repeatable_config(read_provenance(results))
    project = results.resolve().parents[1]
    outside = [path for path in local_paths(config) if not path.is_absolute() and ".." in path.parts]
    for source in config["sources"].values():
        if source["kind"] == "local" and PurePosixPath(source["path"]) in outside:
            source["path"] = str((project / source["path"]).resolve())
    _check_folder(folder, config)
    for top in {SHARED, *(PurePosixPath(path.parts[0]) for path in local_paths(config) if not path.is_absolute())}:
        if ".." not in top.parts:
            _link(project / top, folder / top)
    write_json(folder / CONFIG, config)
    return config


def _check_folder(folder: Path, config: dict[str, Any]) -> None:
    """Refuse a folder that holds something else than an earlier start of the same repetition."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    earlier = folder / CONFIG
    if not earlier.is_file() or read_json(earlier) != config:
        raise UserError(f"{folder}: is not empty and not a repetition of this run; name a new folder.")


def _link(target: Path, link: Path) -> None:
    """Make a link as old as what it leads to: Snakemake would take a new one for a changed file and fetch it again."""
    if not target.exists():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(target, target_is_directory=target.is_dir())
    status = target.stat()
    os.utime(link, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--run", "folder of a run's results, such as results/demo")
    add_path(parser, "--into", "where it is to be repeated: a new folder")


def main(arguments: Namespace) -> None:
    """Run the stage."""
    record = read_provenance(arguments.run)
    prepare(arguments.run, arguments.into)
    now = {"git": git_state(), "packages": package_versions(), "platform": platform_facts()}
    changed = list(differences(record, now))
    for difference in changed:
        logger.warning("not as it was: %s", difference)
    if not changed:
        logger.info("code, packages and machine are those of the run")
    logger.info("ready to repeat %s in %s", record["config"]["run"], arguments.into)
