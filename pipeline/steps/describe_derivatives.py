"""Write dataset_description.json, which makes a folder of results a BIDS data set of derivatives."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.config.finding.kinds.bids import DESCRIPTION_FILE
from pipeline.config.load import read_entry
from pipeline.files import read_json, write_json
from pipeline.steps._cli import ArgumentParser, Namespace, add_path

BIDS_VERSION = "1.10.0"


def description(
    run: str, method: str, links: Mapping[str, str], raw: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the description of the derivatives of a run.

    Args:
        run: name of the run.
        method: that made the results.
        links: place of every data set that images were taken from, by its name in the sidecars.
        raw: the descriptions of these data sets, by the same names.
    """
    titles = [str(raw[name].get("Name", name)) for name in links]
    licences = sorted({str(one["License"]) for one in raw.values() if "License" in one})
    return {
        "Name": f"{', '.join(titles)}: super-resolved by BrainSR, run {run}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        **({"License": "; ".join(licences)} if licences else {}),
        "GeneratedBy": [{"Name": "BrainSR", "Version": __version__, "Description": f"results of the method {method}"}],
        "SourceDatasets": [_source(raw[name], place) for name, place in links.items()],
        "DatasetLinks": dict(links),
    }


def _source(raw: Mapping[str, Any], place: str) -> dict[str, str]:
    """Name a data set by its DOI where it has one, else by where it lies."""
    return {"DOI": str(raw["DatasetDOI"])} if "DatasetDOI" in raw else {"URL": place}


def place_of(root: str, output: Path) -> str:
    """Return where a data set lies as seen from the folder of derivatives; an absolute path becomes an address."""
    path = Path(root)
    return path.as_uri() if path.is_absolute() else Path(os.path.relpath(path, output.parent)).as_posix()


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--method", required=True, help="method that made the results")
    text = "folders of the BIDS data sets that images were taken from, by their names in the sidecars"
    parser.add_argument("--links", required=True, metavar="JSON", help=text)
    add_path(parser, "--output", DESCRIPTION_FILE)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    roots = read_entry(dict[str, str], arguments.links, "links")
    raw = {name: read_json(Path(root) / DESCRIPTION_FILE) for name, root in roots.items()}
    links = {name: place_of(root, arguments.output) for name, root in roots.items()}
    write_json(arguments.output, description(arguments.run, arguments.method, links, raw))
