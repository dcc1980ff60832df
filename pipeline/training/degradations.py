"""Forward models of training patches: that of the volume, or alternatives that replace its operators and noise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.config.degradation import Degradation
from pipeline.errors import about
from pipeline.physics.forward import ForwardModel
from pipeline.physics.grid import padded_shape
from pipeline.physics.linear import Lattice, compose


class ForwardModels:
    """Draws the forward model of a patch.

    Args:
        models: the forward models of all training volumes.
        alternatives: one of them is drawn for each patch, with the grids of the volume; if there are none, the volume's
            own model is used.

    Raises:
        UserError: an operator does not suit a volume, such as a width in mm if the voxel size is unknown.
    """

    def __init__(self, models: Iterable[ForwardModel], alternatives: Sequence[Degradation]) -> None:
        weights = np.array([one.weight for one in alternatives])
        self._shares = weights / weights.sum() if alternatives else weights
        # Kept, since models without ranges compute their matrices once.
        self._alternatives = {
            model: tuple(model.with_steps(one.operators, one.noise_settings) for one in alternatives)
            for model in dict.fromkeys(models)
        }
        for model in {(one.factors, one.spacing_mm, one.slice_axis): one for one in self._alternatives}.values():
            self._check(model)

    def draw(self, model: ForwardModel, generator: np.random.Generator) -> ForwardModel:
        """Return the forward model of a patch from a volume with the given model; parameters have no ranges."""
        alternatives = self._alternatives[model]
        if alternatives:
            model = alternatives[int(generator.choice(len(alternatives), p=self._shares))]
        return model.redrawn(generator)

    def _check(self, model: ForwardModel) -> None:
        """Compose the operators of all alternatives once, since a training would notice mistakes late."""
        sizes = padded_shape([4] * len(model.factors), model.factors)
        lattice = Lattice(sizes, model.factors, model.spacing_mm, model.slice_axis)
        for index, one in enumerate(self._alternatives[model]):
            with about(f"degradations[{index}]"):
                compose(one.redrawn(np.random.default_rng(0)).operators, lattice)
