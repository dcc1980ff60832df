"""Evaluation of every training recipe on held-out pictures: the tables of docs/results-recipes.md.

    python -m benchmarks.training --images FOLDER --work results/benchmark-training --docs docs/results-recipes.md

FOLDER contains Training/<class>/*.jpg and Testing/<class>/*.jpg, like the Kaggle brain-tumour set. Every recipe is
trained once, over a range of noise levels. Existing results in the work folder are reused, so an interrupted run
resumes; `--only` selects recipes. Training lengths are in steps and suit two cores.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image as Picture
from scipy import stats

from pipeline import plugins
from pipeline.baselines.tuning.apply import upsample
from pipeline.baselines.tuning.search import tune
from pipeline.config.known import known_sources
from pipeline.config.load import as_json
from pipeline.config.recipe import filled
from pipeline.config.sections import Degrade, Infer
from pipeline.fidelity.classifier import predict, train_classifier
from pipeline.formats.io.container import read_image, write_image
from pipeline.image.image import Block, Identity, Image, Slicing
from pipeline.image.intensity import IntensityMap
from pipeline.inference.restoration import restore
from pipeline.metrics import edge_sharpness, gmsd, haarpsi, psnr, residual_noise, ssim, vif
from pipeline.models.device import use_threads
from pipeline.models.weights import load_generator, save_generator
from pipeline.physics.degradation import degrade, forward_model
from pipeline.physics.low_resolution import LowResolutionImage
from pipeline.sources.retries import Patience
from pipeline.steps import convert_vgg, convert_weights
from pipeline.steps.download import download

logger = logging.getLogger("benchmarks.training")

NOISE = (0.01, 0.02, 0.05)
SEED = 2026
NEAR_DUPLICATE_BITS = 6
"""Maximum Hamming distance of the 64-bit perceptual hashes of near-duplicates."""
VALIDATION_PICTURES = 24
BASELINES = "baselines"
"""Name of the task that runs all baselines."""
DARKEST = 0.08
"""Intensities below this value are background, where no training patch is centred."""
CLASSES = ("glioma", "meningioma", "notumor", "pituitary")
METRICS = {
    "psnr": psnr,
    "ssim": ssim,
    "gmsd": gmsd,
    "haarpsi": haarpsi,
    "vif": vif,
    "edge_sharpness": edge_sharpness,
    "residual_noise": residual_noise,
}
RANGE = {"noise_sigma_range": [0.005, 0.06], "contrast_augmentation": 0.25}
"""Shared by all recipes: noise range of the training and probability of contrast augmentation."""


@dataclass(frozen=True)
class Training:
    """One row of the table.

    Attributes:
        recipe: preset of the recipe.
        start: row, or source of the initial weights; None trains from scratch.
        changes: changes to the preset.
        what: description for the table.
    """

    recipe: str
    start: str | None
    changes: Mapping[str, Any] = field(default_factory=dict)
    what: str = ""


SMALL = {**RANGE, "patch_lr": 20}
PIXEL, ADVERSARIAL = {**SMALL, "steps": 220}, {**SMALL, "steps": 80}
LOSSES = filled("brainsr", {})["losses"]
UNSUPPRESSED = {name: weight for name, weight in LOSSES.items() if name not in ("ldl", "consistency")}
AT_ONCE = {"unfreeze": {"trunk_from": 0.0, "trunk_rate": 1.0}}
MAIN = {
    "rrdb_l1": Training("rrdb_l1", "realesrgan-6b", {**RANGE, "steps": 600}),
    "brainsr": Training("brainsr", "rrdb_l1", {**RANGE, "steps": 160}),
    "esrgan": Training("esrgan", "rrdb_l1", {**RANGE, "steps": 80}),
    "srresnet": Training("srresnet", None, {**RANGE, "steps": 500}, "from scratch"),
    "srgan": Training("srgan", "srresnet", {**RANGE, "steps": 80}, "from scratch"),
    "rrdb_l1-x4plus": Training(
        "rrdb_l1", "realesrgan-x4plus", {**RANGE, "steps": 50}, "23 blocks, natural images, fewer steps"
    ),
}
ABLATIONS = {
    "pixel": Training("rrdb_l1", "realesrgan-6b", PIXEL),
    "full": Training("brainsr", "pixel", ADVERSARIAL, "full recipe"),
    "scratch-pixel": Training("rrdb_l1", None, {**PIXEL, "starts_from": "scratch"}),
    "scratch": Training("brainsr", "scratch-pixel", ADVERSARIAL, "from scratch"),
    "at-once-pixel": Training("rrdb_l1", "realesrgan-6b", {**PIXEL, **AT_ONCE}),
    "at-once": Training("brainsr", "at-once-pixel", {**ADVERSARIAL, **AT_ONCE}, "all layers from the start"),
    "no-map-pixel": Training("rrdb_l1", "realesrgan-6b", {**PIXEL, "noise_map": False}),
    "no-map": Training("brainsr", "no-map-pixel", {**ADVERSARIAL, "noise_map": False}, "no noise map"),
    "no-suppression": Training(
        "brainsr",
        "pixel",
        {**ADVERSARIAL, "losses": UNSUPPRESSED},
        "no artifact suppression (no LDL, no consistency term)",
    ),
}
"""300 steps each, 220 with the pixel loss and 80 with the discriminator."""
NO_ENSEMBLE, NO_CORRECTION = "no self-ensemble", "no data consistency"
DERIVED = {"no-ensemble": NO_ENSEMBLE, "no-correction": NO_CORRECTION}
"""Variants of the full recipe that need no training."""


# Pictures


def read_pictures(folder: Path) -> tuple[list[Path], NDArray[np.float32]]:
    """Return the pictures of a folder in a fixed random order, (count, y, x) in [0, 1]; all must have the same size."""
    paths = sorted(folder.glob("*/*.jpg"))
    np.random.default_rng(SEED).shuffle(paths)  # pyright: ignore[reportArgumentType]
    return paths, np.stack([np.asarray(Picture.open(path).convert("L"), dtype=np.float32) / 255 for path in paths])


def without_near_duplicates(paths: Sequence[Path], others: Sequence[Path]) -> list[int]:
    """Return the indices of the pictures that are not near-duplicates of the others."""
    seen = [imagehash.phash(Picture.open(path).convert("L")) for path in others]
    own = [imagehash.phash(Picture.open(path).convert("L")) for path in paths]
    return [index for index, one in enumerate(own) if min(one - other for other in seen) > NEAR_DUPLICATE_BITS]


def as_stack(pictures: NDArray[np.float32], name: str, split: str) -> Image:
    """Return pictures as slices of a volume."""
    data = np.ascontiguousarray(np.moveaxis(pictures, 0, -1))
    return Image(
        data,
        np.eye(4),
        IntensityMap(255.0, dtype="uint8"),
        masks={"foreground": data > DARKEST},
        identity=Identity(name, name, split),
        slicing=Slicing("axial", 2),
        block=Block(slices=(0, len(pictures)), foreground_slices=tuple(range(len(pictures)))),
    )


def degraded(image: Image, sigma: float) -> LowResolutionImage:
    """Return the low-resolution image of a stack: k-space truncated by 4, Rician noise."""
    settings = Degrade(noise_sigma=sigma)
    return degrade(image, forward_model(image, settings, SEED))


def prepare(images: Path, work: Path, test_pictures: int) -> None:
    """Write the stacks of the splits and their low-resolution images."""
    if (work / "test.safetensors").exists():
        return
    train_paths, train_pictures = read_pictures(images / "Training")
    test_paths, test_all = read_pictures(images / "Testing")
    kept = without_near_duplicates(test_paths, train_paths)
    fresh = without_near_duplicates(train_paths[:VALIDATION_PICTURES], train_paths[VALIDATION_PICTURES:])
    logger.info("%d of %d test pictures are not near-duplicates of training pictures", len(kept), len(test_paths))
    kept = kept[:test_pictures]
    stacks = {
        "train": train_pictures[VALIDATION_PICTURES:],
        "val": train_pictures[fresh],
        "test": test_all[kept],
    }
    for name, pictures in stacks.items():
        image = as_stack(pictures, name, name)
        levels = NOISE if name == "test" else (0.02,)
        for sigma in levels:
            write_image(work / f"{name}.{sigma:g}.safetensors", degraded(image, sigma))
        write_image(work / f"{name}.safetensors", image)
    (work / "test-classes.json").write_text(json.dumps([test_paths[index].parent.name for index in kept]))


# Training


def source_file(name: str, work: Path) -> Path:
    """Return the file of a known source, downloaded once."""
    source = known_sources()[name]
    output = work / "sources" / name / source.file_name
    if not output.exists():
        download(name, source, output, work / "sources" / "archives", Patience())
    return output


def initial(name: str, work: Path) -> Path:
    """Return the one-channel generator converted from the weights of a known source."""
    folder = work / "models" / name
    if not (folder / "generator.safetensors").exists():
        convert_weights.run(
            convert_weights.Options(
                weights=source_file(name, work), source=known_sources()[name], output=folder, factor=4
            )
        )
    return folder / "generator.safetensors"


def train_row(name: str, row: Training, work: Path, threads: int) -> None:
    """Train one row in a separate process, as in the workflow."""
    output = work / "models" / name
    if (output / "generator.safetensors").exists():
        return
    vgg = work / "features.safetensors"
    if not vgg.exists():
        convert_vgg.run(
            convert_vgg.Options(
                weights=source_file("vgg16-brain-tumor", work), source=known_sources()["vgg16-brain-tumor"], output=vgg
            )
        )
    values = filled(row.recipe, row.changes)
    start = []
    if row.start is not None:
        trained = row.start in MAIN or row.start in ABLATIONS
        path = work / "models" / row.start / "generator.safetensors" if trained else initial(row.start, work)
        start = ["--start-from", str(path)]
    origin = "realesrgan-x4plus" if "x4plus" in name else "realesrgan-6b"
    files = ["--hr", work / "train.safetensors", "--lr", work / "train.0.02.safetensors"]
    files += ["--val-hr", work / "val.safetensors", "--val-lr", work / "val.0.02.safetensors"]
    command = [sys.executable, "-m", "pipeline.steps", "train", *map(str, files), *start, "--perceptual", str(vgg)]
    command += ["--output", str(output), "--checkpoints", str(work / "checkpoints" / name), "--seed", str(SEED)]
    command += [
        "--settings",
        as_json({"threads": threads}),
        "--recipe",
        as_json(values),
        "--source",
        known_sources()[origin].model_dump_json(),
    ]
    logger.info("training %s", name)
    with (work / f"{name}.log").open("a") as log:
        subprocess.run(command, check=True, stdout=log, stderr=log)


def derive(work: Path) -> None:
    """Write the variants that differ from the full recipe at inference only."""
    for name, what in DERIVED.items():
        path = work / "models" / name / "generator.safetensors"
        if not path.exists():
            network = load_generator(work / "models" / "full" / "generator.safetensors")
            changes = {"self_ensemble": 1} if what == NO_ENSEMBLE else {"consistency_weights": ()}
            network.record = network.record.model_copy(update=changes)
            save_generator(path, network)


# Evaluation


def restore_by_baselines(image: LowResolutionImage, val: Path, sigma: float) -> dict[str, NDArray[np.floating]]:
    """Restore a stack with every baseline, tuned on validation at this noise level."""
    reference = read_image(val)
    methods = tune([reference], [degraded(reference, sigma)])["methods"]
    tuned = {name: one["settings"] for name, one in methods.items()}
    return {name: upsample(image, name, tuned) for name in plugins.names("pipeline.baselines")}


def measure(reference: Image, estimate: NDArray[np.floating], method: str, sigma: float) -> list[dict[str, Any]]:
    """Evaluate every picture over its whole area."""
    rows = []
    for index in range(reference.data.shape[2]):
        one, other = np.asarray(reference.data[..., index]), np.asarray(estimate[..., index])
        inside = np.ones(one.shape, dtype=bool)
        values = {name: metric.per_slice(one, other, inside, 1.0) for name, metric in METRICS.items()}
        rows.append({"method": method, "noise": sigma, "picture": index, **values})
    return rows


def evaluate(work: Path, networks: Sequence[str], levels: Sequence[float], name: str, with_baselines: bool) -> None:
    """Restore and evaluate the test stack: one task per method and noise level, one task per core."""
    table = work / f"{name}.csv"
    if table.exists():
        return
    (work / "restored").mkdir(exist_ok=True)
    methods = [*([BASELINES] if with_baselines else []), *networks]
    tasks = [(work, method, sigma) for sigma in levels for method in methods]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        found = list(pool.map(restore_and_measure, *zip(*tasks, strict=True)))
    pd.DataFrame([row for rows in found for row in rows]).to_csv(table, index=False)


def restore_and_measure(work: Path, method: str, sigma: float) -> list[dict[str, Any]]:
    """Restore the test stack with a network or all baselines, store the results, and evaluate them."""
    use_threads(1)
    reference = read_image(work / "test.safetensors")
    image = read_image(work / f"test.{sigma:g}.safetensors", LowResolutionImage)
    if method == BASELINES:
        results = restore_by_baselines(image, work / "val.safetensors", sigma)
    else:
        network = load_generator(work / "models" / method / "generator.safetensors").eval()
        results = {method: restore(network, image, Infer())}
    for name, estimate in results.items():
        np.save(work / "restored" / f"{name}.{sigma:g}.npy", np.asarray(estimate, dtype=np.float16))
    return [row for name, estimate in results.items() for row in measure(reference, estimate, name, sigma)]


def diagnose(images: Path, work: Path) -> None:
    """Compare the predicted classes of restored pictures and references, by a classifier trained on references."""
    table = work / "agreement.csv"
    if table.exists():
        return
    use_threads(2)
    paths, pictures = read_pictures(images / "Training")
    network = train_classifier(pictures, np.array([CLASSES.index(path.parent.name) for path in paths]), SEED)
    reference = np.moveaxis(np.asarray(read_image(work / "test.safetensors").data), -1, 0)
    labels = np.array([CLASSES.index(name) for name in json.loads((work / "test-classes.json").read_text())])
    of_reference = predict(network, reference)
    rows = []
    for sigma in NOISE:
        for method in [*plugins.names("pipeline.baselines"), "pretrained", *MAIN]:
            restored = np.load(work / "restored" / f"{method}.{sigma:g}.npy").astype(np.float32)
            found = predict(network, np.clip(np.moveaxis(restored, -1, 0), 0, 1))
            rows.extend(
                {"noise": sigma, "method": method, "picture": index, "agrees": bool(one), "right": bool(two)}
                for index, (one, two) in enumerate(zip(found == of_reference, found == labels, strict=True))
            )
    pd.DataFrame(rows).to_csv(table, index=False)
    logger.info(
        "accuracy of the classifier on the reference test pictures: %.1f %%",
        100 * float(np.mean(of_reference == labels)),
    )


# Tables


def difference(table: pd.DataFrame, metric: str, method: str, baseline: str) -> str:
    """Return the mean paired difference over pictures with its 95 % bootstrap interval, as text."""
    wide = table.pivot(index="picture", columns="method", values=metric).astype(float)
    paired = (wide[method] - wide[baseline]).to_numpy()
    if not np.ptp(paired):
        return f"{paired[0]:+.3f}"
    found = stats.bootstrap((paired,), np.mean, n_resamples=2000, rng=np.random.default_rng(SEED)).confidence_interval
    return f"{paired.mean():+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def best_baseline(means: pd.DataFrame, metric: str) -> str:
    """Return the baseline with the best mean."""
    column = means.loc[plugins.names("pipeline.baselines"), metric]
    return str(column.idxmax() if METRICS[metric].HIGHER_IS_BETTER else column.idxmin())


def main_table(work: Path) -> list[str]:
    """Return the lines of the table over all recipes and noise levels."""
    table = pd.read_csv(work / "main.csv")
    lines = []
    for sigma, part in table.groupby("noise"):
        means = part.groupby("method")[list(METRICS)].mean()
        lines += [
            "",
            f"## {100 * sigma:.0f} % noise",
            "",
            f"| method | {' | '.join(METRICS)} |",
            "| --- |" + " --- |" * len(METRICS),
        ]
        for method in [*plugins.names("pipeline.baselines"), "pretrained", *MAIN]:
            values = " | ".join(f"{means.loc[method, name]:.{2 if name == 'psnr' else 3}f}" for name in METRICS)
            remark = f" ({MAIN[method].what})" if method in MAIN and MAIN[method].what else ""
            lines.append(f"| {method}{remark} | {values} |")
        best = {name: best_baseline(means, name) for name in METRICS}
        lines += ["", "Paired differences over the pictures, mean [95 % interval]:", ""]
        lines += ["| brainsr against | " + " | ".join(METRICS) + " |", "| --- |" + " --- |" * len(METRICS)]
        baseline_row = " | ".join(f"{difference(part, name, 'brainsr', best[name])} ({best[name]})" for name in METRICS)
        pixel_row = " | ".join(difference(part, name, "brainsr", "rrdb_l1") for name in METRICS)
        lines += [f"| best baseline | {baseline_row} |", f"| rrdb_l1 | {pixel_row} |"]
    return lines


def ablation_table(work: Path) -> list[str]:
    """Return the lines of the ablations at 2 % noise."""
    table = pd.read_csv(work / "ablations.csv")
    means = table.groupby("method")[list(METRICS)].mean()
    lines = [
        "",
        f"| variant | {' | '.join(METRICS)} | PSNR minus full recipe |",
        "| --- |" + " --- |" * (len(METRICS) + 1),
    ]
    for method, what in {**{name: row.what for name, row in ABLATIONS.items()}, **DERIVED}.items():
        if what and method in means.index:
            values = " | ".join(f"{means.loc[method, name]:.{2 if name == 'psnr' else 3}f}" for name in METRICS)
            lines.append(f"| {what} | {values} | {difference(table, 'psnr', method, 'full')} |")
    return lines


def agreement_table(work: Path) -> list[str]:
    """Return the lines of the classifier table."""
    table = pd.read_csv(work / "agreement.csv")
    methods = ["bicubic", "nlm_bspline3", "pretrained", *MAIN]
    lines = [
        "",
        "| method | " + " | ".join(f"same class at {100 * one:.0f} %" for one in NOISE) + " |",
        "| --- |" + " --- |" * len(NOISE),
    ]
    shares = table.groupby(["method", "noise"])["agrees"].mean()
    for method in methods:
        lines.append(f"| {method} | " + " | ".join(f"{shares[method, one]:.3f}" for one in NOISE) + " |")
    differences = [difference(table[table["noise"] == one], "agrees", "brainsr", "bicubic") for one in NOISE]
    return [*lines, "| brainsr minus bicubic, paired | " + " | ".join(differences) + " |"]


MARKS = {"main": main_table, "ablations": ablation_table, "agreement": agreement_table}


def measured(work: Path) -> dict[str, list[str]]:
    """Return the lines of the tables with existing results, by their marks."""
    return {mark: lines(work) for mark, lines in MARKS.items() if (work / f"{mark}.csv").exists()}


def write_docs(path: Path, work: Path) -> None:
    """Replace the tables between their marks in a document; other text is unchanged."""
    text = path.read_text(encoding="utf-8")
    for mark, lines in measured(work).items():
        start, end = f"<!-- {mark}: generated -->", f"<!-- {mark}: end -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = "\n".join([before + start, *lines, "", end]) + after
    path.write_text(text, encoding="utf-8")


def report(work: Path, docs: Path | None) -> None:
    """Print all tables, and write them to a document if one is given."""
    for mark, lines in measured(work).items():
        sys.stdout.write("\n".join([f"\n## {mark}", *lines, ""]))
    if docs:
        write_docs(docs, work)


def main() -> None:
    """Run the selected parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("results/benchmark-training"))
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--test-pictures", type=int, default=80)
    parser.add_argument("--threads", type=int, default=2, help="threads per training")
    parser.add_argument("--parts", nargs="*", choices=("main", "ablations"), default=("main", "ablations"))
    parser.add_argument("--only", nargs="*", help="train these rows and stop")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    work = options.work
    work.mkdir(parents=True, exist_ok=True)
    prepare(options.images, work, options.test_pictures)
    if options.only is not None:
        for name in options.only:
            train_row(name, {**MAIN, **ABLATIONS}[name], work, options.threads)
        return
    if "main" in options.parts:
        compare_recipes(options.images, work, options.threads)
    if "ablations" in options.parts:
        ablate(work, options.threads)
    report(work, options.docs)


def compare_recipes(images: Path, work: Path, threads: int) -> None:
    """Train and evaluate all recipes."""
    initial("realesrgan-6b", work)
    pretrained = work / "models" / "pretrained"
    if not pretrained.exists():
        pretrained.symlink_to("realesrgan-6b")
    for name, row in MAIN.items():
        train_row(name, row, work, threads)
    evaluate(work, ["pretrained", *MAIN], NOISE, "main", with_baselines=True)
    diagnose(images, work)


def ablate(work: Path, threads: int) -> None:
    """Train and evaluate the default recipe without some of its parts."""
    for name, row in ABLATIONS.items():
        train_row(name, row, work, threads)
    derive(work)
    variants = [*(name for name, row in ABLATIONS.items() if row.what), *DERIVED]
    evaluate(work, variants, (0.02,), "ablations", with_baselines=False)


if __name__ == "__main__":
    main()
