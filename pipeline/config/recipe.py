"""Recipes: the settings by which the trained networks of a run differ.

A preset is a file in the folder `recipes` of this package. A configuration may override values of a preset, or define
a new recipe based on one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, model_validator

from pipeline.config.allowed import Place
from pipeline.config.base import Section
from pipeline.config.degradation import Degradation
from pipeline.config.names import PluginName
from pipeline.config.perceptual import Perceptual
from pipeline.config.volumes import Identifier

PRESETS = Path(__file__).with_name("recipes")
SCRATCH, PRETRAINED = "scratch", "pretrained"
DISTILLATION = "distillation"
"""Loss term that compares with the result of the teacher."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Ratio = Annotated[float, Field(ge=1, le=16)]
LossName = Annotated[str, AfterValidator(PluginName("pipeline.training.losses"))]


class Adversarial(Section):
    """The adversarial loss and its discriminator."""

    loss: Annotated[str, AfterValidator(PluginName("pipeline.training.adversarial"))] = "relativistic"
    """adversarial loss"""
    weight: Annotated[float, Field(ge=0)] = 5e-3
    """weight of the adversarial loss of the generator, relative to `losses`"""
    ramp: Fraction = 0.0
    """fraction of the steps over which this weight rises linearly from zero"""
    discriminator: Annotated[str, AfterValidator(PluginName("pipeline.models.discriminators"))] = "vgg_style"
    """architecture of the discriminator"""
    features: Annotated[int, Field(ge=1, le=512)] = 64
    """feature channels of the first layer of the discriminator"""
    learning_rate: Annotated[float, Field(ge=0, le=1)] = 1e-4
    """learning rate of the discriminator"""


class Unfreeze(Section):
    """Gradual unfreezing: the upsampling layers are trained first, the trunk later and more slowly."""

    trunk_from: Fraction = 0.0
    """fraction of the steps after which the trunk is unfrozen; 0 trains all layers from the start"""
    trunk_rate: Fraction = 1.0
    """learning rate of the trunk relative to that of the upsampling layers"""


class Dial(Section):
    """The fidelity dial: interpolation between the weights before and after a training (network interpolation)."""

    steps: Annotated[int, Field(ge=1, le=100)] = 5
    """number of intervals between the candidate interpolation factors: 5 evaluates 0, 0.2, 0.4, 0.6, 0.8 and 1"""
    max_loss_db: Annotated[float, Field(ge=0)] = 0.1
    """maximum loss of PSNR on the validation volumes relative to the initial network, in dB"""
    max_residual: Annotated[float, Field(ge=1)] = 1.1
    """maximum data-consistency residual, relative to the larger of the noise level and the residual of the initial
    network"""


