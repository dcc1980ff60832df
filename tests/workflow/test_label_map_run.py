"""A run that trains on a label map and on a head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.formats.io.container import map_labels, read_image
from tests.helpers import synthetic_head, write_nifti
from tests.workflow.project import jobs, snakemake

SHAPE = (40, 44, 36)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    head = synthetic_head(SHAPE)
    write_nifti(tmp_path / "head.nii.gz", head)
    labels = np.digitize(head, [0.1 * head.max(), 0.4 * head.max(), 0.7 * head.max()]).astype(np.int16)
    write_nifti(tmp_path / "map.nii.gz", labels)
    values = {
        "run": "maps",
        "volumes": [
            {"id": "map", "subject": "A", "split": "train", "source": "map", "content": "labels"},
            {"id": "mine", "subject": "B", "split": "train", "source": "head", "slices": [0, 16]},
            {"id": "val", "subject": "B", "split": "val", "source": "head", "slices": [24, 36]},
        ],
        "sources": {name: {"kind": "local", "path": f"{name}.nii.gz"} for name in ("map", "head")},
    }
    (tmp_path / "maps.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


def test_a_label_map_is_synthesised_and_other_volumes_are_extracted(folder):
    planned = jobs(snakemake(folder, "--dry-run", "--configfile", folder / "maps.yaml"))
    assert (planned["synthesise"], planned["extract"], planned["degrade"]) == (1, 2, 3)
    low = "results/maps/degraded/map.safetensors"
    outcome = snakemake(folder, low, "--configfile", folder / "maps.yaml")
    assert outcome.returncode == 0, outcome.stderr
    path = folder / "results/maps/extracted/map.safetensors"
    labels = map_labels(path)
    assert labels is not None
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    assert read_image(path).block.synthetic
    assert map_labels(folder / low) is None
