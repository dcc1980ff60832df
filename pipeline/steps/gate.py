r"""Return whether restored volumes agree with what was measured: the consistency gate. No reference is needed.

Each volume is degraded again by the forward model that is recorded in the low-resolution volume, and compared with the
measurement within its noise. Four gates are written for each method: residual (more is left than the noise), local (a
structure of lesion size was added or removed), shift (in voxels of the result) and intensity (a changed gamma, gain or
offset, as a fraction of the range). A value above its limit fails.

A scan of your own that `apply` has sharpened can be checked by hand. Its forward model is not known; the gate then asks
whether the result agrees with the scan as the network was taught to see it:

  python -m pipeline.steps gate --lr scan.nii.gz --predictions sharp.nii.gz --output gates.csv \
      --forward-model results/demo/degraded/mni152.forward.json

What lies below the resolution of the measurement, no such check can see: invented detail that the scanner could not
have shown passes. `docs/fidelity.md` says what is caught and what is not.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from pipeline.config.sections import PLANE_CHOICES, Extract
from pipeline.errors import UserError
from pipeline.fidelity.gate.volumes import check_prediction
from pipeline.files import read_json
from pipeline.formats import Part, format_of
from pipeline.formats.io.container import SUFFIX, read_image
from pipeline.formats.io.predictions import by_method, method_of
from pipeline.image.image import Image
from pipeline.image.normalisation import normalise
from pipeline.physics.degradation import check_magnitude
from pipeline.physics.forward import ForwardModel
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.physics.noise_level import estimate_sigma
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_table, show_progress
from pipeline.tables.gates import GATES, GateResult

logger = logging.getLogger(__name__)


def read_measurement(
    path: Path, model: Path | None, settings: Extract, noise_sigma: float | None
) -> LowResolutionImage:
    """Read a measurement: a low-resolution volume of a run, or an image of a user's own.

    Args:
        path: the file.
        model: forward model that an image of a user's own is taken to have come about by; None for volumes of a run.
        settings: plane and foreground of an image of a user's own.
        noise_sigma: its noise, as a fraction of the normalised range; None estimates it.

    Raises:
        UserError: the file cannot be read, or the forward model is missing.
    """
    if path.name.endswith(SUFFIX):
        return read_image(path, LowResolutionImage)
    if model is None:
        raise UserError(
            f"--forward-model: {path} says nothing of its forward model; give the .forward.json of a volume that was "
            "degraded as the network's training data were, from results/<run>/degraded."
        )
    try:
        image = normalise(format_of(path).read(path, Part()), settings)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return as_measured(image, ForwardModel.from_json(read_json(model)), noise_sigma, path.name.split(".")[0])


def as_measured(image: Image, model: ForwardModel, noise_sigma: float | None, name: str) -> LowResolutionImage:
    """Take an image as the measurement of a forward model that was recorded for another volume."""
    remedy = "Choose with --forward-model one of a volume with degrade.noise: gaussian."
    check_magnitude(image, name, model.noise, remedy)
    axis = image.slice_axis
    across = model.factors[model.slice_axis]
    inside = next(factor for place, factor in enumerate(model.factors) if place != model.slice_axis)
    factors = tuple(across if place == axis else inside for place in range(3))
    try:
        sigma = estimate_sigma(image.data, axis, model.noise_settings).sigma if noise_sigma is None else noise_sigma
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    logger.info("noise: %.4f of the range", sigma)
    shape = tuple(int(size) * factor for size, factor in zip(image.data.shape, factors, strict=True))
    spacing = image.spacing_mm
    taken = replace(
        model,
        factors=factors,
        hr_shape=shape,
        noise_sigma=sigma,
        slice_axis=axis,
        spacing_mm=spacing and tuple(length / factor for length, factor in zip(spacing, factors, strict=True)),
    )
    identity = replace(image.identity, id=image.id or name)
    return LowResolutionImage.of(image.with_data(image.data, masks={}, identity=identity), taken)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    text = "what was measured: a low-resolution volume of a run (.safetensors), or an image"
    add_path(parser, "--lr", text, each_volume=True)
    text = "restored volumes, each in a folder named after its method"
    add_path(parser, "--predictions", text, many=True, each_volume=True)
    add_table(parser, "--output", "one row a method and gate (.csv)")
    text = "forward model of an image that is no volume of a run (.forward.json)"
    add_path(parser, "--forward-model", text, required=False)
    parser.add_argument("--plane", default="auto", choices=PLANE_CHOICES, help="plane of the slices of an image")
    parser.add_argument(
        "--foreground", default="head", choices=("head", "all"), help="all: an image that fills the field"
    )
    text = "noise of an image, as a fraction of the normalised range; otherwise it is estimated"
    parser.add_argument("--noise-sigma", type=float, metavar="FRACTION", help=text)


def main(arguments: Namespace) -> None:
    """Run the stage."""
    settings = Extract(plane=arguments.plane, foreground=arguments.foreground)
    lr = read_measurement(arguments.lr, arguments.forward_model, settings, arguments.noise_sigma)
    rows: list[GateResult] = []
    for path in tqdm(by_method(arguments.predictions), lr.id, disable=not show_progress()):
        found = check_prediction(lr, method_of(path), path)
        for row in found:
            logger.info("%s", row)
        rows.extend(found)
    GATES.write(arguments.output, rows)
