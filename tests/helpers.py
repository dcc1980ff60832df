"""What tests share: a synthetic head, NIfTI files, and the command line as a user calls it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, ornt_transform
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import covered_shape

CHECKOUT = Path(__file__).resolve().parents[1]

ELLIPSOIDS = (
    # centre and half axes as fractions of half the volume, intensity; later ones lie on top
    ((0.0, 0.0, 0.0), (0.85, 0.9, 0.88), 500.0),  # scalp
    ((0.0, 0.0, 0.0), (0.75, 0.8, 0.78), 120.0),  # skull
    ((0.0, 0.0, 0.0), (0.68, 0.74, 0.7), 700.0),  # grey matter
    ((0.0, 0.05, 0.0), (0.5, 0.55, 0.5), 1000.0),  # white matter
    ((-0.15, 0.0, 0.1), (0.1, 0.3, 0.15), 200.0),  # left ventricle
    ((0.15, 0.0, 0.1), (0.1, 0.3, 0.15), 200.0),  # right ventricle
)


class Tags(HTMLParser):
    """The tags of a page as they come, with their attributes; what is opened must be closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "input", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def synthetic_head(shape: Sequence[int] = (40, 44, 36), seed: int = 0, texture: float = 40.0) -> NDArray[np.float32]:
    """Return a head of ellipsoids with smooth texture inside and black background around: float32, about 0 to 1100.

    The axes are x, y, z; the centre of the head is the centre of the array; the same seed gives the same head.
    """
    grids = np.meshgrid(*((np.arange(size) - (size - 1) / 2) / (size / 2) for size in shape), indexing="ij")
    head = np.zeros(shape, dtype=np.float64)
    for centre, axes, intensity in ELLIPSOIDS:
        radius = sum(((grid - c) / a) ** 2 for grid, c, a in zip(grids, centre, axes, strict=True))
        head[np.asarray(radius) < 1] = intensity
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = ndimage.gaussian_filter(noise, 1.5)
    textured = head + (head > 0) * texture * smooth / smooth.std()
    return ndimage.gaussian_filter(textured, 0.6).clip(0).astype(np.float32)


def ras_affine(spacing: Sequence[float] = (1.0, 1.0, 1.0), origin: Sequence[float] = (-20.0, -22.0, -18.0)) -> NDArray:
    """Return an affine whose axes run to the right, the front and the top."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return affine


def noiseless(lr_shape: Sequence[int], factors: Sequence[int]) -> ForwardModel:
    """Return a forward model without noise of low-resolution volumes of this shape."""
    return ForwardModel(tuple(factors), covered_shape(lr_shape, factors))


def reoriented(data: NDArray, affine: NDArray, table: NDArray) -> tuple[NDArray, NDArray]:
    """Store a RAS volume in another order; `table` has for every axis of the file its RAS axis and its direction."""
    transform = ornt_transform(np.array([[0, 1], [1, 1], [2, 1]]), table)
    return apply_orientation(data, transform), affine @ inv_ornt_aff(transform, data.shape)


def write_nifti(
    path: Path,
    data: NDArray,
    affine: NDArray | None = None,
    *,
    version: int = 1,
    slope: float = 1.0,
    intercept: float = 0.0,
    change_header: Callable[[Any], None] | None = None,
) -> Path:
    """Write stored voxels as they are, with a slope and intercept in the header; return `path`."""
    kind = nib.Nifti2Image if version == 2 else nib.Nifti1Image
    image: Any = kind(data, ras_affine() if affine is None else affine, dtype=data.dtype)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(slope, intercept)
    if change_header:
        change_header(image.header)
    image.to_filename(path)
    return path


def load_nifti(path: Path) -> Any:
    """Read a file with nibabel alone, to judge what the pipeline wrote."""
    return nib.load(path)


def described(image: Any, **known: Any) -> Any:
    """Return an image with records: keywords are the names of their fields, and `forward_model`.

    `slice_axis` alone chooses the plane of that axis.
    """
    from pipeline.image.image import PLANE_AXIS, Block, Identity, Slicing
    from pipeline.image.stack import Stack
    from pipeline.physics.low_resolution import LowResolutionImage

    model = known.pop("forward_model", None)
    if "slice_axis" in known or "plane" in known:
        axis = known.pop("slice_axis", None)
        planes = {number: name for name, number in PLANE_AXIS.items()}
        plane = known.pop("plane", image.slicing.plane if image.slicing and axis is None else planes.get(axis, "axial"))
        axis = PLANE_AXIS.get(plane, 2) if axis is None else axis
        known["slicing"] = Slicing(plane, axis, known.pop("plane_reason", ""))
    for record, kind in (("identity", Identity), ("block", Block), ("stack", Stack)):
        names = [one.name for one in fields(kind) if one.name in known]
        values = {name: known.pop(name) for name in names}
        frozen = {name: tuple(value) if isinstance(value, list | range) else value for name, value in values.items()}
        known[record] = replace(getattr(image, record), **frozen)
    image = replace(image, **known)
    return image if model is None else LowResolutionImage.of(image, model)


def volume_entry(**changes: Any) -> dict[str, Any]:
    """Return a volume's entry of a configuration."""
    return {"id": "head", "subject": "S1", "split": "test", "source": "mine", "slices": None, **changes}


