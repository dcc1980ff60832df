"""Titles of methods, splits, regions and losses, and the order and style in which methods are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline import plugins

BASELINES = "pipeline.baselines"
REFERENCE = "reference"
"""Name of the reference where a table lists it among the methods."""

BASELINE_ORDER = (
    "nearest",
    "bicubic",
    "bspline3",
    "lanczos",
    "zerofill",
    "nlm_bspline3",
    "least_squares",
    "total_variation",
)
"""From the simplest on; any other baselines follow, sorted by name."""


@dataclass(frozen=True)
class Network:
    """A network with a preset recipe.

    Attributes:
        title: as a reader sees it.
        description: what it is, as the end of a sentence.
        reference: a key of the literature; empty where there is none.
        colour: of its curves.
    """

    title: str
    description: str
    reference: str
    colour: str


NETWORKS: Mapping[str, Network] = {
    "pretrained": Network(
        "Pretrained network",
        "the initial network as it was published, without training on the data of this run",
        "",
        "#667085",
    ),
    "rrdb_l1": Network(
        "RRDB network, pixel loss",
        "residual-in-residual dense blocks trained with a pixel loss only: faithful, but smoother than the reference",
        "esrgan",
        "#0072b2",
    ),
    "fast": Network(
        "Fast network, pixel loss",
        "a small network of residual blocks for computers without a GPU, trained with a pixel loss only",
        "edsr",
        "#4f7cac",
    ),
    "srresnet": Network(
        "SRResNet, pixel loss",
        "the generator of SRGAN (residual blocks with batch normalisation) trained with the squared error only",
        "srgan",
        "#b8860b",
    ),
    "srgan": Network(
        "SRGAN",
        "SRResNet trained further with an adversarial loss and a perceptual loss on VGG features",
        "srgan",
        "#d55e00",
    ),
    "esrgan": Network(
        "ESRGAN",
        "the RRDB network trained further with a relativistic adversarial loss and a perceptual loss on VGG features "
        "before activation",
        "esrgan",
        "#b0478f",
    ),
    "real-esrgan": Network(
        "Real-ESRGAN",
        "the RRDB network trained further with an adversarial loss from a U-Net discriminator, which has an output for "
        "every pixel",
        "real-esrgan",
        "#2e7d32",
    ),
    "brainsr": Network(
        "BrainSR",
        "the recipe of this project: the RRDB network trained further for a short adversarial stage with losses on "
        "pixels, artifacts and consistency with the forward model",
        "ldl",
        "#0b6e75",
    ),
}
"""In the order of tables; recipes named by the user follow, sorted by name."""

SPARE_COLOURS = ("#5b4b8a", "#8b1a4a", "#5d6b1e", "#4d4d4d", "#a0522d")
"""Colours of other networks."""

REGION_TITLES: Mapping[str, str] = {
    "unseen": "Unseen slices",
    "foreground": "Foreground",
    "interior": "Foreground without its edge",
    "whole": "Whole slice",
    "neighbours": "Compared with neighbouring slices (independent noise, nearly the same structure)",
    "denoised": "Compared with a denoised reference (itself an estimate)",
}
"""In the order of tables; the verdict is on the first that a run has."""

SPLIT_TITLES: Mapping[str, str] = {
    "test": "Unseen subjects",
    "test_within_subject": "Held-out slices of a training subject",
    "val": "Validation",
    "train": "Training",
}

TESTED = ("test", "test_within_subject")
SELF_SUPERVISED_TITLE = "Self-supervised on the same volume"
SELF_SUPERVISED_CLAIM = (
    "The network was trained on the low-resolution volume itself, without its reference. The results show what "
    "can be gained without other data. They do not show that the network generalises to other volumes."
)
PICTURES_TITLE = "Unseen pictures"
"""Title of the split test where it consists of pictures of unknown subjects."""
PICTURES_CLAIM = (
    "Pictures that were not used for training; near-duplicates of training pictures are excluded. Their subjects are "
    "unknown: the network may have been trained on other slices of the same heads. The results do not show that it "
    "generalises to unseen subjects."
)

SPLIT_ORDER = ("test", "test_within_subject", "val", "train")


def baselines() -> list[str]:
    """Return the names of all baselines in the order of tables."""
    known = plugins.names(BASELINES)
    first = [name for name in BASELINE_ORDER if name in known]
    return first + [name for name in known if name not in first]


def method_title(name: str) -> str:
    """Return the title of a method; a method without a title keeps its name."""
    if name in NETWORKS:
        return NETWORKS[name].title
    if name == REFERENCE:
        return "Reference"
    return plugins.load(BASELINES, name).TITLE if name in plugins.names(BASELINES) else name


def network_description(name: str) -> str:
    """Describe a network, as the end of a sentence."""
    return NETWORKS[name].description if name in NETWORKS else "trained by a recipe of this run's configuration"


def loss_title(name: str) -> str:
    """Return the title of a loss term."""
    titles = {"l1": "L1", "mse": "squared error", "ldl": "LDL", "ms_ssim": "MS-SSIM", "ssim": "SSIM"}
    return titles.get(name, name.replace("_", " "))


def network_colours(networks: Iterable[str]) -> dict[str, str]:
    """Return a colour for every network, the same on every page."""
    named = set(networks)
    unknown = sorted(named - set(NETWORKS))
    spare = {name: SPARE_COLOURS[place % len(SPARE_COLOURS)] for place, name in enumerate(unknown)}
    return {**{name: network.colour for name, network in NETWORKS.items() if name in named}, **spare}


def method_style(method: str, deliver: str) -> str:
    """Return the style in which a method is drawn, a key of `pipeline.reporting.figures.svg.STYLES`."""
    if method == deliver:
        return "delivered"
    return "baseline" if method in baselines() else "reference" if method == REFERENCE else "network"


def readable(name: str) -> str:
    """Return an identifier of a table, such as "residual_mean", with spaces."""
    return str(name).replace("_", " ")


def in_order(methods: Iterable[str], deliver: str) -> list[str]:
    """Sort methods: baselines, networks in the order of `NETWORKS`, others by name, the deliverable last."""
    first, networks = baselines(), list(NETWORKS)

    def place(name: str) -> tuple[int, int, str]:
        if name in first:
            return 0, first.index(name), name
        if name == deliver:
            return 2, 0, name
        return 1, networks.index(name) if name in networks else len(networks), name

    return sorted(set(methods), key=place)


def split_title(split: str, *, pictures: bool = False, self_supervised: bool = False) -> str:
    """Return the title of a split; arguments as in `split_claim`."""
    if self_supervised and split in TESTED:
        return SELF_SUPERVISED_TITLE
    return PICTURES_TITLE if pictures and split == "test" else SPLIT_TITLES[split]


def split_claim(
    split: str, gap_slices: int | None = None, *, pictures: bool = False, self_supervised: bool = False
) -> str:
    """Describe what the results on a split show, and what they do not show.

    Args:
        split: one of the configuration's splits.
        gap_slices: slices between the held-out slices and the nearest training slice; None where unknown.
        pictures: whether the split consists of pictures of unknown subjects.
        self_supervised: whether the networks were trained on the low-resolution volumes that they restored.
    """
    if self_supervised and split in TESTED:
        return SELF_SUPERVISED_CLAIM
    if pictures and split == "test":
        return PICTURES_CLAIM
    apart = "a gap" if gap_slices is None else f"at least {gap_slices} slices"
    claims = {
        "test": "Subjects that were not used for training. The results show whether the network generalises to unseen "
        "subjects.",
        "test_within_subject": "Slices of a subject that was used for training, separated from its training slices "
        f"by {apart}. The results show that the network fits this subject and scanner. They do not show that it "
        "generalises to others.",
        "val": "Used to choose settings and to monitor the training. Good results here are no evidence.",
        "train": "Used for training; neither restored nor evaluated.",
    }
    return claims[split]
