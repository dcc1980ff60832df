"""Volumes of a run that are combined from several scans: their entry in the configuration, and where it matters."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config.checks import check_leaks, check_same_files
from pipeline.config.load import read_run
from pipeline.config.sources import LocalSource
from pipeline.config.volumes import Volume
from pipeline.errors import UserError
from pipeline.files import read_json, write_json
from pipeline.steps.__main__ import main
from tests.helpers import configuration, volume_entry
from tests.report_run import index_command, make_run, provenance_command, write_report


def combined(**changes: Any) -> dict[str, Any]:
    return volume_entry(source=None, sources=["axial", "coronal"], **changes)


def run_with(entry: dict[str, Any]) -> dict[str, Any]:
    values = configuration()
    names = [*values["sources"], "axial", "coronal"]
    sources = {name: {"kind": "local", "path": f"{name}.nii.gz"} for name in names}
    return {**values, "sources": sources, "volumes": [*values["volumes"], {**entry, "id": "three", "subject": "S3"}]}


def test_a_volume_of_several_sources_is_read():
    (*_, volume) = read_run(run_with(combined(thickness_mm=[4, 3.6]))).volumes
    assert volume.is_combined
    assert volume.source_names == ("axial", "coronal")
    assert volume.thicknesses_mm == (4, 3.6)
    assert Volume.model_validate_json(volume.model_dump_json()) == volume
    assert read_run(run_with(combined(thickness_mm=4))).volumes[-1].thicknesses_mm == (4, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "axial"}, "give either source, or sources"),
        ({"sources": None}, "give either source, or sources"),
        ({"sources": ["axial"]}, "fewer than two scans"),
        ({"thickness_mm": [4, -1]}, r"volumes\[3\]\.thickness_mm\[1\]: -1 is not allowed; allowed: number > 0, <= 50"),
        ({"sources": ["axial", "axial"]}, "lists 'axial' twice"),
        ({"sources": ["axial", "corona"]}, r"volumes\[3\]\.sources: 'corona' is unknown; .*coronal"),
        ({"thickness_mm": [4, 4, 4]}, "3 values for 2 sources"),
        ({"source": "axial", "sources": None, "thickness_mm": [4, 4]}, "a list is for sources"),
        ({"frame": 1}, "frame applies to a single source"),
        ({"folder": "a", "shard": [0, 1]}, "shard applies to a single source"),
    ],
)
def test_a_mistake_is_named(changes, message):
    with pytest.raises(UserError, match=message):
        read_run(run_with({**combined(), **changes}))


def test_a_scan_of_a_combined_volume_belongs_to_one_person():
    three = Volume(id="three", subject="A", split="test", sources=("axial", "coronal"))
    alone = Volume(id="alone", subject="B", split="train", source="coronal")
    (leak,) = check_leaks([three, alone], 8)
    assert "the same source 'coronal' is assigned to two subjects" in leak
    copy = alone.model_copy(update={"source": "copy"})
    sources = {name: LocalSource(kind="local", path=f"{name}.nii.gz") for name in ("axial", "coronal")}
    (same,) = check_same_files([three, copy], {**sources, "copy": sources["coronal"]})
    assert "the sources 'coronal' and 'copy' are the same file" in same
    blocks = [three.model_copy(update={"split": split, "slices": block}) for split, block in
              (("train", (0, 20)), ("test_within_subject", (24, 40)))]  # fmt: skip
    assert ["gap of 4 slices" in one for one in check_leaks(blocks, 8)] == [True]
    assert list(check_leaks(blocks, 4)) == []


def test_the_pages_list_the_sources_and_link_to_the_page_of_the_scans(tmp_path):
    folder = make_run(tmp_path)
    assert main(provenance_command(folder)) == 0
    record = read_json(folder / "provenance.json")
    tested = next(volume for volume in record["volumes"] if volume["id"] == "other")
    tested["source"] = "mine+theirs"
    write_json(folder / "provenance.json", record)
    assert main(index_command(folder, folder / "index.html")) == 0
    assert '<a href="other.combined.html">' in (folder / "index.html").read_text(encoding="utf-8")
    assert write_report(folder, "other", folder / "other.html") == 0
    page = (folder / "other.html").read_text(encoding="utf-8")
    assert '<a href="other.combined.html">Combined scans</a>' in page
    assert "other: several scans of one head, combined into one volume" in page
    assert "Combined reference" in page
