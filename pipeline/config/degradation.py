"""Alternative forward models of training patches."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.parameters import PhysicalParameters
from pipeline.config.sections import Degrade, NoiseName, NoiseParameters, OperatorSteps, noise_settings

_USUAL = Degrade()


class Degradation(Section):
    """A forward model of training patches, with the factor of the section `degrade`."""

    weight: Annotated[float, Field(gt=0)] = 1.0
    """relative frequency"""
    operators: OperatorSteps = _USUAL.operators
    """linear operators as in the section `degrade`; a parameter given as a range [low, high] is drawn for every
    patch"""
    noise: NoiseName = _USUAL.noise
    """distribution of the noise; its level is that of the recipe"""
    noise_parameters: NoiseParameters = Field(default={})
    """other parameters of the noise as in the section `degrade`"""

    @property
    def noise_settings(self) -> PhysicalParameters:
        """All parameters of the noise."""
        return noise_settings(self.noise, self.noise_parameters)
