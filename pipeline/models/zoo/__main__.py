"""Add a trained network to those that ship: python -m pipeline.models.zoo NAME --method FOLDER --config FILE."""

from __future__ import annotations

import sys
from pathlib import Path

from cyclopts import App, Parameter

from pipeline.config.shipped import Modality
from pipeline.console import run_app
from pipeline.errors import UserError

app = App(
    name="python -m pipeline.models.zoo",
    help=__doc__,
    version_flags=[],
    default_parameter=Parameter(negative=()),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)


@app.default
def add(
    name: str,
    /,
    *,
    method: Path | None = None,
    config: Path | None = None,
    gains: Path | None = None,
    calibration: Path | None = None,
    purpose: str | None = None,
    licence: str | None = None,
    trained_on: str | None = None,
    citation: str | None = None,
    modality: Modality | None = None,
) -> None:
    """Write weights, model card and table of a network that ships; with --gains alone, only its measured gains.

    Texts and the modality remain as they are in the table if they are not given. The folder is that of BrainSR, or
    the one that the environment variable BRAINSR_ZOO names.

    Args:
        name: name of the network, such as mri-x4.
        method: folder of the trained method, such as results/mri-x4/models/rrdb_l1.
        config: configuration of its run, such as examples/zoo/mri-x4.yaml.
        gains: CSV file of measured gains, with the columns of pipeline/tables/network_gains.py.
        calibration: uncertainty/calibration.json of its run, stored with the weights for `apply`; the run must have
            restored its volumes as apply does: without data consistency (infer.data_consistency: false), or with it if
            the network restores thick slices of any ratio.
        purpose: what the network is for, in one sentence.
        licence: licence of the weights.
        trained_on: summary of the training data, as the end of "trained on ...".
        citation: citation.
        modality: images that it restores.
    """
    from pipeline.models.zoo.ship import record_gains, ship

    if method is None and config is None and gains is not None:
        record_gains(name, gains)
        return
    if method is None or config is None:
        raise UserError("--method, --config: required, except for new --gains of a network that ships.")
    ship(
        name,
        method,
        config,
        gains=gains,
        calibration=calibration,
        purpose=purpose,
        licence=licence,
        trained_on=trained_on,
        citation=citation,
        modality=modality,
    )


if __name__ == "__main__":
    sys.exit(run_app(app, sys.argv[1:] or ["--help"], "python -m pipeline.models.zoo"))
