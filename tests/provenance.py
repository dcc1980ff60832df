"""Records of runs for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.config.recipe import filled
from pipeline.config.run import Run
from pipeline.provenance.environment import GitState, Platform
from pipeline.provenance.record import Provenance, VolumeRecord


def provenance(config: Mapping[str, Any] | None = None, **changes: Any) -> Provenance:
    """Return the record of a run of no volumes.

    Args:
        config: the configuration; `run` and `volumes` need not be given.
        changes: other fields of the record.
    """
    given: dict[str, Any] = {"run": "small", "volumes": [], **(config or {})}
    recipes = {name: filled(name, recipe) for name, recipe in given.get("recipes", {}).items()}
    values: dict[str, Any] = {
        "brainsr": "0.0",
        "git": GitState(commit="a" * 40, changed=False),
        "packages": {"numpy": "2.4.6", "torch": "2.13.0"},
        "platform": Platform(system="Linux", release="6", machine="x86_64", processor="", python="3.11.7"),
        "config": Run.model_validate_json(json.dumps({**given, "recipes": recipes})),
        "seed": 7,
        **dict.fromkeys(("sources", "volumes", "gaps", "near_duplicates"), ()),
    }
    return Provenance(**{**values, **changes})


def volume_record(**changes: Any) -> VolumeRecord:
    """Return the record of an axial volume."""
    known = {"id": "a", "subject": "S", "split": "test", "source": "mine", "source_sha256": "0" * 64, "plane": "axial"}
    unknown = dict.fromkeys(("plane_reason", "slices", "channels", "collection", "spacing_mm", "orientation"))
    intensity = {"offset": 0.0, "offset_percentile": 0.1, "scale": 1.0, "scale_percentile": 99.9}
    foreground = {"foreground_fraction": 1.0, "foreground_slices": 1, "left_out": {}, "bias_corrected": False}
    grid = {"shape": (1, 1, 1), "spacing": (1.0, 1.0, 1.0), "unit": "mm", "stored_dtype": "int16"}
    return VolumeRecord.model_validate({**known, **unknown, **intensity, **foreground, **grid, **changes})
