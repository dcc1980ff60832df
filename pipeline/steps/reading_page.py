"""Write a page on which readers judge images without knowing how they were made, and the key that tells.

The page is one file that works offline. Give it to the readers, and keep the key: which code stands for which method.
What the readers send back is turned into scores by `python -m pipeline.steps reading_scores`.
"""

from __future__ import annotations

import logging

from tqdm import tqdm

from pipeline.config.load import read_section
from pipeline.config.sections import REFERENCE, Reading
from pipeline.fidelity.reading.key import write_key
from pipeline.fidelity.reading.study import Picture, make_study
from pipeline.files import write_text
from pipeline.formats.io.container import read_image
from pipeline.formats.io.predictions import by_method, method_of, of_volume
from pipeline.reporting.figures.reading_cases import choose_cases, draw_cases
from pipeline.reporting.pages.reading import reading_page
from pipeline.steps._cli import ArgumentParser, Namespace, add_path, add_settings, show_progress

logger = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of this stage."""
    add_path(parser, "--hr", "extracted volumes (.safetensors)", many=True)
    add_path(parser, "--predictions", "their restorations, each in a folder named after its method", many=True)
    parser.add_argument("--without-reference", action="store_true", help="leave the reference out of what is judged")
    add_path(parser, "--page", "the page (.html)")
    add_path(parser, "--key", "which code stands for which method (.json); no reader must see it")
    parser.add_argument("--seed", type=int, default=0, help="root of the random order")
    add_settings(parser, Reading)


def main(arguments: Namespace) -> None:
    """Run the stage.

    Raises:
        UserError: fewer than two methods are to be judged, or a volume lacks one that another has.
    """
    settings = read_section(Reading, arguments.settings)
    references = [read_image(path) for path in arguments.hr]
    cases = choose_cases(references, settings.slices)
    pictures: dict[tuple[str, str], Picture] = {}
    for reference in tqdm(references, unit="volume", disable=not show_progress()):
        own = [case for case in cases if case.volume == reference.id]
        predictions = by_method(of_volume(arguments.predictions, reference.id))
        pictures |= draw_cases(reference, {method_of(path): path for path in predictions}, own)
    if arguments.without_reference:
        pictures = {shown: picture for shown, picture in pictures.items() if shown[1] != REFERENCE}
    key = make_study([case.name for case in cases], pictures, settings, arguments.seed)
    page = reading_page(key, pictures)
    write_key(arguments.key, key)
    write_text(arguments.page, page)
    logger.info("%s: %.1f MB, %d questions; keep %s", arguments.page, len(page) / 1e6, len(key.items), arguments.key)
