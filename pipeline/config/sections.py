"""Sections of the configuration: the settings of each step, which receives its own section and no other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer, ValidationError, ValidationInfo, field_validator

from pipeline import plugins
from pipeline.config.base import Section
from pipeline.config.mistakes import explain
from pipeline.config.names import PluginName, PluginParameters, any_parameters
from pipeline.config.parameters import Direction, PhysicalParameters, plain
from pipeline.config.planes import PlaneChoice
from pipeline.config.volumes import Identifier

Fraction = Annotated[float, Field(ge=0, le=1)]
Threads = Annotated[int, Field(ge=1, le=256)]
REFERENCE = "reference"
"""Name of the reference where it is listed among the methods."""
NETWORK_FACTORS = (2, 3, 4, 8)
"""Upsampling factors of the networks."""
OPERATORS, NOISES = "pipeline.physics.operators", "pipeline.physics.noise"
KindName = Annotated[str, AfterValidator(PluginName("pipeline.fidelity.insertion.kinds"))]
METRICS = "pipeline.metrics"
MetricName = Annotated[str, AfterValidator(PluginName(METRICS))]

if TYPE_CHECKING:
    OperatorStep = PhysicalParameters
else:
    OperatorStep = any_parameters(OPERATORS)


def _one_downsamples(steps: tuple[PhysicalParameters, ...]) -> tuple[PhysicalParameters, ...]:
    coarsening = [name for name in plugins.names(OPERATORS) if plugins.load(OPERATORS, name).COARSENS]
    found = [step.name for step in steps if step.name in coarsening]
    if len(found) != 1:
        given = " and ".join(found) or "none"
        raise ValueError(f"exactly one operator must downsample ({', '.join(coarsening)}), found: {given}")
    return steps


def _valid_for_noise(given: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    if "noise" in info.data:  # absent if the noise itself is invalid
        noise_settings(info.data["noise"], given)
    return given


def noise_settings(noise: str, given: dict[str, Any]) -> PhysicalParameters:
    """Return the parameters of a noise model, with defaults filled in.

    Raises:
        ValueError: a parameter is invalid; the message explains all mistakes.
    """
    model = plugins.load(NOISES, noise).Parameters
    try:
        return model.model_validate_json(json.dumps({**given, "name": noise}))
    except ValidationError as error:
        raise ValueError("; ".join(explain(error, model))) from error


OperatorSteps = Annotated[tuple[OperatorStep, ...], AfterValidator(_one_downsamples)]
"""Linear operators of a forward model, exactly one of which downsamples."""
NoiseName = Annotated[str, AfterValidator(PluginName(NOISES))]
NoiseParameters = Annotated[dict[str, Any], PluginParameters(NOISES, "noise"), AfterValidator(_valid_for_noise)]
"""Parameters of the noise model that the key `noise` of the same section selects."""


class Extract(Section):
    """Reading, masking and normalising volumes."""

    plane: PlaneChoice = "auto"
    """plane of the slices that are super-resolved; auto: perpendicular to the axis whose voxels are at least 1.5 times
    longer than along both others, otherwise the plane of the DICOM images, otherwise axial; micrographs and pictures
    have no anatomical plane and keep their order"""
    foreground: Literal["head", "all"] = "head"
    """head: everything brighter than a dark background; all: the whole image, for micrographs that fill the field of
    view"""
    bias_correction: bool = False
    """N4 bias field correction (Tustison et al. 2010) before normalisation"""
    min_foreground: Fraction = 0.05
    """minimum fraction of foreground for a slice to be used for training and evaluation"""
    max_side_pixels: Annotated[int, Field(ge=16, le=16384)] = 1024
    """maximum side of the pictures of `collections`; larger ones are left out, since every picture of a stack needs as
    much memory as the largest"""


class Degrade(Section):
    """The forward model that simulates the low-resolution image."""

    operators: OperatorSteps = (plugins.load(OPERATORS, "kspace_truncation").Parameters(),)
    """linear operators, applied in this order; exactly one of them downsamples. A parameter given as a range [low,
    high] is drawn uniformly, once per volume and anew for every training patch"""
    direction: Direction = "in_plane"
    """axes that are downsampled: the two in-plane axes, the through-plane axis, or all three. With all three, networks
    super-resolve the slices of all three planes and the results are averaged"""
    factor: Annotated[float, Field(gt=1, le=8), AfterValidator(plain), PlainSerializer(plain, return_type=Any)] = 4
    """downsampling factor along each of these axes, such as 5.5556 for slices of 5 mm on voxels of 0.9 mm; networks
    support 2, 3, 4 and 8, baselines any number"""
    noise: NoiseName = "rician"
    """distribution of the noise added to the low-resolution image"""
    noise_sigma: Fraction = 0.02
    """standard deviation of the noise, as a fraction of the normalised range; for signal-dependent noise, at an
    intensity of 1.0"""
    noise_parameters: NoiseParameters = Field(default={})
    """other parameters of the noise; those left out have their defaults"""

    @property
    def suits_networks(self) -> bool:
        """Whether networks support the factor; otherwise a run has baselines alone."""
        return self.factor in NETWORK_FACTORS

    @property
    def noise_settings(self) -> PhysicalParameters:
        """All parameters of the noise."""
        return noise_settings(self.noise, self.noise_parameters)


class Sentinel(Section):
    """Detection of training failures, and rollback to the last good state."""

    max_gradient: Annotated[float, Field(gt=1)] = 20.0
    """maximum gradient norm of a step relative to the running median; steps above it are skipped"""
    min_gradient: Annotated[float, Field(ge=0, lt=1)] = 1e-3
    """gradient norm of the generator relative to the running median, below which the gradient counts as vanished"""
    max_discriminator_gap: Fraction = 0.98
    """maximum difference of the mean discriminator probabilities of references and results; above it the discriminator
    counts as dominating"""
    patience_steps: Annotated[int, Field(ge=1)] = 50
    """number of consecutive steps with a vanished gradient, or a dominating or static discriminator, that triggers a
    rollback; for skipped steps, a tenth of this number"""
    min_diversity: Annotated[float, Field(ge=0)] = 0.02
    """minimum change of the result relative to a change of the input (both as root mean square); below it the network
    counts as collapsed"""
    max_loss_db: Annotated[float, Field(gt=0)] = 3.0
    """maximum loss of validation PSNR relative to its best value so far, in dB"""
    adversarial_factor: Fraction = 0.5
    """factor by which a rollback multiplies the adversarial weight"""
    max_rollbacks: Annotated[int, Field(ge=0)] = 3
    """maximum number of rollbacks before the training stops with an error"""


class Train(Section):
    """Training settings shared by all networks of a run; recipes contain the others."""

    initial_weights: str = "realesrgan-6b"
    """source of the initial weights of `pretrained` recipes: realesrgan-6b (trained on drawings, small),
    realesrgan-x4plus (natural images, 23 blocks), a network that ships (see `brainsr networks`), or one of `sources`"""
    perceptual_weights: str = "vgg16-brain-tumor"
    """source of the VGG weights for the perceptual loss and the fidelity dial"""
    self_supervised: bool = True
    """with degrade.direction: through_plane, train on the low-resolution volumes of the splits train and test
    themselves, without using their references; false trains on the references of the split train"""
    validate_every: Annotated[int, Field(ge=1)] = 50
    """steps between validations"""
    record_every: Annotated[int, Field(ge=1)] = 10
    """steps between rows of history.csv"""
    checkpoint_every: Annotated[int, Field(ge=1)] = 25
    """steps between checkpoints; an interrupted training loses at most this many"""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """numerical precision; mixed precision is intended for GPUs"""
    accumulate: Annotated[int, Field(ge=1, le=1024)] = 1
    """number of parts into which a batch is divided for gradient accumulation, if it does not fit into memory"""
    gradient_checkpointing: bool = False
    """recompute the activations of the generator during the backward pass instead of storing them: larger patches fit
    into memory, steps take longer, the weights are the same"""
    threads: Threads = 2
    """number of threads, which affects the order of summation and thus the weights; on a GPU, number of processes that
    draw patches (a fast GPU needs 8)"""
    sentinel: Sentinel = Sentinel()
    """detection of training failures"""


def is_self_supervised(train: Train, degrade: Degrade) -> bool:
    """Whether networks learn from the low-resolution volumes that they restore."""
    return degrade.direction == "through_plane" and train.self_supervised


class Infer(Section):
    """Restoration of whole volumes."""

    deliver: str = "brainsr"
    """method whose results are written to results/<run>/sr: one of `methods`, pretrained, or a module of
    pipeline/baselines"""
    ensemble: tuple[str, ...] = ()
    """further networks of this run, such as the same recipe with another `seed`, that contribute to the uncertainty map
    of the delivered network"""
    noise_sigma: Fraction | None = None
    """noise level given to the networks, as a fraction of the normalised range; null estimates it from the image"""
    data_consistency: bool = True
    """apply data consistency to the results of trained networks; its weight decreases with the noise level and was
    fitted on the validation volumes"""
    force: bool = False
    """write results of the delivered method even if, degraded again, they differ from the low-resolution input by more
    than 35 % of the intensity range beyond the noise; by default, this is an error"""
    passes: Literal[1, 2, 4, 8] | None = None
    """forward passes per slice, over flips and transposes, whose results are averaged; at most 4 for networks that
    enlarge columns alone; null uses those of the recipe (self_ensemble)"""
    background_tolerance: Fraction = 0.001
    """interpolate the background of heads where this changes the foreground by less than this fraction of the range;
    0 restores all of it with the network"""
    backend: Annotated[str, AfterValidator(PluginName("pipeline.inference.backends", ("auto",)))] = "auto"
    """library that runs the networks; auto selects OpenVINO on a CPU if it is installed, otherwise torch"""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """numerical precision; the log reports how much a lower precision changes the result"""
    compile: bool = False
    """compile networks with torch.compile, which takes one or two minutes per job and on CPUs needs a compiler;
    worthwhile on GPUs"""
    tile_lr: Annotated[int, Field(ge=16, le=4096)] = 256
    """maximum side of a tile, in low-resolution voxels; larger slices are divided into tiles"""
    overlap_lr: Annotated[int, Field(ge=0, le=256, validate_default=True)] = 16
    """overlap of neighbouring tiles, in low-resolution voxels"""
    threads: Threads = 2
    """number of threads"""

    @field_validator("overlap_lr")
    @classmethod
    def _check_overlap(cls, overlap: int, info: ValidationInfo) -> int:
        tile = info.data.get("tile_lr")
        if tile and 2 * overlap >= tile:
            raise ValueError(f"it must be less than half of infer.tile_lr, {tile / 2:g}")
        return overlap


class Evaluate(Section):
    """Comparison of every method with the reference."""

    metrics: tuple[MetricName, ...] = ("psnr", "ssim")
    """image quality metrics"""
    regions: tuple[Literal["foreground", "interior", "whole", "unseen", "neighbours", "denoised", "labels"], ...] = (
        "foreground",
        "whole",
    )
    """regions over which the metrics are computed; interior: the foreground without its outermost 4 voxels; unseen:
    the foreground of slices that contribute nothing to the low-resolution volume, for forward models that drop slices,
    with slice metrics only; labels: each structure of a volume's segmentation. Two regions are for noisy references and
    compare the foreground with another reference: neighbours, the mean of the previous and the next slice, whose noise
    is independent; and denoised, the reference after self-supervised denoising, which requires noise that is
    independent between voxels"""
    labels: dict[Annotated[int, Field(ge=1)], Identifier] = Field(default={})
    """names of the segmentation labels, such as {17: hippocampus, 53: hippocampus}; labels that share a name form one
    region, labels without a name are left out; {} uses every label and names it by its number"""
    bootstrap_samples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    """bootstrap samples for every confidence interval"""
    bootstrap_block_slices: Annotated[int, Field(ge=1, le=1000)] = 8
    """block length of the bootstrap, in slices: neighbouring slices are correlated and are resampled together"""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """confidence level of the intervals"""
    on_gate_failure: Literal["warn", "fail"] = "warn"
    """if a delivered volume, degraded again, is inconsistent with its low-resolution input (metrics/gates.csv): warn
    marks it in the reports, fail also stops the run after all reports are written"""

    @property
    def needs_features(self) -> bool:
        """Whether a metric needs the features of a VGG."""
        return any(plugins.constant(METRICS, name, "NEEDS_FEATURES", False) for name in self.metrics)


class Reading(Section):
    """The blinded reader study of the target `reading`, in which readers rate images without knowing the method."""

    methods: tuple[str, ...] = ()
    """methods to rate: reference, networks of this run, pretrained, or modules of pipeline/baselines; [] selects the
    reference, bicubic, nlm_bspline3 and the networks that this run trains"""
    slices: Annotated[int, Field(ge=1, le=200)] = 8
    """number of slices on which every method is rated, distributed over the test volumes"""
    choices_per_pair: Annotated[int, Field(ge=0, le=200)] = 3
    """number of slices on which a reader compares each pair of methods"""
    repeats: Annotated[int, Field(ge=0, le=200)] = 6
    """number of ratings, and of comparisons, that are repeated to measure intra-reader reliability"""


class Insertion(Section):
    """The lesion-insertion study: detection rates of small structures that were inserted into the reference."""

    kinds: tuple[KindName, ...] = ("lesion", "vessel", "spine")
    """kinds of structures; [] skips the study"""
    sizes_voxels: tuple[Annotated[float, Field(gt=0, le=64)], ...] = (2.0, 3.0, 4.0)
    """sizes in high-resolution voxels: diameters of lesions, vesicles and spine heads, widths of vessels and of
    processes"""
    contrasts: tuple[Annotated[float, Field(ge=-1, le=1)], ...] = (0.2, 0.4)
    """contrasts with the surrounding tissue, as fractions of the normalised range; negative for dark structures"""
    count: Annotated[int, Field(ge=2, le=1000)] = 16
    """maximum number of structures of each kind and size per volume and contrast"""
    slices: Annotated[int, Field(ge=1, le=1000)] = 6
    """number of slices of a volume with structures; each is restored once per contrast and once without structures"""
    draws: Annotated[int, Field(ge=1, le=100)] = 1
    """number of repetitions of the study with other positions and other noise; the time is proportional to it"""
    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """false-alarm rate of the model observer"""


class Report(Section):
    """The HTML reports."""

    title: str = "BrainSR"
    """heading of every page"""
    slices_shown: Annotated[int, Field(ge=1, le=20)] = 4
    """number of slices shown per volume"""


class Resources(Section):
    """Resources of the jobs. Changing them does not rerun any job."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto uses a GPU if one is available"""
    gpu: Annotated[int, Field(ge=0, le=8)] = 1
    """GPUs requested for training and inference"""
    memory_mb: Annotated[int, Field(ge=500)] = 4000
    """memory requested for a job, in MB; the second attempt requests twice as much, and so on. The batch size of
    inference is chosen to fit into half of it"""
    runtime_minutes: Annotated[int, Field(ge=1)] = 240
    """time limit requested for a job, in minutes; the second attempt requests twice as much, and so on"""
