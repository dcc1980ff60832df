"""Everything that the pages of a BIDS data set whose images were restored need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.bids.app import RESULT, SIDECAR, BidsData, BidsImage
from pipeline.provenance.bids import RestoredSidecar


@dataclass(frozen=True)
class RestoredImage:
    """An image that was restored, and the sidecar of the result."""

    image: BidsImage
    sidecar: RestoredSidecar

    @property
    def file_name(self) -> str:
        """File name of the source image."""
        return Path(self.image.path).name


@dataclass(frozen=True)
class BidsReport:
    """The images of a data set, or of one subject.

    Attributes:
        data: the data set.
        folder: folder of the data set of derivatives.
        restored: the images that were restored.
        failed: the images that were not, with their failures.
    """

    data: BidsData
    folder: Path
    restored: tuple[RestoredImage, ...]
    failed: tuple[BidsImage, ...]

    @property
    def count(self) -> int:
        """Number of images, restored or not."""
        return len(self.restored) + len(self.failed)

    @property
    def subjects(self) -> list[str]:
        """Subjects in the order of their names."""
        return sorted({image.subject for image in (*(one.image for one in self.restored), *self.failed)})

    @property
    def methods(self) -> list[str]:
        """Networks and baselines that restored an image, in the order of the images."""
        return list(dict.fromkeys(one.sidecar.method for one in self.restored))


def read_bids_report(data: BidsData, images: Sequence[BidsImage], folder: Path) -> BidsReport:
    """Read the sidecars of the restored images.

    Args:
        data: the data set.
        images: its images.
        folder: folder of the data set of derivatives.

    Raises:
        UserError: a sidecar is missing or damaged.
    """
    restored = tuple(
        RestoredImage(image, RestoredSidecar.read(folder / image.path_of(RESULT, SIDECAR)))
        for image in images
        if not image.failure
    )
    return BidsReport(data, folder, restored, tuple(image for image in images if image.failure))