def configuration(**changes: Any) -> dict[str, Any]:
    """Return a small, valid configuration; a changed key replaces the whole value."""
    blocks = (("low", "train", [0, 10]), ("mid", "val", [20, 30]))
    volumes = [volume_entry(id=name, split=split, slices=slices) for name, split, slices in blocks]
    volumes.append(volume_entry(id="other", subject="S2", source="theirs"))
    sources = {name: {"kind": "local", "path": f"{name}.nii.gz"} for name in ("mine", "theirs")}
    return {"run": "small", "volumes": volumes, "sources": sources, **changes}


def run_step(
    *arguments: str | Path,
    folder: Path | None = None,
    refusable: bool = False,
    environment: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
    module: str = "pipeline.steps",
) -> subprocess.CompletedProcess[str]:
    """Run `python -m pipeline.steps ...`, a step of the workflow, in a process of its own.

    Args:
        arguments: step and options.
        folder: working directory; the checkout by default.
        refusable: run without root's right to override file permissions.
        environment: variables to set.
        before: called in the new process before the command starts.
        module: what is run; see `run_command`.
    """
    prefix = without_privileges() if refusable and os.geteuid() == 0 else []
    command = [*prefix, sys.executable, "-m", module, *map(str, arguments)]
    variables = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", **(environment or {})}
    return subprocess.run(
        command, cwd=folder or CHECKOUT, env=variables, capture_output=True, text=True, check=False, preexec_fn=before
    )


def run_command(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `python -m pipeline ...`, a command that people type; see `run_step`."""
    return run_step(*arguments, module="pipeline", **options)


def without_privileges() -> list[str]:
    """Return the start of a command line that runs the rest as a root that permissions bind like anyone else.

    Another user id would not do: the interpreter may lie in a folder that only root can enter.
    """
    tool = shutil.which("setpriv")
    assert tool, "run these tests as an ordinary user, or install util-linux for setpriv"
    return [tool, "--bounding-set=-all", "--inh-caps=-all"]


def extract(source: Path, output: Path, *, settings: Mapping[str, Any] | None = None, **entry: Any) -> None:
    """Run the stage `extract` in this process."""
    from pipeline.config.sections import Extract
    from pipeline.config.volumes import Volume
    from pipeline.formats.io.extraction import extract as run

    volume = Volume.model_validate_json(json.dumps(volume_entry(**entry)))
    run(source, volume, Extract(**(settings or {})), output)


def contents(folder: Path) -> dict[str, str]:
    """Return the files under a folder with a hash of each, to see whether anything was changed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def the_message(result: subprocess.CompletedProcess[str], *, after_progress: bool = False) -> str:
    """Return the one message of a command that failed as it should; raises AssertionError where it did not.

    Args:
        result: the command.
        after_progress: lines of progress may stand before the message; otherwise it is all that was written.
    """
    assert result.returncode == 1, result.stderr or result.stdout
    assert "Traceback" not in result.stderr, result.stderr
    lines = result.stderr.splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith("error: ")]
    assert len(starts) == 1, result.stderr
    assert starts == [0] or after_progress, result.stderr
    return "\n".join(lines[starts[0] :]).removeprefix("error: ").strip()


def restore_slice(network: Any, image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Restore slices by torch, which all other ways to restore them are held against."""
    from pipeline.config.sections import Infer
    from pipeline.inference.forward_pass import engine_for

    return engine_for(network, Infer(backend="torch")).restore(image[..., None, :, :], sigma)
