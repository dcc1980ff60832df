"""The settings of every stage. Each stage is given its own section and no other."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.config.base import Section
from pipeline.config.names import PluginName

Fraction = Annotated[float, Field(ge=0, le=1)]
Threads = Annotated[int, Field(ge=1, le=256)]
LossName = Annotated[str, AfterValidator(PluginName("pipeline.training.losses"))]
MetricName = Annotated[str, AfterValidator(PluginName("pipeline.metrics"))]


class Extract(Section):
    """How a volume is read, masked and normalised."""

    plane: Literal["axial", "coronal", "sagittal"] = "axial"
    """plane of the slices that are sharpened"""
    bias_correction: bool = False
    """N4 bias field correction (Tustison et al. 2010) before normalisation"""
    min_foreground: Fraction = 0.05
    """slices with a smaller fraction of foreground are neither trained on nor measured"""


class Degrade(Section):
    """The forward model: how the low-resolution image comes about."""

    operator: Annotated[str, AfterValidator(PluginName("pipeline.physics.operators"))] = "kspace_truncation"
    """linear operator that coarsens the image"""
    factor: Annotated[int, Field(ge=2, le=8)] = 4
    """high-resolution voxels per low-resolution voxel, along both axes of the plane"""
    noise: Annotated[str, AfterValidator(PluginName("pipeline.physics.noise"))] = "rician"
    """distribution of the noise that is added to the low-resolution image"""
    noise_sigma: Fraction = 0.02
    """its standard deviation, as a fraction of the normalised range"""


class Train(Section):
    """Fine-tuning of the network."""

    initial_weights: str = "realesrgan-6b"
    """a source that holds network weights: realesrgan-6b (trained on drawings, small), realesrgan-x4plus
    (natural images, 23 blocks), or one of `sources`"""
    losses: dict[LossName, Annotated[float, Field(gt=0)]] = Field(default={"l1": 1.0})
    """loss terms and their weights"""
    steps: Annotated[int, Field(ge=1)] = 300
    """optimiser steps"""
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 2
    """patches per step"""
    patch_lr: Annotated[int, Field(ge=8, le=512)] = 32
    """side of a patch, in low-resolution voxels"""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 4e-4
    """of Adam, at its highest"""
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    """steps over which the learning rate rises; afterwards it falls along a cosine to a hundredth"""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.98
    """decay per step of the averaged weights that are kept in the end"""
    contrast_augmentation: Fraction = 0.5
    """share of the patches whose contrast is changed at random, so that other scanners' contrasts are met"""
    validate_every: Annotated[int, Field(ge=1)] = 100
    """steps between two looks at the validation volumes"""
    checkpoint_every: Annotated[int, Field(ge=1)] = 25
    """steps between two checkpoints: the most that a killed run loses"""
    threads: Threads = 2
    """threads of the computation; the sums, and so the weights, depend on it"""


class Infer(Section):
    """Applying the methods to whole volumes."""

    deliver: str = "rrdb_l1"
    """method whose result is written to results/<run>/sr: rrdb_l1, pretrained, or a module of pipeline/upsamplers"""
    consistency: dict[str, Fraction] = Field(default={"rrdb_l1": 0.5})
    """by network: the share of the difference between the measured image and the network's result, degraded again,
    that is put back into the result; what is not named stays as the network made it"""
    tile_lr: Annotated[int, Field(ge=16, le=4096)] = 256
    """slices larger than this are cut into tiles, in low-resolution voxels"""
    overlap_lr: Annotated[int, Field(ge=0, le=256)] = 16
    """overlap of neighbouring tiles, in low-resolution voxels"""
    threads: Threads = 2
    """threads of the computation"""


class Evaluate(Section):
    """Measuring every method against the truth."""

    metrics: tuple[MetricName, ...] = ("psnr", "ssim")
    """measures of likeness to the truth"""
    regions: tuple[Literal["foreground", "whole"], ...] = ("foreground", "whole")
    """parts of a slice over which they are taken"""
    bootstrap_samples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    """resamples behind every interval"""
    bootstrap_block_slices: Annotated[int, Field(ge=1, le=1000)] = 8
    """neighbouring slices that are drawn together, since they resemble each other"""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """coverage of the intervals"""


class Report(Section):
    """The pages."""

    title: str = "BrainSR"
    """heading of every page"""
    slices_shown: Annotated[int, Field(ge=1, le=20)] = 4
    """slices drawn per volume"""


class Resources(Section):
    """What a job may use. Changing this section reruns nothing."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where there is one and says so"""
    gpu: Annotated[int, Field(ge=0, le=8)] = 1
    """GPUs that training and inference ask the scheduler for"""
    memory_mb: Annotated[int, Field(ge=500)] = 4000
    """memory that a job asks the scheduler for, in MB"""
    runtime_minutes: Annotated[int, Field(ge=1)] = 240
    """time that a job asks the scheduler for, in minutes"""
