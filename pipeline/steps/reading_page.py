"""Write a page on which readers judge images without knowing how they were made, and the key that tells.

The page is one file that works offline. Give it to the readers, and keep the key: which code stands for which method.
What the readers send back is turned into scores by `python -m pipeline.steps reading_scores`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tqdm import tqdm

from pipeline.config.sections import REFERENCE, Reading
from pipeline.errors import UserError
from pipeline.fidelity.reading.crops import Case, choose_cases
from pipeline.fidelity.reading.key import write_key
from pipeline.fidelity.reading.page import Shown, make_study, reading_page
from pipeline.files import write_text
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import by_method, method_of, read_prediction
from pipeline.image.image import Image
from pipeline.steps._framework import section
from pipeline.steps._shards import files_of

logger = logging.getLogger(__name__)

FEWEST_METHODS = 2


def draw_volume(reference: Image, predictions: Sequence[Path], cases: Sequence[Case]) -> dict[tuple[str, str], Shown]:
    """Draw the cases of a volume, of every method, one method in memory at a time.

    Args:
        reference: extracted volume.
        predictions: its restorations.
        cases: those of this volume.
    """
    axis = reference.slice_axis
    shown = {(case.name, REFERENCE): Shown(case.picture(reference.data, axis), case.aspect) for case in cases}
    for path in by_method(predictions):
        estimate = read_prediction(path, reference)
        shown |= {(case.name, method_of(path)): Shown(case.picture(estimate, axis), case.aspect) for case in cases}
    return shown


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted volumes (.safetensors)."""
    predictions: list[Path]
    """Restored volumes, or folders of them; the folders are named after the methods."""
    without_reference: bool = False
    """Leave the reference out of the images that are rated."""
    page: Path
    """The page (.html)."""
    key: Path
    """The method behind every code (.json); readers must not see it."""
    seed: int = 0
    """Seed of the random order."""
    settings: Annotated[Reading, section(Reading)] = field(default_factory=Reading)
    """Section `reading` of the configuration."""


def run(options: Options) -> None:
    """Write the page and the key.

    Raises:
        UserError: fewer than two methods are rated, or a volume lacks one that another has.
    """
    settings = options.settings
    references = [read_image(path) for path in options.hr]
    cases = choose_cases(references, settings.slices)
    pictures: dict[tuple[str, str], Shown] = {}
    for reference in tqdm(references, unit="volume", disable=None):
        volume = reference.id
        own = [case for case in cases if case.volume == volume]
        pictures |= draw_volume(reference, files_of(volume, options.predictions), own)
    if options.without_reference:
        pictures = {shown: picture for shown, picture in pictures.items() if shown[1] != REFERENCE}
    methods = sorted({method for _, method in pictures})
    _check(methods, cases, pictures)
    key = make_study([case.name for case in cases], methods, pictures, settings, options.seed)
    page = reading_page(key, pictures)
    write_key(options.key, key)
    write_text(options.page, page)
    logger.info("%s: %.1f MB, %d questions; keep %s", options.page, len(page) / 1e6, len(key.items), options.key)


def _check(methods: Sequence[str], cases: Sequence[Case], pictures: dict[tuple[str, str], Shown]) -> None:
    if len(methods) < FEWEST_METHODS:
        raise UserError(f"--predictions: only {len(methods)} methods; give at least {FEWEST_METHODS}.")
    for case in cases:
        missing = [method for method in methods if (case.name, method) not in pictures]
        if missing:
            raise UserError(f"volume {case.volume!r} has no prediction of {', '.join(missing)}, as others have.")
