"""The whole configuration of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated

from pydantic import Field, StringConstraints

from pipeline.config.base import Section
from pipeline.config.bids.names import DESCRIPTION, ERROR_MAP, derivative_path
from pipeline.config.combine import Combine
from pipeline.config.datasets import Dataset
from pipeline.config.recipe import PRETRAINED, Recipe, preset_recipe
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
from pipeline.config.shipped import is_any_ratio, restores_any_ratio
from pipeline.config.sources import S3_FOLDER, GivenSource, LocalSource, Source
from pipeline.config.stable_hash import hash_of
from pipeline.config.terms import Terms, terms_of
from pipeline.config.volumes import EVALUATED_SPLITS, TEST_SPLITS, Collection, Duplicates, Identifier, Volume

NOT_TESTED = (
    "no volume has the split test or test_within_subject, so networks are trained but not evaluated on held-out "
    "subjects"
)


class Run(Section):
    """The configuration of a run."""

    run: Identifier
    """name of the run; results are written to results/<run>"""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 2026
    """random seed"""
    volumes: tuple[Volume, ...]
    """volumes, or blocks of volumes"""
    collections: tuple[Collection, ...] = ()
    """folders of 2-D pictures, in addition to the volumes or, if `volumes` is [], instead of them"""
    datasets: tuple[Dataset, ...] = ()
    """sets of volumes, in addition to `volumes`: a table, the files that match a pattern, a BIDS data set or the
    members of an archive; expanded when the configuration is read"""
    duplicates: Duplicates = Duplicates()
    min_gap_slices: Annotated[int, Field(ge=1)] = 8
    """minimum distance, in slices, between blocks of the same head in different splits"""
    sources: dict[Identifier, GivenSource] = Field(default={})
    """files and weights by name, of the following kinds"""
    methods: tuple[Identifier, ...] = ("brainsr",)
    """networks to train, each a preset or one of `recipes`; their initial networks are trained as well. With [],
    baselines are compared, and the pretrained network if it supports `degrade.factor`"""
    recipes: dict[Identifier, Recipe] = Field(default={})
    """recipes by name: new ones, or changes to presets; values left out are those of the preset"""
    combine: Combine = Combine()
    extract: Extract = Extract()
    degrade: Degrade = Degrade()
    train: Train = Train()
    degradations: dict[Identifier, Degrade] = Field(default={})
    """degradations of the target `mismatch`, on which networks are trained and tested, each with the keys of `degrade`;
    {} uses k-space truncation, bicubic and Gaussian, each with and without noise"""
    infer: Infer = Infer()
    evaluate: Evaluate = Evaluate()
    insertion: Insertion = Insertion()
    report: Report = Report()
    reading: Reading = Reading()
    resources: Resources = Resources()
    shards: Annotated[int, Field(ge=1, le=10000)] = 256
    """number of parts into which the volumes are divided, by a hash of their identifiers; the volumes of a part share
    one job per step, and adding a volume reruns only its own part. Changing the number recomputes everything"""
    store: Annotated[str, StringConstraints(pattern=S3_FOLDER), "such as s3://bucket or s3://bucket/project"] | None = (
        None
    )
    """S3 address to which the target `store` copies the results, in a folder named after the run"""

    def ids(self, *splits: str) -> list[str]:
        """Return the ids of all volumes of the given splits, in the order of the configuration."""
        return [volume.id for volume in self.volumes if volume.split in splits]

    def sharded(self, identifiers: Iterable[str]) -> dict[str, list[str]]:
        """Return the volumes of every shard that is not empty.

        The shard of a volume depends on its identifier and on `shards` only. Names of shards are zero-padded numbers in
        ascending order; the volumes of a shard keep their order.
        """
        digits = len(str(self.shards - 1))
        found: dict[str, list[str]] = {}
        for identifier in identifiers:
            found.setdefault(f"{hash_of(identifier) % self.shards:0{digits}}", []).append(identifier)
        return dict(sorted(found.items()))

    @property
    def evaluated_ids(self) -> list[str]:
        """Identifiers of all volumes that are restored and evaluated."""
        return self.ids(*EVALUATED_SPLITS)

    @property
    def is_tested(self) -> bool:
        """Whether any volume belongs to a test split; otherwise a run only trains networks."""
        return any(volume.split in TEST_SPLITS for volume in self.volumes)

    def recipe(self, method: str) -> Recipe:
        """Return the recipe of a method: one of `recipes`, or the preset of that name."""
        return self.recipes.get(method) or preset_recipe(method)

    @property
    def is_self_supervised(self) -> bool:
        """Whether networks are trained on the low-resolution volumes themselves, see the step self_supervised_pairs."""
        return bool(self.methods) and is_self_supervised(self.train, self.degrade)

    def training_terms(self, sources: Mapping[str, Source]) -> tuple[Terms, ...]:
        """Return the licences and citations of the data on which networks are trained and selected.

        Args:
            sources: all sources, by name.
        """
        splits = ("train", *TEST_SPLITS) if self.is_self_supervised else ("train", "val")
        return terms_of((volume for volume in self.volumes if volume.split in splits), sources)

    @property
    def trained_methods(self) -> list[str]:
        """All networks trained by this run, each after its initial network and its teacher."""
        ordered: list[str] = []

        def add(method: str, later: tuple[str, ...] = ()) -> None:
            for earlier in self.recipe(method).earlier_networks:
                if earlier not in (PRETRAINED, method, *later):
                    add(earlier, (*later, method))
            if method not in ordered:
                ordered.append(method)

        for method in self.methods:
            add(method)
        return ordered

    @property
    def network_methods(self) -> list[str]:
        """The pretrained network and all networks trained by this run; none if they do not support the factor."""
        return [*([PRETRAINED] if self._has_pretrained else []), *self.trained_methods]

    @property
    def _has_pretrained(self) -> bool:
        """Whether the initial network exists as a method of its own."""
        if self.restores_any_ratio:
            return is_any_ratio(self.train.initial_weights)
        return bool(self.methods) or self.degrade.suits_networks

    @property
    def restores_any_ratio(self) -> bool:
        """Whether the networks of this run restore thick slices of any ratio."""
        return restores_any_ratio(self.train.initial_weights, map(self.recipe, self.trained_methods))

    @property
    def read_methods(self) -> list[str]:
        """Methods rated in the reader study."""
        return list(self.reading.methods) or [REFERENCE, "bicubic", "nlm_bspline3", *self.trained_methods]

    @property
    def read_ids(self) -> list[str]:
        """Identifiers of the test volumes in the reader study: all, or an evenly spaced selection of one per slice."""
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
        """Names of the raw BIDS data sets in the sidecars of the derivatives, by folder."""
        found = (source for source in self.sources.values() if isinstance(source, LocalSource))
        roots = sorted({source.bids for source in found if source.bids is not None})
        return {root: "raw" if len(roots) == 1 else f"raw{number}" for number, root in enumerate(roots, start=1)}

    @property
    def derivatives(self) -> dict[str, str]:
        """Identifiers of the evaluated volumes of BIDS data sets, by the path of their result in the derivatives.

        The paths have no extension: sub-01/anat/sub-01_desc-brainsr_T1w.
        """
        return self._derived(DESCRIPTION)

    @property
    def derived_error_maps(self) -> dict[str, str]:
        """The same for uncertainty maps, such as sub-01/anat/sub-01_desc-uncertainty_T1w, if a network is delivered."""
        return self._derived(ERROR_MAP) if self.infer.deliver in self.network_methods else {}

    def _derived(self, label: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for identifier in self.evaluated_ids:
            source = self.sources.get(self.volume(identifier).origin)
            if isinstance(source, LocalSource) and source.bids is not None:
                found[derivative_path(source.path_in_bids, label)] = identifier
        return found
