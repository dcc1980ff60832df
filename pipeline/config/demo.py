"""The default run: values of config.yaml that differ from the defaults of the models."""

from __future__ import annotations

from typing import Any

DEMO: dict[str, Any] = {
    "run": "demo",
    "volumes": [
        {"id": "s1-train-low", "subject": "S1", "split": "train", "source": "pycortex-s1", "slices": [10, 112]},
        {"id": "s1-train-high", "subject": "S1", "split": "train", "source": "pycortex-s1", "slices": [172, 206]},
        {"id": "s1-val", "subject": "S1", "split": "val", "source": "pycortex-s1", "slices": [152, 164]},
        {
            "id": "s1-block",
            "subject": "S1",
            "split": "test_within_subject",
            "source": "pycortex-s1",
            "slices": [120, 144],
        },
        {
            "id": "mni152",
            "subject": "MNI152",
            "split": "test",
            "source": "mni152-2009a",
            "slices": [40, 130],
            "tissues": "csf-grey-white",
        },
    ],
    "methods": ["brainsr"],
    "recipes": {"rrdb_l1": {"steps": 300}, "brainsr": {"steps": 60}},
    "evaluate": {
        "metrics": ["psnr", "ssim", "ms_ssim", "nrmse", "hfen", "gmsd", "haarpsi", "edge_sharpness", "residual_noise"]
    },
}
"""Input of `pipeline.config.load.read_run`."""
