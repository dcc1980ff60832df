"""The profiles fit the rules and each other."""

from __future__ import annotations

import re
from itertools import pairwise

import yaml

from tests.helpers import CHECKOUT

OWN_TO_A_MACHINE = {"resources"}
"""What the default profile says of the machine at hand; a cluster counts its GPUs itself."""


def profile(name: str) -> dict:
    return yaml.safe_load((CHECKOUT / f"profiles/{name}/profile.yaml").read_text())


def rules_with_gpu() -> set[str]:
    """Return the rules that ask for a GPU, those that inherit from such a rule included."""
    text = "\n".join(path.read_text() for path in (CHECKOUT / "workflow/rules").glob("*.smk"))
    parts = re.split(r"^rule (\w+):", text, flags=re.MULTILINE)
    asking = {name for name, body in zip(parts[1::2], parts[2::2], strict=True) if "gpu=RUN" in body}
    inherited = re.findall(r"^use rule (\w+) as (\w+) with:", text, flags=re.MULTILINE)
    return asking | {heir for ancestor, heir in inherited if ancestor in asking}


def test_the_profile_for_slurm_sends_every_rule_with_a_gpu_to_the_partition_that_has_them():
    assert set(profile("slurm")["set-resources"]) == rules_with_gpu()


def test_what_holds_on_one_machine_holds_on_a_cluster():
    cluster = profile("slurm")
    here = {key: value for key, value in profile("default").items() if key not in OWN_TO_A_MACHINE}
    assert here.items() <= cluster.items()
    assert here["rerun-incomplete"]


def test_every_setting_of_the_profile_for_slurm_is_explained():
    lines = (CHECKOUT / "profiles/slurm/profile.yaml").read_text().splitlines()
    for before, line in pairwise(lines):
        if re.match(r"([a-z-]+|  slurm_\w+): \w", line) and not line.startswith(("executor", "show-failed-logs")):
            assert before.lstrip().startswith("#"), line
