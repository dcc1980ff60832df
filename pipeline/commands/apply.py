"""Super-resolve an image with a network that ships, a trained network, or a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.types import PositiveFloat, PositiveInt
from cyclopts.validators import Number

from pipeline.config.planes import PlaneChoice


def apply(
    image: Annotated[Path, Parameter(name="INPUT")],
    /,
    *,
    output: Path | None = None,
    model: str | None = None,
    factor: Annotated[PositiveInt | None, Parameter(validator=Number(gte=2, lte=8))] = None,
    plane: PlaneChoice = "auto",
    foreground: Literal["head", "all"] = "head",
    noise_sigma: float | None = None,
    passes: Literal[1, 2, 4, 8] | None = None,
    frame: int | None = None,
    channel: int | str | None = None,
    series: str | None = None,
    voxel_um: tuple[PositiveFloat, PositiveFloat, PositiveFloat] | None = None,
    thickness_mm: PositiveFloat | None = None,
    uncertainty: Annotated[bool | None, Parameter(negative="--no-uncertainty")] = None,
    calibration: Path | None = None,
    force: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    memory_mb: PositiveInt | None = None,
    settings: Annotated[str, Parameter(show_default=False)] = "{}",
) -> None:
    """Super-resolve an image with a network that ships, a trained network, or a baseline.

    Without --model, a network that ships is chosen for the image, see the log and `brainsr networks`: for scans with
    voxels at least 1.5 times longer across the slices than within them, one that restores thick slices; otherwise one
    that enlarges in-plane. Stacks of micrographs with voxels of at most 100 nm count as electron microscopy. The log
    also compares the image with the data on which the network was trained and evaluated.

    The result has the format, orientation, data type and units of the input. A network trained for isotropic
    super-resolution enlarges all three axes; others enlarge the in-plane axes or the slice axis. All channels are
    restored unless --channel selects one.

    Without a reference, the result cannot be evaluated. The report of the run that trained the network describes its
    reliability, for images acquired like the training data.

    An uncertainty map is written beside the result (OUTPUT.uncertainty.SUFFIX), in the units of the image. For networks
    with calibrated intervals, which are stored with a network that ships or given by --calibration, it is the
    half-width of the 90 % prediction interval of each voxel; for others it is the standard deviation over test-time
    augmentation by flips and transposes. Fast networks write it only with --uncertainty, since it takes eight passes,
    and so do others with --passes.

    TIFF and OME-Zarr images with more than 1024 rows or columns, or 8 million pixels, are restored tile by tile, stacks
    of thick sections in blocks of all sections, in memory that hardly depends on rows and columns. An interrupted
    restoration resumes when the command is run again. For these images, uncertainty maps are written only with
    --uncertainty, --foreground does not apply, and sections are as thick as their spacing unless --thickness-mm is
    given.

    Args:
        image: the image: a file, or a folder or zip archive of DICOM files or of pictures.
        output: the result, in the format of the input; by default INPUT_sr beside the input, with desc-sr in BIDS
            names.
        model: name of a network that ships; generator.safetensors of a trained method; or the name of a baseline, such
            as total_variation or least_squares, which restores thick slices to isotropic voxels or, with --factor,
            enlarges in-plane.
        factor: for baselines: enlarge in-plane, by this factor along rows and columns.
        plane: plane of the slices; auto cuts across the axis with much larger voxels, or else as the
            series was stacked, or else axially; see the log.
        foreground: head: segment the head from the background; all: use the whole image.
        noise_sigma: noise level as a fraction of the intensity range; by default it is estimated.
        passes: forward passes of the network per slice, over flips and transposes, whose results are averaged; by
            default as many as it was evaluated with, such as 4. --passes 1 is the fastest.
        frame: index of a volume of a 4-D image, or of a time point, from 0.
        channel: index, from 0, or name of a single channel to restore.
        series: image to use if the file or folder contains several.
        voxel_um: voxel size along x, y and z in micrometres, if the file does not contain it.
        thickness_mm: slice thickness in mm (full width at half maximum of the slice profile), if the file or its BIDS
            sidecar does not state it correctly.
        uncertainty: write the uncertainty map.
        calibration: uncertainty/calibration.json of the network's run.
        force: write the result even if it is inconsistent with the input.
        device: compute device.
        memory_mb: memory limit in MB; by default the free memory.
        settings: section infer of the configuration, as JSON or as the path of a configuration file.
    """
    from pipeline.config.load import read_section
    from pipeline.config.sections import Extract, Infer
    from pipeline.formats import Part
    from pipeline.inference.memory import limit_memory
    from pipeline.inference.restore_file import default_output
    from pipeline.inference.restore_image import restore_image

    given = {"noise_sigma": noise_sigma, "passes": passes, "force": force or None}
    changes = {name: value for name, value in given.items() if value is not None}
    inference = read_section(Infer, read_section(Infer, settings).model_copy(update=changes).model_dump_json())
    limit_memory(memory_mb)
    restore_image(
        model,
        image,
        output or default_output(image),
        Part(frame, channel, series, voxel_um),
        Extract(plane=plane, foreground=foreground),
        inference,
        factor=factor,
        device=device,
        uncertainty=uncertainty,
        calibration=calibration,
        thickness_mm=thickness_mm,
    )
