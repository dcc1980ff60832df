"""What a run's provenance says of how to repeat it, and how two records differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import UserError
from pipeline.files import read_json

Record = Mapping[str, Any]
PARTS = ("config", "packages", "platform", "sources")
"""What a record must have to be repeated and compared."""


def read_provenance(results: Path) -> dict[str, Any]:
    """Read the record of a run, given by its folder.

    Raises:
        UserError: there is none, or it is none.
    """
    path = results / "provenance.json"
    if not path.is_file():
        raise UserError(f"{path} is missing: name the folder of a run that has ended, such as results/demo.")
    record = read_json(path)
    if not isinstance(record, dict) or not all(part in record for part in PARTS):
        raise UserError(f"{path}: is no record of a run of BrainSR.")
    return record


def repeatable_config(record: Record) -> dict[str, Any]:
    """Return a configuration that makes the same run: what data sets held is named, so that it is not looked up."""
    return {**record["config"], "datasets": []}


def local_paths(config: Mapping[str, Any]) -> list[PurePosixPath]:
    """Return the files and folders of this machine that a configuration names."""
    sources = [source for source in config["sources"].values() if source["kind"] == "local"]
    named = [source[key] for source in sources for key in ("path", "bids") if source.get(key)]
    return [PurePosixPath(path) for path in dict.fromkeys(named)]


def differences(record: Record, other: Record) -> Iterator[str]:
    """Says in words what code, packages, machine and data two records do not share.

    Args:
        record: of the run.
        other: of its repetition, or of the present state; what it does not have is not compared.
    """
    yield from _code(record.get("git"), other.get("git"))
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
            yield f"the data of {name}: SHA-256 {source.get('sha256')} then, {now.get(name)} now"


def _code(then: Record | None, now: Record | None) -> Iterator[str]:
    commits = [state["commit"] if state else "no git checkout" for state in (then, now)]
    if commits[0] != commits[1]:
        yield f"git commit: {commits[0]} then, {commits[1]} now"
    for state, word in ((then, "then"), (now, "now")):
        if state and state["changed"]:
            yield f"the code {word} had changes that are in no commit"
