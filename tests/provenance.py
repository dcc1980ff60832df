"""Records of runs for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.config.run import Run
from pipeline.provenance.environment import GitState, Platform
from pipeline.provenance.record import Provenance


def provenance(config: Mapping[str, Any] | None = None, **changes: Any) -> Provenance:
    """Return the record of a run of no volumes.

    Args:
        config: the configuration; `run` and `volumes` need not be given.
        changes: other fields of the record.
    """
    values: dict[str, Any] = {
        "brainsr": "0.0",
        "git": GitState(commit="a" * 40, changed=False),
        "packages": {"numpy": "2.4.6", "torch": "2.13.0"},
        "platform": Platform(system="Linux", release="6", machine="x86_64", processor="", python="3.11.7"),
        "config": Run.model_validate_json(json.dumps({"run": "small", "volumes": [], **(config or {})})),
        "seed": 7,
        **dict.fromkeys(("sources", "volumes", "gaps", "near_duplicates"), ()),
    }
    return Provenance(**{**values, **changes})
