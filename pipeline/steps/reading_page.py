"""Write the page of a blinded reader study, and its key.

The page is a single file that works offline. Give it to the readers and keep the key, which maps codes to methods.
`python -m pipeline.steps reading_scores` computes scores from the readers' answers.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tqdm import tqdm

from pipeline.config.sections import REFERENCE, Reading
from pipeline.fidelity.reading.key import write_key
from pipeline.fidelity.reading.study import Picture, make_study
from pipeline.files import write_text
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import by_method, method_of
from pipeline.reporting.figures.reading_cases import choose_cases, draw_cases
from pipeline.reporting.pages.reading import reading_page
from pipeline.steps._framework import section
from pipeline.steps._shards import files_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the step."""

    hr: list[Path]
    """Extracted volumes (.safetensors)."""
    predictions: list[Path]
    """Restored volumes, or folders of them; the folders are named after the methods."""
    without_reference: bool = False
    """Do not include the reference among the rated images."""
    page: Path
    """The page (.html)."""
    key: Path
    """Method of every code (.json); readers must not see it."""
    seed: int = 0
    """Seed of the random order."""
    settings: Annotated[Reading, section(Reading)] = field(default_factory=Reading)
    """Section `reading` of the configuration."""


def run(options: Options) -> None:
    """Write the page and the key.

    Raises:
        UserError: fewer than two methods are rated, or the methods differ between volumes.
    """
    settings = options.settings
    references = [read_image(path) for path in options.hr]
    cases = choose_cases(references, settings.slices)
    pictures: dict[tuple[str, str], Picture] = {}
    for reference in tqdm(references, unit="volume", disable=None):
        own = [case for case in cases if case.volume == reference.id]
        predictions = by_method(files_of(reference.id, options.predictions))
        pictures |= draw_cases(reference, {method_of(path): path for path in predictions}, own)
    if options.without_reference:
        pictures = {shown: picture for shown, picture in pictures.items() if shown[1] != REFERENCE}
    key = make_study([case.name for case in cases], pictures, settings, options.seed)
    page = reading_page(key, pictures)
    write_key(options.key, key)
    write_text(options.page, page)
    logger.info("%s: %.1f MB, %d questions; keep %s", options.page, len(page) / 1e6, len(key.items), options.key)