class Recipe(Section):
    """Training of a network."""

    based_on: Identifier | None = None
    """preset that provides the values left out here; a recipe with the name of a preset is based on that preset"""
    source: str = ""
    """publication or origin of the recipe"""
    starts_from: Identifier = PRETRAINED
    """initial network: pretrained (train.initial_weights), scratch, or the recipe whose result is fine-tuned"""
    architecture: Literal["rrdbnet", "srresnet", "fast_edsr"] = "rrdbnet"
    """architecture of a network trained from scratch"""
    blocks: Annotated[int, Field(ge=1, le=23)] = 6
    """residual blocks of a network trained from scratch"""
    features: Annotated[int, Field(ge=1, le=512)] = 64
    """feature channels of a network trained from scratch"""
    keep_blocks: Annotated[int, Field(ge=1, le=23)] | None = None
    """number of residual blocks, the first ones, of the initial network that are kept: fewer are faster but less
    accurate, in part regained by training with the initial network as teacher; null keeps all"""
    noise_map: bool = True
    """provide the noise level as an additional input channel"""
    noise_sigma_range: Annotated[tuple[Fraction, Fraction] | None, Field()] = (0.0, 0.06)
    """range of the noise level of training patches, drawn uniformly, as fractions of the normalised range; null uses
    degrade.noise_sigma"""
    neighbours: Annotated[int, Field(ge=0, le=2)] = 0
    """number of neighbouring slices on each side of the restored slice that the network is given. They reduce noise.
    For a tenth of the patches each slice is its own neighbour, so that the network restores single slices as well; for
    others the neighbours are farther away, as in scans with thicker slices"""
    degradations: tuple[Degradation, ...] = ()
    """alternative forward models, one of which is drawn for every patch; [] uses that of each volume"""
    ratio_range: tuple[Ratio, Ratio] | None = None
    """range of the ratio of slice spacing to voxel size, drawn log-uniformly for every patch, for a network that
    restores thick slices of any ratio; null trains for degrade.factor. It requires degrade.direction: through_plane and
    isotropic training volumes, from which slices are drawn in all directions"""
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """random seed of this training; null uses the seed of the run"""
    steps: Annotated[int, Field(ge=1)] = 300
    """optimiser steps"""
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 2
    """patches per step, summed over all devices"""
    patch_lr: Annotated[int, Field(ge=8, le=512)] = 32
    """side length of the patches, in low-resolution voxels; with ratio_range in high-resolution voxels"""
    synthetic_share: Fraction = 0.5
    """fraction of the patches that are synthesised from label maps (volumes with content: labels), if there are
    acquired images as well"""
    learning_rate: Annotated[float, Field(gt=0)] = 4e-4
    """maximum learning rate of Adam"""
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    """steps of linear warm-up; afterwards the learning rate decays to one hundredth on a cosine schedule"""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.98
    """decay per step of the exponential moving average of the weights, which is the final network"""
    contrast_augmentation: Fraction = 0.5
    """probability of a random change of the contrast of a patch, to generalise to other scanners"""
    shading_augmentation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """maximum relative change of intensity by random smooth multiplicative fields, which simulate receive coil profiles
    and uneven illumination"""
    structure_augmentation: Fraction = 0.0
    """probability that small structures (blobs, lines, discs, rings) are added to a patch before its degradation, so
    that the network preserves such structures"""
    resampling_augmentation: Fraction = 0.0
    """probability that a slice is rotated by a random angle and its voxels are enlarged by a factor of 1.25 to 1.5
    before its degradation; only for degrade.direction in_plane"""
    background_augmentation: Fraction = 0.0
    """probability that the background of a low-resolution patch is set to 0, without noise, as in scans without the
    skull; only where that of the reference is 0"""
    losses: dict[LossName, Annotated[float, Field(gt=0)]] = Field(default={"l1": 1.0})
    """loss terms and their weights"""
    perceptual: Perceptual = Perceptual()
    """settings of the loss term `perceptual`"""
    teacher: Identifier | None = None
    """network whose results are the reference of the loss term `distillation`: pretrained (train.initial_weights) or a
    recipe, whose network is then trained first"""
    adversarial: Adversarial | None = None
    """adversarial training; null trains without a discriminator"""
    unfreeze: Unfreeze = Unfreeze()
    """schedule for unfreezing layers"""
    self_ensemble: Literal[1, 2, 4, 8] = 1
    """number of flips and transposes for test-time augmentation (Timofte et al., CVPR 2016); each needs a forward
    pass"""
    dial: Dial | None = None
    """interpolation between the weights before and after the training; null keeps the trained weights"""

    @model_validator(mode="after")
    def _check_together(self) -> Recipe:
        if not self.losses and self.adversarial is None:
            raise ValueError("no loss: give `losses`, such as {l1: 1.0}, or `adversarial`")
        low, high = self.noise_sigma_range or (0, 0)
        if low > high:
            raise ValueError(f"noise_sigma_range: [{low}, {high}] must be ascending")
        if (self.teacher is not None) != (DISTILLATION in self.losses):
            raise ValueError("teacher: requires the loss term `distillation`, and the term requires a teacher")
        if self.dial and self.starts_from == SCRATCH:
            raise ValueError("dial: not available for a network trained from scratch, which has no initial network")
        if self.keep_blocks and self.starts_from == SCRATCH:
            raise ValueError("keep_blocks: shortens an initial network; for one trained from scratch set blocks")
        self._check_any_ratio()
        return self

    def _check_any_ratio(self) -> None:
        if self.ratio_range is None:
            return
        low, high = self.ratio_range
        if low > high:
            raise ValueError(f"ratio_range: [{low}, {high}] must be ascending")
        if not self.noise_map:
            raise ValueError("ratio_range: a network of any ratio is given the noise level; set noise_map: true")
        if self.starts_from == SCRATCH and self.architecture != "fast_edsr":
            raise ValueError("ratio_range: networks of any ratio have the architecture fast_edsr")

    @property
    def needs_perceptual(self) -> bool:
        """Whether a loss term or the dial needs the features of a VGG."""
        return "perceptual" in self.losses or self.dial is not None

    @property
    def earlier_networks(self) -> list[str]:
        """Networks that the training reads: the initial one and the teacher, each `PRETRAINED` or a recipe."""
        return [name for name in (self.starts_from, self.teacher) if name and name != SCRATCH]


@cache
def preset(name: str) -> Mapping[str, Any] | None:
    """Return the values of a preset, or None if it does not exist."""
    path = PRESETS / f"{name}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None


def preset_recipe(name: str) -> Recipe:
    """Return the recipe of a preset."""
    return Recipe.model_validate_json(json.dumps(filled(name, {})))


def preset_names() -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def filled(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the values of the preset that a recipe leaves out.

    Nested sections are filled in likewise; the tables `losses` and `layers` replace those of the preset, so that terms
    can be removed.
    """
    base = preset(str(given.get("based_on") or name)) or {}
    return _merged(base, given)


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in given.items():
        field = Recipe.model_fields.get(key)
        is_section = field is not None and bool(Place.of_field(field).models)
        both_sections = is_section and isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        result[key] = _merged(base[key], value) if both_sections else value
    return result
