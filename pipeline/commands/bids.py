"""Restore all images of a BIDS data set, as a BIDS App."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.types import PositiveInt
from cyclopts.validators import Number

from pipeline import WORKFLOW_FOLDER
from pipeline.commands._snakemake import run_snakemake, with_cores
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.config.bids.app import BidsApp, BidsImage

logger = logging.getLogger(__name__)

NAME, AUTO, LINK = "BrainSR", "auto", "raw"
SNAKEFILE = WORKFLOW_FOLDER / "workflow/bids_app.smk"
DESCRIPTION_FILE = "dataset_description.json"
LOCK = "logs/.lock"
README = """\
# {title}: super-resolved by BrainSR

Images that BrainSR restored from the data set {title}: sub-*/**/*_desc-sr_*.nii.gz, each with a sidecar that states the
method, the noise level, the agreement with the source image, and warnings. Open sub-*.html for the report of a subject.
logs/CITATION.md describes the methods, with references.

Not for diagnosis. Super-resolution shows what is likely, not what was measured.
"""

Labels = Annotated[tuple[str, ...], Parameter(consume_multiple=True, show_default=False)]


def bids(
    bids_dir: Path,
    output_dir: Path,
    analysis_level: Literal["participant", "group"],
    /,
    *options: Annotated[str, Parameter(allow_leading_hyphen=True)],
    participant_label: Labels = (),
    session_label: Labels = (),
    suffix: str = "T1w",
    model: str | None = None,
    factor: Annotated[PositiveInt | None, Parameter(validator=Number(gte=2, lte=8))] = None,
    uncertainty: bool = False,
    force: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    memory_mb: Annotated[int, Parameter(validator=Number(gte=500))] = 4000,
) -> int:
    """Restore all images of a BIDS data set, as a BIDS App.

    At the level participant, every image is restored as by `brainsr apply`. OUTPUT_DIR becomes a data set of BIDS
    derivatives: restored images (desc-sr) with sidecars, a page per subject, and logs/CITATION.md with the methods to
    cite. The level group adds index.html, the page of all subjects. Images that cannot be restored are listed with
    their reasons, in the report too, and the exit status is 1; all others are restored nevertheless.

    Snakemake runs the jobs, one per image. The same command resumes after an interruption, and restores only what is
    new or has changed. BIDS_DIR is only read.

    Args:
        bids_dir: folder of the BIDS data set.
        output_dir: folder of the derivatives, such as BIDS_DIR/derivatives/brainsr.
        analysis_level: participant, or group after it.
        options: options of snakemake, such as --cores 4, -n or --workflow-profile FOLDER. Without --cores, all cores
            are used.
        participant_label: subjects, with or without sub-; by default all.
        session_label: sessions, with or without ses-; by default all, also images without a session.
        suffix: BIDS suffix of the images, such as T1w, T2w or FLAIR.
        model: name of a network that ships; generator.safetensors of a trained method; the name of a baseline, such
            as total_variation; or auto, the default: a network that ships is chosen for each image.
        factor: for baselines: enlarge in-plane, by this factor along rows and columns.
        uncertainty: write uncertainty maps (desc-uncertainty), which takes two to eight times as long.
        force: write results even if they are inconsistent with their inputs.
        device: compute device. With cpu, several images are restored at once, and jobs request no GPU on a cluster.
        memory_mb: memory requested for a job, in MB; every retry requests more.
    """
    from pipeline.config.bids.app import CONTAINER, BidsApp, BidsSettings
    from pipeline.config.bids.selection import select_images
    from pipeline.config.sections import Infer, Resources
    from pipeline.files import locked

    check_folders(bids_dir, output_dir)
    settings = BidsSettings(
        model=checked_model(model, factor, uncertainty=uncertainty),
        factor=factor,
        uncertainty=uncertainty,
        infer=Infer(force=force),
    )
    selected = select_images(bids_dir, suffix, participant_label, session_label)
    for note in selected.notes:
        logger.warning("%s", note)
    app = BidsApp(
        level=analysis_level,
        suffix=suffix,
        data=selected.data,
        images=selected.images,
        settings=settings,
        resources=Resources(device=device, gpu=0 if device == "cpu" else 1, memory_mb=memory_mb),
        # Relative, since Snakemake takes no image whose path contains blanks.
        container=os.path.relpath(Path(CONTAINER).absolute(), output_dir.resolve()),
    )
    output = output_dir.absolute()
    if app.level == "group":
        app = with_failures(app, output)
        if not app.restorable:
            raise UserError(f"OUTPUT_DIR: {output} contains no restored image; run the level participant first.")
    with locked(output / LOCK) as lock:
        describe(app, output)
        return run_level(app, output, options, lock)


def check_folders(bids_dir: Path, output_dir: Path) -> None:
    """Check that results can be written and do not mix with the data set.

    Raises:
        UserError: the folder of the derivatives is the data set or a part of it other than derivatives/, contains
            another data set, or cannot be written to.
    """
    from pipeline.config.preflight import check_writable
    from pipeline.files import read_json

    root, output = bids_dir.resolve(), output_dir.resolve()
    if output == root:
        raise UserError("OUTPUT_DIR is BIDS_DIR; name another folder, such as BIDS_DIR/derivatives/brainsr.")
    if output.is_relative_to(root) and output.relative_to(root).parts[0] != "derivatives":
        raise UserError(
            f"OUTPUT_DIR: {output_dir} is inside the raw data; name a folder outside BIDS_DIR, or "
            "BIDS_DIR/derivatives/brainsr."
        )
    if output.exists() and not output.is_dir():
        raise UserError(f"OUTPUT_DIR: {output_dir} is a file; name a folder.")
    description = output / DESCRIPTION_FILE
    generators = read_json(description).get("GeneratedBy", []) if description.is_file() else [{"Name": NAME}]
    if not any(one.get("Name") == NAME for one in generators):
        raise UserError(f"OUTPUT_DIR: {output_dir} contains another data set; name an empty folder.")
    try:
        check_writable([output])
    except UserError as error:
        raise UserError(f"OUTPUT_DIR: {output_dir} cannot be written to; name another folder.") from error


def checked_model(model: str | None, factor: int | None, *, uncertainty: bool) -> str | None:
    """Return the network or baseline, with an absolute path for a file; None chooses a network for each image.

    Raises:
        UserError: there is nothing of this name, or an option does not apply to it.
    """
    from pipeline import plugins
    from pipeline.config.shipped import check_model

    chosen = None if model == AUTO else model
    check_model(chosen, factor)
    if uncertainty and chosen in plugins.names("pipeline.baselines"):
        raise UserError("--uncertainty applies to networks; baselines have no uncertainty map. Leave it out.")
    return str(Path(chosen).absolute()) if chosen and Path(chosen).is_file() else chosen


def describe(app: BidsApp, output: Path) -> None:
    """Write the descriptions of the data set of derivatives, unless they are there."""
    from pipeline.files import read_json, write_json, write_text
    from pipeline.provenance.bids import data_set_description, place_of

    description = output / DESCRIPTION_FILE
    raw, links = {LINK: read_json(Path(app.data.root) / DESCRIPTION_FILE)}, {LINK: place_of(app.data.root, description)}
    content = data_set_description(f"{app.data.title}: super-resolved by BrainSR", "brainsr bids", links, raw)
    if not description.is_file() or read_json(description) != content:
        write_json(description, content)
    for name, text in (("README.md", README.format(title=app.data.title)), (".bidsignore", "*.html\n")):
        if not (output / name).exists():
            write_text(output / name, text)


def run_level(app: BidsApp, output: Path, options: Sequence[str], lock: int | None) -> int:
    """Run the workflow, and a second time for the pages if images could not be restored; return the exit status.

    Raises:
        UserError: lists the images that were not restored.
    """
    status = run_workflow(app, output, options, lock)
    if app.level == "participant" and status != 0:
        finished = with_failures(app, output)
        if finished != app and any(log_of(image, output).is_file() for image in finished.images if image.failure):
            logger.info("writing the pages with the images that were not restored")
            run_workflow(finished, output, options, lock)
        app = finished
    failed = [image for image in app.images if image.failure]
    if failed:
        lines = "\n".join(f"  - {image.path}: {image.failure}" for image in failed)
        raise UserError(f"{len(failed)} of {len(app.images)} images were not restored:\n{lines}")
    if app.level == "participant":
        restored = sum(is_restored(image, output) for image in app.images)
        logger.info("%s: %d of %d images are restored", output, restored, len(app.images))
    return status


def run_workflow(app: BidsApp, output: Path, options: Sequence[str], lock: int | None) -> int:
    """Write the configuration, run Snakemake in the folder of the derivatives and return the exit status."""
    from pipeline.files import write_text

    config = output / "logs" / f"{app.level}.json"
    write_text(config, app.model_dump_json(indent=2) + "\n")
    own = ["--directory", str(output), "--keep-going"]
    if not any(word.partition("=")[0] == "--workflow-profile" for word in options):
        own += ["--workflow-profile", str(WORKFLOW_FOLDER / "profiles/default")]
    if lock is not None:
        own.append("--nolock")  # Snakemake's own lock would remain after a kill
    # The configuration is last, since a target that follows it would be taken for another one.
    arguments = [*with_cores(options), *own, "--configfile", str(config)]
    return run_snakemake(arguments, SNAKEFILE, () if lock is None else (lock,))


def with_failures(app: BidsApp, output: Path) -> BidsApp:
    """Return the configuration with the failures of images that have no result, as their logs state them."""
    from pipeline.reporting.snakemake_log import error_message, last_lines

    def failure(image: BidsImage) -> str:
        if image.failure or is_restored(image, output):
            return image.failure
        message = error_message(last_lines(log_of(image, output)))
        return message.removeprefix(f"{app.data.root}/{image.path}: ") or "was not processed"

    images = tuple(image.model_copy(update={"failure": failure(image)}) for image in app.images)
    return app.model_copy(update={"images": images})


def is_restored(image: BidsImage, output: Path) -> bool:
    """Return whether the result of an image is complete: its sidecar is written last."""
    from pipeline.config.bids.app import RESULT, SIDECAR

    return (output / image.path_of(RESULT, SIDECAR)).is_file()


def log_of(image: BidsImage, output: Path) -> Path:
    """Return the log of the restoration of an image."""
    from pipeline.config.bids.app import RESULT

    return output / "logs" / image.path_of(RESULT, ".log")
