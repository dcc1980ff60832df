"""Configuration of `brainsr bids`, which the command writes and the workflow in workflow/bids_app.smk reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.load import as_json, read_entry
from pipeline.config.sections import Infer, Resources

RESULT = "sr"
"""Label of the entity desc of the results; it follows that of the source image, if any."""
IMAGE, SIDECAR = ".nii.gz", ".json"
"""Extensions of results."""
COHORT_PAGE = "index.html"
CONTAINER = "brainsr.sif"
"""File of the image for Apptainer."""
METHODS_FILE, BIBTEX_FILE = "logs/CITATION.md", "logs/CITATION.bib"


class BidsImage(Section):
    """An image of the data set, and its result.

    Paths of results are relative to the data set of derivatives.
    """

    path: str
    """path in the data set, with forward slashes"""
    subject: str
    """subject, such as sub-01"""
    stem: str = ""
    """path of the result up to the label of the entity desc: sub-01/anat/sub-01_desc-; empty if the image has no BIDS
    name"""
    suffix: str
    """BIDS suffix, such as T1w"""
    sidecars: tuple[str, ...] = ()
    """sidecars of the image, the farthest first"""
    failure: str = ""
    """why the image cannot be restored, or was not; empty for all others"""

    def path_of(self, label: str, extension: str) -> str:
        """Return the path of a result: its label is RESULT or ERROR_MAP."""
        return f"{self.stem}{label}_{self.suffix}{extension}"


class BidsSettings(Section):
    """Settings of the restoration."""

    model: str | None = None
    """network or baseline, as for `brainsr apply`; null chooses a network that ships by the image"""
    factor: int | None = None
    """for baselines: enlargement within the slices"""
    uncertainty: bool = False
    """whether uncertainty maps are written"""
    infer: Infer = Field(default_factory=Infer)
    """noise level, threads and others, as in the configuration of a run"""


class BidsData(Section):
    """The data set."""

    root: str
    """its folder; an absolute path"""
    title: str
    """its name"""
    citation: str = ""
    """its citation"""


class BidsApp(Section):
    """Configuration of `brainsr bids`."""

    level: Literal["participant", "group"]
    """participant restores images and writes a page per subject; group writes the page of all subjects"""
    suffix: str
    """BIDS suffix of the images, such as T1w"""
    data: BidsData
    """the data set"""
    images: tuple[BidsImage, ...]
    """the images, in the order of their paths"""
    settings: BidsSettings = Field(default_factory=BidsSettings)
    """settings of the restoration"""
    resources: Resources = Field(default_factory=Resources)
    """resources of the jobs"""
    container: str = CONTAINER
    """image in which the jobs run with `--software-deployment-method apptainer`, relative to the folder of the
    derivatives; see docs/containers.md"""

    @property
    def restorable(self) -> tuple[BidsImage, ...]:
        """The images without a known failure."""
        return tuple(image for image in self.images if not image.failure)

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects with a page, in the order of their images; folders with invalid names have none."""
        return tuple(dict.fromkeys(image.subject for image in self.images if image.stem))


def read_bids_app(values: Mapping[str, Any]) -> BidsApp:
    """Check a configuration.

    Raises:
        UserError: lists all mistakes, one per line.
    """
    return read_entry(BidsApp, as_json(values), "bids")
