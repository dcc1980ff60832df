"""Extraction and degradation of a volume, compared with the same steps in torchio and monai.

    python -m benchmarks.preprocessing --side 256 --rounds 5 --json results/benchmark-preprocessing.json

A head of 16-bit integers with noise in the background, gzipped and stored L-I-A, is read, reoriented to canonical
order, masked, scaled to its 99.9th percentile, downsampled by four in-plane, and noise is added; both volumes are
written without compression. The three implementations alternate in one process; the table lists median seconds by step
and in total. Then each processes volumes in two concurrent single-threaded processes, including the start of Python, as
in a workflow. `python -m pip install torchio monai` installs the peers.

Differences: ours truncates k-space, computes the foreground by smoothing, Otsu's threshold, the largest component and
hole filling, and flushes both files to the disk. torchio has no k-space truncation (smoothing and interpolation), no
Otsu's threshold (the mean is used), no hole filling and no Rician noise (Gaussian noise is used). monai has no k-space
truncation (averaging over cells) and no percentiles of a mask (those of all voxels are used). "minimal" is the fastest
option of a library: the foreground is a simple threshold, and torchio interpolates without smoothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import nibabel as nib
import numpy as np

from benchmarks.timing import machine, run_apart
from pipeline.config.sections import Degrade, Extract
from pipeline.config.volumes import Volume
from pipeline.formats import nifti
from pipeline.formats.io import extraction
from pipeline.image import normalisation
from pipeline.image.intensity import PERCENTILE
from pipeline.physics.forward import ForwardModel
from pipeline.steps import degrade

FACTOR = 4
SIGMA = 0.02
AT_ONCE = 2
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
SHELLS = ((0.9, 500.0), (0.78, 120.0), (0.72, 700.0), (0.5, 1000.0), (0.15, 200.0))
"""Outer radius and intensity of scalp, skull, grey matter, white matter and ventricle."""
VOLUME = {"id": "head", "subject": "head", "split": "test", "source": "head"}

Seconds = dict[str, float]
Run = Callable[[Path, Path], Seconds]


def make_head(path: Path, side: int) -> None:
    """Write a head of shells with folds and Rician noise, int16, stored L-I-A with 1 mm."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, side, dtype=np.float32)] * 3, indexing="ij", sparse=True)
    radius = np.sqrt(x**2 + y**2 + z**2) + 0.02 * np.sin(24 * x) * np.sin(21 * y) * np.sin(18 * z)
    head = np.zeros((side,) * 3, np.float32)
    for outer, intensity in SHELLS:
        head[radius < outer] = intensity
    generator = np.random.default_rng(0)
    real, imaginary = (10 * generator.standard_normal(head.shape, np.float32) for _ in range(2))
    affine = np.array([[-1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], float)
    nib.save(nib.Nifti1Image(np.rint(np.hypot(head + real, imaginary)).astype(np.int16), affine), path)


class Clock:
    """Adds up seconds by step."""

    def __init__(self) -> None:
        self.seconds: Seconds = {}
        self._begin = time.perf_counter()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Count the time inside the block for a step."""
        begin = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin

    def watching(self, owner: Any, function: str, name: str) -> Any:
        """Count all calls of a function for a step, inside a with statement."""
        original = getattr(owner, function)

        def timed(*arguments: Any, **options: Any) -> Any:
            with self.step(name):
                return original(*arguments, **options)

        return patch.object(owner, function, timed)

    def stopped(self, rest: str) -> Seconds:
        """Return the seconds by step; time between the steps counts for `rest`."""
        total = time.perf_counter() - self._begin
        self.seconds[rest] = self.seconds.get(rest, 0.0) + total - sum(self.seconds.values())
        return {**self.seconds, "total": total}


def run_ours(source: Path, folder: Path) -> Seconds:
    """Run the steps extract and degrade."""
    options = degrade_options(folder)
    clock = Clock()
    with (
        clock.watching(nifti, "read", "read"),
        clock.watching(extraction, "slices_first", "read"),
        clock.watching(normalisation, "foreground_mask", "foreground"),
        clock.watching(extraction, "write_image", "write"),
        clock.watching(degrade, "write_image", "write"),
        clock.watching(ForwardModel, "coarsen", "coarsen"),
        clock.watching(ForwardModel, "add_noise", "noise"),
    ):
        extraction.extract(source, Volume.model_validate(VOLUME), Extract(), options.input, format_name="nifti")
        degrade.run(options)
    return clock.stopped("scale")


def degrade_options(folder: Path) -> degrade.Options:
    """Return the options of the step degrade."""
    return degrade.Options(
        input=folder / "high.safetensors",
        output=folder / "low.safetensors",
        forward_model=folder / "low.json",
        settings=Degrade(factor=FACTOR, noise_sigma=SIGMA),
    )


def run_torchio(source: Path, folder: Path, minimal: bool) -> Seconds:
    """Run the same steps with the transforms of torchio."""
    import torchio

    clock = Clock()
    with clock.step("read"):
        image = torchio.ToCanonical()(torchio.ScalarImage(source))
    subject: Any = torchio.Subject(image=image)
    method: Any = torchio.ZNormalization.mean
    if not minimal:
        with clock.step("foreground"):
            smooth: Any = torchio.Blur((1.0, 1.0, 1.0))(image)
            mask = torchio.LabelMap(tensor=torchio.ZNormalization.mean(smooth.data), affine=image.affine)
            subject.add_image(torchio.KeepLargestComponent()(mask), "mask")
            method = "mask"
    with clock.step("scale"):
        high = torchio.RescaleIntensity((0, 1), percentiles=(0, PERCENTILE), masking_method=method)(subject)["image"]
    with clock.step("coarsen"):
        low = torchio.Resample((FACTOR, FACTOR, 1), antialias=not minimal)(high)
    with clock.step("noise"):
        low = torchio.RandomNoise(std=(SIGMA, SIGMA))(low)
    with clock.step("write"):
        high.save(folder / "torchio-high.nii")
        low.save(folder / "torchio-low.nii")
    return clock.stopped("scale")


def run_monai(source: Path, folder: Path, minimal: bool) -> Seconds:
    """Run the same steps with the transforms of monai."""
    from monai import transforms

    clock = Clock()
    with clock.step("read"):
        image: Any = transforms.LoadImage(image_only=True, ensure_channel_first=True)(source)
        image = transforms.Orientation("RAS")(image)
    with clock.step("foreground"):
        smooth = image if minimal else transforms.GaussianSmooth(1.0)(image)
        mask: Any = transforms.ForegroundMask(threshold="otsu", invert=True)(smooth)
        if not minimal:
            transforms.FillHoles()(transforms.KeepLargestConnectedComponent()(mask))
    with clock.step("scale"):
        high = transforms.ScaleIntensityRangePercentiles(0, PERCENTILE, 0, 1)(image)
    with clock.step("coarsen"):
        low = transforms.Zoom((1 / FACTOR, 1 / FACTOR, 1), mode="area", keep_size=False)(high)
    with clock.step("noise"):
        low = transforms.RandRicianNoise(prob=1, std=SIGMA, sample_std=False)(low)
    with clock.step("write"):
        for name, one in (("high", high), ("low", low)):
            options = {"output_ext": ".nii", "separate_folder": False, "print_log": False}
            transforms.SaveImage(folder, f"monai-{name}", **options)(one)
    return clock.stopped("scale")


def contenders() -> dict[str, Run]:
    """Return all implementations by name: ours first, then the installed libraries."""
    found: dict[str, Run] = {"ours": run_ours}
    for name, run in (("torchio", run_torchio), ("monai", run_monai)):
        if find_spec(name) is None:
            sys.stderr.write(f"{name} is not installed and is skipped; to install it: python -m pip install {name}\n")
        else:
            found |= {name: partial(run, minimal=False), f"{name}, minimal": partial(run, minimal=True)}
    return found


def in_turns(runs: Mapping[str, Callable[[], Seconds]], rounds: int) -> dict[str, Seconds]:
    """Run all implementations in turns, after one warm-up; return the median of every step."""
    measured: dict[str, list[Seconds]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            seconds = run()
            measured[name] += [seconds] if number else []
    return {name: {step: median(one[step] for one in all_) for step in all_[0]} for name, all_ in measured.items()}


def at_once(name: str, source: Path, folder: Path, volumes: int) -> tuple[float, float]:
    """Process volumes in `AT_ONCE` concurrent single-threaded processes.

    Ours starts two processes per volume, one per step, as in the workflow; the others start once for all volumes.

    Returns:
        Seconds per volume, and the maximum peak resident memory of a process, in MiB.
    """
    begin = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        peaks = pool.map(lambda part: _one_after_the_other(name, source, folder / str(part), volumes), range(AT_ONCE))
        peak = max(peaks)
    return (time.perf_counter() - begin) / volumes / AT_ONCE, peak


def _one_after_the_other(name: str, source: Path, folder: Path, volumes: int) -> float:
    folder.mkdir(exist_ok=True)
    if name != "ours":
        call = (
            f"from pathlib import Path; from benchmarks.preprocessing import contenders; run = contenders()[{name!r}]"
        )
        code = f"{call}\nfor _ in range({volumes}): run(Path({str(source)!r}), Path({str(folder)!r}))"
        return _peak_mib(folder, "-c", code)
    given = degrade_options(folder)
    extracting = ("--input", source, "--output", given.input, "--volume", json.dumps(VOLUME))
    degrading = ("--input", given.input, "--output", given.output, "--forward-model", given.forward_model)
    commands = [("extract", *extracting), ("degrade", *degrading, "--settings", given.settings.model_dump_json())]
    return max(_peak_mib(folder, "-m", "pipeline.steps", *command) for _ in range(volumes) for command in commands)


def _peak_mib(folder: Path, *arguments: str | Path) -> float:
    """Run Python with one thread and return its peak resident memory in MiB."""
    cost = run_apart([sys.executable, *arguments], folder / "log", dict.fromkeys(THREADS, "1"))
    return cost.peak_bytes / 2**20


def measured(source: Path, folder: Path, rounds: int, volumes: int) -> list[dict[str, Any]]:
    """Return one row per peer."""
    runs = contenders()
    # First, since the peak memory of a forked process includes that of its parent.
    costs = {name: at_once(name, source, folder, volumes) for name in runs}
    steps = in_turns({name: partial(run, source, folder) for name, run in runs.items()}, rounds)
    return [
        {
            "case": name,
            "ours_s": steps["ours"]["total"],
            "peer_s": steps[name]["total"],
            "ratio": steps[name]["total"] / steps["ours"]["total"],
            "ours_steps_s": steps["ours"],
            "peer_steps_s": steps[name],
            "ours_at_once_s": costs["ours"][0],
            "peer_at_once_s": costs[name][0],
            "ratio_at_once": costs[name][0] / costs["ours"][0],
            "ours_peak_mib": costs["ours"][1],
            "peer_peak_mib": costs[name][1],
        }
        for name in runs
    ]


COLUMNS = ("read", "foreground", "scale", "coarsen", "noise", "write", "total")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a Markdown table, in seconds by step."""
    titles = ["", *COLUMNS, "to ours", "two processes, s per volume", "to ours", "peak MiB"]
    lines = [f"| {' | '.join(titles)} |", f"| --- {'| ---: ' * (len(titles) - 1)}|"]
    for row in rows:
        steps = [f"{row['peer_steps_s'].get(step, 0):.2f}" for step in COLUMNS]
        ratios = [f"{row['ratio']:.2f}", f"{row['peer_at_once_s']:.2f}", f"{row['ratio_at_once']:.2f}"]
        lines.append(f"| {' | '.join([row['case'], *steps, *ratios, format(row['peer_peak_mib'], '.0f')])} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--side", type=int, default=256, metavar="VOXELS", help="side of the head (default: %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="NUMBER", help="measured rounds (default: %(default)s)"
    )
    text = "volumes per process (default: %(default)s)"
    parser.add_argument("--volumes", type=int, default=4, metavar="NUMBER", help=text)
    parser.add_argument("--input", type=Path, metavar="PATH", help="a NIfTI file instead of the synthetic head")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the results to this file")
    parsed = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    with TemporaryDirectory() as folder:
        work = Path(folder)
        source = (parsed.input or work / "head.nii.gz").resolve()
        if not parsed.input:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                pool.submit(make_head, source, parsed.side).result()
        rows = measured(source, work, parsed.rounds, parsed.volumes)
        title = f"Extraction and degradation of a volume of {' x '.join(map(str, nib.load(source).shape))} voxels"
    print(f"{title}, seconds\n\n{table(rows)}")  # noqa: T201
    if parsed.json:
        parsed.json.write_text(json.dumps({"title": title, "machine": machine(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
