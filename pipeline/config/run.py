"""The whole configuration of a run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated

from pydantic import Field, StringConstraints

from pipeline.config.base import Section
from pipeline.config.bids.names import DESCRIPTION, ERROR_MAP, derivative_path
from pipeline.config.datasets import Dataset
from pipeline.config.recipe import PRETRAINED, SCRATCH, Recipe, filled
from pipeline.config.sections import (
    REFERENCE,
    Degrade,
    Evaluate,
    Extract,
    Infer,
    Insertion,
    Reading,
    Report,
    Resources,
    Train,
    is_self_supervised,
)
from pipeline.config.sources import S3_FOLDER, LocalSource, Source
from pipeline.config.stable_hash import hash_of
from pipeline.config.volumes import EVALUATED_SPLITS, TEST_SPLITS, Collection, Duplicates, Identifier, Volume

NOT_TESTED = (
    "no volume has the split test (or test_within_subject): networks are trained, and nothing is measured on persons "
    "that they never saw"
)


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
    datasets: tuple[Dataset, ...] = ()
    """many volumes at once, beside the volumes, or instead of them where `volumes` is []: a table, the files of a
    pattern, a BIDS folder or the members of an archive; looked up when the configuration is read"""
    duplicates: Duplicates = Duplicates()
    min_gap_slices: Annotated[int, Field(ge=1)] = 8
    """fewest slices that must lie between blocks of one head in different splits"""
    sources: dict[Identifier, Source] = Field(default={})
    """your own files and weights, by a name that you choose; each is of one of four kinds"""
    methods: tuple[Identifier, ...] = ("brainsr",)
    """networks to train, each a preset or one of `recipes`; the networks that they start from are trained too"""
    recipes: dict[Identifier, Recipe] = Field(default={})
    """recipes of your own, or changes to presets, by name; what one leaves out has the value of its preset"""
    extract: Extract = Extract()
    degrade: Degrade = Degrade()
    train: Train = Train()
    degradations: dict[Identifier, Degrade] = Field(default={})
    """for the target `mismatch` alone: degradations that networks are trained with and tried on, each with keys of
    `degrade`; {} takes k-space truncation, bicubic and Gaussian, each with and without noise"""
    infer: Infer = Infer()
    evaluate: Evaluate = Evaluate()
    insertion: Insertion = Insertion()
    report: Report = Report()
    reading: Reading = Reading()
    resources: Resources = Resources()
    shards: Annotated[int, Field(ge=1, le=10000)] = 256
    """parts that volumes are dealt to by a hash of their ids; the volumes of one part are restored, measured and
    reported by one job a stage, and a new volume reruns its own part alone; fewer parts make longer jobs; another
    number restores and measures everything again"""
    store: Annotated[str, StringConstraints(pattern=S3_FOLDER), "such as s3://bucket or s3://bucket/project"] | None = (
        None
    )
    """for the target `store` alone: where in S3 it copies the results to, below the name of the run"""

    def ids(self, *splits: str) -> list[str]:
        """Return the ids of all volumes of the given splits, in the order of the configuration."""
        return [volume.id for volume in self.volumes if volume.split in splits]

    def sharded(self, identifiers: Iterable[str]) -> dict[str, list[str]]:
        """Return volumes by the name of their shard, which hangs on their id and `shards` alone; none is empty.

        The names are numbers with leading zeros, in order; within a shard, volumes keep theirs.
        """
        digits = len(str(self.shards - 1))
        found: dict[str, list[str]] = {}
        for identifier in identifiers:
            found.setdefault(f"{hash_of(identifier) % self.shards:0{digits}}", []).append(identifier)
        return dict(sorted(found.items()))

    @property
    def evaluated_ids(self) -> list[str]:
        """Ids of all volumes that are restored and measured."""
        return self.ids(*EVALUATED_SPLITS)

    @property
    def is_tested(self) -> bool:
        """Whether any volume is kept for the test; without one, a run trains networks and says so."""
        return any(volume.split in TEST_SPLITS for volume in self.volumes)

    def recipe(self, method: str) -> Recipe:
        """Return the recipe of a method: one of `recipes`, or the preset of that name."""
        return self.recipes.get(method) or Recipe.model_validate_json(json.dumps(filled(method, {})))

    @property
    def is_self_supervised(self) -> bool:
        """Whether networks learn from the low-resolution volumes that they restore, see the stage self_supervised."""
        return is_self_supervised(self.train, self.degrade)

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

    @property
    def read_methods(self) -> list[str]:
        """What the readers of the target `reading` judge."""
        return list(self.reading.methods) or [REFERENCE, "bicubic", "nlm_bspline3", *self.trained_methods]

    @property
    def read_ids(self) -> list[str]:
        """Ids of the tested volumes that readers see slices of: all, or as many as slices, spread evenly."""
        tested, count = self.ids(*TEST_SPLITS), self.reading.slices
        places = sorted({place * len(tested) // count for place in range(count if tested else 0)})
        return [tested[place] for place in places]

    def volume(self, identifier: str) -> Volume:
        """Return the volume with this id."""
        return self._by_id[identifier]

    @cached_property
    def _by_id(self) -> dict[str, Volume]:
        return {volume.id: volume for volume in self.volumes}

    @property
    def bids_links(self) -> dict[str, str]:
        """Name by which the sidecars of BIDS derivatives call the folders that images were taken from, by folder."""
        found = (source for source in self.sources.values() if isinstance(source, LocalSource))
        roots = sorted({source.bids for source in found if source.bids is not None})
        return {root: "raw" if len(roots) == 1 else f"raw{number}" for number, root in enumerate(roots, start=1)}

    @property
    def derivatives(self) -> dict[str, str]:
        """Ids of the evaluated volumes that came from a BIDS folder, by the path of their result in the derivatives.

        The paths have no extension: sub-01/anat/sub-01_desc-brainsr_T1w.
        """
        return self._derived(DESCRIPTION)

    @property
    def derived_error_maps(self) -> dict[str, str]:
        """The same of their error maps, such as sub-01/anat/sub-01_desc-uncertainty_T1w, where a network delivers."""
        return self._derived(ERROR_MAP) if self.infer.deliver in self.network_methods else {}

    def _derived(self, label: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for identifier in self.evaluated_ids:
            source = self.sources.get(self.volume(identifier).source)
            if isinstance(source, LocalSource) and source.bids is not None:
                found[derivative_path(source.path_in_bids, label)] = identifier
        return found
