"""Recipes: everything that makes one trained network differ from another.

A preset is a file of this package's folder `recipes`. A configuration may change some values of a preset, or make a
recipe of its own from one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, model_validator

from pipeline.config.allowed import Place
from pipeline.config.base import Section
from pipeline.config.names import PluginName
from pipeline.config.perceptual import Perceptual
from pipeline.config.volumes import Identifier

PRESETS = Path(__file__).with_name("recipes")
SCRATCH, PRETRAINED = "scratch", "pretrained"

Fraction = Annotated[float, Field(ge=0, le=1)]
LossName = Annotated[str, AfterValidator(PluginName("pipeline.training.losses"))]


class Adversarial(Section):
    """The discriminator, and how much it is listened to."""

    loss: Annotated[str, AfterValidator(PluginName("pipeline.training.adversarial"))] = "relativistic"
    """adversarial loss"""
    weight: Annotated[float, Field(ge=0)] = 5e-3
    """weight of the generator's adversarial loss beside `losses`"""
    ramp: Fraction = 0.0
    """share of the steps over which that weight rises from zero"""
    discriminator: Annotated[str, AfterValidator(PluginName("pipeline.models.discriminators"))] = "vgg_style"
    """its architecture"""
    features: Annotated[int, Field(ge=1, le=512)] = 64
    """feature channels of its first layer"""
    learning_rate: Annotated[float, Field(ge=0, le=1)] = 1e-4
    """of the discriminator"""


class Thaw(Section):
    """Gradual transfer: the upsampler learns first, the trunk later and more slowly."""

    trunk_from: Fraction = 0.0
    """share of the steps after which the trunk begins to learn; 0 thaws everything at once"""
    trunk_rate: Fraction = 1.0
    """learning rate of the trunk, as a share of the upsampler's"""


class Dial(Section):
    """The fidelity dial: how far the weights go from the network that training started from to the trained one."""

    steps: Annotated[int, Field(ge=1, le=100)] = 5
    """parts into which the way is cut: 5 tries 0, 0.2, 0.4, 0.6, 0.8 and 1"""
    max_loss_db: Annotated[float, Field(ge=0)] = 0.1
    """most that PSNR on the validation volumes may fall below the start's, in dB"""
    max_residual: Annotated[float, Field(ge=1)] = 1.1
    """most that the result, degraded again, may differ from the measurement: this many times the larger of the noise
    and the start's own difference"""


class Recipe(Section):
    """How a network is trained."""

    based_on: Identifier | None = None
    """the preset whose values hold where none is given here; a recipe named like a preset is based on it"""
    source: str = ""
    """where the recipe comes from"""
    starts_from: Identifier = PRETRAINED
    """pretrained (train.initial_weights), scratch, or the recipe whose network is trained on"""
    architecture: Literal["rrdbnet", "srresnet"] = "rrdbnet"
    """of a network from scratch"""
    blocks: Annotated[int, Field(ge=1, le=23)] = 6
    """of a network from scratch"""
    features: Annotated[int, Field(ge=1, le=512)] = 64
    """feature channels of a network from scratch"""
    noise_map: bool = True
    """the network is given the standard deviation of the noise as a further channel"""
    noise_sigma_range: Annotated[tuple[Fraction, Fraction] | None, Field()] = (0.0, 0.06)
    """noise of the training patches, drawn evenly between these fractions of the normalised range; null takes
    degrade.noise_sigma"""
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """root of this training's random numbers; null takes that of the run"""
    steps: Annotated[int, Field(ge=1)] = 300
    """optimiser steps"""
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 2
    """patches per step, over all devices together"""
    patch_lr: Annotated[int, Field(ge=8, le=512)] = 32
    """side of a patch, in low-resolution voxels"""
    learning_rate: Annotated[float, Field(gt=0)] = 4e-4
    """of Adam, at its highest"""
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    """steps over which the learning rate rises; afterwards it falls along a cosine to a hundredth"""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.98
    """decay per step of the averaged weights that are kept in the end"""
    contrast_augmentation: Fraction = 0.5
    """share of the patches whose contrast is changed at random, so that other scanners' contrasts are met"""
    shading_augmentation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """patches and their references are multiplied by smooth fields, as coils and uneven light do, that are drawn anew;
    this is the largest change of an intensity, as a fraction"""
    losses: dict[LossName, Annotated[float, Field(gt=0)]] = Field(default={"l1": 1.0})
    """loss terms and their weights"""
    perceptual: Perceptual = Perceptual()
    """of the loss term `perceptual`"""
    adversarial: Adversarial | None = None
    """set where a discriminator takes part"""
    thaw: Thaw = Thaw()
    """of the layers"""
    self_ensemble: Literal[1, 2, 4, 8] = 1
    """results are averaged over this many flips and transposes of the input (Timofte et al., CVPR 2016); each costs a
    pass through the network"""
    dial: Dial | None = None
    """set where the weights are interpolated between the start and the end of the training"""

    @model_validator(mode="after")
    def _check_together(self) -> Recipe:
        if not self.losses and self.adversarial is None:
            raise ValueError("there is nothing to learn from: give `losses`, such as {l1: 1.0}, or `adversarial`")
        low, high = self.noise_sigma_range or (0, 0)
        if low > high:
            raise ValueError(f"noise_sigma_range: [{low}, {high}] must rise")
        if self.dial and self.starts_from == SCRATCH:
            raise ValueError("dial: a network from scratch has no start worth going back to")
        return self

    @property
    def needs_perceptual(self) -> bool:
        """Whether the features of a VGG are needed, by a loss term or by the dial."""
        return "perceptual" in self.losses or self.dial is not None


@cache
def preset(name: str) -> Mapping[str, Any] | None:
    """Return the values of a preset, or None where there is none of this name."""
    path = PRESETS / f"{name}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None


def preset_names() -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def filled(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Fill what a recipe leaves out with its preset's values.

    Inner sections are filled alike; the tables `losses` and `layers` are taken whole, or a term could not be left out.
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
