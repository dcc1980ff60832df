"""Selection of the images of a BIDS data set that `brainsr bids` restores."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.bids.app import RESULT, BidsData, BidsImage
from pipeline.config.bids.names import MICROSCOPY_SUFFIXES, derivative_path
from pipeline.config.bids.sidecars import sidecars_of
from pipeline.config.datasets import BidsDataset
from pipeline.config.finding.kinds.bids import Search, search
from pipeline.config.load import read_entry
from pipeline.errors import UserError

OPTIONS = {"sub": "--participant-label", "ses": "--session-label"}
"""Options that select images, by entity."""


@dataclass(frozen=True)
class Selected:
    """The selected images of a data set.

    Attributes:
        data: the data set.
        images: its images, in the order of their paths; unusable ones have a failure.
        notes: what should be known, one line each.
    """

    data: BidsData
    images: tuple[BidsImage, ...]
    notes: tuple[str, ...]


def select_images(root: Path, suffix: str, subjects: Sequence[str], sessions: Sequence[str]) -> Selected:
    """Select images of a BIDS data set; only names and descriptions are read.

    Args:
        root: folder of the data set.
        suffix: BIDS suffix of the images.
        subjects: labels of the subjects, with or without sub-; none for all.
        sessions: labels of the sessions, with or without ses-; none for all, and for images without a session.

    Raises:
        UserError: the folder is no data set, a label does not occur, or no image was found.
    """
    if suffix in MICROSCOPY_SUFFIXES:
        raise UserError(
            f"--suffix: {suffix} images are micrographs; restore them with `brainsr apply`, or in a run with a data "
            "set of kind bids (examples/bids.yaml)."
        )
    given = {"sub": subjects, "ses": sessions}
    only = {key: [label.removeprefix(f"{key}-") for label in labels] for key, labels in given.items() if labels}
    entry = {"kind": "bids", "path": str(root.absolute()), "suffix": suffix, "only": only}
    dataset: BidsDataset = read_entry(BidsDataset, json.dumps(entry), "bids")
    found = search(dataset)
    if isinstance(found, list):
        raise UserError("\n".join(f"BIDS_DIR: {one}" for one in found))
    unknown = list(_unknown_labels(found))
    if unknown:
        raise UserError("\n".join(unknown))
    images = tuple(_images(found))
    if not images:
        raise UserError(f"BIDS_DIR: {found.none_found()}. See --participant-label, --session-label and --suffix.")
    data = BidsData(root=dataset.path, title=found.description.Name, citation=found.description.citation)
    return Selected(data, images, (*found.notes(), *_subjects_without_image(found, only)))


def _unknown_labels(found: Search) -> Iterator[str]:
    for message in found.unknown_labels("only"):
        for key, option in OPTIONS.items():
            if message.startswith(f"only.{key}:"):
                yield message.replace(f"only.{key}", option, 1)


def _images(found: Search) -> Iterator[BidsImage]:
    """Yield all images in the order of their paths, with what is wrong with them."""
    root, suffix = found.dataset.path, found.dataset.suffix
    paths = sorted([*(item.where for item in found.items), *found.mistakes])
    stems = {path: _stem(path, suffix) for path in paths}
    counts = Counter(stems.values())
    for path in paths:
        stem, failure = stems[path], found.mistakes.get(path, "").removeprefix(f"{path!r} ")
        if stem and counts[stem] > 1 and not failure:
            failure = "another image has the same name with another extension (.nii and .nii.gz); remove one of them"
        yield BidsImage(
            path=path,
            subject=path.split("/", 1)[0],
            stem=stem,
            suffix=suffix,
            sidecars=tuple(sidecars_of(root, path)) if stem else (),
            failure=failure,
        )


def _stem(path: str, suffix: str) -> str:
    """Return the path of a result up to the label of desc; empty if the image has no BIDS name."""
    try:
        return derivative_path(path, RESULT).removesuffix(f"{RESULT}_{suffix}")
    except ValueError:
        return ""


def _subjects_without_image(found: Search, only: dict[str, list[str]]) -> Iterator[str]:
    """Yield a message for each selected subject without an image."""
    wanted = [f"sub-{label}" for label in only.get("sub", [])]
    listed = {path.split("/", 1)[0] for path in found.mistakes}
    for subject, reason in found.reasons().items():
        if subject in listed or (wanted and subject not in wanted):
            continue
        lacks_session = "ses" in only and "`only`" in reason
        yield f"{subject}: {'has no image of the selected sessions' if lacks_session else reason}"
