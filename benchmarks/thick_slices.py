"""One thick stack per person: self-supervised networks against baselines that know the slice profile.

    python -m benchmarks.thick_slices --heads FOLDER --validation FILE

Writes a configuration and runs it with Snakemake in the current folder: volumes of 1 mm are thickened to 4 mm by a
Gaussian slice profile, with 2 % Rician noise, and restored by all baselines, tuned on the validation head, and by a
network that is trained on the low-resolution volumes themselves. `brainsr table thick-slices-persons --wide` prints the
results, and metrics/summary.csv contains intervals over persons.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import yaml

RUN = "thick-slices-persons"
SLICES = 64
"""Axial slices per person, around the middle of the head."""
RESCANS = {"1024": "1004", "1039": "1019"}
"""Second scans of a person, by name of the file, with the name of the first (heads-oasis)."""


def middle(path: Path) -> list[int]:
    """Return a range of axial slices around the middle of the head."""
    data = np.asanyarray(nib.as_closest_canonical(nib.load(path)).dataobj)
    filled = np.flatnonzero((data > np.percentile(data, 99) / 5).any(axis=(0, 1)))
    start = max(0, int(filled.mean()) - SLICES // 2)
    return [start, min(start + SLICES, data.shape[2])]


def configuration(heads: Sequence[Path], validation: Path, steps: int) -> dict:
    """Return the configuration of the run."""
    volumes, sources = [], {}
    for path, split in [*((head, "test") for head in heads), (validation, "val")]:
        name = re.sub(r"[^A-Za-z0-9]", "", path.name.split(".")[0])
        sources[name] = {"kind": "local", "path": str(path.resolve())}
        volumes.append({"id": name, "subject": name, "split": split, "source": name, "slices": middle(path)})
    return {
        "run": RUN,
        "sources": sources,
        "volumes": volumes,
        "degrade": {
            "direction": "through_plane",
            "factor": 4,
            "operators": [{"name": "slice_profile", "thickness_mm": 4}, {"name": "decimation"}],
            "noise_sigma": 0.02,
        },
        "extract": {"plane": "axial"},
        "methods": ["rrdb_l1"],
        "recipes": {"rrdb_l1": {"steps": steps}},
        "infer": {"deliver": "rrdb_l1"},
        "insertion": {"kinds": []},
        "evaluate": {"metrics": ["psnr", "ssim", "gmsd", "haarpsi"]},
    }


def main() -> int:
    """Write the configuration, and run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=Path, required=True, help="folder of heads, one person each")
    parser.add_argument("--validation", type=Path, required=True, help="head on which baselines are tuned")
    parser.add_argument("--steps", type=int, default=300, help="steps of the training")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    heads = [one for one in sorted(options.heads.glob("*.nii.gz")) if one.name[:4] not in RESCANS]
    path = Path(f"{RUN}.yaml")
    path.write_text(yaml.safe_dump(configuration(heads, options.validation, options.steps), sort_keys=False))
    command = [sys.executable, "-m", "pipeline", "run", "--configfile", str(path), "--cores", str(options.cores)]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
