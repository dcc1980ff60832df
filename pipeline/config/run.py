"""The whole configuration of a run."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.sources import Source
from pipeline.config.stages import Degrade, Evaluate, Extract, Infer, Report, Resources, Train
from pipeline.config.volumes import EVALUATED_SPLITS, Identifier, Volume


class Run(Section):
    """Everything that a run is made of."""

    run: Identifier
    """name of the run; its results go to results/<run>"""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 2026
    """root of every random number"""
    volumes: tuple[Volume, ...]
    """the volumes, or blocks of volumes, and what each is for"""
    min_gap_slices: Annotated[int, Field(ge=1)] = 8
    """fewest slices that must lie between blocks of one head in different splits"""
    sources: dict[Identifier, Source] = Field(default={})
    """your own files and weights, by a name that you choose; each is of one of three kinds"""
    extract: Extract = Extract()
    degrade: Degrade = Degrade()
    train: Train = Train()
    infer: Infer = Infer()
    evaluate: Evaluate = Evaluate()
    report: Report = Report()
    resources: Resources = Resources()

    def ids(self, *splits: str) -> list[str]:
        """Returns the ids of all volumes of the given splits, in the order of the configuration."""
        return [volume.id for volume in self.volumes if volume.split in splits]

    @property
    def evaluated_ids(self) -> list[str]:
        """Ids of all volumes that are restored and measured."""
        return self.ids(*EVALUATED_SPLITS)

    def volume(self, identifier: str) -> Volume:
        """Returns the volume with this id."""
        return next(volume for volume in self.volumes if volume.id == identifier)
