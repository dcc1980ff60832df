"""The whole configuration of a run."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.recipe import PRETRAINED, SCRATCH, Recipe, filled
from pipeline.config.sources import Source
from pipeline.config.stages import Degrade, Evaluate, Extract, Infer, Report, Resources, Train
from pipeline.config.volumes import EVALUATED_SPLITS, Collection, Duplicates, Identifier, Volume


class Run(Section):
    """Everything that a run is made of."""

    run: Identifier
    """name of the run; its results go to results/<run>"""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 2026
    """root of every random number"""
    volumes: tuple[Volume, ...]
    """the volumes, or blocks of volumes, and what each is for"""
    collections: tuple[Collection, ...] = ()
    """folders of 2-D pictures, beside the volumes, or instead of them where `volumes` is []"""
    duplicates: Duplicates = Duplicates()
    min_gap_slices: Annotated[int, Field(ge=1)] = 8
    """fewest slices that must lie between blocks of one head in different splits"""
    sources: dict[Identifier, Source] = Field(default={})
    """your own files and weights, by a name that you choose; each is of one of three kinds"""
    methods: tuple[Identifier, ...] = ("brainsr",)
    """networks to train, each a preset or one of `recipes`; the networks that they start from are trained too"""
    recipes: dict[Identifier, Recipe] = Field(default={})
    """recipes of your own, or changes to presets, by name; what one leaves out has the value of its preset"""
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

    def recipe(self, method: str) -> Recipe:
        """Returns the recipe of a method: one of `recipes`, or the preset of that name."""
        return self.recipes.get(method) or Recipe.model_validate_json(json.dumps(filled(method, {})))

    @property
    def trained_methods(self) -> list[str]:
        """All networks that this run trains, each after the one it starts from."""
        ordered: list[str] = []
        for method in self.methods:
            chain = [method]
            while (start := self.recipe(chain[-1]).starts_from) not in (SCRATCH, PRETRAINED) and start not in chain:
                chain.append(start)
            ordered.extend(name for name in reversed(chain) if name not in ordered)
        return ordered

    @property
    def network_methods(self) -> list[str]:
        """The untouched network, and all that this run trains."""
        return [PRETRAINED, *self.trained_methods]

    def volume(self, identifier: str) -> Volume:
        """Returns the volume with this id."""
        return next(volume for volume in self.volumes if volume.id == identifier)
